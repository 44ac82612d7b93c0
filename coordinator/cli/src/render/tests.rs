//! What users see, word for word.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use insta::assert_snapshot;
use vmuster_proto::model::{
    AbsentFeature, Bytes, Cpu, Disk, Domain, FeatureSet, Filesystem, FlagsAnswer, FlagsGroup, Freshness,
    GuestCpu, GuestCpuModel, HostClass, HostStanding, HostSummary, HugepagePool, Hundredths, Hypervisor,
    Inventory, Issue, IssueKind, Layer, LoadAverage, Memory, MemoryUsage, MissingHost, Nic, Numa, NumaNode,
    NumaNodeUsage, NumaUsage, PciDevice, Problem, ProblemKind, Promised, StoragePool, System, Timestamp,
    Usage,
};

use super::*;
use crate::client::HostReport;

pub(super) const WIDTH: u16 = 80;

pub(super) fn now() -> Timestamp {
    "2026-11-22T20:00:00Z".parse().expect("a time")
}

pub(super) fn set(names: &[&str]) -> FeatureSet {
    FeatureSet::from_names(names.iter().copied()).expect("valid")
}

pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn standing(name: &str, freshness: Freshness, validated_at: Option<&str>) -> HostStanding {
    let refused = || Problem {
        kind: ProblemKind::Unreachable,
        detail: format!("cannot connect to {name}:9440: Connection refused (os error 111)"),
    };
    let time = |text: &str| text.parse().expect("a time");
    HostStanding {
        name: name.to_owned(),
        address: format!("{name}:9440"),
        reported_name: name.to_owned(),
        freshness,
        fetched_at: validated_at.map(time),
        validated_at: validated_at.map(time),
        collected_at: validated_at.map(time),
        problem: (freshness != Freshness::Fresh).then(refused),
    }
}

pub(super) fn answer() -> FlagsAnswer {
    let common = "apic clflush cmov cpuid cx16 cx8 de fpu fxsr ht hypervisor lahf_lm lm mca mce mmx msr mtrr nopl nx pae";
    let group = FlagsGroup {
        arch: "x86_64".to_owned(),
        vendor: None,
        vendors: BTreeSet::from(["AuthenticAMD".to_owned(), "GenuineIntel".to_owned()]),
        features: set(&common.split(' ').collect::<Vec<_>>()),
        host_count: 3,
        hosts: owned(&["kvm-01", "kvm-02", "kvm-03"]),
        sole_blockers: BTreeMap::from([("kvm-03".to_owned(), set(&["aes", "avx", "avx2"]))]),
        physical_address_bits: Some(40),
        classes: vec![
            HostClass { hosts: owned(&["kvm-01", "kvm-02"]), feature_count: 25 },
            HostClass { hosts: owned(&["kvm-03"]), feature_count: 22 },
        ],
        absent: ["aes", "avx", "avx2", "avx512_vpopcntdq"]
            .iter()
            .map(|name| AbsentFeature { name: (*name).to_owned(), lacking_classes: vec![1] })
            .chain([AbsentFeature { name: "svm".to_owned(), lacking_classes: vec![0] }])
            .collect(),
        ..FlagsGroup::default()
    };
    FlagsAnswer {
        layer: Layer::Host,
        complete: false,
        groups: vec![group],
        host_count: 3,
        fresh_host_count: 2,
        hosts: vec![
            standing("kvm-01", Freshness::Fresh, Some("2026-11-22T19:59:15Z")),
            standing("kvm-02", Freshness::Stale, Some("2026-11-19T20:00:00Z")),
            standing("kvm-03", Freshness::Fresh, Some("2026-11-22T14:00:00Z")),
        ],
        missing: vec![MissingHost {
            name: "kvm-04".to_owned(),
            problem: Problem { kind: ProblemKind::Timeout, detail: "no whole answer within 5 s".to_owned() },
        }],
    }
}

#[test]
fn flags_as_a_table() {
    assert_snapshot!(flags::table(&answer(), View::Common, now(), WIDTH));
}

#[test]
fn flags_as_a_matrix() {
    assert_snapshot!(flags::table(&answer(), View::Matrix, now(), WIDTH));
}

#[test]
fn a_matrix_of_many_classes_is_cut_into_blocks() {
    let mut answer = answer();
    let group = &mut answer.groups[0];
    group.classes =
        (0..30).map(|i| HostClass { hosts: vec![format!("kvm-{i:02}")], feature_count: 22 }).collect();
    assert_snapshot!(flags::table(&answer, View::Matrix, now(), MIN_WIDTH));
}

#[test]
fn why_a_flag_is_absent() {
    assert_snapshot!(flags::table(&answer(), View::Why("avx"), now(), WIDTH));
}

#[test]
fn why_a_flag_nobody_has_is_absent() {
    assert_snapshot!(flags::table(&answer(), View::Why("sse4_1"), now(), WIDTH));
}

#[test]
fn flags_as_plain_lines() {
    let group = &answer().groups[0];
    assert_snapshot!(flags::plain(group, View::Why("avx")), @"kvm-03");
    assert_eq!(flags::plain(group, View::Common).lines().count(), 21);
}

#[test]
fn flags_as_json() {
    assert_snapshot!(json(&flags::document(&answer(), View::Why("avx"))).expect("serializes"));
}

#[test]
fn flags_as_yaml_are_the_same_document() {
    let document = answer();
    let document = flags::document(&document, View::Common);
    let yaml: serde_json::Value =
        serde_saphyr::from_str(&yaml(&document).expect("serializes")).expect("own YAML");
    let json: serde_json::Value =
        serde_json::from_str(&json(&document).expect("serializes")).expect("own JSON");
    assert_eq!(yaml, json);
}

#[test]
fn hosts_as_a_table() {
    let summary = |standing: HostStanding| HostSummary {
        labels: BTreeMap::new(),
        maintenance: false,
        arch: Some("x86_64".to_owned()),
        cpu_vendor: Some("GenuineIntel".to_owned()),
        cpu_model_name: Some("Intel(R) Xeon(R)".to_owned()),
        socket_count: Some(2),
        core_count: Some(64),
        thread_count: Some(128),
        numa_node_count: Some(2),
        memory_total_bytes: Some(Bytes(1_081_604_603_904)),
        host_flag_count: Some(131),
        issue_count: 0,
        origin: None,
        settings: None,
        last_failure: None,
        standing,
    };
    let bare = |standing: HostStanding| HostSummary {
        arch: None,
        cpu_vendor: None,
        cpu_model_name: None,
        socket_count: None,
        core_count: None,
        thread_count: None,
        numa_node_count: None,
        memory_total_bytes: None,
        host_flag_count: None,
        ..summary(standing)
    };
    let hosts = [
        summary(standing("kvm-01", Freshness::Fresh, Some("2026-11-22T19:59:15Z"))),
        summary(standing("kvm-02", Freshness::Stale, Some("2026-11-19T20:00:00Z"))),
        bare(standing("kvm-04", Freshness::Missing, None)),
    ];
    assert_snapshot!(hosts::list_table(&hosts, now(), WIDTH));
    let refreshed: Vec<_> = hosts.iter().map(|host| (host.standing.clone(), "failed")).collect();
    assert_snapshot!(hosts::refresh_table(&refreshed, WIDTH));
}

fn a_disk() -> Disk {
    Disk {
        name: "nvme0n1".to_owned(),
        kind: Some("disk".to_owned()),
        size_bytes: Some(Bytes(960_197_124_096)),
        rotational: Some(false),
        model: Some("SAMSUNG MZQLB960HAJR-00007".to_owned()),
        pci_address: Some("0000:5e:00.0".to_owned()),
        numa_node: Some(1),
        ..Disk::default()
    }
}

/// One function with names and virtual functions, one that nothing is known of.
fn a_card() -> Vec<PciDevice> {
    let named = PciDevice {
        address: "0000:3b:00.0".to_owned(),
        vendor_id: Some("15b3".to_owned()),
        device_id: Some("1017".to_owned()),
        class_name: Some("Ethernet controller".to_owned()),
        vendor_name: Some("Mellanox Technologies".to_owned()),
        device_name: Some("MT27800 Family [ConnectX-5]".to_owned()),
        driver: Some("mlx5_core".to_owned()),
        numa_node: Some(0),
        iommu_group: Some(27),
        sriov_total_vfs: Some(16),
        sriov_vfs: Some(4),
        ..PciDevice::default()
    };
    vec![named, PciDevice { address: "0000:3c:00.0".to_owned(), ..PciDevice::default() }]
}

fn a_guest_layer() -> GuestCpu {
    let model = |name: &str, usable| GuestCpuModel {
        name: name.to_owned(),
        usable: Some(usable),
        ..GuestCpuModel::default()
    };
    GuestCpu {
        virt_type: Some("kvm".to_owned()),
        model: Some("Skylake-Server-noTSX-IBRS".to_owned()),
        vendor: Some("Intel".to_owned()),
        features: Some(set(&["aes", "quantum-aes", "x2apic"])),
        unrecognized_features: Some(set(&["quantum-aes"])),
        physical_address_bits: Some(46),
        usable_models: owned(&["qemu64"]),
        models: vec![model("EPYC", false), model("qemu64", true)],
        ..GuestCpu::default()
    }
}

/// A running guest that has fewer vCPUs than it may have, and one of which little is known.
fn guests() -> Vec<Domain> {
    let running = Domain {
        name: "db-1".to_owned(),
        state: Some("running".to_owned()),
        vcpus: Some(2),
        vcpus_max: Some(4),
        memory_max_bytes: Some(Bytes(8 << 30)),
        disk_virtual_bytes: Some(Bytes(100 << 30)),
        machine_type: Some("pc-q35-7.2".to_owned()),
        ..Domain::default()
    };
    let name = "a guest with a name of many words that somebody once gave it".to_owned();
    vec![running, Domain { name, state: Some("shut_off".to_owned()), ..Domain::default() }]
}

fn pools() -> Vec<StoragePool> {
    let ceph = StoragePool {
        name: "vms".to_owned(),
        r#type: Some("rbd".to_owned()),
        state: Some("running".to_owned()),
        capacity_bytes: Some(Bytes(40 << 40)),
        available_bytes: Some(Bytes(10 << 40)),
        identity: Some("rbd://ceph-1:6789,ceph-2:6789,ceph-3:6789/vms".to_owned()),
        ..StoragePool::default()
    };
    let (name, target_path) = ("default".to_owned(), Some("/var/lib/libvirt/images".to_owned()));
    vec![
        StoragePool { name, target_path, state: Some("inactive".to_owned()), ..StoragePool::default() },
        ceph,
    ]
}

#[test]
fn guests_of_a_host() {
    let hypervisor = Hypervisor {
        driver: Some("QEMU".to_owned()),
        libvirt_version: Some("9.0.0".to_owned()),
        qemu_version: Some("7.2.22".to_owned()),
        machine_types: owned(&["pc-i440fx-7.2", "pc-q35-7.2"]),
        ..Hypervisor::default()
    };
    let promised = Promised {
        domain_count: 2,
        vcpus: Some(5),
        memory_bytes: Some(Bytes(9 << 30)),
        disk_virtual_bytes: None,
    };
    let report = HostReport {
        registration: None,
        standing: standing("kvm-01", Freshness::Fresh, Some("2026-11-22T19:59:15Z")),
        inventory: Inventory {
            cpu: Some(Arc::new(Cpu { guest: Some(a_guest_layer()), ..Cpu::default() })),
            hypervisor: Some(Arc::new(hypervisor)),
            ..Inventory::default()
        },
        usage: Some(Usage {
            domains: Some(guests()),
            pools: Some(pools()),
            promised: Some(promised),
            ..Usage::default()
        }),
        issues: Vec::new(),
    };
    assert_snapshot!(hosts::show_table(&report, now(), WIDTH));
}

#[test]
fn one_host_in_full() {
    let gib = |n: u64| Bytes(n << 30);
    let node = |id: u32, cpus: &str, distances: [(u32, u32); 2]| NumaNode {
        id,
        cpus: Some(cpus.parse().expect("a list")),
        memory_total_bytes: Some(gib(128)),
        hugepages: vec![HugepagePool { size_bytes: gib(1), total: Some(16) }],
        distances: BTreeMap::from(distances),
        ..NumaNode::default()
    };
    let report = HostReport {
        registration: None,
        standing: standing("kvm-01", Freshness::Fresh, Some("2026-11-22T19:59:15Z")),
        inventory: Inventory {
            collected_at: Some(now()),
            system: Some(System {
                arch: Some("x86_64".to_owned()),
                kernel_release: Some("6.1.0-50-amd64".to_owned()),
                ..System::default()
            }),
            cpu: Some(Arc::new(Cpu {
                vendor: Some("GenuineIntel".to_owned()),
                family: Some(6),
                model: Some(85),
                stepping: Some(4),
                online: Some("0-4,6-7".parse().expect("a list")),
                offline: Some("5".parse().expect("a list")),
                host_flags: Some(set(&["fpu", "sse"])),
                ..Cpu::default()
            })),
            numa: Some(Arc::new(Numa {
                nodes: vec![node(0, "0-4,6-7", [(0, 10), (1, 17)]), node(1, "", [(0, 17), (1, 10)])],
            })),
            memory: Some(Memory { total_bytes: Some(gib(256)), ..Memory::default() }),
            disks: Some(vec![a_disk()]),
            pci: Some(a_card().into()),
            nics: Some(vec![Nic {
                name: "ens1f0".to_owned(),
                kind: Some("physical".to_owned()),
                mac: Some("02:00:00:00:00:01".to_owned()),
                speed_mbps: Some(25_000),
                operstate: Some("up".to_owned()),
                numa_node: Some(0),
                ..Nic::default()
            }]),
            ..Inventory::default()
        },
        usage: Some(Usage {
            memory: Some(MemoryUsage { available_bytes: Some(gib(100)), ..MemoryUsage::default() }),
            load: Some(LoadAverage { average_1m: Some(Hundredths(52)), ..LoadAverage::default() }),
            filesystems: Some(vec![Filesystem {
                mount_point: "/var/lib/libvirt/images".to_owned(),
                source: Some("server:/export/images".to_owned()),
                r#type: Some("nfs4".to_owned()),
                size_bytes: Some(gib(4096)),
                available_bytes: Some(gib(1024)),
                ..Filesystem::default()
            }]),
            numa: Some(NumaUsage {
                nodes: vec![NumaNodeUsage { id: 1, memory_free_bytes: Some(gib(60)), hugepages: Vec::new() }],
            }),
            ..Usage::default()
        }),
        issues: vec![Issue::new(
            "cpu.isolated",
            "/sys/devices/system/cpu/isolated",
            IssueKind::Denied,
            "Permission denied",
        )],
    };
    assert_snapshot!(hosts::show_table(&report, now(), WIDTH));
}

#[test]
fn ages_are_short() {
    let ago = |seconds: u64| age(Some(now().saturating_sub(Duration::from_secs(seconds))), now());
    let ages = [0, 119, 120, 7199, 7200, 172_799, 172_800, 8_640_000].map(ago);
    assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "47h", "2d", "100d"]);
    assert_eq!(age(None, now()), "-");
    assert_eq!(age(Some(now().saturating_add(Duration::from_secs(60))), now()), "0s");
}

#[test]
fn no_name_steers_the_terminal() {
    let mut table = Columns::new(&["HOST", "WHY"], WIDTH);
    table.row(["a\u{202e}b\u{1b}[2J", "one\ntwo\u{200b}"]);
    let text = table.text();
    assert!(text.contains("a?b?") && text.contains("two?"), "{text}");
    assert!(!text.replace('\n', "").contains(vmuster_proto::model::is_unprintable), "{text:?}");
}
