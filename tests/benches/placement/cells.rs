//! NUMA: one guest of 8 cells on one host of 16, however much of the host is taken.

use std::time::Duration;

use vmuster_coordinator::placement::numa::{
    CellMemory, DeviceKey, DevicePolicy, DevicePool, DeviceRequest, EmulatorThreads, GuestCell,
    GuestTopology, HostCell, HostTopology, PagePool, PageRequest, SharedVcpus, ThreadPolicy, place,
};
use vmuster_proto::model::{Bytes, CpuSet};

use crate::{percentile, row, timed};

const HOST_CELLS: u32 = 16;
const GUEST_CELLS: u32 = 8;
/// Two threads each.
const CORES_A_CELL: u32 = 16;
const CASES: usize = 5_000;
const LIMIT: Duration = Duration::from_millis(1);

const GIB: u64 = 1 << 30;
const PAGE: Bytes = Bytes(2 << 20);
const NIC: DeviceKey = DeviceKey(0);

/// A cell of which up to `most_taken` tenths have owners.
fn host_cell(id: u32, most_taken: u32, rng: &mut fastrand::Rng) -> HostCell {
    let first = id * CORES_A_CELL * 2;
    let siblings: Vec<CpuSet> =
        (0..CORES_A_CELL).map(|core| CpuSet::from_iter([first + core * 2, first + core * 2 + 1])).collect();
    let dedicated_cpus = CpuSet::from_iter(first + 4..first + CORES_A_CELL * 2);
    let taken = rng.u32(0..=most_taken);
    let pinned = dedicated_cpus.iter().filter(|_| rng.u32(0..10) < taken).collect();
    let tenths = |all: u64| all * u64::from(taken) / 10;
    HostCell {
        id,
        shared_cpus: CpuSet::from_iter(first..first + 4),
        dedicated_cpus,
        siblings,
        pinned,
        shared_vcpus: SharedVcpus { promisable: 16, promised: tenths(16) },
        memory: CellMemory {
            total_bytes: 64 * GIB,
            promisable_bytes: 64 * GIB,
            promised_bytes: tenths(64 * GIB),
        },
        hugepages: vec![PagePool { size: PAGE, total: 8192, used: tenths(8192) }],
        socket: Some(id / 4),
        devices: vec![DevicePool { key: NIC, free: rng.u32(0..3) }],
    }
}

/// Cells that differ, so that which goes where matters.
fn guest(rng: &mut fastrand::Rng) -> GuestTopology {
    let cell = |rng: &mut fastrand::Rng| GuestCell {
        dedicated_vcpus: rng.u32(1..=14),
        shared_vcpus: rng.u32(0..3),
        memory: Bytes(rng.u64(1..=15) * GIB),
    };
    let pages = [PageRequest::Ordinary, PageRequest::Any, PageRequest::Exact(PAGE)];
    let threads = [ThreadPolicy::Prefer, ThreadPolicy::Isolate, ThreadPolicy::Require];
    let emulators = [EmulatorThreads::Float, EmulatorThreads::Share, EmulatorThreads::Isolate];
    let policies =
        [DevicePolicy::Required, DevicePolicy::Socket, DevicePolicy::Legacy, DevicePolicy::Preferred];
    let count = rng.u32(0..6);
    GuestTopology {
        cells: (0..GUEST_CELLS).map(|_| cell(rng)).collect(),
        pages: pages[rng.usize(0..pages.len())],
        threads: threads[rng.usize(0..threads.len())],
        emulator: emulators[rng.usize(0..emulators.len())],
        devices: vec![DeviceRequest { key: NIC, count, policy: policies[rng.usize(0..policies.len())] }],
    }
}

pub(crate) fn measure() -> bool {
    let mut is_met = true;
    let mut rng = fastrand::Rng::with_seed(4);
    for (most_taken, what) in [(0, "empty"), (5, "up to half taken"), (8, "up to four fifths taken")] {
        let mut times = Vec::with_capacity(CASES);
        let mut fit_count = 0;
        for _ in 0..CASES {
            let cells = (0..HOST_CELLS).map(|id| host_cell(id, most_taken, &mut rng)).collect();
            let host = HostTopology { cells, page_size: Bytes(4096), unplaced_devices: Vec::new() };
            let guest = guest(&mut rng);
            let (time, placed) = timed(|| place(&host, &guest));
            fit_count += usize::from(placed.is_ok());
            times.push(time);
        }
        let beside = format!(
            "p50 {:.1?}, most {:.1?}; {} % fit",
            percentile(times.clone(), 50),
            percentile(times.clone(), 100),
            fit_count * 100 / CASES
        );
        let what = format!("{GUEST_CELLS}-cell guest on a {HOST_CELLS}-cell host, {what}, p99");
        is_met &= row(&what, percentile(times, 99), Some(LIMIT), &beside);
    }
    is_met
}
