//! CPUID leaves as `cpuid -r` prints them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::cpuid_dump::{EXTENDED_BASE, parse};

fuzz_target!(|text: &str| {
    let Ok(leaves) = parse(text) else { return };
    assert_eq!(parse(&leaves.dump()).as_ref(), Ok(&leaves), "its own dump");
    for leaf in [0, 1, 7, u32::MAX, EXTENDED_BASE, EXTENDED_BASE + 8] {
        assert!(leaves.get(leaf, 0).is_none() || !leaves.is_empty());
    }
});
