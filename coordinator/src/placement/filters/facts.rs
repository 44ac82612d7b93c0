//! Filters that no placement changes.
//!
//! Knows what a host is, not how full it is.

use super::{super::distinct::UNKNOWN, Columns, Filter, FilterName, Lack, Need};

/// Something is known of the host.
pub(super) struct Known;
/// The host takes new guests.
pub(super) struct Maintenance;
/// The host is among those asked for.
pub(super) struct AllowList;
/// The host is not among those ruled out.
pub(super) struct Excluded;
/// The host's architecture.
pub(super) struct Arch;
/// The host's labels.
pub(super) struct Labels;
/// Required and forbidden features of guests.
pub(super) struct CpuFeatures;
/// A CPU model that the host runs as it is.
pub(super) struct CpuModel;

/// Names in a text; the rest is counted.
const NAMED_MAX: usize = 8;

impl Filter for Known {
    fn name(&self) -> FilterName {
        FilterName::Known
    }

    fn passes(&self, _: &Need, columns: &Columns, host: usize) -> bool {
        columns.facts(host).is_known
    }

    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        (!self.passes(need, columns, host)).then_some(Lack::Unknown)
    }

    fn text(&self, _: &Need, columns: &Columns, host: usize) -> String {
        let why = columns.host(host).unknown.as_deref().unwrap_or_default();
        format!("nothing is known of it: {why}")
    }
}

impl Filter for Maintenance {
    fn name(&self) -> FilterName {
        FilterName::Maintenance
    }

    fn passes(&self, _: &Need, columns: &Columns, host: usize) -> bool {
        !columns.facts(host).in_maintenance
    }

    fn text(&self, _: &Need, _: &Columns, _: usize) -> String {
        "it is in maintenance".to_owned()
    }
}

impl Filter for AllowList {
    fn name(&self) -> FilterName {
        FilterName::AllowList
    }

    fn asks(&self, need: &Need) -> bool {
        need.lists.has_admitted()
    }

    fn passes(&self, need: &Need, _: &Columns, host: usize) -> bool {
        need.lists.admits(host)
    }

    fn text(&self, _: &Need, _: &Columns, _: usize) -> String {
        "it is not among the hosts that were asked for".to_owned()
    }
}

impl Filter for Excluded {
    fn name(&self) -> FilterName {
        FilterName::Excluded
    }

    fn asks(&self, need: &Need) -> bool {
        need.lists.has_excluded()
    }

    fn passes(&self, need: &Need, _: &Columns, host: usize) -> bool {
        !need.lists.excludes(host)
    }

    fn text(&self, _: &Need, _: &Columns, _: usize) -> String {
        "it was ruled out by the request".to_owned()
    }
}

impl Filter for Arch {
    fn name(&self) -> FilterName {
        FilterName::Arch
    }

    fn asks(&self, need: &Need) -> bool {
        need.demand.arch.is_some()
    }

    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool {
        need.takes_arch(columns.facts(host).arch)
    }

    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        let is_known = columns.facts(host).arch != UNKNOWN;
        let lack = if is_known { Lack::Other } else { Lack::Unknown };
        (!self.passes(need, columns, host)).then_some(lack)
    }

    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String {
        let asked = need.demand.arch.as_deref().unwrap_or_default();
        match &columns.host(host).arch {
            Some(arch) => format!("its architecture is {arch}, not {asked}"),
            None => "its architecture is not known".to_owned(),
        }
    }
}

impl Filter for Labels {
    fn name(&self) -> FilterName {
        FilterName::Labels
    }

    fn asks(&self, need: &Need) -> bool {
        !need.demand.labels.is_empty()
    }

    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool {
        need.takes_labels(columns.facts(host).labels)
    }

    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String {
        let has = &columns.host(host).labels;
        let wrong = need.demand.labels.iter().filter(|(key, value)| has.get(*key) != Some(value));
        let lacking: Vec<String> = wrong.map(|(key, value)| format!("{key}={value}")).collect();
        format!("it does not have {}", named(&lacking))
    }
}

impl Filter for CpuFeatures {
    fn name(&self) -> FilterName {
        FilterName::CpuFeatures
    }

    fn asks(&self, need: &Need) -> bool {
        need.asks_features()
    }

    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool {
        need.takes_features(columns.facts(host).guest)
    }

    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        if self.passes(need, columns, host) {
            return None;
        }
        let Some(guest) = &columns.host(host).guest else { return Some(Lack::Unknown) };
        let demand = &need.demand;
        let missing = demand.required.len() - demand.required.intersection_len(&guest.features);
        let extra = demand.forbidden.intersection_len(&guest.features);
        Some(Lack::Features(u64::try_from(missing + extra).unwrap_or(u64::MAX)))
    }

    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String {
        let Some(guest) = &columns.host(host).guest else {
            return "what it can give to guests is not known".to_owned();
        };
        let missing = need.demand.required.difference(&guest.features);
        let extra = need.demand.forbidden.intersection(&guest.features);
        match (missing.is_empty(), extra.is_empty()) {
            (false, true) => format!("guests do not get {}", named(&missing.names())),
            (true, _) => format!("guests get {}", named(&extra.names())),
            (false, false) => {
                format!("guests do not get {}, and get {}", named(&missing.names()), named(&extra.names()))
            }
        }
    }
}

impl Filter for CpuModel {
    fn name(&self) -> FilterName {
        FilterName::CpuModel
    }

    fn asks(&self, need: &Need) -> bool {
        need.demand.cpu_model.is_some()
    }

    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool {
        need.takes_model(columns.facts(host).guest)
    }

    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        let is_known = columns.facts(host).guest != UNKNOWN;
        let lack = if is_known { Lack::Other } else { Lack::Unknown };
        (!self.passes(need, columns, host)).then_some(lack)
    }

    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String {
        match columns.host(host).guest {
            None => "the CPU models it can run are not known".to_owned(),
            Some(_) => {
                format!("it cannot run {} as it is", need.demand.cpu_model.as_deref().unwrap_or_default())
            }
        }
    }
}

fn named(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
