//! What a change makes of the registry. Pure: the old one and the change in, the new one or a refusal out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use vmuster_proto::{
    model::{AllocationSettings, HostOrigin, Setting},
    transport::PeerAddress,
};

use super::{HostEntry, InvalidHostName, Registry, host_name, machine_id};

/// Kubernetes' objects have some dozen. Each is in every page of hosts.
const LABELS_MAX: usize = 64;

/// As long as a DNS name, which is what labels hold at most.
const LABEL_MAX_BYTES: usize = 253;

/// Ten times the largest fleet that was measured; the state file of as many is below its limit.
const HOSTS_MAX: usize = 100_000;

/// A host to register.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in cluster_service.proto, AddHostRequest")]
pub struct NewHost {
    pub name: String,
    pub address: Option<PeerAddress>,
    pub labels: BTreeMap<String, String>,
    pub maintenance: bool,
    pub settings: AllocationSettings,
    pub machine_id: Option<String>,
}

/// A change to a host; what is unset stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in cluster_service.proto, UpdateHostRequest")]
pub struct HostChange {
    pub set_labels: BTreeMap<String, String>,
    pub remove_labels: BTreeSet<String>,
    pub address: Option<PeerAddress>,
    pub maintenance: Option<bool>,
    pub settings: AllocationSettings,
    pub reset_settings: BTreeSet<Setting>,
    /// Empty: any machine again.
    pub machine_id: Option<String>,
}

/// Why a change is refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No host name.
    #[error(transparent)]
    Name(#[from] InvalidHostName),
    /// A field that makes no sense.
    #[error("{problem}")]
    Invalid {
        /// The request's field.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The name is taken.
    #[error(
        "host '{0}' is registered already, by the hosts file; change it there and send the coordinator SIGHUP"
    )]
    InFile(String),
    /// The name is taken.
    #[error("host '{0}' is registered already; `vmuster hosts set {0}` changes it")]
    Exists(String),
    /// The address is taken.
    #[error("host '{0}' has this address already; one machine is one host")]
    SameAddress(String),
    /// It comes from the file.
    #[error(
        "host '{0}' comes from the coordinator's hosts file; change it there and send the coordinator SIGHUP"
    )]
    ReadOnly(String),
    /// Nobody has it.
    #[error("no such host: {0}. `vmuster hosts list` shows the registered ones")]
    NotRegistered(String),
}

/// The hosts file and what was registered by API contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConflictError {
    /// One name in both.
    #[error(
        "host '{0}' is in the hosts file and was also registered by `vmuster hosts add`; take it out of the file, or out \
         of the registry first (`vmuster hosts remove {0}`)"
    )]
    Name(String),
    /// One address in both.
    #[error(
        "host '{file}' of the hosts file has the address of host '{api}', registered by `vmuster hosts add`; take one \
         out: `vmuster hosts remove {api}`, or its table in the file"
    )]
    Address {
        /// In the file.
        file: String,
        /// By API.
        api: String,
    },
}

impl Registry {
    /// The hosts of a hosts file and those that were registered by API.
    ///
    /// # Errors
    /// They contradict each other: which is right only their keeper knows.
    pub fn joined(
        file: Self,
        registered: impl IntoIterator<Item = Arc<HostEntry>>,
    ) -> Result<Self, ConflictError> {
        let by_address: BTreeMap<_, _> =
            file.hosts.values().filter_map(|host| Some((host.address.clone()?, host.name.clone()))).collect();
        let mut joined = file;
        for host in registered {
            let in_file = host.address.as_ref().and_then(|address| by_address.get(address));
            if joined.hosts.contains_key(&host.name) {
                return Err(ConflictError::Name(host.name.clone()));
            }
            if let Some(name) = in_file {
                return Err(ConflictError::Address { file: name.clone(), api: host.name.clone() });
            }
            joined.hosts.insert(host.name.clone(), host);
        }
        Ok(joined)
    }

    /// Those that were registered by API, by name.
    #[must_use]
    pub fn registered(&self) -> Vec<Arc<HostEntry>> {
        self.iter().filter(|host| host.origin == Some(HostOrigin::Api)).cloned().collect()
    }

    /// With one more, and its name.
    ///
    /// # Errors
    /// The name or address is taken, or something of it makes no sense.
    pub fn with_added(&self, new: NewHost) -> Result<(Self, String), ChangeError> {
        let name = host_name(&new.name)?;
        let address = new.address.ok_or(ChangeError::Invalid {
            field: "address",
            problem: "must be set: unix:/path/of/socket or HOST:PORT".to_owned(),
        })?;
        match self.get(&name).map(|there| there.origin) {
            Some(Some(HostOrigin::Api)) => return Err(ChangeError::Exists(name)),
            Some(_) => return Err(ChangeError::InFile(name)),
            None => {}
        }
        if self.len() >= HOSTS_MAX {
            let problem = format!("there are {HOSTS_MAX} hosts already, the most a coordinator has");
            return Err(ChangeError::Invalid { field: "name", problem });
        }
        self.address_is_free(&address, &name)?;
        check_labels("labels", &new.labels)?;
        let entry = HostEntry {
            name: name.clone(),
            address: Some(address),
            labels: new.labels,
            maintenance: new.maintenance,
            settings: new.settings,
            machine_id: new.machine_id.as_deref().map(known_machine).transpose()?,
            origin: Some(HostOrigin::Api),
        };
        Ok((self.with(entry), name))
    }

    /// With one changed, and its name as it is registered.
    ///
    /// # Errors
    /// It is not registered by API, or something of the change makes no sense.
    pub fn with_changed(&self, name: &str, change: HostChange) -> Result<(Self, String), ChangeError> {
        let old = self.registered_by_api(name)?;
        if let Some(key) = change.remove_labels.iter().find(|key| change.set_labels.contains_key(*key)) {
            let problem = format!("label '{key}' is also in set_labels");
            return Err(ChangeError::Invalid { field: "remove_labels", problem });
        }
        if let Some(both) = change.settings.said().iter().find(|one| change.reset_settings.contains(one)) {
            let problem = format!("{both} is also in settings");
            return Err(ChangeError::Invalid { field: "reset_settings", problem });
        }
        let mut entry = HostEntry::clone(&old);
        if let Some(address) = change.address {
            self.address_is_free(&address, &entry.name)?;
            entry.address = Some(address);
        }
        entry.labels.retain(|key, _| !change.remove_labels.contains(key));
        entry.labels.extend(change.set_labels);
        check_labels("set_labels", &entry.labels)?;
        entry.maintenance = change.maintenance.unwrap_or(entry.maintenance);
        change.reset_settings.iter().for_each(|setting| entry.settings.clear(*setting));
        entry.settings = change.settings.over(&entry.settings);
        if let Some(id) = change.machine_id {
            entry.machine_id =
                Some(id).filter(|id| !id.is_empty()).as_deref().map(known_machine).transpose()?;
        }
        let name = entry.name.clone();
        Ok((self.with(entry), name))
    }

    /// Without one, and its name as it was registered.
    ///
    /// # Errors
    /// It is not registered by API.
    pub fn without(&self, name: &str) -> Result<(Self, String), ChangeError> {
        let name = self.registered_by_api(name)?.name.clone();
        let mut left = self.clone();
        left.hosts.remove(&name);
        Ok((left, name))
    }

    fn with(&self, entry: HostEntry) -> Self {
        let mut changed = self.clone();
        changed.hosts.insert(entry.name.clone(), Arc::new(entry));
        changed
    }

    fn registered_by_api(&self, name: &str) -> Result<Arc<HostEntry>, ChangeError> {
        let host = self.get(&name.to_ascii_lowercase());
        let host = host.ok_or_else(|| {
            let name = vmuster_proto::model::printable(name, LABEL_MAX_BYTES);
            ChangeError::NotRegistered(name)
        })?;
        if host.origin == Some(HostOrigin::Api) {
            Ok(Arc::clone(host))
        } else {
            Err(ChangeError::ReadOnly(host.name.clone()))
        }
    }

    fn address_is_free(&self, address: &PeerAddress, name: &str) -> Result<(), ChangeError> {
        let other = self.iter().find(|host| host.address.as_ref() == Some(address) && host.name != name);
        other.map_or(Ok(()), |other| Err(ChangeError::SameAddress(other.name.clone())))
    }
}

fn known_machine(id: &str) -> Result<String, ChangeError> {
    machine_id(id).map_err(|error| ChangeError::Invalid { field: "machine_id", problem: error.to_string() })
}

fn check_labels(field: &'static str, labels: &BTreeMap<String, String>) -> Result<(), ChangeError> {
    let wrong = |problem: String| Err(ChangeError::Invalid { field, problem });
    if labels.len() > LABELS_MAX {
        return wrong(format!("{} labels, limit {LABELS_MAX}", labels.len()));
    }
    for (key, value) in labels {
        if key.is_empty() || key.contains('=') {
            return wrong(format!("'{key}' is no key of a label: it is empty, or has a '='"));
        }
        let is_odd = |text: &String| text.len() > LABEL_MAX_BYTES || text.contains(char::is_control);
        if is_odd(key) || is_odd(value) {
            let key = vmuster_proto::model::printable(key, LABEL_MAX_BYTES);
            return wrong(format!(
                "label '{key}' is over {LABEL_MAX_BYTES} bytes, or has control characters"
            ));
        }
    }
    Ok(())
}
