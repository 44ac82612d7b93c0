//! A recorded host's answers of statvfs.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::statvfs_json::{parse, write};

fuzz_target!(|bytes: &[u8]| {
    let Ok(answers) = parse(bytes) else { return };
    let good: BTreeMap<_, _> =
        answers.into_iter().filter_map(|(mount_point, stats)| Some((mount_point, stats.ok()?))).collect();
    let read = parse(write(&good).expect("JSON").as_bytes()).expect("its own document");
    assert_eq!(read, good.into_iter().map(|(mount_point, stats)| (mount_point, Ok(stats))).collect());
});
