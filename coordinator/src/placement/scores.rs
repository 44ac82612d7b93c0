//! How good each host is for instances of one size, if it has the vCPUs and the memory.
//!
//! Knows what an instance adds and how that is weighed. Must not know what else is asked for: classes that differ only in
//! that share these.

use super::{
    columns::{Columns, Row},
    filters,
    request::{Demand, Profile},
    weighers::{self, Added},
};

/// What a score depends on beside the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    vcpus: u32,
    memory_bytes: u64,
    profile: Profile,
}

impl Size {
    pub(super) fn new(demand: &Demand, profile: Profile) -> Self {
        Self { vcpus: demand.floating_vcpus(), memory_bytes: demand.ordinary_memory_bytes(), profile }
    }
}

/// The score of a host that cannot take it.
pub(super) const NO: f64 = f64::NEG_INFINITY;

/// See above.
#[derive(Debug)]
pub(super) struct Scores {
    pub(super) size: Size,
    added: Added,
    /// Up to date with this generation.
    seen: u64,
    pub(super) values: Vec<f64>,
}

impl Scores {
    pub(super) fn new(size: Size, columns: &Columns) -> Self {
        let added = Added::new(size.vcpus.into(), size.memory_bytes);
        let mut scores = Self { size, added, seen: columns.generation(), values: Vec::new() };
        scores.values = (0..columns.len()).map(|host| scores.of(columns.row(host))).collect();
        scores
    }

    #[inline]
    fn of(&self, row: &Row) -> f64 {
        let fits = filters::has_vcpus_and_memory(self.size.vcpus.into(), self.size.memory_bytes, row);
        // Both ways are computed: whether a host fits cannot be guessed, and guessing wrong costs more than the sum.
        let score = weighers::score(&self.size.profile, self.added, &row.load);
        if fits { score } else { NO }
    }

    /// Looks again at what changed.
    #[inline]
    pub(super) fn catch_up(&mut self, columns: &Columns) {
        if self.seen == columns.generation() {
            return;
        }
        for host in columns.hosts_since(self.seen) {
            self.values[host] = self.of(columns.row(host));
        }
        self.seen = columns.generation();
    }
}
