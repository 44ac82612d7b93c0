//! Records with something in every section that hosts can have alike.

use std::sync::Arc;

use vmuster_proto::model::{
    Bytes, Cpu, CpuCache, CpuTopology, Disk, FeatureSet, GuestCpu, Hypervisor, Inventory, Nic, Numa,
    NumaNode, PciDevice, System, Timestamp,
};

use super::{GuestNames, HostRecord};

fn cpu(sort: u32) -> Cpu {
    let features = FeatureSet::from_names(["fpu", "sse2", "avx2"]).expect("names");
    let vulnerabilities = ["meltdown", "spectre_v1", "spectre_v2", "mds"];
    Cpu {
        vendor: Some("GenuineIntel".to_owned()),
        model: Some(sort),
        online: "0-3".parse().ok(),
        topology: (0..4)
            .map(|cpu| CpuTopology { cpu, core: Some(cpu / 2), ..CpuTopology::default() })
            .collect(),
        host_flags: Some(features.clone()),
        host_flags_not_on_all: [("sse3".to_owned(), "1-2".parse().expect("CPUs"))].into(),
        caches: vec![CpuCache {
            level: Some(3),
            shared_by: vec!["0-3".parse().expect("CPUs")],
            ..CpuCache::default()
        }],
        vulnerabilities: vulnerabilities.map(|name| (name.to_owned(), "Not affected".to_owned())).into(),
        guest: Some(GuestCpu {
            features: Some(features),
            usable_models: vec!["Nehalem".to_owned()],
            ..GuestCpu::default()
        }),
        ..Cpu::default()
    }
}

/// Hosts of one sort have equal CPUs, nodes, PCI functions and hypervisors, and nothing else that is equal.
pub(super) fn record(host: &str, sort: u32) -> HostRecord {
    let node = NumaNode {
        cpus: "0-3".parse().ok(),
        memory_total_bytes: Some(Bytes(u64::from(sort) << 30)),
        distances: [(0, 10), (1, 20)].into(),
        ..NumaNode::default()
    };
    let function =
        PciDevice { address: "0000:00:01.0".to_owned(), numa_node: Some(sort), ..PciDevice::default() };
    let hypervisor = Hypervisor {
        machine_types: vec![format!("pc-q35-{sort}.0"), "none".to_owned()],
        machine_aliases: [("q35".to_owned(), format!("pc-q35-{sort}.0"))].into(),
        ..Hypervisor::default()
    };
    let own = || Some(host.to_owned());
    let inventory = Inventory {
        fingerprint: format!("of {host}"),
        agent_version: "0.1.0".to_owned(),
        system: Some(System { arch: Some("x86_64".to_owned()), boot_id: own(), ..System::default() }),
        cpu: Some(Arc::new(cpu(sort))),
        numa: Some(Arc::new(Numa { nodes: vec![node] })),
        disks: Some(vec![Disk { name: "sda".to_owned(), serial: own(), ..Disk::default() }]),
        pci: Some([function].into()),
        nics: Some(vec![Nic { name: "eth0".to_owned(), mac: own(), ..Nic::default() }]),
        hypervisor: Some(Arc::new(hypervisor)),
        ..Inventory::default()
    };
    let when = Timestamp::from_unix_millis(1_000_000_000_000).ok();
    HostRecord {
        host: host.to_owned(),
        address: format!("unix:/run/{host}.sock"),
        reported_name: host.to_owned(),
        fetched_at: when,
        validated_at: when,
        inventory: Arc::new(inventory),
        issues: Arc::default(),
        superseded: false,
        saved_usage: None,
        guest_names: GuestNames::default(),
    }
}

/// Whether each section that hosts can have alike is the same of both.
pub(super) fn are_shared(a: &HostRecord, b: &HostRecord) -> [bool; 4] {
    fn same<T: ?Sized>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
        a.zip(b).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    }
    let (a, b) = (&a.inventory, &b.inventory);
    [
        same(a.cpu.as_ref(), b.cpu.as_ref()),
        same(a.numa.as_ref(), b.numa.as_ref()),
        same(a.pci.as_ref(), b.pci.as_ref()),
        same(a.hypervisor.as_ref(), b.hypervisor.as_ref()),
    ]
}
