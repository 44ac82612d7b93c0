//! What placement answers.
//!
//! Knows outcomes and their reasons, in terms an operator knows. Must not know how they were found, nor the wire.

use std::{fmt, sync::Arc};

use super::{
    host::PoolKey,
    numa::NumaPlacement,
    request::{Demand, WeigherName},
};

/// A filter, as operators name it; the name is the reason code too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterName {
    /// Something is known of the host.
    Known,
    /// It takes new guests.
    Maintenance,
    /// It is among those that were asked for.
    AllowList,
    /// It is not among those that were ruled out.
    Excluded,
    /// Its architecture.
    Arch,
    /// Its labels.
    Labels,
    /// Required and forbidden CPU features of guests.
    CpuFeatures,
    /// A CPU model that it runs as it is.
    CpuModel,
    /// Near the members of its groups.
    Affinity,
    /// Apart from the members of its groups.
    AntiAffinity,
    /// vCPUs left.
    Vcpus,
    /// Memory left.
    Memory,
    /// Room in its pools.
    Disk,
    /// NUMA cells: pins, memory and huge pages in one place.
    Numa,
}

impl FilterName {
    /// All, in the order in which they are asked.
    pub const ALL: [Self; 14] = [
        Self::Known,
        Self::Maintenance,
        Self::AllowList,
        Self::Excluded,
        Self::Arch,
        Self::Labels,
        Self::CpuFeatures,
        Self::CpuModel,
        Self::Affinity,
        Self::AntiAffinity,
        Self::Vcpus,
        Self::Memory,
        Self::Disk,
        Self::Numa,
    ];

    /// In answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Maintenance => "maintenance",
            Self::AllowList => "allow_list",
            Self::Excluded => "excluded",
            Self::Arch => "arch",
            Self::Labels => "labels",
            Self::CpuFeatures => "cpu_features",
            Self::CpuModel => "cpu_model",
            Self::Affinity => "affinity",
            Self::AntiAffinity => "anti_affinity",
            Self::Vcpus => "vcpus",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Numa => "numa",
        }
    }
}

impl fmt::Display for FilterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// So many vCPUs.
    Vcpus(u64),
    /// So much memory or disk.
    Bytes(u64),
    /// So many CPU features.
    Features(u64),
    /// It cannot be told: the figure is not known.
    Unknown,
    /// It is not a matter of how much.
    Other,
}

/// Why one filter refuses one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// Which one.
    pub filter: FilterName,
    /// By how much.
    pub lack: Lack,
    /// For an operator.
    pub text: String,
}

/// A host that could nearly take the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// Its name.
    pub host: Arc<str>,
    /// Everything that it lacks, in the filters' order.
    pub misses: Vec<Miss>,
}

/// How many hosts a filter refused that those before it let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Which one.
    pub filter: FilterName,
    /// How many.
    pub host_count: u32,
    /// How many of them because what it asks is not known.
    pub unknown_count: u32,
}

/// Why no host could take an instance. The counts add up to the number of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// How many hosts were looked at; one, where a host was forced.
    pub host_count: u32,
    /// Those that refused any, in the filters' order.
    pub rejected: Vec<Rejected>,
    /// Those that lacked least, nearest first: only hosts that lack nothing but what others hold, then those whose NUMA
    /// cells are not for it.
    pub nearest: Vec<NearMiss>,
}

/// A group of which not all could be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in the batch.
    pub group: usize,
    /// The first instance that found no host: its place among all of the batch.
    pub instance: usize,
    /// How many of the group found none. Of a gang that stopped here, those that were not tried are not among them.
    pub refused_count: u32,
    /// What was so when that instance was refused. Groups of an equal demand share the first's. None: more different
    /// demands were refused than are explained.
    pub explanation: Option<Arc<Explanation>>,
}

/// Where an instance goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The host's name.
    pub host: Arc<str>,
    /// What made it the best; higher is better, and means nothing between profiles.
    pub score: f64,
    /// For each disk its pool. None: capacity was ignored, and no such pool is known there.
    pub disks: Vec<Option<PoolKey>>,
    /// Of an instance with a topology, its cells and pins.
    pub cells: Option<Arc<NumaPlacement>>,
    /// Capacity was ignored, and it does not fit.
    pub is_over_committed: bool,
}

impl Placed {
    /// What an instance of this demand has here in ordinary pages.
    #[must_use]
    pub fn ordinary_memory_bytes(&self, demand: &Demand) -> u64 {
        self.cells.as_ref().map_or(demand.memory.0, |cells| cells.taken.ordinary_memory_bytes())
    }
}

/// The answer to a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// In the order of the request: one for each instance of each group. All None where too few fit.
    pub placements: Vec<Option<Placed>>,
    /// Groups that were not placed whole, in their order.
    pub refusals: Vec<Refusal>,
    /// Whether what was asked for in all is met; if not, nothing is placed.
    pub is_granted: bool,
    /// How many would have been placed where nothing is granted, else how many are.
    pub placed_count: u32,
    /// What was passed over because the host was forced.
    pub skipped: Vec<Miss>,
}

/// A host that can take an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub host: Arc<str>,
    /// The sum.
    pub score: f64,
    /// What each weigher says, from 0 to 1, before its multiplier.
    pub weights: [(WeigherName, f64); WeigherName::ALL.len()],
}

/// How many instances of one demand fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Hosts that could take any, by name, and how many if all were placed there.
    pub hosts: Vec<(Arc<str>, u64)>,
    /// In all. Less than their sum where they share pools.
    pub total: u64,
    /// Why the other hosts take none.
    pub rejected: Vec<Rejected>,
}
