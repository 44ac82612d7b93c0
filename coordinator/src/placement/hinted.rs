//! A batch whose caller says of each instance where it goes.
//!
//! Knows one host for each instance, which must pass all filters. Must not know how that host was found, nor other hosts:
//! where one of them does not do, nothing is placed, and it is for others to search.

use std::{collections::HashMap, sync::Arc};

use super::{
    batch::Run,
    decision::{Decision, FilterName, Lack, Miss},
    filters::{self, FILTERS},
    need::{Lists, Need},
    related::Related,
    request::Demand,
    solver::Then,
};

/// The first instance of a batch that cannot be on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotThere {
    /// Its place among all of the batch.
    pub instance: usize,
    /// All that its host lacks, in the filters' order.
    pub misses: Vec<Miss>,
    /// Whether others might make room for it: it is only what they hold that is lacking.
    pub is_for_want_of_room: bool,
}

impl Run<'_> {
    /// Places each instance on its host, one host check each. `checks` counts them.
    pub(super) fn decide_at(
        mut self,
        hosts: &[Arc<str>],
        lists: &Lists,
        then: Then,
        checks: &mut u64,
    ) -> Result<Decision, NotThere> {
        let batch = self.batch;
        let mut needs: HashMap<&Arc<Demand>, Need> = HashMap::new();
        let mut related = Related::new(batch, self.columns);
        let mut hosts = hosts.iter();
        for (number, group) in batch.groups.iter().enumerate() {
            let need = needs
                .entry(&group.demand)
                .or_insert_with(|| Need::new(&group.demand, lists.clone(), self.columns));
            for _ in 0..group.count {
                *checks += 1;
                let Some(host) = hosts.next().and_then(|name| self.columns.index_of(name)) else {
                    let text = "there is no host of this name".to_owned();
                    let miss = Miss { filter: FilterName::Known, lack: Lack::Other, text };
                    return Err(self.not_there(vec![miss]));
                };
                let verdict =
                    related.as_ref().and_then(|related| related.verdict(number, &group.rules, host));
                need.verdicts = verdict.map(|verdict| [(host, verdict)].into());
                let suits = filters::suits(need, self.columns, host);
                let Some(spot) = suits.then(|| self.spot(need, host, false)).flatten() else {
                    let misses = FILTERS.iter().filter_map(|filter| filter.miss(need, self.columns, host));
                    let misses = misses.collect();
                    return Err(self.not_there(misses));
                };
                self.take(&group.demand, spot);
                if let Some(related) = related.as_mut().filter(|_| !group.rules.is_empty()) {
                    related.join(&group.rules, host);
                }
            }
        }
        Ok(self.finish(then, Vec::new()))
    }

    /// Gives back what was placed before it.
    fn not_there(&mut self, misses: Vec<Miss>) -> NotThere {
        let instance = self.spots.len();
        self.undo();
        let is_room = |miss: &Miss| {
            let filter = FILTERS.iter().find(|filter| filter.name() == miss.filter);
            filter.is_some_and(|filter| filter.is_consumable())
        };
        let is_for_want_of_room = misses.iter().all(is_room);
        NotThere { instance, misses, is_for_want_of_room }
    }
}
