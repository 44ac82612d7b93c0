//! The filter of NUMA cells: pins, memory and huge pages of guests with a topology, and no guest where it would float over
//! what others are bound to.
//!
//! Knows one demand and one host. Must not know how a topology is laid.

use vmuster_proto::model::Bytes;

use super::{
    super::{
        cells::{CellRefusal, FloatingRefusal},
        numa::{CellLack, NumaRefusal},
    },
    Columns, Filter, FilterName, Lack, Need,
};

/// Cells with room.
pub(super) struct Cells;

/// Why not. None: nothing is in the way.
enum Refusal {
    Unknown,
    Floating(FloatingRefusal),
    Guest(CellRefusal),
    Memory { asked_bytes: u64, room_bytes: u64 },
}

fn refusal(need: &Need, columns: &Columns, host: usize) -> Option<Refusal> {
    let cells = columns.host(host).cells.as_deref();
    let Some(guest) = &need.demand.numa else {
        let memory_bytes = need.demand.memory.0;
        return cells.and_then(|cells| cells.refuses_floating(memory_bytes)).map(Refusal::Floating);
    };
    let Some(cells) = cells else { return Some(Refusal::Unknown) };
    match cells.place(guest) {
        Err(refusal) => Some(Refusal::Guest(refusal)),
        Ok(placed) => {
            let (asked_bytes, room_bytes) =
                (placed.taken.ordinary_memory_bytes(), columns.row(host).memory_room);
            // Where it is certain which pages it gets, the filter of memory has asked.
            let lacks = guest.pages.may_be_either() && asked_bytes > room_bytes;
            lacks.then_some(Refusal::Memory { asked_bytes, room_bytes })
        }
    }
}

impl Filter for Cells {
    fn name(&self) -> FilterName {
        FilterName::Numa
    }

    fn is_consumable(&self) -> bool {
        true
    }

    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool {
        let cells = columns.host(host).cells.as_deref();
        match &need.demand.numa {
            None => cells.is_none_or(|cells| cells.refuses_floating(need.demand.memory.0).is_none()),
            // Which pages it gets, only its place tells.
            Some(guest) if guest.pages.may_be_either() => refusal(need, columns, host).is_none(),
            Some(guest) => cells.is_some_and(|cells| cells.fits(guest)),
        }
    }

    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        Some(match refusal(need, columns, host)? {
            Refusal::Unknown => Lack::Unknown,
            Refusal::Memory { asked_bytes, room_bytes } => Lack::Bytes(asked_bytes - room_bytes),
            Refusal::Guest(CellRefusal::Cells(NumaRefusal::Cell { lack, .. })) => cell_lack(lack),
            Refusal::Guest(CellRefusal::Cells(NumaRefusal::TooManyToTry)) => Lack::Unknown,
            Refusal::Floating(FloatingRefusal::Memory { room_bytes, .. }) => {
                Lack::Bytes(need.demand.memory.0.saturating_sub(room_bytes))
            }
            Refusal::Floating(FloatingRefusal::Bound(_)) | Refusal::Guest(_) => Lack::Other,
        })
    }

    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String {
        refusal(need, columns, host).map_or_else(String::new, |refusal| text(&refusal))
    }
}

fn cell_lack(lack: CellLack) -> Lack {
    match lack {
        CellLack::DedicatedCpus { asked, free }
        | CellLack::SiblingThreads { asked, free }
        | CellLack::WholeCores { asked, free }
        | CellLack::SharedVcpus { asked, room: free } => Lack::Vcpus(asked.saturating_sub(free)),
        CellLack::Hugepages { size, asked, free } => {
            Lack::Bytes(asked.saturating_sub(free).saturating_mul(size.0))
        }
        CellLack::Memory { asked_bytes, room_bytes } => Lack::Bytes(asked_bytes.saturating_sub(room_bytes)),
        CellLack::SocketUnknown => Lack::Unknown,
        CellLack::NoPageSize | CellLack::NotWholePages { .. } => Lack::Other,
    }
}

fn text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Unknown => "its NUMA cells are not known".to_owned(),
        Refusal::Floating(FloatingRefusal::Memory { cell, room_bytes }) => format!(
            "guests are bound to its NUMA cells, and cell {cell} has {} left for one that floats over all",
            Bytes(*room_bytes)
        ),
        Refusal::Floating(FloatingRefusal::Bound(count)) => format!(
            "{count} of its guests are bound to NUMA cells, and this one would float over all: set mixed_numa to have both"
        ),
        Refusal::Memory { asked_bytes, room_bytes } => {
            format!("{} of memory asked in ordinary pages, {} left", Bytes(*asked_bytes), Bytes(*room_bytes))
        }
        Refusal::Guest(CellRefusal::Floating(count)) => format!(
            "{count} of its guests float over all its NUMA cells, and this one would be bound to some: set mixed_numa to \
             have both"
        ),
        Refusal::Guest(CellRefusal::Cells(refusal)) => refusal.to_string(),
    }
}
