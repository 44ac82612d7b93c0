//! <capabilities>.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_proto::libvirt::capabilities::parse;

fuzz_target!(|text: &str| {
    let Ok(read) = parse(text) else { return };
    let is_a_type = |name: &String| read.machine_types.contains(name);
    assert!(read.machine_aliases.values().all(is_a_type));
    assert!(read.machine_max_vcpus.keys().all(is_a_type));
    assert!(read.deprecated_machine_types.iter().all(is_a_type));
});
