//! Addresses of PCI functions in a path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::pci_path::upward;

fuzz_target!(|path: &str| {
    let mut components = path.rsplit('/');
    for address in upward(path) {
        assert!((12..=16).contains(&address.len()), "{address}");
        assert!(components.any(|component| component == address), "in the path's order");
    }
    assert_eq!(upward(&format!("{path}/0000:3b:00.0/block")).next(), Some("0000:3b:00.0"));
});
