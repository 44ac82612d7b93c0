//! /proc/cpuinfo of every architecture.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::cpuinfo::parse;
use vmuster_proto::model::CPU_LIMIT;

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let info = match parse(bytes) {
        Ok(info) => info,
        Err(error) => return assert!((1..=lines).contains(&error.line)),
    };
    let mut seen = HashSet::new();
    for processor in &info.processors {
        assert!(processor.id < CPU_LIMIT && seen.insert(processor.id));
        assert!(processor.flags.is_none_or(|place| place < info.flag_lists.len()));
    }
    assert!(info.processors.len() <= lines && info.flag_lists.len() <= lines);
    assert!(info.flag_lists.iter().flatten().all(|flag| !flag.is_empty()));
    assert!(info.bad_fields.iter().all(|bad| (1..=lines).contains(&bad.line)));
    assert!(info.arch.is_some() || info.identity.family.is_none());
});
