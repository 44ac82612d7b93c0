//! /etc/os-release.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::os_release::parse;

fuzz_target!(|text: &str| {
    let (read, errors) = parse(text);
    assert!(errors.iter().all(|error| (1..=text.lines().count()).contains(&error.line)));
    let values = [&read.id, &read.version_id, &read.pretty_name];
    assert!(values.into_iter().flatten().all(|value| !value.is_empty()));
    let (later, later_errors) = parse(&format!("{text}\nID='later'\n"));
    assert_eq!(later.id.as_deref(), Some("later"), "of two the later counts");
    assert_eq!(
        (later.version_id, later.pretty_name, later_errors),
        (read.version_id, read.pretty_name, errors)
    );
});
