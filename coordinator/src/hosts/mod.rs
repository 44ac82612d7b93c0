//! Who is in the cluster.
//!
//! Knows names, addresses, labels, maintenance and settings, where they are kept, and what a change makes of them. Must not
//! know any host's facts.

mod change;
#[cfg(test)]
mod change_tests;
mod file;
mod name;
mod scope;
mod settings;
mod state;

use std::{collections::BTreeMap, sync::Arc};

use vmuster_proto::{
    model::{AllocationSettings, HostOrigin, HostSettings},
    transport::PeerAddress,
};

use crate::accounting::Profile;

pub use change::{ChangeError, ConflictError, HostChange, NewHost};
pub use file::{HostsError, HostsFileError, parse_hosts_file, read_hosts_file};
pub use name::{InvalidHostName, InvalidMachineId, host_name, machine_id};
pub(crate) use scope::registered;
pub use scope::{Scope, ScopeError};
pub use settings::{LabelSettings, resolve};
pub use state::{HostsStore, StateDirectory, StateError, read_state};

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
    /// Its own settings; what counts is [`Registry::settings_of`].
    pub settings: AllocationSettings,
    /// The machine's /etc/machine-id, in lower case; None: any machine of this name.
    pub machine_id: Option<String>,
    /// Who registered it; None: it is in no registry, but named on the command line or a snapshot.
    pub origin: Option<HostOrigin>,
}

impl HostEntry {
    /// A member without labels, of no registry.
    #[must_use]
    pub fn new(name: impl Into<String>, address: Option<PeerAddress>) -> Self {
        let (labels, settings) = (BTreeMap::new(), AllocationSettings::default());
        Self {
            name: name.into(),
            address,
            labels,
            maintenance: false,
            settings,
            machine_id: None,
            origin: None,
        }
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
    rules: Arc<[LabelSettings]>,
    profile: Profile,
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

    /// With settings of all hosts with certain labels; later ones win.
    #[must_use]
    pub fn with_rules(self, rules: Vec<LabelSettings>) -> Self {
        Self { rules: rules.into(), ..self }
    }

    /// Filled by this rule, with its defaults.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// By whose rule hosts are filled.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// What counts of a member.
    #[must_use]
    pub fn settings_of(&self, host: &HostEntry) -> HostSettings {
        resolve(&host.settings, &host.labels, &self.rules, self.profile)
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
