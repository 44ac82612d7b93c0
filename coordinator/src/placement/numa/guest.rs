//! The NUMA topology a guest asks for.
//!
//! Knows the words of the request. Must not know hosts.

use vmuster_proto::model::Bytes;

use super::host::DeviceKey;

/// A guest's cell. Its vCPUs are numbered after those of the cells before it, dedicated ones first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct GuestCell {
    /// vCPUs each on a CPU of its own.
    pub dedicated_vcpus: u32,
    /// vCPUs that float over the host cell's shared CPUs.
    pub shared_vcpus: u32,
    /// All of it on one host cell.
    pub memory: Bytes,
}

/// Which pages back a guest's memory. Each cell gets one size; cells may differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PageRequest {
    /// Ordinary pages. They may be overcommitted, unless the guest has dedicated vCPUs.
    #[default]
    Ordinary,
    /// Ordinary pages, asked for by name: never overcommitted.
    Small,
    /// Hugepages; the largest size that fits.
    Large,
    /// The largest size that fits, ordinary pages last.
    Any,
    /// Of this size; that of ordinary pages means [`PageRequest::Small`].
    Exact(Bytes),
}

impl PageRequest {
    /// Whether only its place tells if a guest gets ordinary pages.
    #[must_use]
    pub const fn may_be_either(self) -> bool {
        matches!(self, Self::Any)
    }

    /// Whether it certainly gets ordinary pages, on a host with pages of this size.
    #[must_use]
    pub fn is_ordinary(self) -> bool {
        matches!(self, Self::Ordinary | Self::Small)
    }
}

/// What dedicated vCPUs want of SMT threads. Said of each cell by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ThreadPolicy {
    /// Siblings together where there are any, else any free threads.
    #[default]
    Prefer,
    /// One vCPU a core, and only on cores that are free and dedicated as a whole; the other threads are taken along.
    Isolate,
    /// Only on cores with two or more free threads; each is filled before the next. An odd vCPU may be left alone on the
    /// last one: the other free threads are then taken along, so it has no stranger beside it.
    Require,
}

/// Where the emulator's own threads run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum EmulatorThreads {
    /// Over the guest's CPUs.
    #[default]
    Float,
    /// Over the shared CPUs of the chosen cells; where these have none, over the guest's.
    Share,
    /// On a dedicated CPU of their own, on the host cell of the first guest cell, whatever that cell's vCPUs are.
    Isolate,
}

/// How near a device must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DevicePolicy {
    /// On one of the chosen cells.
    Required,
    /// On any cell in the same socket as one of the chosen. Every chosen cell's socket must be known.
    Socket,
    /// On one of the chosen cells or of unknown node.
    Legacy,
    /// Anywhere, nearest first.
    Preferred,
}

/// Devices of one class. They need not all come from one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceRequest {
    /// The class.
    pub key: DeviceKey,
    /// How many. None asks for nothing, whatever the policy.
    pub count: u32,
    /// How near.
    pub policy: DevicePolicy,
}

/// What one guest asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct GuestTopology {
    /// At least one. Each goes on a host cell of its own.
    pub cells: Vec<GuestCell>,
    /// Of all cells.
    pub pages: PageRequest,
    /// Of all cells.
    pub threads: ThreadPolicy,
    /// Of the guest.
    pub emulator: EmulatorThreads,
    /// Of the guest.
    pub devices: Vec<DeviceRequest>,
}

impl GuestTopology {
    /// Whether any vCPU is dedicated: CPU policy dedicated or mixed. Such a guest's memory is never overcommitted.
    #[must_use]
    pub fn has_dedicated(&self) -> bool {
        self.cells.iter().any(|cell| cell.dedicated_vcpus > 0)
    }

    pub(super) fn asks_socket(&self) -> bool {
        self.devices.iter().any(|request| request.count > 0 && request.policy == DevicePolicy::Socket)
    }
}
