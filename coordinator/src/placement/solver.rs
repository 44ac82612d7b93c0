//! The solver: all hosts, and what is kept between decisions.
//!
//! Knows how hosts and pools come, change and go, and hands questions to those who answer them. Must not know where figures
//! come from, and how long a claim lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use vmuster_proto::model::Bytes;

use super::{
    batch::Run,
    cells::CellUse,
    classes::Classes,
    columns::{Columns, Direction, Held},
    decision::{Candidate, Decision, Estimate, Explanation, Placed},
    estimate, explain,
    filters::FILTERS,
    forced,
    hinted::NotThere,
    host::{PlacementHost, Pool, PoolKey},
    need::{Lists, Need},
    numa,
    related::Related,
    request::{Batch, Demand, ForcedHost, Question},
};

/// What is done with a decision that is granted. One that is not is always undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing is held: the next decision finds all as this one did.
    Undo,
    /// What was placed is held.
    Keep,
}

/// What is held of a host's NUMA cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CellsTaken {
    /// One instance that floats over all of them.
    #[default]
    Floats,
    /// This, by one instance.
    Bound(numa::Taken),
    /// Nothing.
    Unchanged,
}

/// What one instance holds of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// At most at any time.
    pub vcpus: u64,
    /// At most at any time.
    pub memory: Bytes,
    /// Of each pool; the same pool may stand here twice. Pools of which nothing was said are passed over.
    pub disks: Vec<(PoolKey, Bytes)>,
    /// Of NUMA cells.
    pub cells: CellsTaken,
    /// The host does not show it yet.
    pub is_starting: bool,
}

impl Taken {
    /// What [`Solver::decide`] takes for an instance that it keeps.
    #[must_use]
    pub fn of(demand: &Demand, placed: &Placed) -> Self {
        let disks = placed.disks.iter().zip(&demand.disks);
        Self {
            vcpus: u64::from(demand.floating_vcpus()),
            memory: Bytes(placed.ordinary_memory_bytes(demand)),
            disks: disks.filter_map(|(pool, disk)| Some((pool.clone()?, disk.size))).collect(),
            cells: match &placed.cells {
                Some(cells) => CellsTaken::Bound(cells.taken.clone()),
                None => CellsTaken::Floats,
            },
            is_starting: true,
        }
    }
}

/// What was done to decide, since the solver was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Batches that all hosts were searched for.
    pub search_count: u64,
    /// Hosts that were looked at because the caller named them for an instance.
    pub host_check_count: u64,
}

/// All hosts and pools, and for the classes of requests seen last the score of each host.
///
/// A decision costs what changed since the last one of its class, not the number of hosts.
#[derive(Debug, Default)]
pub struct Solver {
    columns: Columns,
    /// Not yet in the columns.
    arriving: BTreeMap<Arc<str>, PlacementHost>,
    /// Still in the columns.
    leaving: BTreeSet<Arc<str>>,
    classes: Classes,
    work: Work,
}

impl Solver {
    /// Without hosts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.index_of(name).filter(|_| !self.leaving.contains(name))
    }

    /// Inserts a host, or replaces the one of this name. Its figures are all that is promised there, claims included.
    pub fn set_host(&mut self, host: PlacementHost) {
        match self.index_of(&host.name) {
            Some(index) => self.columns.replace(index, host),
            None => {
                self.arriving.insert(Arc::clone(&host.name), host);
            }
        }
    }

    /// Whether there was one of this name. Its pools stay.
    pub fn remove_host(&mut self, name: &str) -> bool {
        if self.arriving.remove(name).is_some() {
            return true;
        }
        let found = self.index_of(name);
        if let Some(index) = found {
            self.leaving.insert(Arc::clone(&self.columns.host(index).name));
        }
        found.is_some()
    }

    /// Inserts a pool, or replaces the one of this key. Its figures are all that is promised there, claims included.
    pub fn set_pool(&mut self, pool: &Pool) {
        self.columns.set_pool(pool);
    }

    /// Whether there was one of this key. Hosts that list it: what is left there is not known from now on.
    pub fn remove_pool(&mut self, key: &PoolKey) -> bool {
        self.columns.remove_pool(key)
    }

    /// With what is promised now.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&PlacementHost> {
        self.arriving.get(name).or_else(|| Some(self.columns.host(self.index_of(name)?)))
    }

    /// With what is promised now.
    #[must_use]
    pub fn pool(&self, key: &PoolKey) -> Option<Pool> {
        self.columns.pools.said(key)
    }

    /// How many hosts there are.
    #[must_use]
    pub fn host_count(&self) -> usize {
        self.columns.len() - self.leaving.len() + self.arriving.len()
    }

    /// Hosts that come and go are taken in together, by the next question: each moves all that follow it.
    fn settle(&mut self) {
        if self.arriving.is_empty() && self.leaving.is_empty() && !self.columns.is_worn() {
            return;
        }
        let (hosts, pools) = mem::take(&mut self.columns).into_parts();
        let staying = hosts.into_iter().filter(|host| !self.leaving.contains(&host.name));
        let mut all: BTreeMap<Arc<str>, PlacementHost> =
            staying.map(|host| (Arc::clone(&host.name), host)).collect();
        all.append(&mut self.arriving);
        self.leaving.clear();
        self.columns = Columns::new(all, &pools);
        self.classes = Classes::default();
    }

    /// Places a batch. What is granted is held until it is released if it is to be kept; else all is as before.
    pub fn decide(&mut self, batch: &Batch, then: Then) -> Decision {
        self.settle();
        self.work.search_count += 1;
        let lists = Lists::new(batch.admitted.as_ref(), &batch.excluded, &self.columns);
        // Whoever names hosts, names others each time: that is not kept, and pushes nothing out.
        let mut own = Classes::default();
        let classes = if lists.are_empty() { &mut self.classes } else { &mut own };
        Run::new(batch, &lists, &mut self.columns, classes).decide(then)
    }

    /// Places each instance of a batch on the host that is named for it, in their order, if each passes all filters there;
    /// else all is as before. No other host is looked at. None is forced: the batch says so in another way.
    ///
    /// # Errors
    /// The first instance that cannot be on its host.
    pub fn decide_at(&mut self, batch: &Batch, hosts: &[Arc<str>], then: Then) -> Result<Decision, NotThere> {
        self.settle();
        let lists = Lists::new(batch.admitted.as_ref(), &batch.excluded, &self.columns);
        let mut unused = Classes::default();
        let run = Run::new(batch, &lists, &mut self.columns, &mut unused);
        run.decide_at(hosts, &lists, then, &mut self.work.host_check_count)
    }

    /// How much was done.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work
    }

    /// How many instances of a demand fit, on each host alone and in all.
    pub fn estimate(&mut self, question: &Question) -> Estimate {
        self.settle();
        let lists = Lists::new(question.admitted.as_ref(), &question.excluded, &self.columns);
        let mut own = Classes::default();
        let classes = if lists.are_empty() { &mut self.classes } else { &mut own };
        estimate::estimate(question, &lists, &self.columns, classes)
    }

    /// The best hosts for one instance, best first.
    pub fn candidates(&mut self, question: &Question, candidates_max: usize) -> Vec<Candidate> {
        self.settle();
        let lists = Lists::new(question.admitted.as_ref(), &question.excluded, &self.columns);
        let mut own = Classes::default();
        let classes = if lists.are_empty() { &mut self.classes } else { &mut own };
        estimate::candidates(question, &lists, &self.columns, classes, candidates_max)
    }

    /// What stands in the way of one instance, on the forced host if there is one.
    pub fn explain(&mut self, question: &Question, forced: Option<&ForcedHost>) -> Explanation {
        self.settle();
        let lists = Lists::new(question.admitted.as_ref(), &question.excluded, &self.columns);
        let mut need = Need::new(&question.demand, lists, &self.columns);
        let related = Related::of(question, &self.columns);
        need.verdicts = related.map(|related| related.verdicts(0, &question.rules, &self.columns));
        match forced {
            None => explain::explain(&need, &self.columns),
            Some(forced) => {
                forced::explain(&need, &self.columns, forced, self.columns.index_of(&forced.name))
            }
        }
    }

    /// Hosts that suit in all but room, whether they have it or not.
    pub fn suiting(&mut self, question: &Question) -> Vec<Arc<str>> {
        self.settle();
        let lists = Lists::new(question.admitted.as_ref(), &question.excluded, &self.columns);
        let need = Need::new(&question.demand, lists, &self.columns);
        let suits = |host: &usize| {
            let mut lasting = FILTERS.iter().filter(|filter| !filter.is_consumable());
            lasting.all(|filter| filter.passes(&need, &self.columns, *host))
        };
        (0..self.columns.len()).filter(suits).map(|host| Arc::clone(&self.columns.host(host).name)).collect()
    }

    /// An instance that was placed by somebody holds this from now on. False: there is no such host, and nothing changed.
    pub fn consume(&mut self, host: &str, taken: &Taken) -> bool {
        self.hold(host, taken, Direction::Take)
    }

    /// An instance holds this no more. False: there is no such host, and nothing changed.
    pub fn release(&mut self, host: &str, taken: &Taken) -> bool {
        self.hold(host, taken, Direction::GiveBack)
    }

    fn hold(&mut self, host: &str, taken: &Taken, direction: Direction) -> bool {
        self.settle();
        let Some(index) = self.columns.index_of(host) else { return false };
        let disks = taken.disks.iter();
        let disks: Vec<(u32, u64)> =
            disks.filter_map(|(pool, size)| Some((self.columns.pools.find(pool)?, size.0))).collect();
        let held = Held {
            vcpus: taken.vcpus,
            memory_bytes: taken.memory.0,
            disks: &disks,
            cells: match &taken.cells {
                CellsTaken::Floats => CellUse::Floats(taken.memory.0),
                CellsTaken::Bound(taken) => CellUse::Bound(taken),
                CellsTaken::Unchanged => CellUse::Unchanged,
            },
            is_starting: taken.is_starting,
        };
        self.columns.hold(index, held, direction);
        true
    }
}
