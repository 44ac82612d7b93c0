//! The NUMA cells of a host, and who is on them: guests that are bound to cells, and guests that float over all.
//!
//! Knows one host, and what comes and goes there. Must not know demands but as a topology, nor other hosts.
//!
//! Where the memory of a floating guest lies only the kernel decides. A host takes guests of one sort therefore, unless it
//! is said to take both; while guests are bound there, each cell must then have room for the whole memory of every
//! floating one.

use super::{
    columns::Direction,
    numa::{self, GuestTopology, HostCell, HostTopology, NumaPlacement, NumaRefusal},
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

/// Why a guest without a topology cannot be here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatingRefusal {
    /// So many guests are bound here.
    Bound(u32),
    /// Others are bound here, and its memory might all come to lie on this cell.
    Memory {
        /// The one with the least memory left.
        cell: u32,
        /// What it has left.
        room_bytes: u64,
    },
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
    /// Why no floating guest of so much memory can come.
    pub(super) fn refuses_floating(&self, memory_bytes: u64) -> Option<FloatingRefusal> {
        if self.bound_count == 0 {
            return None;
        }
        if !self.is_mixed {
            return Some(FloatingRefusal::Bound(self.bound_count));
        }
        let (cell, room_bytes) = self.least_room()?;
        (memory_bytes > room_bytes).then_some(FloatingRefusal::Memory { cell, room_bytes })
    }

    /// How many floating guests of so much memory can come, as far as that is up to the cells.
    pub(super) fn floating_most(&self, memory_bytes: u64) -> u64 {
        if self.refuses_floating(memory_bytes).is_some() {
            return 0;
        }
        let cells = &self.topology.cells;
        if self.bound_count == 0 || cells.len() == 1 {
            return u64::MAX;
        }
        let times = |cell: &HostCell| cell.memory.left_bytes().checked_div(memory_bytes).unwrap_or(u64::MAX);
        cells.iter().map(times).min().unwrap_or(u64::MAX)
    }

    /// The cell with the least memory left, where there are several: it is all that a floating guest can be sure of. Of
    /// one cell the host's own figures say it.
    fn least_room(&self) -> Option<(u32, u64)> {
        let cells = &self.topology.cells;
        let rooms = cells.iter().map(|cell| (cell.id, cell.memory.room_bytes(false)));
        rooms.min_by_key(|(_, room)| *room).filter(|_| cells.len() > 1)
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

#[cfg(test)]
mod tests {
    use vmuster_proto::model::Bytes;

    use super::*;
    use crate::placement::numa::CellMemory;

    const GIB: u64 = 1 << 30;

    /// Two cells of 64 GiB; the first has a guest of 60 bound to it.
    fn mixed() -> HostCells {
        let cell = |id, promised_gib: u64| HostCell {
            id,
            memory: CellMemory {
                total_bytes: 64 * GIB,
                promisable_bytes: 64 * GIB,
                promised_bytes: promised_gib * GIB,
            },
            ..HostCell::default()
        };
        let topology = HostTopology {
            cells: vec![cell(0, 60), cell(1, 0)],
            page_size: Bytes(4096),
            unplaced_devices: Vec::new(),
        };
        HostCells { topology, is_mixed: true, floating_count: 0, bound_count: 1 }
    }

    #[test]
    fn beside_bound_guests_a_floating_one_must_have_room_on_each_cell() {
        let refused = FloatingRefusal::Memory { cell: 0, room_bytes: 4 * GIB };
        assert_eq!(mixed().refuses_floating(60 * GIB), Some(refused));
        assert_eq!(mixed().refuses_floating(4 * GIB), None);
        assert_eq!((mixed().floating_most(60 * GIB), mixed().floating_most(GIB)), (0, 4));
        let alone = HostCells { bound_count: 0, ..mixed() };
        assert_eq!((alone.refuses_floating(60 * GIB), alone.floating_most(60 * GIB)), (None, u64::MAX));
        let apart = HostCells { is_mixed: false, ..mixed() };
        assert_eq!(apart.refuses_floating(0), Some(FloatingRefusal::Bound(1)));
    }
}
