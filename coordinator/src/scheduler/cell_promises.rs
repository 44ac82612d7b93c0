//! What guests and claims hold of a host's NUMA cells.
//!
//! Pure. A guest is bound if libvirt keeps all its memory strictly on nodes that are named, one for each of its cells;
//! every other guest floats. What a guest is pinned to is its own only if it is among the host's dedicated CPUs.

use std::collections::BTreeMap;

use vmuster_proto::model::{Bytes, CpuSet, Domain, GuestCell};

use crate::claims::{Claim, ClaimedCell};

/// What an instance holds of one cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OfCell {
    /// Floating over the cell.
    pub(super) shared_vcpus: u64,
    /// In ordinary pages.
    pub(super) memory_bytes: u64,
    /// Number of huge pages by size in bytes.
    pub(super) pages: BTreeMap<u64, u64>,
}

/// What one instance holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Dedicated CPUs, wherever its memory is.
    pub(super) pinned: CpuSet,
    /// By node, if it is bound.
    pub(super) cells: BTreeMap<u32, OfCell>,
    /// Its memory and huge pages are somewhere: it floats.
    pub(super) floating: Option<OfCell>,
}

impl Held {
    /// A guest and its claim: the larger of both.
    pub(super) fn merge(&mut self, other: &Self) {
        self.pinned.extend(&other.pinned);
        for (node, of_cell) in &other.cells {
            self.cells.entry(*node).or_default().raise(of_cell);
        }
        if let Some(other) = &other.floating {
            self.floating.get_or_insert_default().raise(other);
        }
    }

    /// Of its claim.
    pub(super) fn of_claim(claim: &Claim) -> Self {
        let resources = &claim.resources;
        if resources.cells.is_empty() {
            let floating = OfCell { memory_bytes: resources.memory_bytes.0, ..OfCell::default() };
            return Self { floating: Some(floating), ..Self::default() };
        }
        let mut held = Self::default();
        for ClaimedCell { host_cell, pinned_cpus, shared_vcpus, memory_bytes, pages } in &resources.cells {
            held.pinned.extend(pinned_cpus);
            let of_cell = OfCell {
                shared_vcpus: *shared_vcpus,
                memory_bytes: memory_bytes.0,
                pages: pages.iter().map(|pages| (pages.size_bytes.0, pages.count)).collect(),
            };
            held.cells.insert(*host_cell, of_cell);
        }
        held
    }

    /// Of a guest. None: what it may use is not known.
    pub(super) fn of_domain(domain: &Domain, dedicated: &CpuSet, huge_page: Option<Bytes>) -> Option<Self> {
        let pinned = pinned(domain, dedicated);
        let whole;
        let guest_cells = match &domain.numa {
            Some(numa) if !numa.cells.is_empty() => numa.cells.as_slice(),
            _ => {
                whole = [GuestCell { memory_bytes: domain.memory_max_bytes, ..GuestCell::default() }];
                &whole
            }
        };
        let mut cells = BTreeMap::<u32, OfCell>::new();
        let mut floating = OfCell::default();
        let mut is_bound = true;
        for cell in guest_cells {
            let of_cell = of_guest_cell(domain, cell, dedicated, huge_page)?;
            floating.add(&of_cell);
            match node_of(domain, cell) {
                Some(node) => cells.entry(node).or_default().add(&of_cell),
                None => is_bound = false,
            }
        }
        Some(match is_bound {
            true => Self { pinned, cells, floating: None },
            false => Self { pinned, cells: BTreeMap::new(), floating: Some(floating) },
        })
    }
}

impl OfCell {
    fn add(&mut self, other: &Self) {
        self.shared_vcpus = self.shared_vcpus.saturating_add(other.shared_vcpus);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        for (size, count) in &other.pages {
            let sum = self.pages.entry(*size).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    fn raise(&mut self, other: &Self) {
        self.shared_vcpus = self.shared_vcpus.max(other.shared_vcpus);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        for (size, count) in &other.pages {
            let own = self.pages.entry(*size).or_default();
            *own = (*own).max(*count);
        }
    }
}

fn within(cpus: &CpuSet, dedicated: &CpuSet) -> bool {
    !cpus.is_empty() && cpus.difference(dedicated).is_empty()
}

/// Dedicated CPUs that nobody else should have.
fn pinned(domain: &Domain, dedicated: &CpuSet) -> CpuSet {
    let sets = domain.vcpu_pins.values().chain(&domain.cpus).chain(&domain.emulator_cpus);
    let mut pinned = CpuSet::new();
    sets.filter(|cpus| within(cpus, dedicated)).for_each(|cpus| pinned.extend(cpus));
    pinned
}

/// The one node that libvirt keeps a guest's cell on.
fn node_of(domain: &Domain, cell: &GuestCell) -> Option<u32> {
    let numa = domain.numa.as_ref()?;
    let (mode, nodes) = match &cell.host_nodes {
        Some(nodes) => (&cell.mode, nodes),
        None => (&numa.mode, numa.host_nodes.as_ref()?),
    };
    // Where no mode is said, libvirt's is strict.
    let is_kept = mode.as_deref().is_none_or(|mode| matches!(mode, "strict" | "restrictive"));
    nodes.first().filter(|_| is_kept && nodes.len() == 1)
}

fn others_name_vcpus(domain: &Domain) -> bool {
    domain.numa.as_ref().is_some_and(|numa| numa.cells.iter().any(|cell| cell.vcpus.is_some()))
}

fn of_guest_cell(
    domain: &Domain,
    cell: &GuestCell,
    dedicated: &CpuSet,
    huge_page: Option<Bytes>,
) -> Option<OfCell> {
    let has_none = cell.vcpus.is_none() && others_name_vcpus(domain);
    let is_ours = |vcpu: u32| !has_none && cell.vcpus.as_ref().is_none_or(|vcpus| vcpus.contains(vcpu));
    let all = match &cell.vcpus {
        Some(vcpus) => u64::from(vcpus.len()),
        // A cell of memory alone has none, where others name theirs.
        None if has_none => 0,
        None => u64::from(domain.vcpus_max?),
    };
    let pins = domain.vcpu_pins.iter().filter(|(vcpu, _)| is_ours(**vcpu));
    let (own, others): (Vec<_>, Vec<_>) = pins.partition(|(_, cpus)| within(cpus, dedicated));
    let are_rest_pinned = domain.cpus.as_ref().is_some_and(|cpus| within(cpus, dedicated));
    let count = |pins: Vec<_>| u64::try_from(pins.len()).unwrap_or(u64::MAX);
    let shared_vcpus = if are_rest_pinned { count(others) } else { all.saturating_sub(count(own)) };
    let memory_bytes = cell.memory_bytes?.0;
    // An entry that names the cell wins over one for all, wherever it stands.
    let backing = || domain.hugepages.iter();
    let named =
        backing().find(|entry| entry.guest_nodes.as_ref().is_some_and(|nodes| nodes.contains(cell.id)));
    let Some(backed) = named.or_else(|| backing().find(|entry| entry.guest_nodes.is_none())) else {
        return Some(OfCell { shared_vcpus, memory_bytes, pages: BTreeMap::new() });
    };
    let size = backed.size_bytes.or(huge_page).filter(|size| size.0 > 0)?.0;
    let pages = [(size, memory_bytes.div_ceil(size))].into();
    Some(OfCell { shared_vcpus, memory_bytes: 0, pages })
}
