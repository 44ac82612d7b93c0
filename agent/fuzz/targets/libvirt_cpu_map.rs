//! cpu_map files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_proto::libvirt::cpu_map::{CpuMap, parse};

fuzz_target!(|text: &str| {
    let Ok(file) = parse(text) else { return };
    let map = CpuMap::new(&file.models);
    for (name, expansion) in map.iter() {
        // A model has its own features at least. Of two of one name either is right.
        let own = file.models.iter().any(|model| {
            model.name == name && model.features.iter().all(|feature| expansion.features.contains(feature))
        });
        assert!(own, "{name}");
    }
});
