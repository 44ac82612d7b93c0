//! What is kept of all hosts for one class of requests: which of them suit, and how good each is now.
//!
//! Knows one demand and profile. Must not know other classes, nor what is done with the best host. It is brought up to
//! date when it is asked, by what changed since: a class nobody asks for costs nothing.

use super::{
    columns::Columns,
    filters::{self, FILTERS},
    need::Need,
    request::Profile,
    weighers,
};

/// Hosts of a block: a machine word of them. The best of each block is kept, and the best of each so many blocks, so that
/// among 100,000 hosts the best is found by looking at 25 + 64 + 64 numbers.
const BLOCK: usize = 64;

/// The score of a host that cannot take it.
const NO: f64 = f64::NEG_INFINITY;

/// Whether a shared pool has room for the disks of a demand, as far as that decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PoolState {
    /// Nobody looked yet.
    Unseen,
    /// What is left is not known.
    Unknown,
    /// Not for the smallest disk.
    Nothing,
    /// For some of them: it depends on how much exactly.
    Some,
    /// For all of them at once.
    All,
}

#[derive(Debug)]
pub(super) struct Class {
    pub(super) need: Need,
    profile: Profile,
    /// Up to date with this generation.
    seen: u64,
    /// A bit for each host that suits in all that no placement changes.
    suiting: Vec<u64>,
    scores: Vec<f64>,
    blocks: Vec<f64>,
    blocks_of_blocks: Vec<f64>,
    /// As far as hosts were looked at with it.
    pools: Vec<PoolState>,
}

impl Class {
    /// Looks at every host, once.
    pub(super) fn new(need: Need, profile: Profile, columns: &Columns) -> Self {
        let mut class = Self::unseen(need, profile, columns);
        look([&mut class], columns);
        class
    }

    /// To be shown all hosts by [`look`].
    pub(super) fn unseen(need: Need, profile: Profile, columns: &Columns) -> Self {
        let block_count = columns.len().div_ceil(BLOCK);
        Self {
            need,
            profile,
            seen: columns.generation(),
            suiting: Vec::with_capacity(block_count),
            scores: vec![NO; columns.len()],
            blocks: Vec::with_capacity(block_count),
            blocks_of_blocks: Vec::with_capacity(block_count.div_ceil(BLOCK)),
            pools: Vec::new(),
        }
    }

    fn add_block(&mut self, start: usize, end: usize, columns: &Columns) {
        let mut passing = [true; BLOCK];
        let passing = &mut passing[..end - start];
        for filter in FILTERS.iter().filter(|filter| !filter.is_consumable() && filter.asks(&self.need)) {
            filter.pass(&self.need, columns, start..end, passing);
        }
        let mut bits = 0;
        let mut best = NO;
        for host in (start..end).filter(|host| passing[host - start]) {
            bits |= 1 << (host % BLOCK);
            let score = self.evaluate(host, columns);
            self.scores[host] = score;
            best = if score > best { score } else { best };
        }
        self.suiting.push(bits);
        self.blocks.push(best);
    }

    fn sum_up(&mut self, columns: &Columns) {
        self.blocks_of_blocks.extend(self.blocks.chunks(BLOCK).map(highest));
        if self.need.demand.disks.is_empty() {
            return;
        }
        let pools = 0..u32::try_from(columns.pools.len()).unwrap_or(u32::MAX);
        let states = pools.map(|pool| {
            if columns.pools.row(pool).is_shared { self.pool_state(pool, columns) } else { PoolState::Unseen }
        });
        self.pools = states.collect();
    }

    /// Of a host that suits.
    #[inline]
    fn evaluate(&self, host: usize, columns: &Columns) -> f64 {
        if filters::fits(&self.need, columns, host) {
            weighers::score(&self.profile, self.need.added, &columns.row(host).load)
        } else {
            NO
        }
    }

    fn suits(&self, host: usize) -> bool {
        self.suiting[host / BLOCK] & (1 << (host % BLOCK)) != 0
    }

    fn pool_state(&self, pool: u32, columns: &Columns) -> PoolState {
        match columns.pools.room(pool) {
            None => PoolState::Unknown,
            Some(room) if room >= self.need.disk_total_bytes => PoolState::All,
            Some(room) if room < self.need.disk_least_bytes => PoolState::Nothing,
            Some(_) => PoolState::Some,
        }
    }

    /// Looks again at what changed.
    #[inline]
    pub(super) fn catch_up(&mut self, columns: &Columns) {
        if self.seen == columns.generation() {
            return;
        }
        let have_facts_changed = columns.have_facts_changed(self.seen);
        let is_only_taken = columns.is_only_taken(self.seen);
        for host in columns.hosts_since(self.seen) {
            if have_facts_changed && columns.facts_changed(host, self.seen) {
                self.look_at_facts(host, columns);
            }
            // What was too full stays so while others only take.
            if self.suits(host) && !(is_only_taken && self.scores[host] == NO) {
                self.update(host, columns);
            }
        }
        if !self.need.demand.disks.is_empty() {
            self.catch_up_pools(columns);
        }
        self.seen = columns.generation();
    }

    #[cold]
    fn look_at_facts(&mut self, host: usize, columns: &Columns) {
        self.need.extend(columns);
        let bit = 1 << (host % BLOCK);
        if filters::suits(&self.need, columns, host) {
            self.suiting[host / BLOCK] |= bit;
        } else {
            self.suiting[host / BLOCK] &= !bit;
            self.set(host, NO);
        }
    }

    /// All hosts of a shared pool are looked at again only when the pool begins or ceases to have room.
    fn catch_up_pools(&mut self, columns: &Columns) {
        for pool in columns.pools_since(self.seen) {
            if self.pools.len() <= pool {
                self.pools.resize(columns.pools.len(), PoolState::Unseen);
            }
            let number = u32::try_from(pool).unwrap_or(u32::MAX);
            let state = self.pool_state(number, columns);
            let row = columns.pools.row(number);
            // One that became shared since has had all its hosts marked, so they were looked at above.
            if self.pools[pool] == state && state != PoolState::Some {
                continue;
            }
            self.pools[pool] = state;
            for host in row.hosts.iter().map(|host| *host as usize) {
                if self.suits(host) {
                    self.update(host, columns);
                }
            }
        }
    }

    fn update(&mut self, host: usize, columns: &Columns) {
        let score = self.evaluate(host, columns);
        self.set(host, score);
    }

    #[inline]
    fn set(&mut self, host: usize, score: f64) {
        let old = std::mem::replace(&mut self.scores[host], score);
        if old.to_bits() == score.to_bits() {
            return;
        }
        let block = host / BLOCK;
        let best = self.blocks[block];
        if score >= best {
            self.blocks[block] = score;
        } else if old >= best {
            self.blocks[block] = highest(chunk(&self.scores, block));
        } else {
            return;
        }
        let above = block / BLOCK;
        if self.blocks[block] >= self.blocks_of_blocks[above] {
            self.blocks_of_blocks[above] = self.blocks[block];
        } else if best >= self.blocks_of_blocks[above] {
            self.blocks_of_blocks[above] = highest(chunk(&self.blocks, above));
        }
    }

    /// The first of the best hosts, and its score; None: none can take it.
    pub(super) fn best(&self) -> Option<(usize, f64)> {
        let best = highest(&self.blocks_of_blocks);
        if best == NO {
            return None;
        }
        let above = place_of(best, &self.blocks_of_blocks)?;
        let block = above * BLOCK + place_of(best, chunk(&self.blocks, above))?;
        let host = block * BLOCK + place_of(best, chunk(&self.scores, block))?;
        Some((host, self.scores[host]))
    }

    /// Hosts that can take it, in their order, with their scores.
    pub(super) fn fitting(&self) -> impl Iterator<Item = (usize, f64)> {
        self.scores.iter().copied().enumerate().filter(|(_, score)| *score != NO)
    }
}

/// Shows all hosts to new classes, block after block: what is read of a host is read once for all of them.
pub(super) fn look<'a>(classes: impl IntoIterator<Item = &'a mut Class>, columns: &Columns) {
    let mut classes: Vec<&mut Class> = classes.into_iter().collect();
    for start in (0..columns.len()).step_by(BLOCK) {
        for class in &mut classes {
            class.add_block(start, columns.len().min(start + BLOCK), columns);
        }
    }
    for class in classes {
        class.sum_up(columns);
    }
}

fn chunk(values: &[f64], number: usize) -> &[f64] {
    let start = number * BLOCK;
    &values[start..values.len().min(start + BLOCK)]
}

/// In four lanes, so that the machine need not wait for each comparison.
fn highest(values: &[f64]) -> f64 {
    let higher = |a: f64, b: f64| if b > a { b } else { a };
    let mut lanes = [NO; 4];
    let quads = values.chunks_exact(lanes.len());
    let rest = quads.remainder().iter().copied().fold(NO, higher);
    for quad in quads {
        for (lane, value) in lanes.iter_mut().zip(quad) {
            *lane = higher(*lane, *value);
        }
    }
    lanes.into_iter().fold(rest, higher)
}

/// Of the first that is equal. Eight at a time: the machine compares them at once.
fn place_of(value: f64, values: &[f64]) -> Option<usize> {
    const AT_ONCE: usize = 8;
    let has = |values: &&[f64]| values.iter().fold(false, |has, one| has | (*one == value));
    let start = values.chunks(AT_ONCE).position(|values| has(&values))? * AT_ONCE;
    Some(start + values[start..].iter().position(|one| *one == value)?)
}
