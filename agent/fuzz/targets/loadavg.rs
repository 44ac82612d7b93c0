//! /proc/loadavg.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::loadavg::parse;

fuzz_target!(|text: &str| {
    let read = match parse(text) {
        Ok(read) => read,
        Err(error) => return assert!((1..=4).contains(&error.field)),
    };
    let averages = [read.average_1m, read.average_5m, read.average_15m].map(Option::unwrap);
    let (runnable, threads) = (read.runnable.unwrap(), read.threads.unwrap());
    let [a, b, c] = averages;
    assert_eq!(
        parse(&format!("{a} {b} {c} {runnable}/{threads} 1\n")),
        Ok(read),
        "as the kernel would print it"
    );
});
