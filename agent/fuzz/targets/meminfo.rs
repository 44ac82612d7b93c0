//! /proc/meminfo and a memory node's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::meminfo::parse;

fuzz_target!(|text: &str| {
    let read = parse(text);
    assert_eq!(parse(&format!("Dirty: 1 kB\n{text}\nNode 0 Unknown: 1 kB\n")).ok(), read.clone().ok());
    let Ok(read) = read else { return };
    let amounts = [read.total, read.free, read.available, read.shared, read.hugepage_size, read.hugetlb];
    assert!(amounts.into_iter().flatten().all(|amount| amount.0 % 1024 == 0));
    if read.total.is_some() {
        assert!(parse(&format!("{text}\nMemTotal: 1 kB\n")).is_err(), "there twice");
    }
});
