//! Who is in the cluster.
//!
//! Knows names, addresses, labels and maintenance. Must not know any host's facts.

mod file;
mod scope;

use std::{collections::BTreeMap, sync::Arc};

use vmuster_proto::transport::PeerAddress;

pub use file::{HostsError, HostsFileError, parse_hosts_file, read_hosts_file};
pub(crate) use scope::registered;
pub use scope::{Scope, ScopeError};

/// One member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// Unique in the registry: an RFC 1123 name from a hosts file, an address as written on the command line, or a
    /// snapshot's name.
    pub name: String,
    /// Where its agent is asked; None for a saved snapshot.
    pub address: Option<PeerAddress>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Bars new placements; does not keep it out of answers about flags.
    pub maintenance: bool,
}

impl HostEntry {
    /// A member without labels.
    #[must_use]
    pub fn new(name: impl Into<String>, address: Option<PeerAddress>) -> Self {
        Self { name: name.into(), address, labels: BTreeMap::new(), maintenance: false }
    }
}

/// Two hosts of one name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("host '{0}' is listed twice")]
pub struct DuplicateHost(pub String);

/// All members, by name. Immutable: a change makes a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    hosts: BTreeMap<String, Arc<HostEntry>>,
}

impl Registry {
    /// From members in any order.
    ///
    /// # Errors
    /// A name that occurs twice.
    pub fn new(hosts: impl IntoIterator<Item = HostEntry>) -> Result<Self, DuplicateHost> {
        let mut registry = Self::default();
        for host in hosts {
            let name = host.name.clone();
            if registry.hosts.insert(name.clone(), Arc::new(host)).is_some() {
                return Err(DuplicateHost(name));
            }
        }
        Ok(registry)
    }

    /// The member of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<HostEntry>> {
        self.hosts.get(name)
    }

    /// All members, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<HostEntry>> {
        self.hosts.values()
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}
