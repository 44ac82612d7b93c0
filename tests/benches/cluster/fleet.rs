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
    model::{FeatureSet, GuestCpu, Hypervisor, Inventory},
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
    let cpu = inventory.cpu.as_mut().expect("a CPU");
    let flags = cpu.host_flags.as_ref().expect("flags").names();
    let features = flags.into_iter().filter_map(|flag| lookup(flag, Spelling::Linux).feature()?.libvirt);
    cpu.guest = Some(GuestCpu {
        features: Some(FeatureSet::from_names(features).expect("names")),
        physical_address_bits: Some(40),
        usable_models: (sort..sort + MODELS).map(|i| format!("Model-{i:02}-noTSX-IBRS")).collect(),
        ..GuestCpu::default()
    });
    let machine_types = (sort..sort + MACHINE_TYPES).map(|i| format!("pc-q35-{}.{}", i / 3, i % 3));
    inventory.hypervisor =
        Some(Hypervisor { machine_types: machine_types.collect(), ..Hypervisor::default() });
    inventory
}

pub fn cluster_of_many(inventories: &[Arc<Inventory>]) -> (Cluster, Registry) {
    cluster_of(inventories, MANY_HOSTS)
}

pub fn cluster_of(inventories: &[Arc<Inventory>], count: usize) -> (Cluster, Registry) {
    let now = SystemClock.now();
    let record = |i: usize| {
        // A copy each, as from as many agents: nothing is equal because it is the same.
        let inventory =
            Inventory { fingerprint: format!("{i:032x}"), ..(*inventories[i % inventories.len()]).clone() };
        HostRecord {
            host: format!("kvm-{i:05}"),
            address: String::new(),
            reported_name: format!("kvm-{i:05}"),
            fetched_at: Some(now),
            validated_at: Some(now),
            inventory: Arc::new(inventory),
            issues: Arc::default(),
            superseded: false,
            saved_usage: None,
            guest_names: GuestNames::default(),
        }
    };
    let records: Vec<_> = (0..count).map(record).collect();
    let registry =
        Registry::new(records.iter().map(|record| HostEntry::new(&record.host, None))).expect("distinct");
    let cache = HostCache::of_records(records, Arc::new(SystemClock));
    (Cluster::new(registry.clone(), Arc::new(cache)), registry)
}
