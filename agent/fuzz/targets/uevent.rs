//! A device's properties.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::uevent::Uevent;

fuzz_target!(|text: &str| {
    let uevent = Uevent::new(text);
    let mut seen = Vec::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        if !seen.contains(&key) {
            assert_eq!(uevent.get(key), Some(value.trim()), "of several the first");
            seen.push(key);
        }
    }
    assert_eq!(uevent.get("no such\nkey"), None);
});
