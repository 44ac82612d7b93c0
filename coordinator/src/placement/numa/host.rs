//! The NUMA cells of a host, as placement sees them.
//!
//! Knows what is there and what is taken, in the words of libvirt's capabilities. Must not know guests, nor where the
//! figures come from.

use vmuster_proto::model::{Bytes, CpuSet};

/// A class of devices that stand for one another: a small number that whoever builds the figures gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey(pub u32);

/// Free devices of one class in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DevicePool {
    /// The class.
    pub key: DeviceKey,
    /// How many nobody has.
    pub free: u32,
}

/// Hugepages of one size in one cell. Never overcommitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PagePool {
    /// Of one page.
    pub size: Bytes,
    /// Pages there are.
    pub total: u64,
    /// Pages that guests and claims hold, or that are reserved for others. May be more than there are.
    pub used: u64,
}

impl PagePool {
    /// Pages nobody has.
    #[must_use]
    pub const fn free(&self) -> u64 {
        self.total.saturating_sub(self.used)
    }
}

/// Room for floating vCPUs in a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SharedVcpus {
    /// CPUs × ratio.
    pub promisable: u64,
    /// What guests and claims hold.
    pub promised: u64,
}

/// Memory of a cell in ordinary pages, in bytes. What hugepages have is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CellMemory {
    /// What guests could have without a ratio: reserves are off. A guest that must not be overcommitted counts on it.
    pub total_bytes: u64,
    /// The same × ratio.
    pub promisable_bytes: u64,
    /// What guests and claims hold.
    pub promised_bytes: u64,
}

impl CellMemory {
    /// What guests together can still get, in bytes.
    #[must_use]
    pub const fn left_bytes(&self) -> u64 {
        self.promisable_bytes.saturating_sub(self.promised_bytes)
    }

    /// What one guest can get, in bytes; with `is_strict` without overcommit.
    #[must_use]
    pub fn room_bytes(&self, is_strict: bool) -> u64 {
        let least = self.total_bytes.min(self.promisable_bytes);
        let limit = if is_strict { least } else { self.promisable_bytes };
        limit.saturating_sub(self.promised_bytes).min(self.total_bytes)
    }
}

/// One NUMA cell (a node of the kernel).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HostCell {
    /// The node's number; each once in a host.
    pub id: u32,
    /// CPUs that floating guests share: online ones of the node, less the dedicated.
    pub shared_cpus: CpuSet,
    /// The host's `dedicated_cpus` within this cell. No other cell has them.
    pub dedicated_cpus: CpuSet,
    /// The SMT threads of each core that has a dedicated CPU, also those that are not dedicated. A dedicated CPU in
    /// none is a core of its own; in several, the first counts.
    pub siblings: Vec<CpuSet>,
    /// Dedicated CPUs that guests have, or that are kept free for a guest's sake.
    pub pinned: CpuSet,
    /// For floating vCPUs.
    pub shared_vcpus: SharedVcpus,
    /// In ordinary pages.
    pub memory: CellMemory,
    /// Each size once; larger than an ordinary page: others are not looked at.
    pub hugepages: Vec<PagePool>,
    /// The CPU package. None: not known, or the cell spans several.
    pub socket: Option<u32>,
    /// Devices on this node; each class once.
    pub devices: Vec<DevicePool>,
}

/// All cells of a host. Equal values get equal answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostTopology {
    /// In any order; ascending ids is usual.
    pub cells: Vec<HostCell>,
    /// The kernel's base page, 4 KiB nearly everywhere.
    pub page_size: Bytes,
    /// Devices whose node is not known; each class once.
    pub unplaced_devices: Vec<DevicePool>,
}

/// How many of a class are free here.
pub(super) fn free_of(pools: &[DevicePool], key: DeviceKey) -> u64 {
    pools.iter().find(|pool| pool.key == key).map_or(0, |pool| u64::from(pool.free))
}
