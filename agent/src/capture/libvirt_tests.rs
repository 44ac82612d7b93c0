//! What is recorded of libvirt is read again as it was, or without what tells its owner.

use proptest::prelude::*;
use vmuster_proto::{
    clock::SystemClock,
    model::{Bytes, Filesystem, Image, Inventory, Promised, SNAPSHOT_SCHEMA},
};

use self::any_house::{house, text};
use super::*;
use crate::{
    capture::{Captured, write},
    host_root::Access,
    hypervisor::{HouseRead, Link, domains, storage},
    snapshot::{Collector, Host, HostSource},
    testing::RecordedTree,
    watch::Unwatched,
};

#[path = "any_house.rs"]
mod any_house;

const CAPTURED_AT: &str = "2026-11-22T20:00:00Z";

/// As a live agent puts it together: figures summed up, disks found in their pools.
fn live(domains: Vec<Domain>, pools: Vec<StoragePool>, images: Option<Vec<Image>>) -> Usage {
    let assembled = domains::assemble(domains, vec![], &pools, "test");
    let mut usage = Usage {
        filesystems: Some(filesystems()),
        domains: Some(assembled.domains),
        pools: Some(pools),
        images,
        promised: Some(assembled.promised),
        hypervisor_collected_at: CAPTURED_AT.parse().ok(),
        ..Usage::default()
    };
    let filesystems = filesystems();
    let by_path = |directory: &str| storage::by_path(directory, &filesystems);
    storage::place(usage.domains.as_mut(), usage.pools.as_mut(), &by_path);
    usage
}

fn filesystems() -> Vec<Filesystem> {
    let mounted = |mount_point: &str, kind: &str, source: &str| Filesystem {
        mount_point: mount_point.to_owned(),
        r#type: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        ..Filesystem::default()
    };
    vec![mounted("/", "ext4", "/dev/sda1"), mounted("/srv/nfs", "nfs4", "nas01:/export")]
}

fn snapshot(usage: &Usage) -> Snapshot {
    Snapshot {
        schema: SNAPSHOT_SCHEMA.to_owned(),
        name: "kvm-01".to_owned(),
        usage: Some(usage.clone()),
        inventory: Inventory::default(),
        issues: Vec::new(),
    }
}

fn written(recording: &Recording) -> RecordedTree {
    let tree = RecordedTree::new();
    for directory in &recording.directories {
        std::fs::create_dir_all(tree.path().join(directory)).expect("a directory");
    }
    recording
        .files
        .iter()
        .fold(tree, |tree, (path, content)| tree.file(path, std::str::from_utf8(content).expect("text")))
}

/// What an agent makes of a capture.
fn read_again(recording: &Recording) -> (Usage, Vec<vmuster_proto::model::Issue>) {
    let tree = written(recording);
    let now = CAPTURED_AT.parse().expect("a time");
    let HouseRead { house, collected_at, .. } = Link::recorded().house(&tree.root(), now, false);
    let mut usage = Usage {
        filesystems: Some(filesystems()),
        domains: house.domains,
        pools: house.pools,
        images: house.images,
        promised: house.promised,
        hypervisor_collected_at: collected_at,
        ..Usage::default()
    };
    let filesystems = filesystems();
    let by_path = |directory: &str| storage::by_path(directory, &filesystems);
    storage::place(usage.domains.as_mut(), usage.pools.as_mut(), &by_path);
    (usage, house.issues)
}

fn recorded(usage: &Usage, redactor: Option<&Redactor>) -> Recording {
    Recording::new(&snapshot(usage), &Words::new(), redactor).expect("JSON")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_plain_capture_gives_the_same_guests_and_storage(usage in house()) {
        let (again, _) = read_again(&recorded(&usage, None));
        prop_assert_eq!(again, usage);
    }

    #[test]
    fn a_redacted_one_has_as_much_of_everything(usage in house()) {
        let (again, _) = read_again(&recorded(&usage, Some(&Redactor::new("kvm-01"))));
        prop_assert_eq!(&again.promised, &usage.promised);
        let sizes = |usage: &Usage| {
            let mut sizes: Vec<_> = usage.pools.iter().flatten().map(|pool| pool.capacity_bytes).collect();
            sizes.extend(usage.images.iter().flatten().map(|image| image.size_bytes));
            sizes.sort();
            sizes
        };
        prop_assert_eq!(sizes(&again), sizes(&usage));
        let guests = |usage: &Usage| {
            let guest = |domain: &Domain| {
                let bare = Domain { uuid: String::new(), name: String::new(), disks: Vec::new(), ..domain.clone() };
                let disks: Vec<_> = domain.disks.iter().map(|disk| {
                    let kept = (disk.source.is_some(), disk.pool.is_some(), disk.shared_storage);
                    (disk.target.clone(), kept, disk.virtual_bytes, disk.allocation_bytes)
                }).collect();
                format!("{bare:?} {disks:?}")
            };
            let mut guests: Vec<_> = usage.domains.iter().flatten().map(guest).collect();
            guests.sort();
            guests
        };
        prop_assert_eq!(guests(&again), guests(&usage));
    }

    #[test]
    fn files_stay_in_the_capture(usage in house(), uuid in text()) {
        let mut usage = usage;
        usage.domains.iter_mut().flatten().for_each(|domain| domain.uuid.clone_from(&uuid));
        for path in recorded(&usage, None).files.keys() {
            prop_assert!(path.starts_with("libvirt/") && !path.contains("..") && path.matches('/').count() <= 2);
        }
    }
}

/// One guest with a disk in an NFS pool, one on Ceph, and what tells their owner.
fn telling() -> Usage {
    let uuid = "7c9f57ce-50b5-4207-9f43-89aac77ba169";
    let disk = |target: &str, kind: &str, source: String| DomainDisk {
        target: target.to_owned(),
        device: Some("disk".to_owned()),
        r#type: Some(kind.to_owned()),
        source: Some(source),
        virtual_bytes: Some(Bytes(10)),
        read_only: Some(false),
        shareable: Some(false),
        shared_storage: (kind == "network").then_some(true),
        ..DomainDisk::default()
    };
    let guest = Domain {
        uuid: uuid.to_owned(),
        name: "acme-payroll".to_owned(),
        state: Some("running".to_owned()),
        vcpus: Some(2),
        vcpus_max: Some(2),
        memory_bytes: Some(Bytes(1 << 30)),
        memory_max_bytes: Some(Bytes(1 << 30)),
        disks: vec![
            disk("vda", "file", format!("/srv/nfs/customers/{uuid}_disk")),
            disk("vdb", "network", "rbd:secretpool/payroll.img".to_owned()),
        ],
        host_devices: vec!["0000:3b:00.0".to_owned()],
        host_bound: vec!["hostdev usb".to_owned(), "launchSecurity sev".to_owned()],
        cpus: "2-3".parse().ok(),
        ..Domain::default()
    };
    let pool = |name: &str, path: Option<&str>, identity: Option<&str>| StoragePool {
        name: name.to_owned(),
        uuid: Some("11111111-2222-4333-8444-555555555555".replace('1', &name.len().to_string()[..1])),
        target_path: path.map(str::to_owned),
        identity: identity.map(str::to_owned),
        capacity_bytes: Some(Bytes(1000)),
        ..StoragePool::default()
    };
    let pools = vec![
        pool("acmepool", Some("/srv/nfs/customers"), None),
        pool("secretceph", None, Some("rbd://cephmon1:6789,cephmon2:6789/secretpool")),
    ];
    let images = ["acmepool", "/srv/nfs/golden"].map(|location| Image {
        id: "acme-base.qcow2".to_owned(),
        location: location.to_owned(),
        size_bytes: Some(Bytes(5)),
    });
    live(vec![guest], pools, Some(images.to_vec()))
}

#[test]
fn what_tells_the_owner_is_in_no_file_and_references_still_agree() {
    let usage = telling();
    let redactor = Redactor::new("kvm-01");
    let words = Words::from([(
        "capabilities.xml".to_owned(),
        "<capabilities><host><uuid>9f2c4c1e-55aa-4b6f-8a51-2f9d3c4b5a60</uuid></host></capabilities>"
            .to_owned(),
    )]);
    let recording = Recording::new(&snapshot(&usage), &words, Some(&redactor)).expect("JSON");
    for (path, content) in &recording.files {
        let whole = format!("{path} {}", String::from_utf8_lossy(content));
        let secrets = [
            "acme",
            "payroll",
            "customers",
            "golden",
            "secret",
            "cephmon",
            "7c9f57ce",
            "9f2c4c1e",
            "-4333-",
            "_disk",
            "nas01",
        ];
        let leak = secrets.iter().find(|secret| whole.contains(**secret));
        assert_eq!(leak, None, "{whole}");
    }
    let (again, issues) = read_again(&recording);
    assert_eq!(issues, []);
    let (domain, pools) = (&again.domains.expect("guests")[0], again.pools.expect("pools"));
    let named = |identity: &str| {
        pools
            .iter()
            .find(|pool| pool.identity.as_deref().is_some_and(|it| it.starts_with(identity)))
            .expect(identity)
    };
    let (nfs, rbd) = (named("nfs://"), named("rbd://"));
    assert_eq!(nfs.mount_point.as_deref(), Some("/srv/nfs"), "mount points are shown as they are");
    assert_eq!(domain.disks[0].pool.as_ref(), Some(&nfs.name));
    assert_eq!(domain.disks[1].pool.as_ref(), Some(&rbd.name));
    assert_eq!(domain.disks[0].volume, Some(redactor.word("7c9f57ce-50b5-4207-9f43-89aac77ba169_disk")));
    assert!(domain.disks[0].volume.as_ref().is_some_and(|volume| volume.starts_with(&domain.uuid)));
    assert_eq!(rbd.identity.as_deref().map(|identity| identity.matches(":6789").count()), Some(2));
    assert_eq!(
        (&domain.host_devices[..], domain.cpus.clone()),
        (&["0000:3b:00.0".to_owned()][..], "2-3".parse().ok())
    );
    assert_eq!(domain.host_bound, ["hostdev usb", "launchSecurity sev"]);
    let images = again.images.expect("images");
    assert_eq!((images[0].location == nfs.name, images[1].location.starts_with("/srv/nfs/")), (true, true));
    assert_eq!(images[0].id, images[1].id);
}

#[test]
fn no_two_names_become_one() {
    let letters = || ('a'..='z').map(String::from);
    let pool =
        |name: String| StoragePool { target_path: Some(format!("/{name}")), name, ..StoragePool::default() };
    let usage = live(vec![], letters().map(pool).collect(), None);
    let (again, _) = read_again(&recorded(&usage, Some(&Redactor::new("kvm-01"))));
    let pools = again.pools.expect("pools");
    let distinct = |of: fn(&StoragePool) -> Option<String>| {
        pools.iter().filter_map(of).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(
        (distinct(|pool| Some(pool.name.clone())), distinct(|pool| pool.target_path.clone())),
        (26, 26)
    );
}

#[test]
fn what_libvirt_did_not_say_is_not_known_afterwards_either() {
    let unknown = Usage { domains: None, pools: None, ..telling() };
    let (again, issues) = read_again(&recorded(&unknown, None));
    assert_eq!((again.domains, again.pools, again.promised), (None, None, None));
    assert_eq!(issues.len(), 2, "{issues:?}");
    let mut usage = telling();
    let undefined = Domain {
        uuid: "00000000-0000-4000-8000-000000000001".to_owned(),
        name: "no definition".to_owned(),
        vcpus_max: Some(1),
        ..Domain::default()
    };
    usage.domains.get_or_insert_default().push(undefined);
    let (again, issues) = read_again(&recorded(&usage, None));
    let counted = again.promised.expect("promises");
    let known = Promised { memory_bytes: None, disk_virtual_bytes: None, ..counted.clone() };
    assert_eq!(counted, known, "it counts, nobody knows how much memory it has");
    assert_eq!(counted.domain_count, 2);
    assert_eq!(issues[0].source, "libvirt/domains/00000000-0000-4000-8000-000000000001.xml");
}

#[test]
fn a_reader_names_no_files() {
    let words = ["../../../etc/passwd", "domains/x.xml", "figures.json", "version.json"];
    let words = Words::from(words.map(|name| (name.to_owned(), "{}".to_owned())));
    let recording = Recording::new(&snapshot(&Usage::default()), &words, None).expect("JSON");
    assert_eq!(Vec::from_iter(recording.files.keys()), ["libvirt/figures.json", "libvirt/version.json"]);
}

fn collected(source: HostSource) -> Snapshot {
    let host = std::sync::Arc::new(Host::new(source, None, std::sync::Arc::new(SystemClock)));
    let mut collector = Collector::new(std::sync::Arc::clone(&host));
    let collected = collector.collect_inventory(&Unwatched);
    let usage = collector.collect_usage(&Unwatched);
    let mut issues = [collected.issues, usage.issues].concat();
    vmuster_proto::model::sort_issues(&mut issues);
    Snapshot {
        schema: SNAPSHOT_SCHEMA.to_owned(),
        name: host.name(),
        inventory: (*collected.inventory).clone(),
        usage: Some(usage.usage),
        issues,
    }
}

#[test]
fn a_whole_host_is_the_same_again() {
    let tree = RecordedTree::whole_host();
    let live = collected(HostSource::recorded(tree.path()).expect("a host"));
    let root = tree.root();
    let words: Words = WORDS
        .iter()
        .map(|name| {
            let bytes = root.read(&format!("libvirt/{name}")).expect("it is there");
            ((*name).to_owned(), String::from_utf8(bytes).expect("text"))
        })
        .collect();
    let accesses = ["/proc/self/mountinfo", "/sys/module/kvm_intel/parameters/nested"];
    let accesses = accesses.map(|path| (path.to_owned(), Access::File)).into();
    let directory = tempfile::tempdir().expect("a directory");
    let captured =
        Captured { root: &root, accesses: &accesses, snapshot: &live, libvirt: Some(&words), redactor: None };
    write(&captured, directory.path()).expect("written");
    let again = collected(HostSource::recorded(directory.path()).expect("a host"));
    let of_libvirt = |snapshot: &Snapshot| {
        let usage = snapshot.usage.clone().expect("usage");
        let guest = snapshot.inventory.cpu.as_ref().and_then(|cpu| cpu.guest.clone());
        let issues: Vec<_> =
            snapshot.issues.iter().filter(|issue| issue.source.starts_with("libvirt")).collect();
        let parts = (usage.domains, usage.pools, usage.images, usage.promised, usage.hypervisor_collected_at);
        format!("{parts:#?} {guest:#?} {:#?} {issues:#?}", snapshot.inventory.hypervisor)
    };
    assert!(of_libvirt(&live).contains("Skylake-Server") && of_libvirt(&live).contains("paused"));
    assert_eq!(of_libvirt(&again), of_libvirt(&live));
}
