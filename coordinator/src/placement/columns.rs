//! All hosts, in columns that a search reads from end to end.
//!
//! Knows every host and pool, what is promised of each now, and what changed since when. Must not know demands. The
//! figures are the hosts' own (`hosts`, `pools`): rows and facts are made of them, and only for what changed.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use super::{
    cells::CellUse,
    changes::Changes,
    distinct::{Distinct, UNKNOWN},
    host::{AnswersTo, GuestCpu, HostPool, PlacementHost, Pool, PoolKey, Resource},
    pools::Pools,
    weighers::Load,
};

/// What is read of a host for each placement: one line of a machine's cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Row {
    pub(super) load: Load,
    /// The most that one instance can get; 0 where it is not known.
    pub(super) memory_room: u64,
    /// As above. No instance has more than fit here.
    pub(super) vcpus_room: u32,
    /// Of its list of pools, without which pools they are.
    pub(super) shape: u32,
    pools_start: u32,
}

const _: () = assert!(size_of::<Row>() == 64);

/// What is read of a host once for each demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) is_known: bool,
    pub(super) in_maintenance: bool,
    pub(super) arch: u32,
    pub(super) labels: u32,
    pub(super) guest: u32,
    /// Of its guest CPU; the largest number where that is not known.
    feature_count: u32,
}

/// A host's list of pools, without which pools they are.
pub(super) type Shape = Vec<AnswersTo>;

/// Stands for the pool of a disk that has none: capacity was ignored. Nothing is held there.
pub(super) const NO_POOL: u32 = u32::MAX;

/// What an instance holds, or held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) vcpus: u64,
    pub(super) memory_bytes: u64,
    /// Numbers of pools, and bytes.
    pub(super) disks: &'a [(u32, u64)],
    pub(super) cells: CellUse<'a>,
    /// The host does not show it yet.
    pub(super) is_starting: bool,
}

/// Whether something is taken or given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Take,
    GiveBack,
}

impl Direction {
    pub(super) fn apply(self, promised: u64, amount: u64) -> u64 {
        match self {
            Self::Take => promised.saturating_add(amount),
            Self::GiveBack => promised.saturating_sub(amount),
        }
    }
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Sorted by name.
    hosts: Vec<PlacementHost>,
    rows: Vec<Row>,
    facts: Vec<Facts>,
    /// When any of a host's facts changed, or its shape.
    facts_changed: Vec<u64>,
    /// Of all hosts, the latest.
    facts_changed_last: u64,
    /// Numbers of the hosts' pools; where a host's begin is in its row.
    pool_numbers: Vec<u32>,
    pub(super) pools: Pools,
    pub(super) arches: Distinct<String>,
    pub(super) labels: Distinct<BTreeMap<String, String>>,
    pub(super) guests: Distinct<GuestCpu>,
    pub(super) shapes: Distinct<Shape>,
    generation: u64,
    /// When anything changed but by taking: only since then may a host that was too full have room.
    gained_at: u64,
    host_changes: Changes,
    pool_changes: Changes,
}

impl Columns {
    /// Of these hosts and pools, in any order.
    pub(super) fn new(hosts: BTreeMap<Arc<str>, PlacementHost>, pools: &[Pool]) -> Self {
        let mut columns = Self::default();
        for pool in pools {
            columns.set_pool(pool);
        }
        columns.host_changes.resize(hosts.len());
        for host in hosts.into_values() {
            let index = columns.hosts.len();
            columns.rows.push(Row::default());
            columns.facts.push(Facts {
                is_known: false,
                in_maintenance: false,
                arch: UNKNOWN,
                labels: UNKNOWN,
                guest: UNKNOWN,
                feature_count: u32::MAX,
            });
            columns.facts_changed.push(0);
            columns.hosts.push(PlacementHost { pools: None, ..PlacementHost::new(Arc::clone(&host.name)) });
            columns.replace(index, host);
        }
        columns
    }

    /// To build anew.
    pub(super) fn into_parts(self) -> (Vec<PlacementHost>, Vec<Pool>) {
        (self.hosts, self.pools.into_said())
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn host(&self, index: usize) -> &PlacementHost {
        &self.hosts[index]
    }

    pub(super) fn row(&self, index: usize) -> &Row {
        &self.rows[index]
    }

    pub(super) fn facts(&self, index: usize) -> &Facts {
        &self.facts[index]
    }

    /// Whether since this generation instances took, and nothing else changed.
    pub(super) fn is_only_taken(&self, generation: u64) -> bool {
        self.gained_at <= generation
    }

    /// Whether any host's facts changed after this generation.
    pub(super) fn have_facts_changed(&self, generation: u64) -> bool {
        self.facts_changed_last > generation
    }

    /// Whether this host's did.
    pub(super) fn facts_changed(&self, index: usize, generation: u64) -> bool {
        self.facts_changed[index] > generation
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.hosts.binary_search_by(|host| host.name.as_ref().cmp(name)).ok()
    }

    /// The number of the pool at this place in the host's list.
    #[inline]
    pub(super) fn pool_at(&self, row: &Row, position: u32) -> u32 {
        self.pool_numbers[(row.pools_start + position) as usize]
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Hosts that changed after this generation.
    pub(super) fn hosts_since(&self, generation: u64) -> impl Iterator<Item = usize> {
        self.host_changes.since(generation)
    }

    /// Shared pools that changed after this generation.
    pub(super) fn pools_since(&self, generation: u64) -> impl Iterator<Item = usize> {
        self.pool_changes.since(generation)
    }

    fn mark_host(&mut self, index: usize) {
        self.generation += 1;
        self.host_changes.mark(number(index), self.generation);
    }

    fn mark_pool(&mut self, pool: u32) {
        self.generation += 1;
        self.pool_changes.mark(pool, self.generation);
    }

    /// The host at this place is now this one, of the same name.
    pub(super) fn replace(&mut self, index: usize, host: PlacementHost) {
        let old_pools = self.hosts[index].pools.take();
        let is_shape_new = old_pools != host.pools || self.facts_changed[index] == 0;
        self.hosts[index] = host;
        if is_shape_new {
            self.set_host_pools(index, old_pools.as_deref().unwrap_or_default());
        }
        let host = &self.hosts[index];
        let old = self.facts[index];
        let arch = host.arch.as_ref().map(|arch| Arc::new(arch.clone()));
        let features = host.guest.as_ref().and_then(|guest| u32::try_from(guest.features.len()).ok());
        let facts = Facts {
            is_known: host.unknown.is_none(),
            in_maintenance: host.maintenance,
            arch: arch.map_or(UNKNOWN, |arch| self.arches.number(&arch)),
            labels: self.labels.number(&Arc::new(host.labels.clone())),
            guest: host.guest.as_ref().map_or(UNKNOWN, |guest| self.guests.number(guest)),
            feature_count: features.unwrap_or(u32::MAX),
        };
        self.facts[index] = facts;
        self.refresh(index);
        self.mark_host(index);
        self.gained_at = self.generation;
        if is_shape_new || facts != old {
            self.facts_changed[index] = self.generation;
            self.facts_changed_last = self.generation;
        }
    }

    fn set_host_pools(&mut self, index: usize, old: &[HostPool]) {
        let mut touched: BTreeSet<u32> = old.iter().filter_map(|pool| self.pools.find(&pool.pool)).collect();
        for pool in &touched {
            self.pools.leave(*pool, number(index));
        }
        let pools_start = number(self.pool_numbers.len());
        let listed = self.hosts[index].pools.as_deref();
        for pool in listed.unwrap_or_default() {
            let pool = self.pools.number(&pool.pool);
            self.pools.join(pool, number(index));
            self.pool_numbers.push(pool);
            touched.insert(pool);
        }
        let shape =
            |listed: &[HostPool]| -> Shape { listed.iter().map(|pool| pool.answers_to.clone()).collect() };
        let shape = listed.map_or(UNKNOWN, |listed| self.shapes.number(&Arc::new(shape(listed))));
        let row = &mut self.rows[index];
        (row.shape, row.pools_start) = (shape, pools_start);
        self.pool_changes.resize(self.pools.len());
        for pool in touched {
            self.find_shared(pool);
        }
    }

    /// Whether a pool is shared decides who keeps account of it.
    fn find_shared(&mut self, pool: u32) {
        if self.pools.find_shared(pool) {
            self.mark_pool(pool);
            self.refresh_hosts_of(pool);
        }
    }

    fn refresh_hosts_of(&mut self, pool: u32) {
        for place in 0..self.pools.row(pool).hosts.len() {
            let index = self.pools.row(pool).hosts[place] as usize;
            self.refresh(index);
            self.mark_host(index);
        }
    }

    /// What was said of a pool, or is not true any more.
    pub(super) fn set_pool(&mut self, pool: &Pool) {
        let number = self.pools.number(&pool.key);
        self.say(number, Some(pool));
    }

    pub(super) fn remove_pool(&mut self, key: &PoolKey) -> bool {
        let Some(number) = self.pools.find(key) else { return false };
        let was_known = self.pools.row(number).resource.is_some();
        self.say(number, None);
        was_known
    }

    fn say(&mut self, pool: u32, said: Option<&Pool>) {
        self.pool_changes.resize(self.pools.len());
        self.pools.set(pool, said);
        self.find_shared(pool);
        if self.pools.row(pool).is_shared {
            self.mark_pool(pool);
        } else {
            self.refresh_hosts_of(pool);
        }
        self.gained_at = self.generation;
    }

    /// An instance takes what it needs of this host, or gives it back.
    pub(super) fn hold(&mut self, index: usize, held: Held<'_>, direction: Direction) {
        self.count(index, held, direction);
        self.refresh(index);
        self.mark_host(index);
        if direction == Direction::GiveBack {
            self.gained_at = self.generation;
        }
    }

    /// These hosts get back what was held; the last first.
    pub(super) fn give_back<'a>(&mut self, all: impl Iterator<Item = (usize, Held<'a>)>) {
        let mut touched = Vec::new();
        for (index, held) in all {
            self.count(index, held, Direction::GiveBack);
            if touched.last() != Some(&index) {
                touched.push(index);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for index in touched {
            self.refresh(index);
            self.mark_host(index);
        }
        self.gained_at = self.generation;
    }

    /// The figures alone; the row is another's business.
    fn count(&mut self, index: usize, held: Held<'_>, direction: Direction) {
        for (pool, bytes) in held.disks.iter().filter(|(pool, _)| *pool != NO_POOL) {
            let change =
                |resource: &mut Resource| resource.promised = direction.apply(resource.promised, *bytes);
            self.pools.change(*pool, change);
            let row = self.pools.row(*pool);
            if row.is_shared {
                self.mark_pool(*pool);
            } else if row.hosts.first().is_some_and(|only| *only as usize != index) {
                // Through a host that does not list it.
                self.refresh_hosts_of(*pool);
            }
        }
        let host = &mut self.hosts[index];
        for (resource, amount) in [(&mut host.vcpus, held.vcpus), (&mut host.memory, held.memory_bytes)] {
            if let Some(resource) = resource {
                resource.promised = direction.apply(resource.promised, amount);
            }
        }
        if let Some(cells) = host.cells.as_mut().filter(|_| !matches!(held.cells, CellUse::Unchanged)) {
            Arc::make_mut(cells).hold(held.cells, direction);
        }
        if held.is_starting {
            host.starting = match direction {
                Direction::Take => host.starting.saturating_add(1),
                Direction::GiveBack => host.starting.saturating_sub(1),
            };
        }
    }

    /// Makes the row anew of what is so now.
    fn refresh(&mut self, index: usize) {
        let host = &self.hosts[index];
        let start = self.rows[index].pools_start as usize;
        let listed = host.pools.as_ref().map_or(0, Vec::len);
        let numbers = &self.pool_numbers[start..start + listed];
        let (mut left, mut promisable) = (0_u64, 0_u64);
        for (place, number) in numbers.iter().enumerate() {
            let row = self.pools.row(*number);
            // A host may know one pool by several names.
            if row.is_shared || numbers[..place].contains(number) {
                continue;
            }
            if let Some(resource) = &row.resource {
                left = left.saturating_add(resource.headroom());
                promisable = promisable.saturating_add(resource.promisable);
            }
        }
        let feature_count = self.facts[index].feature_count;
        let row = &mut self.rows[index];
        row.load = Load::new(host.vcpus, host.memory, (left, promisable), feature_count, host.starting);
        let vcpus_room = host.vcpus.as_ref().map_or(0, Resource::room);
        row.vcpus_room = u32::try_from(vcpus_room).unwrap_or(u32::MAX);
        row.memory_room = host.memory.as_ref().map_or(0, Resource::room);
    }

    /// Whether so much is left over of hosts and values that were replaced that building anew is worth it.
    pub(super) fn is_worn(&self) -> bool {
        /// Below it, what is left over costs less than building anew.
        const LEFT_OVER_MIN: usize = 4096;
        let live: usize = 4 * self.len() + LEFT_OVER_MIN;
        let values = self.labels.values().len() + self.guests.values().len() + self.shapes.values().len();
        values + self.arches.values().len() > live || self.pool_numbers.len() > 8 * live
    }
}

/// A registry has some million hosts at most.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
