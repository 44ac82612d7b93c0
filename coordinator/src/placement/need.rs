//! A demand, made ready for many hosts.
//!
//! Knows which of the distinct architectures, sets of labels, guest CPUs and lists of pools do; each is looked at once,
//! however many hosts have it. Must not know how full hosts are.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    columns::{Columns, Shape},
    disks::{self, DiskPlan},
    distinct::UNKNOWN,
    host::GuestCpu,
    related::HostVerdicts,
    request::Demand,
    weighers::Added,
};

/// Hosts by index.
type Members = Vec<bool>;

/// Which hosts a batch admits at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists {
    /// None: all.
    admitted: Option<Members>,
    excluded: Option<Members>,
}

impl Lists {
    pub(super) fn new(
        admitted: Option<&BTreeSet<Arc<str>>>,
        excluded: &BTreeSet<Arc<str>>,
        columns: &Columns,
    ) -> Self {
        let members = |names: &BTreeSet<Arc<str>>| {
            let mut members = vec![false; columns.len()];
            for index in names.iter().filter_map(|name| columns.index_of(name)) {
                members[index] = true;
            }
            members
        };
        let excluded = (!excluded.is_empty()).then(|| members(excluded));
        Self { admitted: admitted.map(members), excluded }
    }

    /// Whether all hosts are admitted.
    pub(super) fn are_empty(&self) -> bool {
        !self.has_admitted() && !self.has_excluded()
    }

    pub(super) fn has_admitted(&self) -> bool {
        self.admitted.is_some()
    }

    pub(super) fn has_excluded(&self) -> bool {
        self.excluded.is_some()
    }

    pub(super) fn admits(&self, host: usize) -> bool {
        self.admitted.as_ref().is_none_or(|members| members[host])
    }

    pub(super) fn excludes(&self, host: usize) -> bool {
        self.excluded.as_ref().is_some_and(|members| members[host])
    }
}

/// See above.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) demand: Arc<Demand>,
    pub(super) added: Added,
    pub(super) vcpus: u64,
    pub(super) memory_bytes: u64,
    pub(super) lists: Lists,
    /// What rules say of each host, where anybody wants to know it: see [`super::related`].
    pub(super) verdicts: Option<HostVerdicts>,
    /// Of all disks together.
    pub(super) disk_total_bytes: u64,
    /// Of the smallest disk.
    pub(super) disk_least_bytes: u64,
    arches: Vec<bool>,
    labels: Vec<bool>,
    features: Vec<bool>,
    models: Vec<bool>,
    disks: Vec<DiskPlan>,
}

impl Need {
    pub(super) fn new(demand: &Arc<Demand>, lists: Lists, columns: &Columns) -> Self {
        let vcpus = u64::from(demand.floating_vcpus());
        let memory_bytes = demand.ordinary_memory_bytes();
        let sizes = || demand.disks.iter().map(|disk| disk.size.0);
        let mut need = Self {
            demand: Arc::clone(demand),
            added: Added::new(vcpus, memory_bytes),
            vcpus,
            memory_bytes,
            lists,
            verdicts: None,
            disk_total_bytes: sizes().fold(0, u64::saturating_add),
            disk_least_bytes: sizes().min().unwrap_or(0),
            arches: Vec::new(),
            labels: Vec::new(),
            features: Vec::new(),
            models: Vec::new(),
            disks: Vec::new(),
        };
        need.extend(columns);
        need
    }

    /// Looks at what came since the last time.
    pub(super) fn extend(&mut self, columns: &Columns) {
        let demand = &*self.demand;
        let has_arch = |arch: &Arc<String>| demand.arch.as_ref().is_none_or(|asked| *asked == **arch);
        extend(&mut self.arches, columns.arches.values(), has_arch);
        extend(&mut self.labels, columns.labels.values(), |labels| {
            demand.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        });
        extend(&mut self.features, columns.guests.values(), |guest: &Arc<GuestCpu>| {
            demand.required.intersection_len(&guest.features) == demand.required.len()
                && demand.forbidden.intersection_len(&guest.features) == 0
        });
        extend(&mut self.models, columns.guests.values(), |guest: &Arc<GuestCpu>| {
            demand.cpu_model.as_ref().is_none_or(|model| guest.usable_models.contains(model))
        });
        extend(&mut self.disks, columns.shapes.values(), |shape: &Arc<Shape>| {
            disks::plan(&demand.disks, shape)
        });
    }

    pub(super) fn asks_features(&self) -> bool {
        !self.demand.required.is_empty() || !self.demand.forbidden.is_empty()
    }

    pub(super) fn takes_arch(&self, arch: u32) -> bool {
        self.demand.arch.is_none() || (arch != UNKNOWN && self.arches[arch as usize])
    }

    pub(super) fn takes_labels(&self, labels: u32) -> bool {
        self.labels[labels as usize]
    }

    pub(super) fn takes_features(&self, guest: u32) -> bool {
        !self.asks_features() || (guest != UNKNOWN && self.features[guest as usize])
    }

    pub(super) fn takes_model(&self, guest: u32) -> bool {
        self.demand.cpu_model.is_none() || (guest != UNKNOWN && self.models[guest as usize])
    }

    /// Where the disks could be on hosts with this list of pools; None: the list is not known.
    #[inline]
    pub(super) fn disk_plan(&self, shape: u32) -> Option<&DiskPlan> {
        if shape == UNKNOWN { None } else { self.disks.get(shape as usize) }
    }
}

fn extend<T, V>(kept: &mut Vec<V>, values: &[Arc<T>], of: impl Fn(&Arc<T>) -> V) {
    let new = values.get(kept.len()..).unwrap_or_default();
    kept.extend(new.iter().map(of));
}
