//! NUMA cells of guests on the wire.

use super::super::{DecodeError, list, text};
use crate::{
    model::{
        Bytes, ClaimedCell, CpuPolicy, CpuSet, EmulatorThreads, GuestTopology, GuestTopologyCell, PageChoice,
        PlacedCell, ThreadPolicy,
    },
    pb,
};

/// No machine has more NUMA cells that a guest could be spread over.
const CELLS_MAX: usize = 16;

/// A cell below it is of no use.
const CELL_MEMORY_MIN_BYTES: u64 = 1 << 20;

impl From<&GuestTopology> for pb::GuestTopology {
    fn from(topology: &GuestTopology) -> Self {
        let GuestTopology { cells, cpu_policy, thread_policy, emulator_threads, pages } = topology;
        let cpu_policy = match cpu_policy {
            CpuPolicy::Shared => pb::CpuPolicy::Shared,
            CpuPolicy::Dedicated => pb::CpuPolicy::Dedicated,
            CpuPolicy::Mixed => pb::CpuPolicy::Mixed,
        };
        let thread_policy = match thread_policy {
            ThreadPolicy::Prefer => pb::ThreadPolicy::Prefer,
            ThreadPolicy::Isolate => pb::ThreadPolicy::Isolate,
            ThreadPolicy::Require => pb::ThreadPolicy::Require,
        };
        let emulator_threads = match emulator_threads {
            EmulatorThreads::Float => pb::EmulatorThreads::Float,
            EmulatorThreads::Share => pb::EmulatorThreads::Share,
            EmulatorThreads::Isolate => pb::EmulatorThreads::Isolate,
        };
        let (pages, page_size_bytes) = match pages {
            PageChoice::Ordinary => (pb::PageChoice::Unspecified, None),
            PageChoice::Small => (pb::PageChoice::Small, None),
            PageChoice::Large => (pb::PageChoice::Large, None),
            PageChoice::Any => (pb::PageChoice::Any, None),
            PageChoice::Bytes(size) => (pb::PageChoice::Unspecified, Some(size.0)),
        };
        let cell = |cell: &GuestTopologyCell| pb::GuestTopologyCell {
            vcpus: cell.vcpus,
            memory_bytes: cell.memory_bytes.0,
            dedicated_vcpus: cell.dedicated_vcpus,
        };
        Self {
            cells: cells.iter().map(cell).collect(),
            cpu_policy: cpu_policy.into(),
            thread_policy: thread_policy.into(),
            emulator_threads: emulator_threads.into(),
            pages: pages.into(),
            page_size_bytes,
        }
    }
}

impl TryFrom<pb::GuestTopology> for GuestTopology {
    type Error = DecodeError;

    fn try_from(topology: pb::GuestTopology) -> Result<Self, DecodeError> {
        let cpu_policy = match topology.cpu_policy() {
            pb::CpuPolicy::Unspecified | pb::CpuPolicy::Shared => CpuPolicy::Shared,
            pb::CpuPolicy::Dedicated => CpuPolicy::Dedicated,
            pb::CpuPolicy::Mixed => CpuPolicy::Mixed,
        };
        let thread_policy = match topology.thread_policy() {
            pb::ThreadPolicy::Unspecified | pb::ThreadPolicy::Prefer => ThreadPolicy::Prefer,
            pb::ThreadPolicy::Isolate => ThreadPolicy::Isolate,
            pb::ThreadPolicy::Require => ThreadPolicy::Require,
        };
        let emulator_threads = match topology.emulator_threads() {
            pb::EmulatorThreads::Unspecified | pb::EmulatorThreads::Float => EmulatorThreads::Float,
            pb::EmulatorThreads::Share => EmulatorThreads::Share,
            pb::EmulatorThreads::Isolate => EmulatorThreads::Isolate,
        };
        let pages = pages(topology.pages(), topology.page_size_bytes)?;
        if topology.cells.is_empty() || topology.cells.len() > CELLS_MAX {
            let problem = format!("{}; 1 to {CELLS_MAX} cells", topology.cells.len());
            return Err(DecodeError::new("cells", problem));
        }
        if emulator_threads == EmulatorThreads::Isolate && cpu_policy == CpuPolicy::Shared {
            return Err(DecodeError::new("emulator_threads", "isolate only goes with dedicated vCPUs"));
        }
        let cells = list("cells", topology.cells, |cell| guest_cell(&cell, cpu_policy))?;
        Ok(Self { cells, cpu_policy, thread_policy, emulator_threads, pages })
    }
}

fn pages(pages: pb::PageChoice, size: Option<u64>) -> Result<PageChoice, DecodeError> {
    match (pages, size) {
        (pb::PageChoice::Unspecified, None) => Ok(PageChoice::Ordinary),
        (pb::PageChoice::Small, None) => Ok(PageChoice::Small),
        (pb::PageChoice::Large, None) => Ok(PageChoice::Large),
        (pb::PageChoice::Any, None) => Ok(PageChoice::Any),
        (pb::PageChoice::Unspecified, Some(size)) if size.is_power_of_two() => {
            Ok(PageChoice::Bytes(Bytes(size)))
        }
        (pb::PageChoice::Unspecified, Some(_)) => {
            Err(DecodeError::new("page_size_bytes", "must be a power of two, as 2097152"))
        }
        (_, Some(_)) => Err(DecodeError::new("page_size_bytes", "does not go with pages; leave one out")),
    }
}

fn guest_cell(cell: &pb::GuestTopologyCell, policy: CpuPolicy) -> Result<GuestTopologyCell, DecodeError> {
    if cell.vcpus == 0 {
        return Err(DecodeError::new("vcpus", "must be at least 1"));
    }
    if cell.memory_bytes < CELL_MEMORY_MIN_BYTES {
        return Err(DecodeError::new("memory_bytes", "must be at least 1 MiB"));
    }
    if cell.dedicated_vcpus > 0 && policy != CpuPolicy::Mixed {
        return Err(DecodeError::new("dedicated_vcpus", "only goes with the CPU policy mixed"));
    }
    if cell.dedicated_vcpus > cell.vcpus {
        return Err(DecodeError::new(
            "dedicated_vcpus",
            format!("{} of {}", cell.dedicated_vcpus, cell.vcpus),
        ));
    }
    Ok(GuestTopologyCell {
        vcpus: cell.vcpus,
        memory_bytes: Bytes(cell.memory_bytes),
        dedicated_vcpus: cell.dedicated_vcpus,
    })
}

impl From<&PlacedCell> for pb::PlacedCell {
    fn from(cell: &PlacedCell) -> Self {
        Self {
            host_cell: cell.host_cell,
            pins: cell.pins.clone(),
            shared_cpus: cell.shared_cpus.to_string(),
            vcpus: cell.vcpus.to_string(),
            page_size_bytes: cell.page_size_bytes.0,
            huge_pages: cell.huge_pages,
            memory_bytes: cell.memory_bytes.0,
        }
    }
}

impl TryFrom<pb::PlacedCell> for PlacedCell {
    type Error = DecodeError;

    fn try_from(cell: pb::PlacedCell) -> Result<Self, DecodeError> {
        Ok(Self {
            host_cell: cell.host_cell,
            vcpus: cpus("vcpus", cell.vcpus)?,
            pins: cell.pins,
            shared_cpus: cpus("shared_cpus", cell.shared_cpus)?,
            memory_bytes: Bytes(cell.memory_bytes),
            page_size_bytes: Bytes(cell.page_size_bytes),
            huge_pages: cell.huge_pages,
        })
    }
}

impl From<&ClaimedCell> for pb::ClaimedCell {
    fn from(cell: &ClaimedCell) -> Self {
        Self {
            host_cell: cell.host_cell,
            pinned_cpus: cell.pinned_cpus.to_string(),
            shared_vcpus: cell.shared_vcpus,
            memory_bytes: cell.memory_bytes.0,
            page_size_bytes: cell.page_size_bytes.map(|size| size.0),
            page_count: cell.page_count,
        }
    }
}

impl TryFrom<pb::ClaimedCell> for ClaimedCell {
    type Error = DecodeError;

    fn try_from(cell: pb::ClaimedCell) -> Result<Self, DecodeError> {
        Ok(Self {
            host_cell: cell.host_cell,
            pinned_cpus: cpus("pinned_cpus", cell.pinned_cpus)?,
            shared_vcpus: cell.shared_vcpus,
            memory_bytes: Bytes(cell.memory_bytes),
            page_size_bytes: cell.page_size_bytes.map(Bytes),
            page_count: cell.page_count,
        })
    }
}

/// A list of CPUs; empty: none.
pub(super) fn cpus(field: &str, listed: String) -> Result<CpuSet, DecodeError> {
    let listed = text(field, listed)?;
    listed.parse().map_err(|error| DecodeError::new(field, format!("{error}")))
}
