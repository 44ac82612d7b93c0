//! <domainCapabilities>.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_proto::libvirt::domain_capabilities::parse;

fuzz_target!(|text: &str| {
    let Ok(read) = parse(text) else { return };
    assert!(read.models.iter().flatten().is_sorted_by(|a, b| a.name < b.name));
    assert!(read.firmwares.iter().flatten().is_sorted());
});
