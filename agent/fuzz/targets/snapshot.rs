//! A host's snapshot document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_proto::model::Snapshot;

fuzz_target!(|bytes: &[u8]| {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) else { return };
    let written = serde_json::to_vec(&snapshot).expect("JSON");
    let read: Snapshot = serde_json::from_slice(&written).expect("its own document");
    assert_eq!(read, snapshot);
    assert_eq!(serde_json::to_vec(&read).expect("JSON"), written);
});
