//! A batch for one host that the caller names.
//!
//! Knows that only what is consumed counts there, and what was passed over. Must not know other hosts.

use std::{collections::HashMap, sync::Arc};

use super::{
    batch::{Run, Spot},
    columns::{Columns, NO_POOL},
    decision::{Decision, Explanation, FilterName, Lack, Miss, NearMiss, Rejected},
    disks,
    filters::{self, FILTERS},
    host::Resource,
    need::{Lists, Need},
    related::Related,
    request::{Completeness, Demand, ForcedHost},
    solver::Then,
    weighers,
};

impl Run<'_> {
    pub(super) fn decide_forced(mut self, forced: &ForcedHost, then: Then) -> Decision {
        let mut needs: HashMap<&Arc<Demand>, Need> = HashMap::new();
        let mut skipped: Vec<Miss> = Vec::new();
        let host = self.columns.index_of(&forced.name);
        let mut related = Related::new(self.batch, self.columns);
        for (number, group) in self.batch.groups.iter().enumerate() {
            let count = group.count as usize;
            let start = self.spots.len();
            let need = needs
                .entry(&group.demand)
                .or_insert_with(|| Need::new(&group.demand, Lists::default(), self.columns));
            if let Some(host) = host {
                need.verdicts = None;
                skipped.extend(passed_over(need, self.columns, host));
            }
            while self.spots.len() < start + count {
                let Some(spot) = host.and_then(|host| self.spot(need, host, forced.ignore_capacity)) else {
                    break;
                };
                self.take(&group.demand, spot);
                let Some(related) = related.as_mut().filter(|_| !group.rules.is_empty()) else { continue };
                if let Some(verdict) = related.verdict(number, &group.rules, spot.host) {
                    need.verdicts = Some([(spot.host, verdict)].into());
                }
                related.join(&group.rules, spot.host);
            }
            if let Some(host) = host.filter(|_| need.verdicts.is_some()) {
                skipped.extend(passed_over(need, self.columns, host));
            }
            if self.spots.len() < start + count {
                let explanation = explain(need, self.columns, forced, host);
                self.push_refusal(number, self.spots.len(), Some(Arc::new(explanation)));
                self.spots.resize(start + count, None);
                if self.batch.completeness == Completeness::All {
                    break;
                }
            }
        }
        skipped.sort_by(|a, b| (a.filter, &a.text).cmp(&(b.filter, &b.text)));
        skipped.dedup();
        self.finish(then, skipped)
    }

    /// None: it cannot be placed there.
    pub(super) fn spot(&mut self, need: &Need, host: usize, ignore_capacity: bool) -> Option<Spot> {
        let fits = filters::fits(need, self.columns, host);
        let is_taken = fits || (ignore_capacity && can_be_counted(need, self.columns, host));
        if !self.columns.facts(host).is_known || !is_taken {
            return None;
        }
        let row = *self.columns.row(host);
        let disks_start = self.disks.len();
        let disks = &need.demand.disks;
        let plan = need.disk_plan(row.shape);
        match plan.filter(|plan| disks::fit(plan, self.columns, &row)) {
            Some(plan) => disks::assign(plan, disks, self.columns, &row, &mut self.disks),
            None => {
                let pools = plan.map(|plan| disks::first_pools(plan, disks, self.columns, &row));
                let pools = pools.unwrap_or_else(|| vec![None; disks.len()]);
                let taken = pools.into_iter().zip(disks);
                self.disks.extend(taken.map(|(pool, disk)| (pool.unwrap_or(NO_POOL), disk.size.0)));
            }
        }
        let cells = self.lay_cells(&need.demand, host);
        if need.demand.numa.is_some() && cells.is_none() {
            // Pins cannot be promised twice, whoever says so.
            self.disks.truncate(disks_start);
            return None;
        }
        let score = weighers::score(&self.batch.profile, need.added, &row.load);
        Some(Spot { host, score, disks_start, cells, is_over_committed: !fits })
    }
}

/// Whether sums stay numbers: what is taken over capacity must be given back exactly.
fn can_be_counted(need: &Need, columns: &Columns, host: usize) -> bool {
    let holds = |resource: Option<Resource>, asked: u64| {
        resource.is_none_or(|resource| resource.promised.checked_add(asked).is_some())
    };
    let row = columns.row(host);
    let pools =
        need.disk_plan(row.shape).map(|plan| disks::first_pools(plan, &need.demand.disks, columns, row));
    let mut pools = pools.into_iter().flatten().flatten();
    let host = columns.host(host);
    holds(host.vcpus, need.vcpus)
        && holds(host.memory, need.memory_bytes)
        && pools.all(|pool| holds(columns.pools.row(pool).resource, need.disk_total_bytes))
}

/// What would have refused the host, had it not been forced.
fn passed_over(need: &Need, columns: &Columns, host: usize) -> Vec<Miss> {
    let filters =
        FILTERS.iter().filter(|filter| !filter.is_consumable() && filter.name() != FilterName::Known);
    filters.filter_map(|filter| filter.miss(need, columns, host)).collect()
}

/// All that the host lacks of what counts there.
pub(super) fn explain(
    need: &Need,
    columns: &Columns,
    forced: &ForcedHost,
    host: Option<usize>,
) -> Explanation {
    let Some(host) = host else {
        let text = "there is no host of this name".to_owned();
        let miss = Miss { filter: FilterName::Known, lack: Lack::Other, text };
        let nearest = vec![NearMiss { host: Arc::clone(&forced.name), misses: vec![miss] }];
        return Explanation { host_count: 0, rejected: Vec::new(), nearest };
    };
    let counts =
        |filter: &&&dyn filters::Filter| filter.is_consumable() || filter.name() == FilterName::Known;
    let misses: Vec<Miss> =
        FILTERS.iter().filter(counts).filter_map(|filter| filter.miss(need, columns, host)).collect();
    let rejected = misses.first().map(|miss| Rejected {
        filter: miss.filter,
        host_count: 1,
        unknown_count: u32::from(miss.lack == Lack::Unknown),
    });
    let nearest = vec![NearMiss { host: Arc::clone(&forced.name), misses }];
    Explanation { host_count: 1, rejected: rejected.into_iter().collect(), nearest }
}
