//! A memory node's row of distances.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::distance::parse;

fuzz_target!(|text: &str| {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    match parse(text) {
        Ok(distances) => assert_eq!(distances.len(), fields.len()),
        Err(error) => assert_eq!(fields.get(error.field - 1), Some(&error.text.as_str())),
    }
});
