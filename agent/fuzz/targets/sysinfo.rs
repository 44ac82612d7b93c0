//! /proc/sysinfo of s390x.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::sysinfo::{Sysinfo, parse};

fuzz_target!(|text: &str| {
    let read = parse(text);
    let values = [&read.manufacturer, &read.machine_type, &read.model, &read.control_program];
    for value in values.into_iter().flatten() {
        assert!(
            !value.is_empty() && value.split(' ').eq(value.split_whitespace()),
            "one blank each: {value:?}"
        );
    }
    let machine_type = read.machine_type.clone().or(Some("later".to_owned()));
    assert_eq!(
        parse(&format!("{text}\nType: later\n")),
        Sysinfo { machine_type, ..read },
        "the first counts"
    );
});
