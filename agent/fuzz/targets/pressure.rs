//! /proc/pressure/*.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::pressure::parse;
use vmuster_proto::model::PressureShare;

fuzz_target!(|text: &str| {
    let stall = match parse(text) {
        Ok(stall) => stall,
        Err(error) => return assert!((1..=text.lines().count().max(1)).contains(&error.line)),
    };
    let mut printed = format!("some {}\n", share(stall.some.as_ref().expect("some")));
    if let Some(full) = &stall.full {
        printed += &format!("full {}\n", share(full));
    }
    assert_eq!(parse(&printed), Ok(stall), "as the kernel would print it");
});

fn share(share: &PressureShare) -> String {
    let averages = [share.average_10s, share.average_60s, share.average_300s].map(Option::unwrap);
    let [a, b, c] = averages;
    format!("avg10={a} avg60={b} avg300={c} total={}", share.total_microseconds.unwrap())
}
