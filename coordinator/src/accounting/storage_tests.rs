//! Which pools are one, and whom disks are charged to, by examples.

use super::*;

const GIB: u64 = 1 << 30;

fn pool(name: &str, mount_point: Option<&str>, identity: Option<&str>) -> StoragePool {
    StoragePool {
        name: name.to_owned(),
        state: Some("running".to_owned()),
        capacity_bytes: Some(Bytes(100 * GIB)),
        mount_point: mount_point.map(str::to_owned),
        identity: identity.map(str::to_owned),
        ..StoragePool::default()
    }
}

fn filesystem(mount_point: &str) -> Filesystem {
    let size_bytes = Some(Bytes(500 * GIB));
    Filesystem { mount_point: mount_point.to_owned(), size_bytes, ..Filesystem::default() }
}

fn disk(target: &str, source: &str, gib: u64) -> DomainDisk {
    DomainDisk {
        target: target.to_owned(),
        device: Some("disk".to_owned()),
        r#type: Some("file".to_owned()),
        source: Some(source.to_owned()),
        virtual_bytes: Some(Bytes(gib * GIB)),
        ..DomainDisk::default()
    }
}

fn guest(disks: Vec<DomainDisk>) -> Domain {
    Domain { uuid: "u".to_owned(), disks, ..Domain::default() }
}

#[test]
fn pools_on_one_file_system_are_one() {
    let pools = [
        pool("default", Some("/var"), None),
        pool("iso", Some("/var"), None),
        pool("fast", Some("/nvme"), None),
        pool("rbd", None, Some("rbd://mon/vms")),
        pool("vg", None, None),
    ];
    let storage = storage_of("kvm-1", Some(&pools), None).expect("known");
    let keys: Vec<_> = storage.keys().map(String::as_str).collect();
    assert_eq!(keys, ["kvm-1 /nvme", "kvm-1 /var", "kvm-1 pool vg", "rbd://mon/vms"]);
    let var = &storage["kvm-1 /var"];
    assert_eq!(var.names.iter().map(String::as_str).collect::<Vec<_>>(), ["default", "iso"]);
    assert!(var.is_default && !var.is_shared && var.is_usable);
    assert_eq!(var.capacity_bytes, Some(Bytes(100 * GIB)), "once, not for each pool");
    assert!(storage["rbd://mon/vms"].is_shared && !storage["rbd://mon/vms"].is_default);
}

#[test]
fn a_disk_without_a_pool_goes_to_the_default_the_only_one_or_the_images_directory() {
    let default_of = |pools: &[StoragePool], filesystems: &[Filesystem]| {
        let storage = storage_of("h", Some(pools), Some(filesystems)).expect("known");
        storage.into_values().find(|unit| unit.is_default).map(|unit| unit.key)
    };
    let both = [filesystem("/"), filesystem("/var/lib/libvirt")];
    assert_eq!(default_of(&[], &both), Some("h /var/lib/libvirt".to_owned()));
    assert_eq!(default_of(&[pool("vms", Some("/vms"), None)], &both), Some("h /vms".to_owned()));
    let two = [pool("a", Some("/a"), None), pool("b", Some("/b"), None)];
    assert_eq!(default_of(&two, &both), None, "which of them is not ours to say");
    assert_eq!(storage_of("h", None, Some(&both)), Err("its storage pools are not known".to_owned()));
}

#[test]
fn a_pool_that_is_not_started_takes_no_disk() {
    for state in [None, Some("inactive"), Some("building"), Some("inaccessible")] {
        let stopped = StoragePool { state: state.map(str::to_owned), ..pool("default", Some("/a"), None) };
        let storage = storage_of("h", Some(&[stopped]), None).expect("known");
        assert!(!storage["h /a"].is_usable, "{state:?}");
    }
}

#[test]
fn disks_are_charged_to_their_pool_or_file_system() {
    let pools = [pool("default", Some("/var"), None), pool("rbd", None, Some("rbd://mon/vms"))];
    let filesystems = [filesystem("/"), filesystem("/var"), filesystem("/srv")];
    let volume = DomainDisk {
        r#type: Some("volume".to_owned()),
        pool: Some("rbd".to_owned()),
        source: Some("vm-1".to_owned()),
        ..disk("vdb", "", 7)
    };
    let cdrom = DomainDisk { device: Some("cdrom".to_owned()), ..disk("sda", "/var/x.iso", 4) };
    let block = DomainDisk { r#type: Some("block".to_owned()), ..disk("vdd", "/dev/sdq", 900) };
    let guest = guest(vec![
        disk("vda", "/var/lib/libvirt/images/a.qcow2", 20),
        disk("vdc", "/srv/b.raw", 3),
        disk("vde", "/var/tmp/c.raw", 1),
        volume,
        cdrom,
        block,
    ]);
    let charges = Charging::new("h", &pools, &filesystems).of(&guest);
    let expected = [("h /srv", 3), ("h /var", 21), ("rbd://mon/vms", 7)];
    assert_eq!(
        charges,
        expected.into_iter().map(|(key, gib)| (key.to_owned(), Some(Bytes(gib * GIB)))).collect()
    );
}

#[test]
fn a_disk_of_several_guests_counts_once_and_one_of_unknown_size_makes_the_sum_unknown() {
    let filesystems = [filesystem("/")];
    let shared = || DomainDisk { shareable: Some(true), ..disk("vdb", "/shared.raw", 50) };
    let (first, second) = (guest(vec![shared()]), guest(vec![shared(), disk("vda", "/a", 1)]));
    let mut charging = Charging::new("h", &[], &filesystems);
    assert_eq!(charging.of(&first)["h /"], Some(Bytes(50 * GIB)));
    assert_eq!(charging.of(&second)["h /"], Some(Bytes(GIB)));
    let unknown =
        guest(vec![disk("vda", "/a", 1), DomainDisk { virtual_bytes: None, ..disk("vdb", "/b", 0) }]);
    assert_eq!(Charging::new("h", &[], &filesystems).of(&unknown)["h /"], None);
}
