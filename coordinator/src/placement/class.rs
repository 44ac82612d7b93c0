//! What is kept of all hosts for one class of requests: which of them suit, and how good each is now.
//!
//! Knows one demand and profile. Must not know other classes, nor what is done with the best host. It is brought up to
//! date when it is asked, by what changed since: a class nobody asks for costs nothing.

use std::{
    num::NonZero,
    slice,
    sync::{Mutex, PoisonError},
    thread::{self, available_parallelism},
};

use super::{
    columns::Columns,
    filters::{self, FILTERS},
    need::Need,
    request::Profile,
    weighers,
};

/// Hosts whose bits are in one word; they are looked at together.
const WORD: usize = 64;

/// Hosts of a block. The best of each block is kept, and the best of each so many blocks, so that among 5,000 hosts the best
/// is found by looking at 20 + 16 + 16 numbers, and among 100,000 by looking at 391 + 16 + 16.
const BLOCK: usize = 16;

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
        look_alone(slice::from_mut(&mut class), columns);
        class
    }

    /// To be shown all hosts by [`look`].
    pub(super) fn unseen(need: Need, profile: Profile, columns: &Columns) -> Self {
        Self {
            need,
            profile,
            seen: columns.generation(),
            suiting: Vec::with_capacity(columns.len().div_ceil(WORD)),
            scores: vec![NO; columns.len()],
            blocks: Vec::new(),
            blocks_of_blocks: Vec::new(),
            pools: Vec::new(),
        }
    }

    fn add_word(&mut self, start: usize, end: usize, columns: &Columns) {
        let mut passing = [true; WORD];
        let passing = &mut passing[..end - start];
        for filter in FILTERS.iter().filter(|filter| !filter.is_consumable() && filter.asks(&self.need)) {
            filter.pass(&self.need, columns, start..end, passing);
        }
        let mut bits = 0;
        for host in (start..end).filter(|host| passing[host - start]) {
            bits |= 1 << (host % WORD);
            self.scores[host] = self.evaluate(host, columns);
        }
        self.suiting.push(bits);
    }

    fn sum_up(&mut self, columns: &Columns) {
        self.blocks.extend(self.scores.chunks(BLOCK).map(highest));
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
        self.suiting[host / WORD] & (1 << (host % WORD)) != 0
    }

    fn pool_state(&self, pool: u32, columns: &Columns) -> PoolState {
        match columns.pools.room(pool) {
            None => PoolState::Unknown,
            Some(room) if room >= self.need.disk_total_bytes => PoolState::All,
            Some(room) if room < self.need.disk_least_bytes => PoolState::Nothing,
            Some(_) => PoolState::Some,
        }
    }

    /// Looks again at what changed. `due` is room to work in.
    #[inline]
    pub(super) fn catch_up(&mut self, columns: &Columns, due: &mut Vec<usize>) {
        if self.seen == columns.generation() {
            return;
        }
        let have_facts_changed = columns.have_facts_changed(self.seen);
        let is_only_taken = columns.is_only_taken(self.seen);
        // First who, then how good: what is known of one is fetched from memory while the next is looked for.
        due.clear();
        for host in columns.hosts_since(self.seen) {
            if have_facts_changed && columns.facts_changed(host, self.seen) {
                self.look_at_facts(host, columns);
            }
            // What was too full stays so while others only take.
            if self.suits(host) && !(is_only_taken && self.scores[host] == NO) {
                due.push(host);
            }
        }
        for host in &*due {
            self.update(*host, columns);
        }
        if !self.need.demand.disks.is_empty() {
            self.catch_up_pools(columns);
        }
        self.seen = columns.generation();
    }

    #[cold]
    fn look_at_facts(&mut self, host: usize, columns: &Columns) {
        self.need.extend(columns);
        let bit = 1 << (host % WORD);
        if filters::suits(&self.need, columns, host) {
            self.suiting[host / WORD] |= bit;
        } else {
            self.suiting[host / WORD] &= !bit;
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

/// Shows all hosts to new classes, on all CPUs if that is much to do.
pub(super) fn look(classes: &mut [Class], columns: &Columns) {
    /// Looks at one host for one class that are worth a thread: some milliseconds, when starting it takes a tenth of one.
    /// Tests have few hosts.
    const LOOKS_MIN: usize = if cfg!(test) { 16 } else { 200_000 };
    let worth = classes.len().saturating_mul(columns.len()) / LOOKS_MIN;
    if worth <= 1 {
        return look_alone(classes, columns);
    }
    let threads = worth.min(available_parallelism().map_or(1, NonZero::get));
    let share = classes.len().div_ceil(threads).max(1);
    let shares = Mutex::new(classes.chunks_mut(share));
    let next = || shares.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(share) = next() {
            look_alone(share, columns);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Where no thread is to be had it only takes longer.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
}

/// A word of hosts after the other: what is read of a host is read once for all classes.
fn look_alone(classes: &mut [Class], columns: &Columns) {
    for start in (0..columns.len()).step_by(WORD) {
        for class in &mut *classes {
            class.add_word(start, columns.len().min(start + WORD), columns);
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
