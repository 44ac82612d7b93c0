//! Machine types and CPU models of a host as sets, made once a record: 10,000 hosts have some hundred of each, and to
//! compare them word by word would cost each question 100 ms.

use std::sync::{Arc, OnceLock};

use vmuster_proto::model::{Cpu, FeatureSet, Hypervisor, Inventory};

use super::HostRecord;

/// See [`HostRecord::machine_types`] and [`HostRecord::usable_models`].
#[derive(Debug, Default)]
pub struct GuestNames(Arc<SharedNames>);

/// Of all records with the same CPU and hypervisor.
#[derive(Debug, Default)]
pub(super) struct SharedNames {
    /// Held, not read: while these are there nothing else can be in their place.
    _of: (Option<Arc<Cpu>>, Option<Arc<Hypervisor>>),
    sets: OnceLock<Sets>,
}

impl SharedNames {
    pub(super) fn of(inventory: &Inventory) -> Self {
        Self { _of: (inventory.cpu.clone(), inventory.hypervisor.clone()), sets: OnceLock::new() }
    }
}

impl GuestNames {
    pub(super) fn shared(names: Arc<SharedNames>) -> Self {
        Self(names)
    }
}

#[derive(Debug)]
struct Sets {
    machine_types: Option<FeatureSet>,
    usable_models: Option<FeatureSet>,
}

impl Clone for GuestNames {
    /// Empty: whoever clones a record may give it another inventory.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for GuestNames {
    /// They follow from the inventory, which is compared.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for GuestNames {}

impl Sets {
    fn of(inventory: &Inventory) -> Self {
        let guest = inventory.cpu.as_ref().and_then(|cpu| cpu.guest.as_ref());
        let models = guest.map(|guest| guest.usable_models.as_slice());
        let machine_types =
            inventory.hypervisor.as_ref().map(|hypervisor| hypervisor.machine_types.as_slice());
        Self { machine_types: machine_types.and_then(reported), usable_models: models.and_then(reported) }
    }
}

/// An empty list is one that the host does not report.
fn reported(names: &[String]) -> Option<FeatureSet> {
    if names.is_empty() {
        return None;
    }
    let of_all = FeatureSet::from_names(names.iter().map(String::as_str));
    // A name that nobody would give cannot be common to all: it is left out, and the others stay.
    let of_good = || {
        let good = names.iter().filter_map(|name| FeatureSet::from_names([name.as_str()]).ok());
        good.fold(FeatureSet::default(), |all, one| all.union(&one))
    };
    Some(of_all.unwrap_or_else(|_| of_good()))
}

impl HostRecord {
    fn names(&self) -> &Sets {
        self.guest_names.0.sets.get_or_init(|| Sets::of(&self.inventory))
    }

    /// Machine types guests can have, aliases not counted. None: the host does not report any.
    #[must_use]
    pub fn machine_types(&self) -> Option<&FeatureSet> {
        self.names().machine_types.as_ref()
    }

    /// CPU models that run there as they are. None: the host does not report any.
    #[must_use]
    pub fn usable_models(&self) -> Option<&FeatureSet> {
        self.names().usable_models.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_not_reported_and_an_odd_name_costs_only_itself() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(reported(&[]), None);
        let odd = reported(&owned(&["pc-q35-7.2", "two words", "none"])).expect("it reports some");
        assert_eq!(odd.names(), ["none", "pc-q35-7.2"]);
    }
}
