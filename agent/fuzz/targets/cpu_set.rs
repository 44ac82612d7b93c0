//! The kernel's CPU lists and masks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_proto::model::{CPU_LIMIT, CpuSet};

fuzz_target!(|text: &str| {
    if let Ok(set) = text.parse::<CpuSet>() {
        check(&set);
    }
    if let Ok(set) = CpuSet::from_mask(text) {
        assert!(text.trim().bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b','));
        check(&set);
    }
});

fn check(set: &CpuSet) {
    assert_eq!(set.to_string().parse().as_ref(), Ok(set), "its own text");
    let cpus: Vec<u32> = set.iter().collect();
    assert!(cpus.is_sorted_by(|a, b| a < b) && cpus.iter().all(|cpu| *cpu < CPU_LIMIT && set.contains(*cpu)));
    assert_eq!((cpus.len(), cpus.is_empty()), (set.len() as usize, set.is_empty()));
}
