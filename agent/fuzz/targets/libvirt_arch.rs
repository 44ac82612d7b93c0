//! The architecture in a recorded libvirt answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::libvirt_arch::parse;

fuzz_target!(|xml: &str| {
    if let Some(arch) = parse(xml) {
        assert!(!arch.is_empty() && xml.contains(&format!("<arch>{arch}</arch>")));
    }
});
