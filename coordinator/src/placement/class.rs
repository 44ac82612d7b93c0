//! What is kept of all hosts for one class of requests: which of them can take it, and which of those is best now.
//!
//! Knows one demand. Must not know other classes, nor what is done with the best host. It is brought up to date when it is
//! asked, by what changed since: a class nobody asks for costs nothing. How good each host is it is told (`scores`), as of
//! now.

use std::{
    num::NonZero,
    sync::{Mutex, PoisonError},
    thread::{self, available_parallelism},
};

use super::{
    columns::Columns,
    filters::{self, FILTERS},
    need::Need,
    scores::NO,
};

/// Hosts whose bits are in one word; they are looked at together.
const WORD: usize = 64;

/// Hosts of a block. The best of each block is kept, and the best of each so many blocks, so that among 5,000 hosts the best
/// is found by looking at 20 + 16 + 16 numbers, and among 100,000 by looking at 391 + 16 + 16.
const BLOCK: usize = 16;

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

/// A bit for each host.
type Bits = Vec<u64>;

/// The best of some hosts.
#[derive(Debug, Clone, Copy)]
struct Top {
    score: f64,
    /// One that has this score; there may be others.
    host: usize,
}

#[derive(Debug)]
pub(super) struct Class {
    pub(super) need: Need,
    /// Up to date with this generation.
    seen: u64,
    /// Hosts that suit in all that no placement changes.
    suiting: Bits,
    /// Those of them that may have what it consumes: who has not is not among the best for long.
    maybe: Bits,
    blocks: Vec<Top>,
    blocks_of_blocks: Vec<f64>,
    /// As far as hosts were looked at with it.
    pools: Vec<PoolState>,
}

impl Class {
    /// To be shown all hosts by [`look`].
    pub(super) fn unseen(need: Need, columns: &Columns) -> Self {
        let words = || Vec::with_capacity(columns.len().div_ceil(WORD));
        Self {
            need,
            seen: columns.generation(),
            suiting: words(),
            maybe: words(),
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
        let passing = passing.iter().enumerate();
        let suiting = passing.fold(0, |bits, (host, passes)| bits | (u64::from(*passes) << host));
        self.suiting.push(suiting);
        self.maybe.push(suiting);
    }

    /// When all were shown.
    fn sum_up(&mut self, columns: &Columns, scores: &[f64]) {
        self.blocks = (0..scores.len().div_ceil(BLOCK)).map(|block| self.top_of(block, scores)).collect();
        self.blocks_of_blocks = self.blocks.chunks(BLOCK).map(highest_top).collect();
        if self.need.demand.disks.is_empty() {
            return;
        }
        let pools = 0..u32::try_from(columns.pools.len()).unwrap_or(u32::MAX);
        let states = pools.map(|pool| {
            if columns.pools.row(pool).is_shared { self.pool_state(pool, columns) } else { PoolState::Unseen }
        });
        self.pools = states.collect();
    }

    /// Of the hosts of a block that can take it.
    fn top_of(&self, block: usize, scores: &[f64]) -> Top {
        let start = block * BLOCK;
        let mut fitting = (self.maybe[start / WORD] >> (start % WORD)) & ((1 << BLOCK) - 1);
        let mut top = Top { score: NO, host: usize::MAX };
        while fitting != 0 {
            let host = start + fitting.trailing_zeros() as usize;
            if scores[host] > top.score {
                top = Top { score: scores[host], host };
            }
            fitting &= fitting - 1;
        }
        top
    }

    fn pool_state(&self, pool: u32, columns: &Columns) -> PoolState {
        match columns.pools.room(pool) {
            None => PoolState::Unknown,
            Some(room) if room >= self.need.disk_total_bytes => PoolState::All,
            Some(room) if room < self.need.disk_least_bytes => PoolState::Nothing,
            Some(_) => PoolState::Some,
        }
    }

    /// Looks again at what changed. Whether a host that changed has room is not asked before it is the best: see
    /// [`Class::best`].
    #[inline]
    pub(super) fn catch_up(&mut self, columns: &Columns, scores: &[f64]) {
        if self.seen == columns.generation() {
            return;
        }
        let have_facts_changed = columns.have_facts_changed(self.seen);
        let is_only_taken = columns.is_only_taken(self.seen);
        for host in columns.hosts_since(self.seen) {
            if have_facts_changed && columns.facts_changed(host, self.seen) {
                self.look_at_facts(host, columns, scores);
            }
            // What was too full stays so while others only take.
            if has(if is_only_taken { &self.maybe } else { &self.suiting }, host) {
                self.admit(host, scores);
            }
        }
        if !self.need.demand.disks.is_empty() {
            self.catch_up_pools(columns, scores);
        }
        self.seen = columns.generation();
    }

    #[cold]
    fn look_at_facts(&mut self, host: usize, columns: &Columns, scores: &[f64]) {
        self.need.extend(columns);
        let suits = filters::suits(&self.need, columns, host);
        put(&mut self.suiting, host, suits);
        if suits {
            self.admit(host, scores);
        } else {
            self.dismiss(host, scores);
        }
    }

    /// All hosts of a shared pool are looked at again when it may have gained room, or has none any more.
    fn catch_up_pools(&mut self, columns: &Columns, scores: &[f64]) {
        let is_only_taken = columns.is_only_taken(self.seen);
        for pool in columns.pools_since(self.seen) {
            if self.pools.len() <= pool {
                self.pools.resize(columns.pools.len(), PoolState::Unseen);
            }
            let number = u32::try_from(pool).unwrap_or(u32::MAX);
            let state = self.pool_state(number, columns);
            let row = columns.pools.row(number);
            // One that became shared since has had all its hosts marked, so they were looked at above.
            let is_same = std::mem::replace(&mut self.pools[pool], state) == state;
            if (is_same && state != PoolState::Some) || (is_only_taken && state == PoolState::Some) {
                continue;
            }
            for host in row.hosts.iter().map(|host| *host as usize) {
                if !has(&self.suiting, host) {
                    continue;
                }
                if filters::fits(&self.need, columns, host) {
                    self.admit(host, scores);
                } else {
                    self.dismiss(host, scores);
                }
            }
        }
    }

    /// This host may take it, and its score may have changed. Others of its block may have changed and not been looked at
    /// yet: whichever of them it is that stands as the best will be, and then the block is looked at as it is.
    #[inline]
    pub(super) fn admit(&mut self, host: usize, scores: &[f64]) {
        put(&mut self.maybe, host, scores[host] != NO);
        let block = host / BLOCK;
        let old = self.blocks[block];
        if scores[host] >= old.score {
            self.set_top(block, Top { score: scores[host], host });
        } else if old.host == host {
            self.set_top(block, self.top_of(block, scores));
        }
    }

    /// This host cannot.
    pub(super) fn dismiss(&mut self, host: usize, scores: &[f64]) {
        put(&mut self.maybe, host, false);
        let block = host / BLOCK;
        if self.blocks[block].host == host {
            self.set_top(block, self.top_of(block, scores));
        }
    }

    #[inline]
    fn set_top(&mut self, block: usize, top: Top) {
        let old = std::mem::replace(&mut self.blocks[block], top);
        let above = block / BLOCK;
        if top.score >= self.blocks_of_blocks[above] {
            self.blocks_of_blocks[above] = top.score;
        } else if old.score >= self.blocks_of_blocks[above] {
            self.blocks_of_blocks[above] = highest_top(chunk(&self.blocks, above));
        }
    }

    /// The first of the best hosts, and its score; None: none can take it.
    pub(super) fn best(&mut self, columns: &Columns, scores: &[f64]) -> Option<(usize, f64)> {
        loop {
            let (host, score) = self.best_maybe(scores)?;
            if filters::fits(&self.need, columns, host) {
                return Some((host, score));
            }
            self.dismiss(host, scores);
        }
    }

    /// The score of a host; None: it cannot take it.
    pub(super) fn score_of(&self, host: usize, columns: &Columns, scores: &[f64]) -> Option<f64> {
        let can = has(&self.maybe, host) && filters::fits(&self.need, columns, host);
        Some(scores[host]).filter(|score| can && *score != NO)
    }

    /// Of those that may.
    fn best_maybe(&self, scores: &[f64]) -> Option<(usize, f64)> {
        let best = highest(&self.blocks_of_blocks);
        if best == NO {
            return None;
        }
        let above = place_of(best, &self.blocks_of_blocks)?;
        let in_chunk = chunk(&self.blocks, above).iter().position(|top| top.score == best)?;
        let start = (above * BLOCK + in_chunk) * BLOCK;
        let mut hosts = start..scores.len().min(start + BLOCK);
        let host = hosts.find(|host| scores[*host] == best && has(&self.maybe, *host))?;
        Some((host, best))
    }

    /// Hosts that can take it, in their order.
    pub(super) fn fitting(&self, columns: &Columns) -> impl Iterator<Item = usize> {
        let hosts = 0..columns.len();
        hosts.filter(|host| has(&self.maybe, *host) && filters::fits(&self.need, columns, *host))
    }
}

#[inline]
fn has(bits: &Bits, host: usize) -> bool {
    bits[host / WORD] & (1 << (host % WORD)) != 0
}

#[inline]
fn put(bits: &mut Bits, host: usize, value: bool) {
    let word = &mut bits[host / WORD];
    *word = (*word & !(1 << (host % WORD))) | (u64::from(value) << (host % WORD));
}

/// Shows all hosts to new classes, with the scores that each goes by, on all CPUs if that is much to do.
pub(super) fn look(classes: &mut [(Class, &[f64])], columns: &Columns) {
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
fn look_alone(classes: &mut [(Class, &[f64])], columns: &Columns) {
    for start in (0..columns.len()).step_by(WORD) {
        for (class, _) in &mut *classes {
            class.add_word(start, columns.len().min(start + WORD), columns);
        }
    }
    for (class, scores) in classes {
        class.sum_up(columns, scores);
    }
}

fn highest_top(tops: &[Top]) -> f64 {
    tops.iter().fold(NO, |best, top| if top.score > best { top.score } else { best })
}

fn chunk<T>(values: &[T], number: usize) -> &[T] {
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
