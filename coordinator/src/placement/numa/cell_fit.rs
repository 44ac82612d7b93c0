//! Does one guest cell fit on one host cell, and on which pages?
//!
//! Knows one of each. Must not know other cells, nor change anything.

use std::cmp::Reverse;

use vmuster_proto::model::Bytes;

use super::{
    answer::CellLack,
    cores::{Cores, Counts},
    guest::{EmulatorThreads, GuestTopology, PageRequest, ThreadPolicy},
    host::{HostCell, HostTopology},
};

/// What a guest cell asks of a host cell. Equal needs fit alike and are looked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CellNeed {
    pub(super) dedicated_vcpus: u32,
    pub(super) has_emulator: bool,
    pub(super) shared_vcpus: u64,
    pub(super) memory_bytes: u64,
    pages: PageRequest,
    pub(super) threads: ThreadPolicy,
    /// Ordinary pages are not overcommitted.
    is_strict: bool,
    needs_socket: bool,
}

impl CellNeed {
    /// Of each cell.
    pub(super) fn all(guest: &GuestTopology) -> Vec<Self> {
        let is_isolated = guest.emulator == EmulatorThreads::Isolate;
        let cells = guest.cells.iter().enumerate();
        let need = |(place, cell): (usize, &super::GuestCell)| Self {
            dedicated_vcpus: cell.dedicated_vcpus,
            has_emulator: is_isolated && place == 0,
            shared_vcpus: u64::from(cell.shared_vcpus),
            memory_bytes: cell.memory.0,
            pages: guest.pages,
            threads: guest.threads,
            is_strict: guest.has_dedicated(),
            needs_socket: guest.asks_socket(),
        };
        cells.map(need).collect()
    }
}

/// The pages a guest cell gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) size_bytes: u64,
    pub(super) count: u64,
    pub(super) is_huge: bool,
}

/// A host cell, with its dedicated CPUs counted once.
#[derive(Debug)]
pub(super) struct CellRoom<'a> {
    pub(super) cell: &'a HostCell,
    pub(super) counts: Counts,
    page_bytes: u64,
}

impl<'a> CellRoom<'a> {
    pub(super) fn all(host: &'a HostTopology) -> Vec<Self> {
        let page_bytes = host.page_size.0.max(1);
        let room = |cell| Self { cell, counts: Cores::new(cell).counts(), page_bytes };
        host.cells.iter().map(room).collect()
    }

    pub(super) fn shared_vcpus(&self) -> u64 {
        let shared = &self.cell.shared_vcpus;
        shared.promisable.saturating_sub(shared.promised).min(u64::from(self.cell.shared_cpus.len()))
    }

    /// The pages it gets, or the first thing that lacks.
    pub(super) fn fit(&self, need: &CellNeed) -> Result<Pages, CellLack> {
        if need.needs_socket && self.cell.socket.is_none() {
            return Err(CellLack::SocketUnknown);
        }
        self.fit_dedicated(need)?;
        let room = self.shared_vcpus();
        if need.shared_vcpus > room {
            return Err(CellLack::SharedVcpus { asked: need.shared_vcpus, room });
        }
        self.fit_memory(need)
    }

    fn fit_dedicated(&self, need: &CellNeed) -> Result<(), CellLack> {
        let (counts, emulator) = (&self.counts, u64::from(need.has_emulator));
        let asked = u64::from(need.dedicated_vcpus);
        if asked + emulator > counts.threads {
            return Err(CellLack::DedicatedCpus { asked: asked + emulator, free: counts.threads });
        }
        match need.threads {
            ThreadPolicy::Require if asked > counts.sibling_threads => {
                Err(CellLack::SiblingThreads { asked, free: counts.sibling_threads })
            }
            // Whatever whole cores the vCPUs take, the emulator's CPU is on another of them or on none.
            ThreadPolicy::Isolate
                if asked > counts.whole_cores
                    || asked + emulator > counts.whole_cores.saturating_add(counts.other_threads) =>
            {
                Err(CellLack::WholeCores { asked: asked + emulator, free: counts.whole_cores })
            }
            _ => Ok(()),
        }
    }

    fn fit_memory(&self, need: &CellNeed) -> Result<Pages, CellLack> {
        let huge = |wanted: Option<u64>| self.fit_huge(need, wanted);
        match need.pages {
            PageRequest::Ordinary => self.fit_ordinary(need, need.is_strict),
            PageRequest::Small => self.fit_small(need),
            PageRequest::Large => huge(None),
            PageRequest::Any => {
                huge(None).or_else(|huge| self.fit_small(need).map_err(|small| least(huge, small)))
            }
            PageRequest::Exact(Bytes(size)) if size == self.page_bytes => self.fit_small(need),
            PageRequest::Exact(Bytes(size)) => huge(Some(size)),
        }
    }

    fn fit_ordinary(&self, need: &CellNeed, is_strict: bool) -> Result<Pages, CellLack> {
        let room_bytes = self.cell.memory.room_bytes(is_strict);
        if need.memory_bytes > room_bytes {
            return Err(CellLack::Memory { asked_bytes: need.memory_bytes, room_bytes });
        }
        let count = need.memory_bytes.div_ceil(self.page_bytes);
        Ok(Pages { size_bytes: self.page_bytes, count, is_huge: false })
    }

    fn fit_small(&self, need: &CellNeed) -> Result<Pages, CellLack> {
        if !need.memory_bytes.is_multiple_of(self.page_bytes) {
            return Err(CellLack::NotWholePages { size: Bytes(self.page_bytes) });
        }
        self.fit_ordinary(need, true)
    }

    /// The largest size that fits; of the sizes that do not, what lacks least.
    fn fit_huge(&self, need: &CellNeed, wanted: Option<u64>) -> Result<Pages, CellLack> {
        let is_candidate = |size: u64| size > self.page_bytes && wanted.is_none_or(|wanted| size == wanted);
        let mut best: Option<Pages> = None;
        let mut lack = CellLack::NoPageSize;
        for pool in self.cell.hugepages.iter().filter(|pool| is_candidate(pool.size.0)) {
            let size_bytes = pool.size.0;
            let (asked, free) = (need.memory_bytes / size_bytes, pool.free());
            if !need.memory_bytes.is_multiple_of(size_bytes) {
                lack = least(lack, CellLack::NotWholePages { size: pool.size });
            } else if asked > free {
                lack = least(lack, CellLack::Hugepages { size: pool.size, asked, free });
            } else if best.is_none_or(|best| best.size_bytes < size_bytes) {
                best = Some(Pages { size_bytes, count: asked, is_huge: true });
            }
        }
        best.ok_or(lack)
    }
}

fn least(a: CellLack, b: CellLack) -> CellLack {
    if distance(&b) < distance(&a) { b } else { a }
}

/// How far from fitting; smaller is nearer. Lacks of a later check are nearer than those of an earlier one.
pub(super) fn distance(lack: &CellLack) -> (Reverse<u8>, u64) {
    let (check, missing) = match *lack {
        CellLack::SocketUnknown => (0, 0),
        CellLack::DedicatedCpus { asked, free } => (1, asked.saturating_sub(free)),
        CellLack::SiblingThreads { asked, free } | CellLack::WholeCores { asked, free } => {
            (2, asked.saturating_sub(free))
        }
        CellLack::SharedVcpus { asked, room } => (3, asked.saturating_sub(room)),
        CellLack::NoPageSize => (4, 0),
        CellLack::NotWholePages { size } => (5, size.0),
        CellLack::Hugepages { size, asked, free } => (6, asked.saturating_sub(free).saturating_mul(size.0)),
        CellLack::Memory { asked_bytes, room_bytes } => (6, asked_bytes.saturating_sub(room_bytes)),
    };
    (Reverse(check), missing)
}
