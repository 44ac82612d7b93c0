//! Where the facts of simulated hosts come from: one recorded host for many, encoded once.
//!
//! Protobuf messages that follow each other in one buffer are one message: single values of the later replace those of the
//! earlier. So a host's answer is its source's bytes and then a few of its own.

use std::sync::Arc;

use prost::{Message as _, bytes::Bytes};
use vmuster_agent::{
    snapshot::{Collector, Host, HostSource},
    watch::Unwatched,
};
use vmuster_proto::{
    clock::SystemClock,
    convert::issues_to_pb,
    model::{Bytes as Size, GuestCpu, Hypervisor, Inventory, StoragePool, Usage},
    pb::{self, get_inventory_response::Outcome},
};

use crate::fixtures::{host, host_names};

/// Of a host that was made large.
const LARGE_MEMORY_BYTES: u64 = 256 << 30;

/// Of a default pool.
const POOL_BYTES: u64 = 1 << 40;

/// What hosts of one sort have in common.
#[derive(Debug, Clone)]
pub struct Source {
    /// Of the recorded host.
    pub name: String,
    /// A GetInventoryResponse without a name.
    pub(super) inventory: Bytes,
    /// A GetUsageResponse without a name and a standing.
    pub(super) usage: Bytes,
    pub(super) memory_bytes: u64,
}

impl Source {
    /// A recorded host as its agent reads it.
    #[must_use]
    pub fn recorded(name: &str) -> Self {
        Self::changed(name, Inventory::clone)
    }

    /// The same with other facts.
    #[must_use]
    pub fn changed(name: &str, change: impl FnOnce(&Inventory) -> Inventory) -> Self {
        Self::of(name, change, Usage::clone)
    }

    /// A recorded host that was made large, with a hypervisor that has no guest yet: 64 CPUs, 256 GiB, 1 TiB in its default
    /// pool, and what the kernel shows as the features it gives guests.
    #[must_use]
    pub fn with_hypervisor(name: &str) -> Self {
        let inventory = |inventory: &Inventory| {
            let mut inventory = inventory.clone();
            if let Some(cpu) = &mut inventory.cpu {
                let cpu = Arc::make_mut(cpu);
                cpu.online = Some("0-63".parse().expect("CPUs"));
                let features = cpu.host_flags.clone();
                cpu.guest =
                    Some(GuestCpu { features, vendor: Some("AMD".to_owned()), ..GuestCpu::default() });
            }
            let memory = inventory.memory.get_or_insert_default();
            memory.total_bytes = Some(Size(LARGE_MEMORY_BYTES));
            inventory.hypervisor = Some(Arc::new(Hypervisor {
                libvirt_version: Some("9.0.0".to_owned()),
                qemu_version: Some("7.2.22".to_owned()),
                virt_types: vec!["kvm".to_owned()],
                machine_types: vec!["pc-q35-7.2".to_owned()],
                ..Hypervisor::default()
            }));
            inventory
        };
        let usage = |usage: &Usage| {
            let pool = StoragePool {
                name: "default".to_owned(),
                state: Some("running".to_owned()),
                capacity_bytes: Some(Size(POOL_BYTES)),
                mount_point: Some("/var/lib/libvirt/images".to_owned()),
                ..StoragePool::default()
            };
            Usage { domains: Some(Vec::new()), pools: Some(vec![pool]), ..usage.clone() }
        };
        Self::of(name, inventory, usage)
    }

    fn of(
        name: &str,
        change: impl FnOnce(&Inventory) -> Inventory,
        used_as: impl FnOnce(&Usage) -> Usage,
    ) -> Self {
        let source = HostSource::recorded(&host(name)).expect("a recorded host");
        let mut collector = Collector::new(Arc::new(Host::new(source, None, Arc::new(SystemClock))));
        let (collected, used) =
            (collector.collect_inventory(&Unwatched), collector.collect_usage(&Unwatched));
        let inventory = pb::Inventory::from(&change(&collected.inventory));
        let memory_bytes = inventory.memory.as_ref().and_then(|memory| memory.total_bytes);
        let answer = pb::GetInventoryResponse {
            outcome: Some(Outcome::Collected(Box::new(pb::CollectedInventory {
                inventory: Some(inventory),
                issues: issues_to_pb(&collected.issues),
            }))),
            ..Default::default()
        };
        let usage = pb::GetUsageResponse {
            usage: Some((&used_as(&used.usage)).into()),
            issues: issues_to_pb(&used.issues),
            ..Default::default()
        };
        Self {
            name: name.to_owned(),
            inventory: answer.encode_to_vec().into(),
            usage: usage.encode_to_vec().into(),
            memory_bytes: memory_bytes.expect("a recorded host has memory"),
        }
    }

    /// All recorded x86 hosts: those that have flags in common.
    #[must_use]
    pub fn all_x86() -> Vec<Self> {
        let names = host_names().into_iter().filter(|name| !name.starts_with("arm"));
        names.map(|name| Self::recorded(&name)).collect()
    }
}
