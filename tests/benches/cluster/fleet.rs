//! A fleet of 10,000 hosts of a few sorts, each with facts of its own, in memory.

use std::sync::Arc;

use vmuster_agent::{
    snapshot::{Collector, Host, HostSource},
    watch::Unwatched,
};
use vmuster_coordinator::{
    cache::{GuestNames, HostCache, HostRecord},
    cluster::Cluster,
    hosts::{HostEntry, Registry},
};
use vmuster_proto::{
    clock::{Clock as _, SystemClock},
    features::{Spelling, lookup},
    model::{Bytes, Disk, FeatureSet, GuestCpu, Hypervisor, Inventory, Nic, PciDevice},
};
use vmuster_tests::fixtures::{host, host_names};

use crate::MANY_HOSTS;

/// As many as QEMU 9 and libvirt 11 have.
const MACHINE_TYPES: usize = 80;
const MODELS: usize = 60;

/// The inventory of each recorded x86 host, with a guest layer: what libvirt would call its flags.
pub fn inventories() -> Vec<Arc<Inventory>> {
    let recorded = host_names().into_iter().map(|name| {
        let source = HostSource::recorded(&host(&name)).expect("a recorded host");
        let host = Host::new(source, None, Arc::new(SystemClock));
        Collector::new(Arc::new(host)).collect_inventory(&Unwatched).inventory
    });
    let x86 = recorded.filter(|inventory| inventory.arch() == Some("x86_64"));
    x86.enumerate().map(|(sort, inventory)| Arc::new(with_guests((*inventory).clone(), sort))).collect()
}

fn with_guests(mut inventory: Inventory, sort: usize) -> Inventory {
    let cpu = Arc::make_mut(inventory.cpu.as_mut().expect("a CPU"));
    let flags = cpu.host_flags.as_ref().expect("flags").names();
    let features = flags.into_iter().filter_map(|flag| lookup(flag, Spelling::Linux).feature()?.libvirt);
    cpu.guest = Some(GuestCpu {
        features: Some(FeatureSet::from_names(features).expect("names")),
        physical_address_bits: Some(40),
        usable_models: (sort..sort + MODELS).map(|i| format!("Model-{i:02}-noTSX-IBRS")).collect(),
        ..GuestCpu::default()
    });
    let machine_types = (sort..sort + MACHINE_TYPES).map(|i| format!("pc-q35-{}.{}", i / 3, i % 3));
    let hypervisor = Hypervisor { machine_types: machine_types.collect(), ..Hypervisor::default() };
    inventory.hypervisor = Some(Arc::new(hypervisor));
    inventory
}

/// Of a server: as many as fill its record to some 12 KB, each with a number of its own.
const DISKS: usize = 8;
const NICS: usize = 6;
const FUNCTIONS: usize = 56;

/// What a host is known by, as an agent at this address would have said it: one of the sorts, with what is never alike
/// between two hosts.
pub fn varied_record(inventories: &[Arc<Inventory>], number: usize, address: &str) -> HostRecord {
    let mut inventory = (*inventories[number % inventories.len()]).clone();
    let uuid = |what: u32| format!("{what:08x}-{number:04x}-4000-8000-{number:012x}");
    let text = |what: &str| Some(format!("{what}{number:08}"));
    if let Some(system) = &mut inventory.system {
        system.boot_id = Some(uuid(1));
        system.product_uuid = Some(uuid(2));
        system.machine_id = Some(format!("{number:032x}"));
        system.product_serial = text("SN");
        system.hostname = text("kvm-");
    }
    // The kernel keeps some pages more or less for itself at each boot.
    let drift = (number as u64 % 1009) * 4096;
    let reserved = |bytes: &mut Option<Bytes>| *bytes = bytes.map(|bytes| Bytes(bytes.0 - drift));
    if let Some(memory) = &mut inventory.memory {
        reserved(&mut memory.total_bytes);
    }
    if let Some(numa) = &mut inventory.numa {
        Arc::make_mut(numa).nodes.iter_mut().for_each(|node| reserved(&mut node.memory_total_bytes));
    }
    inventory.disks = Some((0..DISKS).map(|disk| disk_of(number, disk)).collect());
    inventory.nics = Some((0..NICS).map(|nic| nic_of(number, nic)).collect());
    inventory.pci = Some((0..FUNCTIONS).map(function).collect());
    inventory.fingerprint = format!("{number:032x}");
    HostRecord { address: address.to_owned(), inventory: Arc::new(inventory), ..record(number) }
}

fn disk_of(host: usize, disk: usize) -> Disk {
    Disk {
        name: format!("nvme{disk}n1"),
        kind: Some("disk".to_owned()),
        size_bytes: Some(Bytes(3_840_755_982_336)),
        rotational: Some(false),
        model: Some("SAMSUNG MZQL23T8HCLS-00A07".to_owned()),
        serial: Some(format!("S64HNE0{host:05}{disk:02}")),
        wwn: Some(format!("eui.36344830{host:08x}{disk:08x}")),
        pci_address: Some(format!("0000:{disk:02x}:00.0")),
        logical_block_bytes: Some(Bytes(512)),
        physical_block_bytes: Some(Bytes(4096)),
        ..Disk::default()
    }
}

fn nic_of(host: usize, nic: usize) -> Nic {
    Nic {
        name: format!("enp{nic}s0f0np0"),
        kind: Some("ethernet".to_owned()),
        mac: Some(format!("b8:3f:d2:{:02x}:{:02x}:{nic:02x}", host / 256, host % 256)),
        mtu: Some(9000),
        speed_mbps: Some(25_000),
        carrier: Some(true),
        operstate: Some("up".to_owned()),
        driver: Some("mlx5_core".to_owned()),
        pci_address: Some(format!("0000:{nic:02x}:10.0")),
        numa_node: Some(0),
        ..Nic::default()
    }
}

fn function(number: usize) -> PciDevice {
    PciDevice {
        address: format!("0000:{number:02x}:00.0"),
        vendor_id: Some("8086".to_owned()),
        device_id: Some(format!("{:04x}", 0x3450 + number)),
        class: Some("060400".to_owned()),
        vendor_name: Some("Intel Corporation".to_owned()),
        device_name: Some("Ice Lake Memory Map/VT-d".to_owned()),
        class_name: Some("PCI bridge".to_owned()),
        driver: Some("pcieport".to_owned()),
        numa_node: Some(0),
        iommu_group: u32::try_from(number).ok(),
        ..PciDevice::default()
    }
}

/// Of a host without an address and without facts.
fn record(number: usize) -> HostRecord {
    let now = SystemClock.now();
    HostRecord {
        host: format!("kvm-{number:05}"),
        address: String::new(),
        reported_name: format!("kvm-{number:05}"),
        fetched_at: Some(now),
        validated_at: Some(now),
        inventory: Arc::default(),
        issues: Arc::default(),
        superseded: false,
        saved_usage: None,
        guest_names: GuestNames::default(),
    }
}

pub fn cluster_of_many(inventories: &[Arc<Inventory>]) -> (Cluster, Registry) {
    cluster_of(inventories, MANY_HOSTS)
}

pub fn cluster_of(inventories: &[Arc<Inventory>], count: usize) -> (Cluster, Registry) {
    let record = |i: usize| {
        // The sections are the same in memory where they are equal, as a coordinator keeps them.
        let fingerprint = format!("{i:032x}");
        let inventory = Inventory { fingerprint, ..(*inventories[i % inventories.len()]).clone() };
        HostRecord { inventory: Arc::new(inventory), ..record(i) }
    };
    let records: Vec<_> = (0..count).map(record).collect();
    let registry =
        Registry::new(records.iter().map(|record| HostEntry::new(&record.host, None))).expect("distinct");
    let cache = HostCache::of_records(records, Arc::new(SystemClock));
    (Cluster::new(registry.clone(), Arc::new(cache)), registry)
}
