//! Any guests and storage that libvirt could describe, for property tests.

use proptest::{collection, option, prelude::*, sample::select};
use vmuster_proto::model::{
    Bytes, CpuDefinition, CpuFeature, CpuSet, Domain, DomainDisk, DomainHugepages, DomainNuma, GuestCell,
    Image, StoragePool, Usage,
};

use super::live;

/// Anything that an XML document can hold, as a parser gives it.
pub(super) fn text() -> BoxedStrategy<String> {
    let is_xml =
        |c: &char| !matches!(*c, '\0'..'\t' | '\u{b}' | '\u{c}' | '\u{e}'..' ' | '\u{fffe}' | '\u{ffff}');
    let any_text = any::<String>().prop_map(move |text| {
        let text: String = text.chars().filter(is_xml).collect();
        let text = text.trim().to_owned();
        if text.is_empty() { "x".to_owned() } else { text }
    });
    let odd = select(vec![
        "a'b",
        "\"<&>\"",
        "a\tb\nc\rd",
        "../../x",
        "a/b",
        "Bücher-数据库",
        "\u{7f}\u{85}x\u{9f}x",
    ]);
    prop_oneof![any_text, odd.prop_map(str::to_owned)].boxed()
}

fn one_of(words: &'static [&'static str]) -> BoxedStrategy<Option<String>> {
    option::of(select(words).prop_map(str::to_owned)).boxed()
}

fn set() -> BoxedStrategy<Option<CpuSet>> {
    option::of(collection::btree_set(0..300_u32, 1..9).prop_map(CpuSet::from_iter)).boxed()
}

fn bytes() -> BoxedStrategy<Option<Bytes>> {
    any::<Option<u64>>().prop_map(|bytes| bytes.map(Bytes)).boxed()
}

fn cpu() -> BoxedStrategy<CpuDefinition> {
    let features = collection::btree_map("[a-z]{1,8}", one_of(&["require", "disable"]), 0..4);
    let texts = (option::of(text()), option::of(text()), option::of(text()));
    let words =
        (one_of(&["custom", "host-model"]), one_of(&["exact"]), one_of(&["full"]), one_of(&["allow"]));
    (texts, words, any::<Option<bool>>(), option::of(1..64_u32), features)
        .prop_map(|((arch, model, vendor), (mode, r#match, check, fallback), migratable, bits, features)| {
            CpuDefinition {
                arch,
                mode,
                r#match,
                check,
                migratable,
                model,
                fallback,
                vendor,
                physical_address_bits: bits,
                physical_address_mode: bits.map(|_| "passthrough".to_owned()),
                features: features.into_iter().map(|(name, policy)| CpuFeature { name, policy }).collect(),
            }
        })
        .boxed()
}

/// Of a type, with what such a type has; where it is, [`storage::place`] finds.
fn disk() -> BoxedStrategy<DomainDisk> {
    let kinds = one_of(&["file", "block", "network", "volume", "dir", "nvme"]);
    let names =
        (text(), text(), prop_oneof![Just("/srv/nfs/vms"), Just("/img"), Just("/dev/vg0"), Just("rel")]);
    (kinds, names, (bytes(), bytes()), one_of(&["qcow2", "raw"]), any::<(bool, bool, bool)>())
        .prop_map(|(kind, (name, pool, directory), (virtual_bytes, allocation_bytes), format, flags)| {
            let (read_only, shareable, is_there) = flags;
            let source = match kind.as_deref() {
                Some("network") => Some(format!("rbd:{name}")),
                Some("volume") => Some(name.clone()),
                Some("nvme") => None,
                _ => Some(format!("{directory}/{name}")),
            };
            let is_volume = kind.as_deref() == Some("volume") && is_there;
            DomainDisk {
                target: String::new(),
                device: Some("disk".to_owned()),
                shared_storage: match kind.as_deref() {
                    Some("network") => Some(true),
                    Some("nvme") => Some(false),
                    _ => None,
                },
                source: source.filter(|_| is_there || kind.as_deref() == Some("network")),
                pool: is_volume.then_some(pool),
                volume: is_volume.then_some(name),
                format,
                virtual_bytes,
                allocation_bytes,
                read_only: Some(read_only),
                shareable: Some(shareable),
                r#type: kind,
            }
        })
        .boxed()
}

fn numa() -> BoxedStrategy<DomainNuma> {
    let cell = (set(), bytes(), one_of(&["strict"]), set());
    let cell = cell.prop_map(|(vcpus, memory_bytes, mode, host_nodes)| GuestCell {
        id: 0,
        vcpus,
        memory_bytes,
        mode,
        host_nodes,
    });
    (one_of(&["strict", "preferred"]), set(), collection::vec(cell, 0..3))
        .prop_map(|(mode, host_nodes, cells)| {
            let cells = (0..).zip(cells).map(|(id, cell)| GuestCell { id, ..cell });
            DomainNuma { mode, host_nodes, cells: cells.collect() }
        })
        .boxed()
}

fn domain() -> BoxedStrategy<Domain> {
    let hugepages =
        (bytes(), set()).prop_map(|(size_bytes, guest_nodes)| DomainHugepages { size_bytes, guest_nodes });
    let figures = (1..u32::MAX, 1..u32::MAX, any::<u64>(), any::<u64>(), any::<Option<bool>>());
    let states = select(vec!["running", "paused", "shut_off", "crashed", "suspended"]);
    let pins = collection::btree_map(0..99_u32, set().prop_map(Option::unwrap_or_default), 0..4);
    let bound =
        select(vec!["hostdev usb", "filesystem virtiofs", "shmem ivshmem-plain master", "tpm passthrough"]);
    let bound = collection::btree_set(bound, 0..3);
    (
        (
            any::<u128>(),
            text(),
            states,
            figures,
            (one_of(&["kvm"]), one_of(&["x86_64"]), one_of(&["pc-q35-7.2"])),
        ),
        (
            option::of(cpu()),
            collection::btree_map("[a-z]{1,3}", disk(), 0..4),
            collection::vec(hugepages, 0..3),
        ),
        (set(), pins, set(), option::of(numa()), collection::btree_set(any::<(u8, u8)>(), 0..3), bound),
    )
        .prop_map(|((uuid, name, state, figures, words), (cpu, disks, hugepages), places)| {
            let (cpus, pins, emulator_cpus, numa, devices, bound) = places;
            let mut host_bound: Vec<String> = bound.into_iter().map(str::to_owned).collect();
            // Such a disk says of itself that it is its host's.
            if disks.values().any(|disk| disk.r#type.as_deref() == Some("nvme")) {
                host_bound.insert(0, "disk nvme".to_owned());
            }
            let (vcpus, vcpus_max, memory, memory_max, persistent) = figures;
            let (virt_type, arch, machine_type) = words;
            let hex = format!("{uuid:032x}");
            let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex[range].to_owned());
            // Cells are in the CPU's element.
            let has_cells = numa.as_ref().is_some_and(|numa| !numa.cells.is_empty());
            Domain {
                uuid: groups.join("-"),
                name,
                state: Some(state.to_owned()),
                persistent,
                vcpus: Some(vcpus),
                vcpus_max: Some(vcpus_max),
                memory_bytes: Some(Bytes(memory)),
                memory_max_bytes: Some(Bytes(memory_max)),
                disk_virtual_bytes: None,
                virt_type,
                arch,
                machine_type,
                cpu: cpu.or_else(|| has_cells.then(CpuDefinition::default)),
                disks: disks.into_iter().map(|(target, disk)| DomainDisk { target, ..disk }).collect(),
                hugepages,
                cpus,
                vcpu_pins: pins.into_iter().filter(|(_, cpus)| !cpus.is_empty()).collect(),
                emulator_cpus,
                numa,
                host_devices: devices
                    .into_iter()
                    .map(|(bus, slot)| format!("0000:{bus:02x}:{slot:02x}.0"))
                    .collect(),
                host_bound,
            }
        })
        .boxed()
}

fn pool() -> BoxedStrategy<StoragePool> {
    let paths = option::of(select(vec!["/srv/nfs/vms", "/img", "/dev/vg0", "/elsewhere/a b"]));
    let identity = option::of(select(vec!["rbd://b:6789,a:6789/vms", "nfs://nas/export"]));
    (any::<Option<u64>>(), one_of(&["running", "inactive"]), (bytes(), bytes(), bytes()), paths, identity)
        .prop_map(|(uuid, state, sizes, path, identity)| StoragePool {
            name: String::new(),
            uuid: uuid.map(|uuid| format!("00000000-0000-4000-8000-{:012x}", uuid & 0xffff_ffff_ffff)),
            r#type: Some("dir".to_owned()),
            state,
            capacity_bytes: sizes.0,
            allocation_bytes: sizes.1,
            available_bytes: sizes.2,
            target_path: path.map(str::to_owned),
            identity: identity.map(str::to_owned),
            mount_point: None,
        })
        .boxed()
}

pub(super) fn house() -> BoxedStrategy<Usage> {
    let image = (text(), text(), bytes());
    let image = image.prop_map(|(id, location, size_bytes)| Image { id, location, size_bytes });
    let images = option::of(collection::vec(image, 0..3));
    (collection::vec(domain(), 0..4), collection::btree_map(text(), pool(), 0..4), images)
        .prop_map(|(domains, pools, images)| {
            let mut pools: Vec<_> =
                pools.into_iter().map(|(name, pool)| StoragePool { name, ..pool }).collect();
            // Whether two have one UUID, libvirt sees to.
            pools.dedup_by(|a, b| a.uuid.is_some() && a.uuid == b.uuid);
            live(domains, pools, images)
        })
        .boxed()
}
