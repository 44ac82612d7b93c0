//! Dedicated CPUs of one host cell, as cores.
//!
//! Knows which threads are free, and which a thread policy takes. Must not know memory, devices or other cells. Whether
//! there are enough is asked of [`Counts`] alone; what is taken is then always found.

use std::cmp::Reverse;

use vmuster_proto::model::CpuSet;

use super::{guest::ThreadPolicy, host::HostCell};

/// A core with a dedicated thread.
#[derive(Debug, Clone)]
struct Core {
    /// Dedicated and not pinned, ascending.
    free: Vec<u32>,
    /// Of the core, also those not dedicated.
    threads: usize,
}

impl Core {
    fn is_whole(&self) -> bool {
        self.free.len() == self.threads
    }
}

/// How much is free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) threads: u64,
    /// Threads of cores with two or more free.
    pub(super) sibling_threads: u64,
    /// Cores that are free and dedicated as a whole.
    pub(super) whole_cores: u64,
    /// Threads of other cores.
    pub(super) other_threads: u64,
}

/// What a guest cell gets.
#[derive(Debug, Default)]
pub(super) struct TakenCpus {
    /// In the order of the vCPUs.
    pub(super) pins: Vec<u32>,
    pub(super) emulator: Option<u32>,
    /// All that is gone.
    pub(super) gone: CpuSet,
}

/// See above.
#[derive(Debug)]
pub(super) struct Cores(Vec<Core>);

impl Cores {
    pub(super) fn new(cell: &HostCell) -> Self {
        let mut left = cell.dedicated_cpus.clone();
        let mut cores = Vec::new();
        for siblings in &cell.siblings {
            let here = siblings.intersection(&left);
            left = left.difference(&here);
            cores.push(Core {
                free: here.difference(&cell.pinned).iter().collect(),
                threads: siblings.len() as usize,
            });
        }
        let alone = left.difference(&cell.pinned);
        cores.extend(alone.iter().map(|cpu| Core { free: vec![cpu], threads: 1 }));
        cores.retain(|core| !core.free.is_empty());
        Self(cores)
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for core in &self.0 {
            let free = core.free.len() as u64;
            counts.threads += free;
            counts.sibling_threads += if free >= 2 { free } else { 0 };
            counts.whole_cores += u64::from(core.is_whole());
            counts.other_threads += if core.is_whole() { 0 } else { free };
        }
        counts
    }

    /// Takes CPUs that were counted before.
    pub(super) fn take(mut self, vcpus: u32, policy: ThreadPolicy, has_emulator: bool) -> TakenCpus {
        let mut taken = TakenCpus::default();
        let vcpus = vcpus as usize;
        let mut blocked = Vec::new();
        match policy {
            ThreadPolicy::Prefer => {
                self.take_siblings(vcpus, &mut taken.pins);
                self.take_singles(vcpus, &mut taken.pins);
            }
            ThreadPolicy::Require => {
                self.take_siblings(vcpus, &mut taken.pins);
                if taken.pins.len() < vcpus {
                    // The odd one; the least is kept free beside it.
                    let threads =
                        self.best(|core| core.free.len() >= 2, |core| (core.is_whole(), core.free.len()));
                    blocked = pin_first(threads, &mut taken.pins);
                }
            }
            ThreadPolicy::Isolate => {
                while taken.pins.len() < vcpus {
                    let threads = self.best(Core::is_whole, |core| core.free.len());
                    if threads.is_none() {
                        break;
                    }
                    taken.gone.extend(&pin_first(threads, &mut taken.pins).into_iter().collect());
                }
            }
        }
        debug_assert_eq!(taken.pins.len(), vcpus, "was counted");
        if has_emulator {
            // A thread kept free beside the guest's own odd vCPU serves its emulator as well as any.
            taken.emulator = blocked.first().copied().or_else(|| {
                let mut single = Vec::new();
                self.take_singles(1, &mut single);
                single.pop()
            });
        }
        taken.gone.extend(&taken.pins.iter().chain(&blocked).chain(&taken.emulator).copied().collect());
        taken
    }

    /// Two or more threads of a core at once, while two or more are wanted. Cores that are partly used come before whole
    /// ones; then those that can be filled, the most free first.
    fn take_siblings(&mut self, vcpus: usize, pins: &mut Vec<u32>) {
        while vcpus - pins.len() >= 2 {
            let rest = vcpus - pins.len();
            let order = |core: &Core| (core.is_whole(), core.free.len() > rest, Reverse(core.free.len()));
            let Some(core) = self.place(|core| core.free.len() >= 2, order) else { return };
            let Some(core) = self.0.get_mut(core) else { return };
            pins.extend(core.free.drain(..rest.min(core.free.len())));
        }
    }

    /// Single threads, where the fewest are free; of whole cores last.
    fn take_singles(&mut self, vcpus: usize, pins: &mut Vec<u32>) {
        while pins.len() < vcpus {
            let order = |core: &Core| (core.is_whole(), core.free.len());
            let Some(core) = self.place(|core| !core.free.is_empty(), order) else { return };
            let Some(core) = self.0.get_mut(core) else { return };
            pins.push(core.free.remove(0));
        }
    }

    /// Takes all free threads of the best core.
    fn best<K: Ord>(
        &mut self,
        takes: impl Fn(&Core) -> bool,
        order: impl Fn(&Core) -> K,
    ) -> Option<Vec<u32>> {
        let core = self.place(takes, order)?;
        Some(std::mem::take(&mut self.0.get_mut(core)?.free))
    }

    /// Of equals, that with the lowest CPU.
    fn place<K: Ord>(&self, takes: impl Fn(&Core) -> bool, order: impl Fn(&Core) -> K) -> Option<usize> {
        let cores = self.0.iter().enumerate().filter(|(_, core)| !core.free.is_empty() && takes(core));
        cores.min_by_key(|(_, core)| (order(core), core.free.first().copied())).map(|(place, _)| place)
    }
}

/// Pins to the first; the others.
fn pin_first(threads: Option<Vec<u32>>, pins: &mut Vec<u32>) -> Vec<u32> {
    let mut threads = threads.unwrap_or_default().into_iter();
    pins.extend(threads.next());
    threads.collect()
}
