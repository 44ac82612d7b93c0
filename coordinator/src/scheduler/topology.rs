//! Guest topologies between the words of requests and those of placement.
//!
//! Pure. Must not know hosts, nor how cells are found.

use vmuster_proto::model::{
    self, Bytes, CpuPolicy, CpuSet, GuestTopology, GuestTopologyCell, PageChoice, PlacedCell,
};

use crate::{
    claims::ClaimedCell,
    placement::numa::{self, EmulatorThreads, NumaPlacement, PageRequest, ThreadPolicy},
};

/// Pages of this size and smaller are ordinary ones on every machine that runs guests with 4 KiB pages.
const ORDINARY_PAGE_MAX: Bytes = Bytes(4096);

/// As it was asked for.
pub(super) fn asked(topology: &GuestTopology) -> numa::GuestTopology {
    let cell = |cell: &GuestTopologyCell| {
        let dedicated_vcpus = match topology.cpu_policy {
            CpuPolicy::Shared => 0,
            CpuPolicy::Dedicated => cell.vcpus,
            CpuPolicy::Mixed => cell.dedicated_vcpus,
        };
        numa::GuestCell {
            dedicated_vcpus,
            shared_vcpus: cell.vcpus.saturating_sub(dedicated_vcpus),
            memory: cell.memory_bytes,
        }
    };
    numa::GuestTopology {
        cells: topology.cells.iter().map(cell).collect(),
        pages: match topology.pages {
            PageChoice::Ordinary => PageRequest::Ordinary,
            PageChoice::Small => PageRequest::Small,
            PageChoice::Large => PageRequest::Large,
            PageChoice::Any => PageRequest::Any,
            PageChoice::Bytes(size) if size <= ORDINARY_PAGE_MAX => PageRequest::Small,
            PageChoice::Bytes(size) => PageRequest::Exact(size),
        },
        threads: match topology.thread_policy {
            model::ThreadPolicy::Prefer => ThreadPolicy::Prefer,
            model::ThreadPolicy::Isolate => ThreadPolicy::Isolate,
            model::ThreadPolicy::Require => ThreadPolicy::Require,
        },
        emulator: match topology.emulator_threads {
            model::EmulatorThreads::Float => EmulatorThreads::Float,
            model::EmulatorThreads::Share => EmulatorThreads::Share,
            model::EmulatorThreads::Isolate => EmulatorThreads::Isolate,
        },
        devices: Vec::new(),
    }
}

/// For each cell of the guest. Its vCPUs are numbered through.
pub(super) fn placed_cells(placed: &NumaPlacement) -> Vec<PlacedCell> {
    let mut next = 0_u32;
    let cell = |cell: &numa::PlacedCell| {
        let first = next;
        next = next.saturating_add(cell.vcpu_count);
        let vcpus: CpuSet = (first..next).collect();
        PlacedCell {
            host_cell: cell.host_cell,
            vcpus,
            pins: cell.pins.iter().copied().collect(),
            shared_cpus: cell.shared_cpus.clone(),
            memory_bytes: cell.memory,
            page_size_bytes: cell.page_size,
            huge_pages: cell.page_size > ORDINARY_PAGE_MAX,
        }
    };
    placed.cells.iter().map(cell).collect()
}

/// As a claim shows it.
pub(super) fn claimed_cell(cell: &ClaimedCell) -> model::ClaimedCell {
    model::ClaimedCell {
        host_cell: cell.host_cell,
        pinned_cpus: cell.pinned_cpus.clone(),
        shared_vcpus: cell.shared_vcpus,
        memory_bytes: cell.memory_bytes,
        page_size_bytes: cell.pages.map(|pages| pages.size_bytes),
        page_count: cell.pages.map_or(0, |pages| pages.count),
    }
}
