//! Hosts added, changed and removed.

use std::collections::BTreeMap;

use vmuster_proto::{
    model::{AllocationSettings, HostSummary, Setting},
    pb,
};

use super::{Client, nonsense};
use crate::exit::Failure;

/// A host to register.
pub(crate) struct NewHost {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) maintenance: bool,
    pub(crate) settings: AllocationSettings,
    pub(crate) machine_id: Option<String>,
}

/// A change to a host.
pub(crate) struct HostChange {
    pub(crate) name: String,
    pub(crate) set_labels: BTreeMap<String, String>,
    pub(crate) remove_labels: Vec<String>,
    pub(crate) address: Option<String>,
    pub(crate) maintenance: Option<bool>,
    pub(crate) settings: AllocationSettings,
    pub(crate) reset_settings: Vec<Setting>,
    /// Empty: any machine again.
    pub(crate) machine_id: Option<String>,
}

impl Client {
    pub(crate) async fn add_host(&mut self, new: NewHost) -> Result<HostSummary, Failure> {
        let request = self.request(pb::AddHostRequest {
            name: new.name,
            address: new.address,
            labels: new.labels.into_iter().collect(),
            maintenance: new.maintenance,
            settings: Some((&new.settings).into()),
            machine_id: new.machine_id,
        });
        let mut rpc = self.rpc.clone();
        summary(self.bounded(rpc.add_host(request)).await?.into_inner().host)
    }

    pub(crate) async fn update_host(&mut self, change: HostChange) -> Result<HostSummary, Failure> {
        let reset = change.reset_settings.into_iter();
        let request = self.request(pb::UpdateHostRequest {
            name: change.name,
            set_labels: change.set_labels.into_iter().collect(),
            remove_labels: change.remove_labels,
            address: change.address,
            maintenance: change.maintenance,
            settings: Some((&change.settings).into()),
            reset_settings: reset.map(|setting| pb::AllocationSetting::from(setting).into()).collect(),
            machine_id: change.machine_id,
        });
        let mut rpc = self.rpc.clone();
        summary(self.bounded(rpc.update_host(request)).await?.into_inner().host)
    }

    /// Gives the name it was registered under.
    pub(crate) async fn remove_host(&mut self, name: &str, force: bool) -> Result<String, Failure> {
        let request = self.request(pb::RemoveHostRequest { name: name.to_owned(), force });
        let mut rpc = self.rpc.clone();
        Ok(self.bounded(rpc.remove_host(request)).await?.into_inner().name)
    }
}

fn summary(host: Option<pb::HostSummary>) -> Result<HostSummary, Failure> {
    let host = host.ok_or_else(|| Failure::cannot_answer("the answer makes no sense: it lacks host"))?;
    HostSummary::try_from(host).map_err(nonsense)
}
