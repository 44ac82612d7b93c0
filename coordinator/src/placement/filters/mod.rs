//! Filters: can this host take this instance?
//!
//! Knows one demand and one host at a time, as columns. Must not know which host is best, nor other instances. Whether a
//! host passes is all that a search asks; what it lacks, and the words for it, are only for what was refused.
//!
//! A new filter goes into [`FILTERS`] at its place in the order; if what it asks is
//! consumed, into [`fits`] as well.

mod affinity;
mod capacity;
mod cells;
mod facts;

use std::ops::Range;

use super::{
    columns::{Columns, Row},
    decision::{FilterName, Lack, Miss},
    need::Need,
};

/// One reason to refuse a host.
pub(super) trait Filter: Sync {
    /// As operators name it.
    fn name(&self) -> FilterName;

    /// Whether placing an instance can change the answer. Only these count where a host is forced.
    fn is_consumable(&self) -> bool {
        false
    }

    /// Whether this demand asks anything of it; if not, every host passes.
    fn asks(&self, _: &Need) -> bool {
        true
    }

    /// Whether the host does.
    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool;

    /// What it lacks; None: nothing.
    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        (!self.passes(need, columns, host)).then_some(Lack::Other)
    }

    /// In words, of a host that does not pass.
    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String;

    /// For each of these hosts, whether it passes this filter too.
    fn pass(&self, need: &Need, columns: &Columns, hosts: Range<usize>, passing: &mut [bool]) {
        for (host, passing) in hosts.zip(passing) {
            // Asked of all: which way a branch goes cannot be guessed.
            *passing &= self.passes(need, columns, host);
        }
    }

    /// All of it; None: it passes.
    fn miss(&self, need: &Need, columns: &Columns, host: usize) -> Option<Miss> {
        let lack = self.lack(need, columns, host)?;
        Some(Miss { filter: self.name(), lack, text: self.text(need, columns, host) })
    }
}

/// All, in the order in which they are asked.
pub(super) const FILTERS: [&dyn Filter; FilterName::ALL.len()] = [
    &facts::Known,
    &facts::Maintenance,
    &facts::AllowList,
    &facts::Excluded,
    &facts::Arch,
    &facts::Labels,
    &facts::CpuFeatures,
    &facts::CpuModel,
    &affinity::Beside::Together,
    &affinity::Beside::Apart,
    &capacity::Vcpus,
    &capacity::Memory,
    &capacity::Disk,
    &cells::Cells,
];

/// Whether a host has what an instance consumes: the filters that are consumable, without a call through a table for
/// each host.
#[inline]
pub(super) fn fits(need: &Need, columns: &Columns, host: usize) -> bool {
    has_vcpus_and_memory(need.vcpus, need.memory_bytes, columns.row(host))
        && capacity::Disk.passes(need, columns, host)
        && cells::Cells.passes(need, columns, host)
}

/// What the filters of vCPUs and of memory say.
#[inline]
pub(super) fn has_vcpus_and_memory(vcpus: u64, memory_bytes: u64, row: &Row) -> bool {
    (vcpus <= u64::from(row.vcpus_room)) & (memory_bytes <= row.memory_room)
}

/// Whether a host does in all that no placement changes.
pub(super) fn suits(need: &Need, columns: &Columns, host: usize) -> bool {
    FILTERS.iter().filter(|filter| !filter.is_consumable()).all(|filter| filter.passes(need, columns, host))
}
