//! Where a guest's memory and CPUs are to be on its host.

use std::collections::BTreeMap;

use vmuster_proto::model::{Bytes, CpuSet, DomainHugepages, DomainNuma, FreeHugepages, NumaNode};

use super::{Case, Said, no, unknown};

/// Nodes and CPUs that a definition names must be there: their numbers are the old host's.
pub(super) fn numa(case: &Case<'_>) -> Said {
    let mut said = nodes(case);
    let pins = pinned(case);
    if pins.is_empty() {
        return said;
    }
    match case.target.cpu().and_then(|cpu| cpu.online.as_ref()) {
        None => said.extend(case.target.silent("cpu.online", &format!("whether its CPUs {pins} are online"))),
        Some(online) => {
            let absent = pins.difference(online);
            if !absent.is_empty() {
                said.extend(no(format!("it is pinned to CPUs {absent}, which are not online there")));
            }
        }
    }
    said
}

/// Host CPUs that anything of the guest is pinned to.
fn pinned(case: &Case<'_>) -> CpuSet {
    let mut pins = CpuSet::new();
    let domain = case.domain;
    for set in domain.vcpu_pins.values().chain(&domain.cpus).chain(&domain.emulator_cpus) {
        pins.extend(set);
    }
    pins
}

/// A part of the guest's memory, and the host's nodes it is bound to.
struct Bound {
    nodes: CpuSet,
    /// With any other mode the kernel may take it from elsewhere.
    is_strict: bool,
    memory: Option<Bytes>,
}

fn bound(numa: &DomainNuma, all: Option<Bytes>) -> Vec<Bound> {
    let is_strict = |mode: Option<&str>| matches!(mode, None | Some("strict" | "restrictive"));
    let of_cell = numa.cells.iter().filter_map(|cell| {
        let mode = cell.mode.as_deref().or(numa.mode.as_deref());
        let nodes = cell.host_nodes.clone()?;
        Some(Bound { nodes, is_strict: is_strict(mode), memory: cell.memory_bytes })
    });
    let mut bound: Vec<Bound> = of_cell.collect();
    if let Some(nodes) = &numa.host_nodes {
        let is_strict = is_strict(numa.mode.as_deref());
        // What is left beside the cells with nodes of their own.
        let taken = bound.iter().try_fold(0, |sum: u64, cell| sum.checked_add(cell.memory?.0));
        let memory = all.zip(taken).map(|(all, taken)| Bytes(all.0.saturating_sub(taken)));
        bound.push(Bound { nodes: nodes.clone(), is_strict, memory });
    }
    bound
}

fn nodes(case: &Case<'_>) -> Said {
    let Some(numa) = &case.domain.numa else { return Said::new() };
    let bound = bound(numa, case.domain.memory_max_bytes);
    if bound.is_empty() {
        return Said::new();
    }
    let Some(there) = case.target.inventory.numa.as_ref() else {
        return case.target.silent("numa", "its memory nodes");
    };
    let there: BTreeMap<u32, &NumaNode> = there.nodes.iter().map(|node| (node.id, node)).collect();
    bound.iter().flat_map(|part| fits(part, &there)).collect()
}

fn fits(part: &Bound, there: &BTreeMap<u32, &NumaNode>) -> Said {
    let Bound { nodes, is_strict, memory } = part;
    let absent: CpuSet = nodes.iter().filter(|node| !there.contains_key(node)).collect();
    if !absent.is_empty() {
        return no(format!("its memory is bound to nodes {absent}, which the host does not have"));
    }
    if !is_strict {
        return Said::new();
    }
    let total = nodes.iter().filter_map(|node| there.get(&node)).try_fold(0, |sum: u64, node| {
        let own = if node.memoryless == Some(true) { Bytes(0) } else { node.memory_total_bytes? };
        Some(sum.saturating_add(own.0))
    });
    match (total.map(Bytes), memory) {
        (Some(Bytes(0)), _) => no(format!("its memory is bound to nodes {nodes}, which have none there")),
        (Some(total), Some(memory)) if *memory > total => {
            no(format!("{memory} of its memory is bound to nodes {nodes}, which have {total} there"))
        }
        (Some(_), Some(_)) => Said::new(),
        (None, _) => unknown(format!("how much memory nodes {nodes} have there is not known")),
        (_, None) => unknown(format!("how much of its memory is bound to nodes {nodes} is not known")),
    }
}

/// Huge pages are never overcommitted: what it needs must be free now, on the nodes its memory is bound to.
pub(super) fn hugepages(case: &Case<'_>) -> Said {
    let pages = &case.domain.hugepages;
    if pages.is_empty() {
        return Said::new();
    }
    let default = case.target.inventory.memory.as_ref().and_then(|memory| memory.default_hugepage_size_bytes);
    // By size and nodes: parts of the guest share what is free.
    let mut needs = BTreeMap::<(Bytes, String), (Option<CpuSet>, u64)>::new();
    for entry in pages {
        let Some(size) = entry.size_bytes.or(default).filter(|size| size.0 > 0) else {
            return case.target.silent("memory", "the default size of its huge pages");
        };
        let Some(parts) = backed(case, entry) else {
            return unknown("how much of its memory huge pages back is not known");
        };
        for (nodes, memory) in parts {
            let key = (size, nodes.as_ref().map(ToString::to_string).unwrap_or_default());
            let need = needs.entry(key).or_insert((nodes, 0));
            need.1 = need.1.saturating_add(memory.0.div_ceil(size.0));
        }
    }
    needs
        .into_iter()
        .flat_map(|((size, _), (nodes, count))| free(case, size, nodes.as_ref(), count))
        .collect()
}

/// The memory an entry backs, by the host's nodes it is bound to; None: not known.
fn backed(case: &Case<'_>, entry: &DomainHugepages) -> Option<Vec<(Option<CpuSet>, Bytes)>> {
    let numa = case.domain.numa.as_ref();
    let everywhere = numa.and_then(|numa| numa.host_nodes.clone());
    let cells = numa.map(|numa| numa.cells.as_slice()).unwrap_or_default();
    if cells.is_empty() {
        return Some(vec![(everywhere, case.domain.memory_max_bytes?)]);
    }
    // Entries that name nodes come first, and the one that names none has the others.
    let named = |id: u32| {
        let mut named = case.domain.hugepages.iter().filter_map(|entry| entry.guest_nodes.as_ref());
        named.any(|nodes| nodes.contains(id))
    };
    let is_its = |id: u32| entry.guest_nodes.as_ref().map_or_else(|| !named(id), |nodes| nodes.contains(id));
    let own = cells.iter().filter(|cell| is_its(cell.id));
    own.map(|cell| Some((cell.host_nodes.clone().or_else(|| everywhere.clone()), cell.memory_bytes?)))
        .collect()
}

fn free(case: &Case<'_>, size: Bytes, nodes: Option<&CpuSet>, count: u64) -> Said {
    let Some(usage) = case.target.usage else { return case.target.silent("usage", "its free huge pages") };
    let of_size = |pools: &[FreeHugepages]| -> Option<u64> {
        match pools.iter().find(|pool| pool.size_bytes == size) {
            // Mapped by somebody who has not touched them yet.
            Some(pool) => Some(pool.free?.saturating_sub(pool.reserved.unwrap_or(0))),
            None => Some(0),
        }
    };
    let free = match nodes {
        None => usage.memory.as_ref().and_then(|memory| of_size(&memory.hugepages)),
        Some(nodes) => usage.numa.as_ref().and_then(|numa| {
            let bound = numa.nodes.iter().filter(|node| nodes.contains(node.id));
            bound.map(|node| of_size(&node.hugepages)).sum()
        }),
    };
    let place = nodes.map(|nodes| format!(" on nodes {nodes}")).unwrap_or_default();
    match free {
        Some(free) if free >= count => Said::new(),
        Some(free) => no(format!("it needs {count} huge pages of {size}{place}, and {free} are free there")),
        None => case.target.silent("usage.memory", &format!("its free huge pages of {size}{place}")),
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
