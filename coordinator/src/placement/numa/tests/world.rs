//! Random small hosts and guests. Knows no rules of placement.

use fastrand::Rng;
use vmuster_proto::model::{Bytes, CpuSet};

use super::super::*;

pub(super) const PAGE: u64 = 4096;
pub(super) const HUGE: u64 = 8 * PAGE;
pub(super) const GIANT: u64 = 32 * PAGE;

pub(super) fn set(text: &str) -> CpuSet {
    text.parse().expect("a list")
}

fn pools(rng: &mut Rng) -> Vec<DevicePool> {
    let keys = (0..2).filter(|_| rng.u8(..3) == 0).collect::<Vec<u32>>();
    keys.into_iter().map(|key| DevicePool { key: DeviceKey(key), free: rng.u32(0..3) }).collect()
}

fn cell(rng: &mut Rng, id: u32) -> HostCell {
    let base = id * 8;
    let threads = rng.u32(1..=3);
    let cpus = rng.u32(2..=6);
    let siblings = (0..cpus.div_ceil(threads))
        .map(|core| (core * threads..((core + 1) * threads).min(cpus)).map(|cpu| base + cpu).collect())
        .collect();
    let dedicated: CpuSet = (base..base + cpus).filter(|_| rng.u8(..8) > 0).collect();
    let shared_cpus: CpuSet = (base + 6..base + 6 + rng.u32(0..=2)).collect();
    let pinned = dedicated.iter().filter(|_| rng.u8(..5) == 0).collect();
    let mut hugepages = Vec::new();
    for size in [HUGE, GIANT].map(Bytes) {
        if rng.u8(..3) > 0 {
            hugepages.push(PagePool { size, total: rng.u64(0..9), used: rng.u64(0..3) });
        }
    }
    let total_bytes = rng.u64(0..80) * PAGE;
    HostCell {
        id,
        pinned,
        dedicated_cpus: dedicated,
        siblings,
        shared_vcpus: SharedVcpus { promisable: u64::from(shared_cpus.len()) * 2, promised: rng.u64(0..3) },
        shared_cpus,
        memory: CellMemory {
            total_bytes,
            promisable_bytes: total_bytes / 2 * rng.u64(2..4),
            promised_bytes: rng.u64(0..10) * PAGE,
        },
        hugepages,
        socket: (rng.u8(..6) > 0).then_some(id / 2),
        devices: pools(rng),
    }
}

pub(super) fn host(rng: &mut Rng) -> HostTopology {
    let cells = rng.u32(1..=4);
    HostTopology {
        cells: (0..cells).map(|id| cell(rng, id)).collect(),
        page_size: Bytes(PAGE),
        unplaced_devices: pools(rng),
    }
}

pub(super) fn guest(rng: &mut Rng) -> GuestTopology {
    let is_shared = rng.u8(..3) == 0;
    let memory = [HUGE, GIANT, 3 * PAGE, 2 * GIANT, PAGE / 2][rng.usize(..5)];
    let one = |rng: &mut Rng| GuestCell {
        dedicated_vcpus: if is_shared { 0 } else { rng.u32(0..4) },
        shared_vcpus: if is_shared || rng.u8(..4) == 0 { rng.u32(0..3) } else { 0 },
        memory: Bytes(if rng.bool() { memory } else { GIANT }),
    };
    let first = one(rng);
    let cells = rng.usize(1..=4);
    let policies =
        [DevicePolicy::Required, DevicePolicy::Socket, DevicePolicy::Legacy, DevicePolicy::Preferred];
    let requests = if rng.bool() { 0 } else { rng.usize(1..=3) };
    GuestTopology {
        cells: (0..cells).map(|_| if rng.bool() { first } else { one(rng) }).collect(),
        pages: [
            PageRequest::Ordinary,
            PageRequest::Small,
            PageRequest::Large,
            PageRequest::Any,
            PageRequest::Exact(Bytes(HUGE)),
            PageRequest::Exact(Bytes(PAGE)),
        ][rng.usize(..6)],
        threads: [ThreadPolicy::Prefer, ThreadPolicy::Isolate, ThreadPolicy::Require][rng.usize(..3)],
        emulator: [EmulatorThreads::Float, EmulatorThreads::Share, EmulatorThreads::Isolate][rng.usize(..3)],
        devices: (0..requests)
            .map(|_| DeviceRequest {
                key: DeviceKey(rng.u32(0..2)),
                count: rng.u32(0..3),
                policy: policies[rng.usize(..4)],
            })
            .collect(),
    }
}
