//! pci.ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::pci_ids::{Wanted, find};

fuzz_target!(|ids: &[u8]| {
    // The seeds have these.
    let wanted = Wanted {
        devices: [(0x0001, 0x0001), (0x1af4, 0x1041), (0x1af4, 0x1042), (0x8086, 0x1533)].into(),
        classes: [(0x01, 0x08), (0x02, 0x00), (0x02, 0x80)].into(),
    };
    let names = find(ids, &wanted);
    assert!(names.devices.keys().all(|id| wanted.devices.contains(id) && names.vendors.contains_key(&id.0)));
    assert!(
        names.subclasses.keys().all(|id| wanted.classes.contains(id) && names.classes.contains_key(&id.0))
    );
    assert!(names.vendors.len() <= 3 && names.classes.len() <= 2);
    let text = String::from_utf8_lossy(ids);
    let ids_and_names = names.vendors.values().chain(names.devices.values());
    for name in ids_and_names.chain(names.classes.values()).chain(names.subclasses.values()) {
        assert!(text.contains(name.as_str()) && !name.contains('\n'), "{name:?}");
    }
});
