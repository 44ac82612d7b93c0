//! What is said of a guest topology on a host: where it goes and what that takes, or what it lacks.
//!
//! Knows values only. Must not know how they were found.

use std::fmt;

use vmuster_proto::model::{Bytes, CpuSet};

use super::host::DeviceKey;

/// Where one guest cell goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedCell {
    /// The host cell's id.
    pub host_cell: u32,
    /// vCPUs of the cell, dedicated ones and others.
    pub vcpu_count: u32,
    /// (vCPU number, CPU) of each dedicated vCPU. Siblings stand side by side.
    pub pins: Vec<(u32, u32)>,
    /// What the cell's other vCPUs float over; empty if it has none.
    pub shared_cpus: CpuSet,
    /// Of the pages that back the memory.
    pub page_size: Bytes,
    /// So many of them; rounded up where ordinary pages were not asked for by name.
    pub page_count: u64,
    /// As asked.
    pub memory: Bytes,
}

/// Devices from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceSource {
    /// The host cell's id; None: node not known.
    pub host_cell: Option<u32>,
    /// How many, never none.
    pub count: u32,
}

/// A guest topology that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumaPlacement {
    /// For each guest cell.
    pub cells: Vec<PlacedCell>,
    /// What the emulator's threads run on.
    pub emulator_cpus: CpuSet,
    /// For each request: its devices.
    pub devices: Vec<Vec<DeviceSource>>,
    /// What is gone from the host with it.
    pub taken: Taken,
}

/// What a guest takes of one host cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOfCell {
    /// The host cell's id.
    pub host_cell: u32,
    /// Pins, the emulator's CPU, and threads kept free for their sake.
    pub pinned: CpuSet,
    /// Floating vCPUs.
    pub shared_vcpus: u64,
    /// In ordinary pages.
    pub memory_bytes: u64,
    /// (size of a page, number of pages), of hugepages.
    pub hugepages: Option<(Bytes, u64)>,
    /// (class, number).
    pub devices: Vec<(DeviceKey, u32)>,
}

/// What a guest takes of a host. See [`super::HostTopology::apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Cells with something taken, in the host's order.
    pub cells: Vec<TakenOfCell>,
    /// (class, number) of devices whose node is not known.
    pub unplaced_devices: Vec<(DeviceKey, u32)>,
}

impl Taken {
    /// Of all cells, in ordinary pages.
    #[must_use]
    pub fn ordinary_memory_bytes(&self) -> u64 {
        self.cells.iter().map(|cell| cell.memory_bytes).fold(0, u64::saturating_add)
    }
}

/// Why one guest cell does not fit on one host cell: the first of these, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellLack {
    /// A device must be in the cell's socket, and that is not known.
    SocketUnknown,
    /// Too few dedicated CPUs are free. With the emulator's, if that is isolated.
    DedicatedCpus {
        /// CPUs.
        asked: u64,
        /// CPUs.
        free: u64,
    },
    /// Require: too few free threads on cores with two or more of them.
    SiblingThreads {
        /// vCPUs.
        asked: u64,
        /// Threads.
        free: u64,
    },
    /// Isolate: too few cores that are free and dedicated as a whole.
    WholeCores {
        /// vCPUs.
        asked: u64,
        /// Cores.
        free: u64,
    },
    /// Too little room for floating vCPUs.
    SharedVcpus {
        /// vCPUs.
        asked: u64,
        /// vCPUs: what is left, and no more than the cell has CPUs.
        room: u64,
    },
    /// The cell has no pages of a size asked for.
    NoPageSize,
    /// The memory is no multiple of any page size that could be used; this is the smallest of those.
    NotWholePages {
        /// Of a page.
        size: Bytes,
    },
    /// Too few free hugepages. Of several sizes, that which lacks the fewest bytes.
    Hugepages {
        /// Of a page.
        size: Bytes,
        /// Pages.
        asked: u64,
        /// Pages.
        free: u64,
    },
    /// Too little memory in ordinary pages.
    Memory {
        /// In bytes.
        asked_bytes: u64,
        /// In bytes.
        room_bytes: u64,
    },
}

/// Why a guest topology does not fit on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumaRefusal {
    /// The guest has no cells: it is not a topology.
    NoCells,
    /// Each guest cell needs a host cell of its own.
    TooFewCells {
        /// Of the guest.
        asked: usize,
        /// Of the host.
        present: usize,
    },
    /// This guest cell fits on no host cell, whatever the others do.
    Cell {
        /// Its place in the request.
        guest_cell: usize,
        /// The id of the nearest host cell: that which passes most checks, then lacks least, then comes first.
        nearest: u32,
        /// What it lacks.
        lack: CellLack,
    },
    /// Each of these guest cells fits somewhere, but only on these host cells, and they are fewer.
    Together {
        /// Their places in the request.
        guest_cells: Vec<usize>,
        /// Ids.
        host_cells: Vec<u32>,
    },
    /// The cells fit, but on no set of host cells are enough devices near enough.
    Devices {
        /// The first class that lacks.
        key: DeviceKey,
        /// How many more it would take on those cells.
        lacking: u64,
        /// Ids: where the guest would go if it asked for no device.
        host_cells: Vec<u32>,
    },
    /// The cells fit and not all sets of host cells could be tried for devices. Never with 16 host cells or fewer.
    TooManyToTry,
}

impl fmt::Display for CellLack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SocketUnknown => f.write_str("its socket is not known"),
            Self::DedicatedCpus { asked, free } => {
                write!(f, "{asked} dedicated CPUs asked, {free} are free")
            }
            Self::SiblingThreads { asked, free } => {
                write!(f, "{asked} dedicated CPUs asked on cores with siblings, {free} are free")
            }
            Self::WholeCores { asked, free } => {
                write!(f, "{asked} cores asked as a whole, {free} are dedicated and free")
            }
            Self::SharedVcpus { asked, room } => write!(f, "{asked} floating vCPUs asked, room for {room}"),
            Self::NoPageSize => f.write_str("it has no pages of the size asked for"),
            Self::NotWholePages { size } => write!(f, "the memory is no multiple of {size}, a page"),
            Self::Hugepages { size, asked, free } => {
                write!(f, "{asked} pages of {size} asked, {free} are free")
            }
            Self::Memory { asked_bytes, room_bytes } => {
                write!(f, "{} of memory asked, {} left", Bytes(*asked_bytes), Bytes(*room_bytes))
            }
        }
    }
}

/// "1 and 2", as numbers stand in a text.
fn listed(numbers: impl IntoIterator<Item = impl fmt::Display>) -> String {
    numbers.into_iter().map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for NumaRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCells => f.write_str("no cells are asked for"),
            Self::TooFewCells { asked, present } => {
                write!(f, "{asked} NUMA cells asked, each on one of its own, and it has {present}")
            }
            Self::Cell { guest_cell, nearest, lack } => {
                write!(
                    f,
                    "guest cell {guest_cell} fits on no NUMA cell; on cell {nearest}, the nearest: {lack}"
                )
            }
            Self::Together { guest_cells, host_cells } => write!(
                f,
                "guest cells {} fit only on NUMA cells {}, and each needs one of its own",
                listed(guest_cells),
                listed(host_cells)
            ),
            Self::Devices { lacking, host_cells, .. } => {
                write!(f, "{lacking} devices more are needed near NUMA cells {}", listed(host_cells))
            }
            Self::TooManyToTry => f.write_str("it has too many NUMA cells to try all for the devices"),
        }
    }
}
