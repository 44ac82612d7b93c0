//! One batch: instance after instance, each on what those before it left.
//!
//! Knows the best host of each class, and how to undo. Must not know how the best is found, nor what becomes of the
//! decision. Whoever asks in between does not exist: the columns are borrowed until all is decided or undone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    cells::CellUse,
    classes::Classes,
    columns::{Columns, Direction, Held, NO_POOL},
    decision::{Decision, Explanation, Placed, Refusal},
    explain,
    need::{Lists, Need},
    numa::{self, NumaPlacement},
    related::Related,
    request::{Batch, Completeness, Demand, Group},
    solver::Then,
};

/// Different demands whose refusal is explained, however many hosts there are; each costs a look at all of them.
const EXPLAINED_MAX: usize = 32;

/// Looks at a host that further ones may cost: some milliseconds. Where hosts are few all are explained.
const EXPLAINED_LOOKS_MAX: usize = 1 << 16;

/// Where an instance went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub(super) host: usize,
    pub(super) score: f64,
    /// Where its disks begin in [`Run::disks`].
    pub(super) disks_start: usize,
    /// Where its cells are in [`Run::cells`]. None: it floats.
    pub(super) cells: Option<usize>,
    pub(super) is_over_committed: bool,
}

/// See above.
pub(super) struct Run<'a> {
    pub(super) batch: &'a Batch,
    lists: &'a Lists,
    pub(super) columns: &'a mut Columns,
    pub(super) classes: &'a mut Classes,
    /// Places of classes that were asked for already, by where their demands are.
    places: BTreeMap<*const Demand, usize>,
    evictions: u64,
    pub(super) spots: Vec<Option<Spot>>,
    /// Pools and sizes, one instance after the other.
    pub(super) disks: Vec<(u32, u64)>,
    pub(super) cells: Vec<Arc<NumaPlacement>>,
    pub(super) refusals: Vec<Refusal>,
    explained: HashMap<Arc<Demand>, Arc<Explanation>>,
    /// Of groups with rules: they share none.
    explained_related: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        batch: &'a Batch,
        lists: &'a Lists,
        columns: &'a mut Columns,
        classes: &'a mut Classes,
    ) -> Self {
        let evictions = classes.evictions;
        Self {
            batch,
            lists,
            columns,
            classes,
            places: BTreeMap::new(),
            evictions,
            spots: Vec::new(),
            disks: Vec::new(),
            cells: Vec::new(),
            refusals: Vec::new(),
            explained: HashMap::new(),
            explained_related: 0,
        }
    }

    pub(super) fn decide(mut self, then: Then) -> Decision {
        if let Some(forced) = &self.batch.forced {
            return self.decide_forced(forced, then);
        }
        if self.batch.groups.len() > 1 {
            let demands = self.batch.groups.iter().map(|group| &group.demand);
            self.classes.make(demands, self.batch.profile, self.lists, self.columns);
            self.evictions = self.classes.evictions;
        }
        let mut related = Related::new(self.batch, self.columns);
        for (number, group) in self.batch.groups.iter().enumerate() {
            let count = group.count as usize;
            let start = self.spots.len();
            let placed = match &mut related {
                Some(related) if !group.rules.is_empty() => self.place_related(related, number),
                _ => self.place_group(&group.demand, count),
            };
            if placed < count {
                self.refuse(number, start + placed, related.as_ref());
                self.spots.resize(start + count, None);
                if self.batch.completeness == Completeness::All {
                    break;
                }
            }
        }
        self.finish(then, Vec::new())
    }

    /// How many of so many; one that finds no host is the last, for nothing comes free in between.
    fn place_group(&mut self, demand: &Arc<Demand>, count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        let place = self.class_place(demand);
        for placed in 0..count {
            let mut class = self.classes.current(place, self.columns);
            let Some((host, score)) = class.best() else { return placed };
            self.take_at(demand, place, host, score);
        }
        count
    }

    /// With its disks in the first pools that have room.
    pub(super) fn take_at(&mut self, demand: &Demand, place: usize, host: usize, score: f64) {
        let disks_start = self.disks.len();
        let row = self.columns.row(host);
        if let Some(plan) = self.classes.need(place).disk_plan(row.shape) {
            super::disks::assign(plan, &demand.disks, self.columns, row, &mut self.disks);
        }
        let cells = self.lay_cells(demand, host);
        self.take(demand, Spot { host, score, disks_start, cells, is_over_committed: false });
    }

    /// On a host where they fit. None: the instance floats.
    pub(super) fn lay_cells(&mut self, demand: &Demand, host: usize) -> Option<usize> {
        let guest = demand.numa.as_ref()?;
        let placed = self.columns.host(host).cells.as_ref()?.place(guest).ok()?;
        self.cells.push(Arc::new(placed));
        Some(self.cells.len() - 1)
    }

    pub(super) fn class_place(&mut self, demand: &Arc<Demand>) -> usize {
        if let Some(place) = self.places.get(&Arc::as_ptr(demand)) {
            return *place;
        }
        let place = self.classes.place(demand, self.batch.profile, self.lists, self.columns);
        if self.classes.evictions != self.evictions {
            self.places.clear();
            self.evictions = self.classes.evictions;
        }
        if self.batch.groups.len() > 1 {
            self.places.insert(Arc::as_ptr(demand), place);
        }
        place
    }

    pub(super) fn take(&mut self, demand: &Demand, spot: Spot) {
        self.columns.hold(spot.host, held(demand, &spot, &self.disks, &self.cells), Direction::Take);
        self.spots.push(Some(spot));
    }

    fn refuse(&mut self, group: usize, instance: usize, related: Option<&Related>) {
        let Group { demand, rules, .. } = &self.batch.groups[group];
        if let Some(related) = related.filter(|_| !rules.is_empty()) {
            // Rules say something else of each group, and after each placement.
            let explanation = self.may_explain(self.explained_related).then(|| {
                self.explained_related += 1;
                let mut need = Need::new(demand, self.lists.clone(), self.columns);
                need.verdicts = Some(related.verdicts(group, rules, self.columns));
                Arc::new(explain::explain(&need, self.columns))
            });
            return self.push_refusal(group, instance, explanation);
        }
        let known = self.explained.get(demand).map(Arc::clone);
        let explanation = known.or_else(|| {
            self.may_explain(self.explained.len()).then(|| {
                let need = Need::new(demand, self.lists.clone(), self.columns);
                let explanation = Arc::new(explain::explain(&need, self.columns));
                self.explained.insert(Arc::clone(demand), Arc::clone(&explanation));
                explanation
            })
        });
        self.push_refusal(group, instance, explanation);
    }

    /// Whether one more is explained, after so many.
    fn may_explain(&self, explained: usize) -> bool {
        explained < EXPLAINED_MAX || explained.saturating_mul(self.columns.len()) < EXPLAINED_LOOKS_MAX
    }

    /// This instance of this group found no host, nor did those of the group after it.
    pub(super) fn push_refusal(
        &mut self,
        group: usize,
        instance: usize,
        explanation: Option<Arc<Explanation>>,
    ) {
        let before: usize = self.batch.groups[..group].iter().map(|group| group.count as usize).sum();
        let placed = u32::try_from(instance - before).unwrap_or(u32::MAX);
        let refused_count = self.batch.groups[group].count - placed;
        self.refusals.push(Refusal { group, instance, refused_count, explanation });
    }

    /// Whether what was asked for is met.
    pub(super) fn is_granted(&self, placed_count: usize) -> bool {
        match self.batch.completeness {
            Completeness::All => self.refusals.is_empty(),
            Completeness::AtLeast(least) => placed_count >= least as usize,
            Completeness::BestEffort => true,
        }
    }

    pub(super) fn finish(mut self, then: Then, skipped: Vec<super::decision::Miss>) -> Decision {
        let placed_count = self.spots.iter().flatten().count();
        let is_granted = self.is_granted(placed_count);
        let total = self.batch.groups.iter().map(|group| group.count as usize).sum();
        self.spots.resize(total, None);
        let placements = if is_granted { self.placements() } else { vec![None; total] };
        if !is_granted || then == Then::Undo {
            self.undo();
        }
        Decision {
            placements,
            refusals: self.refusals,
            is_granted,
            placed_count: u32::try_from(placed_count).unwrap_or(u32::MAX),
            skipped,
        }
    }

    fn demands(&self) -> impl DoubleEndedIterator<Item = &'a Demand> + use<'a> {
        let groups = self.batch.groups.iter();
        groups.flat_map(|group| std::iter::repeat_n(&*group.demand, group.count as usize))
    }

    fn placements(&self) -> Vec<Option<Placed>> {
        let placed = |(spot, demand): (&Option<Spot>, &Demand)| {
            let spot = spot.as_ref()?;
            let disks = &self.disks[spot.disks_start..];
            let pool = |(pool, _): &(u32, u64)| {
                (*pool != NO_POOL).then(|| self.columns.pools.row(*pool).key.clone())
            };
            Some(Placed {
                host: Arc::clone(&self.columns.host(spot.host).name),
                score: spot.score,
                disks: disks.iter().take(demand.disks.len()).map(pool).collect(),
                cells: spot.cells.map(|at| Arc::clone(&self.cells[at])),
                is_over_committed: spot.is_over_committed,
            })
        };
        self.spots.iter().zip(self.demands()).map(placed).collect()
    }

    /// Gives all back, the last first.
    pub(super) fn undo(&mut self) {
        let total: usize = self.spots.len();
        let demands: Vec<&Demand> = self.demands().take(total).collect();
        let taken = self.spots.iter().zip(demands).rev().filter_map(|(spot, demand)| {
            let spot = spot.as_ref()?;
            Some((spot.host, held(demand, spot, &self.disks, &self.cells)))
        });
        self.columns.give_back(taken);
    }
}

/// What an instance takes, of the disks and cells of all.
fn held<'a>(
    demand: &Demand,
    spot: &Spot,
    disks: &'a [(u32, u64)],
    cells: &'a [Arc<NumaPlacement>],
) -> Held<'a> {
    let cells = spot.cells.map(|at| &cells[at].taken);
    let disks = &disks[spot.disks_start..];
    Held {
        vcpus: u64::from(demand.floating_vcpus()),
        memory_bytes: cells.map_or(demand.memory.0, numa::Taken::ordinary_memory_bytes),
        disks: &disks[..demand.disks.len().min(disks.len())],
        cells: cells.map_or(CellUse::Floats(demand.memory.0), CellUse::Bound),
        is_starting: true,
    }
}
