//! The NUMA cells of a host, and who is on them: guests that are bound to cells, and guests that float over all.
//!
//! Knows one host, and what comes and goes there. Must not know demands but as a topology, nor other hosts.
//!
//! Where the memory of a floating guest lies only the kernel decides. A host takes guests of one sort therefore, unless it
//! is said to take both; each cell must then have room for the whole memory of every floating guest.

use super::{
    columns::Direction,
    numa::{self, GuestTopology, HostTopology, NumaPlacement, NumaRefusal},
};

/// See above.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostCells {
    /// What there is, and what is taken of it by guests and claims that are bound; by floating ones too where both sorts
    /// may be.
    pub topology: HostTopology,
    /// Whether both sorts may be here: there is one cell, or the host's settings say so.
    pub is_mixed: bool,
    /// Guests and claims that float.
    pub floating_count: u32,
    /// Guests and claims that are bound to cells.
    pub bound_count: u32,
}

/// What an instance is to the cells of its host.
#[derive(Debug, Clone, Copy)]
pub(super) enum CellUse<'a> {
    /// It floats, with so much memory in bytes.
    Floats(u64),
    /// It is bound, and takes this.
    Bound(&'a numa::Taken),
    /// Nothing: something else of the host changes.
    Unchanged,
}

/// Why a guest with a topology cannot be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CellRefusal {
    /// So many guests float here.
    Floating(u32),
    /// The cells themselves.
    Cells(NumaRefusal),
}

impl HostCells {
    /// Why no floating guest can come: so many are bound.
    pub(super) fn refuses_floating(&self) -> Option<u32> {
        (!self.is_mixed && self.bound_count > 0).then_some(self.bound_count)
    }

    /// Where a guest goes.
    pub(super) fn place(&self, guest: &GuestTopology) -> Result<NumaPlacement, CellRefusal> {
        self.admits_bound()?;
        numa::place(&self.topology, guest).map_err(CellRefusal::Cells)
    }

    /// Whether it can come.
    pub(super) fn fits(&self, guest: &GuestTopology) -> bool {
        self.admits_bound().is_ok() && numa::fits(&self.topology, guest)
    }

    fn admits_bound(&self) -> Result<(), CellRefusal> {
        if !self.is_mixed && self.floating_count > 0 {
            return Err(CellRefusal::Floating(self.floating_count));
        }
        Ok(())
    }

    /// An instance comes or goes. What is not there to be taken, or was not taken, changes nothing but the count: the
    /// figures were replaced since.
    pub(super) fn hold(&mut self, of: CellUse<'_>, direction: Direction) {
        let count = |count: &mut u32| match direction {
            Direction::Take => *count = count.saturating_add(1),
            Direction::GiveBack => *count = count.saturating_sub(1),
        };
        match of {
            CellUse::Unchanged => {}
            CellUse::Floats(memory_bytes) => {
                count(&mut self.floating_count);
                if self.is_mixed {
                    for cell in &mut self.topology.cells {
                        let promised = &mut cell.memory.promised_bytes;
                        *promised = direction.apply(*promised, memory_bytes);
                    }
                }
            }
            CellUse::Bound(taken) => {
                count(&mut self.bound_count);
                let _ = match direction {
                    Direction::Take => self.topology.apply(taken),
                    Direction::GiveBack => self.topology.undo(taken),
                };
            }
        }
    }
}
