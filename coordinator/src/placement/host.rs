//! What placement knows of a host and of a pool.
//!
//! Knows figures that others have summed. Must not know where they come from, how old they are, or what a claim is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use vmuster_proto::model::FeatureSet;

use super::cells::HostCells;

/// An amount that can be promised: vCPUs, or bytes of memory or of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// What there is. One instance never has more, whatever the ratio.
    pub physical: u64,
    /// (total − reserved) × ratio.
    pub promisable: u64,
    /// What guests and claims hold together. May be more than what is promisable: a ratio was lowered, a host forced.
    pub promised: u64,
}

impl Resource {
    /// What can still be promised to all; nothing where too much is promised already.
    #[must_use]
    pub const fn headroom(&self) -> u64 {
        self.promisable.saturating_sub(self.promised)
    }

    /// The most that one instance can get. What asks for nothing fits even where too much is promised.
    #[must_use]
    pub const fn room(&self) -> u64 {
        let headroom = self.headroom();
        if self.physical < headroom { self.physical } else { headroom }
    }
}

/// What a host's hypervisor can give to guests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct GuestCpu {
    /// In libvirt's names.
    pub features: FeatureSet,
    /// CPU models that run as they are.
    pub usable_models: BTreeSet<String>,
    /// As libvirt spells it. None: not known.
    pub vendor: Option<String>,
}

/// The identity of a pool: equal on all hosts that see the same storage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey(Arc<str>);

impl PoolKey {
    /// Of this text.
    #[must_use]
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What disks may ask of a pool, on one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AnswersTo {
    /// Its names there.
    pub names: BTreeSet<String>,
    /// Its storage classes, and its place in each: pools of a class are tried in their order there.
    pub classes: BTreeMap<String, usize>,
    /// Disks that name no pool go here. At most one of a host: of several, the first listed counts.
    pub is_default: bool,
}

/// A pool as one host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPool {
    /// What may be asked of it there.
    pub answers_to: AnswersTo,
    /// Which pool it is.
    pub pool: PoolKey,
}

/// One host. What is None is not known, and a request that asks for it is refused there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementHost {
    /// The registry's name.
    pub name: Arc<str>,
    /// From the registry.
    pub labels: BTreeMap<String, String>,
    /// Takes no new guests.
    pub maintenance: bool,
    /// As uname -m prints it.
    pub arch: Option<String>,
    /// The guest layer. Equal values cost one, however many hosts have them.
    pub guest: Option<Arc<GuestCpu>>,
    /// In vCPUs.
    pub vcpus: Option<Resource>,
    /// In bytes.
    pub memory: Option<Resource>,
    /// Some and empty: the host has none.
    pub pools: Option<Vec<HostPool>>,
    /// None: it has none that are known, and takes only what floats.
    pub cells: Option<Arc<HostCells>>,
    /// Claims that the host does not show yet.
    pub starting: u32,
    /// Why nothing at all is known of it. Some: nothing is placed here.
    pub unknown: Option<String>,
}

impl PlacementHost {
    /// A host of which nothing is known, and nobody has said why.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            labels: BTreeMap::new(),
            maintenance: false,
            arch: None,
            guest: None,
            vcpus: None,
            memory: None,
            pools: None,
            cells: None,
            starting: 0,
            unknown: None,
        }
    }
}

/// Storage that one host or many see. It is one pool: what is promised through one host is gone for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its identity.
    pub key: PoolKey,
    /// In bytes.
    pub resource: Resource,
    /// Whether it can be seen by more than one host. One that several hosts name is shared in any case.
    pub is_shared: bool,
}
