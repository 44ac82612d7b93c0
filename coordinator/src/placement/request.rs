//! What is asked of placement.
//!
//! Knows demands, and what a batch wants of hosts. Must not know hosts, UUIDs, tenants or the wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

pub use vmuster_proto::model::AffinityPolicy;
use vmuster_proto::model::{Bytes, FeatureSet};

use super::numa::GuestTopology;

/// What one instance needs. Equal demands are one equivalence class: they are looked at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Demand {
    /// At most at any time.
    pub vcpus: u32,
    /// At most at any time.
    pub memory: Bytes,
    /// In the order in which the answer names their pools.
    pub disks: Vec<DiskDemand>,
    /// CPU features that the guest must get.
    pub required: FeatureSet,
    /// CPU features that the host must not give.
    pub forbidden: FeatureSet,
    /// A named CPU model that must run as it is.
    pub cpu_model: Option<String>,
    /// As uname -m prints it. None: any.
    pub arch: Option<String>,
    /// Labels that the host must have.
    pub labels: BTreeMap<String, String>,
    /// The cells it is bound to, of which vCPUs and memory are all. None: it floats.
    pub numa: Option<GuestTopology>,
}

impl Demand {
    /// vCPUs that float, over a cell or over the host. The others have CPUs of their own.
    #[must_use]
    pub fn floating_vcpus(&self) -> u32 {
        let shared = |numa: &GuestTopology| {
            numa.cells.iter().map(|cell| cell.shared_vcpus).fold(0, u32::saturating_add)
        };
        self.numa.as_ref().map_or(self.vcpus, shared)
    }

    /// Memory that is certainly in ordinary pages.
    #[must_use]
    pub fn ordinary_memory_bytes(&self) -> u64 {
        if self.numa.as_ref().is_none_or(|numa| numa.pages.is_ordinary()) { self.memory.0 } else { 0 }
    }
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DiskDemand {
    /// Its virtual size.
    pub size: Bytes,
    /// Where it must be.
    pub on: DiskPlace,
}

/// Where a disk must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DiskPlace {
    /// The host's default pool.
    Default,
    /// The first pool of the host that answers to this name.
    Pool(String),
    /// Any pool of this storage class: the first listed with room.
    Class(String),
}

/// So many instances of one demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Of each. Sharing one value between groups saves comparing it.
    pub demand: Arc<Demand>,
    /// How many.
    pub count: u32,
    /// Where they may be beside others, and each other.
    pub rules: Vec<AffinityRule>,
}

impl Group {
    /// Without rules.
    #[must_use]
    pub const fn new(demand: Arc<Demand>, count: u32) -> Self {
        Self { demand, count, rules: Vec::new() }
    }
}

/// Where an instance may be beside the members of a group. It becomes one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AffinityRule {
    /// The group's name.
    pub group: Arc<str>,
    /// What it wants.
    pub policy: AffinityPolicy,
    /// Hosts with the same value of this label are one domain. None: each host is one.
    pub topology_key: Option<Arc<str>>,
    /// Members of one partition do not count as others to each other: only partitions are kept apart. None: each instance
    /// is apart from all. In domains of a label a partition keeps to those it has, if any host there can take it.
    pub partition: Option<Arc<str>>,
}

impl AffinityRule {
    /// Whether members of one partition are better off in one domain: else a few of them would be in all, and no other
    /// partition would find one.
    pub(super) fn keeps_partitions_close(&self) -> bool {
        !self.policy.is_together() && self.partition.is_some() && self.topology_key.is_some()
    }
}

/// An instance that is in a group already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The group's name.
    pub group: Arc<str>,
    /// Of the group.
    pub partition: Option<Arc<str>>,
    /// Where it is, or goes.
    pub host: Arc<str>,
}

/// How much of a batch must be placed for any of it to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// All or nothing.
    All,
    /// At least so many of the batch, and as many more as fit; or nothing.
    AtLeast(u32),
    /// As many as fit.
    BestEffort,
}

/// A host that the caller names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedHost {
    /// The registry's name.
    pub name: Arc<str>,
    /// Nothing counts but that the host is known; what does not fit is marked.
    pub ignore_capacity: bool,
}

/// One decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Placed in this order, each instance on what those before it left.
    pub groups: Vec<Group>,
    /// Members of the groups that rules name, of before.
    pub members: Vec<Member>,
    /// Only these hosts. None: all.
    pub admitted: Option<BTreeSet<Arc<str>>>,
    /// None of these.
    pub excluded: BTreeSet<Arc<str>>,
    /// This host and no other; then only what is consumed counts.
    pub forced: Option<ForcedHost>,
    /// How much of it must be placed.
    pub completeness: Completeness,
    /// Which of the hosts that fit is best.
    pub profile: Profile,
}

impl Batch {
    /// All of these or none, on any host, packed.
    #[must_use]
    pub fn new(groups: Vec<Group>) -> Self {
        Self {
            groups,
            members: Vec::new(),
            admitted: None,
            excluded: BTreeSet::new(),
            forced: None,
            completeness: Completeness::All,
            profile: Profile::PACK,
        }
    }
}

/// Where would one instance fit?
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What it needs.
    pub demand: Arc<Demand>,
    /// Where it may be beside others.
    pub rules: Vec<AffinityRule>,
    /// Members of the groups that rules name.
    pub members: Vec<Member>,
    /// Only these hosts. None: all.
    pub admitted: Option<BTreeSet<Arc<str>>>,
    /// None of these.
    pub excluded: BTreeSet<Arc<str>>,
    /// Which of the hosts that fit is best.
    pub profile: Profile,
}

impl Question {
    /// On any host, packed.
    #[must_use]
    pub fn new(demand: Arc<Demand>) -> Self {
        Self {
            demand,
            rules: Vec::new(),
            members: Vec::new(),
            admitted: None,
            excluded: BTreeSet::new(),
            profile: Profile::PACK,
        }
    }
}

/// A weigher, as operators name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WeigherName {
    /// vCPUs left of those that can be promised, once the instance is placed.
    Cpu,
    /// Memory left, in the same way.
    Ram,
    /// How alike the two are: memory without vCPUs is of no use.
    Balance,
    /// What is left of the host's own pools; shared ones say nothing between their hosts.
    Disk,
    /// How few CPU features the host has: keeps rare ones for those who need them.
    RareFeatures,
    /// How few guests are being started there.
    Starting,
}

impl WeigherName {
    /// All, in the order in which scores are summed.
    pub const ALL: [Self; 6] =
        [Self::Cpu, Self::Ram, Self::Balance, Self::Disk, Self::RareFeatures, Self::Starting];

    /// In configuration and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Ram => "ram",
            Self::Balance => "balance",
            Self::Disk => "disk",
            Self::RareFeatures => "rare_features",
            Self::Starting => "starting",
        }
    }
}

/// The largest multiplier: beyond it the smaller weighers would be lost in rounding.
pub const MULTIPLIER_MAX: f64 = 1e6;

/// A multiplier that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the multiplier of {weigher} is {multiplier}: it must be a number from -1000000 to 1000000", weigher = .weigher.as_str())]
pub struct InvalidMultiplier {
    weigher: WeigherName,
    multiplier: f64,
}

/// A multiplier for each weigher: more than 0 prefers hosts with more of it, less than 0 those with less.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    multipliers: [f64; WeigherName::ALL.len()],
}

impl Profile {
    /// Few hosts full rather than many half full; none with memory that no vCPU is left for. Without that, best fit refuses
    /// sooner than first fit does: six simulated clusters, filled until little fitted, had 94.4 % of their memory promised
    /// without it and 98.7 % with 8, and as many hosts stayed empty at half load.
    pub const PACK: Self = Self { multipliers: [-1.0, -1.0, 8.0, -0.1, 4.0, 0.0] };

    /// Load on all hosts alike.
    pub const SPREAD: Self = Self { multipliers: [1.0, 1.0, 0.5, 0.5, 0.5, 0.5] };

    /// With another multiplier for this weigher.
    ///
    /// # Errors
    /// A multiplier that is no number, or larger than [`MULTIPLIER_MAX`].
    pub fn with(mut self, weigher: WeigherName, multiplier: f64) -> Result<Self, InvalidMultiplier> {
        // NaN is in no range.
        if !(-MULTIPLIER_MAX..=MULTIPLIER_MAX).contains(&multiplier) {
            return Err(InvalidMultiplier { weigher, multiplier });
        }
        self.multipliers[weigher as usize] = multiplier;
        Ok(self)
    }

    /// Of this weigher.
    #[must_use]
    pub const fn multiplier(&self, weigher: WeigherName) -> f64 {
        self.multipliers[weigher as usize]
    }

    fn bits(&self) -> [u64; WeigherName::ALL.len()] {
        self.multipliers.map(f64::to_bits)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::PACK
    }
}

impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Profile {}

impl Hash for Profile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}
