//! A host's NUMA cells as placement wants them.
//!
//! Pure: what the kernel has, less what settings set aside, and what guests and claims hold of it. Cells of which anything
//! is not known are not known at all: no guest is bound to them then.

use std::collections::BTreeMap;

use vmuster_proto::model::{Bytes, Cpu, CpuSet, CpuTopology, Domain, Inventory, NumaNode, Usage};

use super::cell_promises::{Held, OfCell};
use crate::{
    accounting::{AccountedHost, Figures, Profile},
    claims::{Claim, InstanceId},
    placement::{
        HostCells,
        numa::{CellMemory, HostCell, HostTopology, PagePool, SharedVcpus},
    },
};

/// The kernel's base page where libvirt and QEMU run mostly; with a larger one counts of ordinary pages are told too high,
/// and nothing else is wrong.
const ORDINARY_PAGE: Bytes = Bytes(4096);

/// None: something of them is not known.
pub(super) fn host_cells<'a>(
    host: AccountedHost<'_>,
    claims: impl Iterator<Item = &'a Claim>,
    profile: Profile,
) -> Option<HostCells> {
    let cpu = host.inventory.cpu.as_deref()?;
    let usage = host.usage?;
    let nodes = nodes(host.inventory)?;
    let mut cells = Vec::with_capacity(nodes.len());
    let total = nodes.iter().map(|node| node.memory_total_bytes.map_or(0, |bytes| bytes.0));
    let total = total.fold(0, u64::saturating_add);
    for node in &nodes {
        cells.push(empty_cell(host, cpu, node, total, profile)?);
    }
    let held = held(host, claims)?;
    let mut all = HostCells {
        is_mixed: host.settings.mixed_numa || cells.len() == 1,
        topology: HostTopology { cells, page_size: ORDINARY_PAGE, unplaced_devices: Vec::new() },
        floating_count: 0,
        bound_count: 0,
    };
    let mut promised = BTreeMap::new();
    for (held, is_running) in held.values() {
        charge(&mut all, held, *is_running, &mut promised);
    }
    for cell in &mut all.topology.cells {
        count_pages(cell, usage, &promised)?;
    }
    Some(all)
}

/// Nodes that guests can be bound to: with CPUs, and memory.
fn nodes(inventory: &Inventory) -> Option<Vec<&NumaNode>> {
    let nodes = inventory.numa.as_ref()?.nodes.iter();
    let mut usable = Vec::new();
    for node in nodes.filter(|node| node.cpuless != Some(true) && node.memoryless != Some(true)) {
        let (cpus, memory) = (node.cpus.as_ref()?, node.memory_total_bytes?);
        if !cpus.is_empty() && memory.0 > 0 {
            usable.push(node);
        }
    }
    (!usable.is_empty()).then_some(usable)
}

/// Before anybody is there.
fn empty_cell(
    host: AccountedHost<'_>,
    cpu: &Cpu,
    node: &NumaNode,
    all_memory: u64,
    profile: Profile,
) -> Option<HostCell> {
    let settings = host.settings;
    let online = cpu.online.as_ref()?.intersection(node.cpus.as_ref()?);
    let dedicated_cpus = online.intersection(&settings.dedicated_cpus);
    let shared_cpus = online.difference(&settings.dedicated_cpus);
    let memory = node.memory_total_bytes?.0;
    let mut hugepages = Vec::new();
    let mut set_aside = 0_u64;
    for pool in &node.hugepages {
        let total = pool.total?;
        set_aside = set_aside.saturating_add(total.saturating_mul(pool.size_bytes.0));
        hugepages.push(PagePool { size: pool.size_bytes, total, used: 0 });
    }
    // What the host keeps for itself is taken of all nodes alike.
    let share =
        u128::from(settings.reserved_memory_bytes.0) * u128::from(memory) / u128::from(all_memory.max(1));
    let figures = Figures {
        total: memory.saturating_sub(set_aside),
        reserved: u64::try_from(share).unwrap_or(u64::MAX),
        ratio: settings.memory_ratio,
        promised: 0,
    };
    let threads =
        Figures { total: u64::from(shared_cpus.len()), reserved: 0, ratio: settings.vcpu_ratio, promised: 0 };
    Some(HostCell {
        id: node.id,
        siblings: siblings(cpu, &dedicated_cpus, &online),
        socket: socket(cpu, &online),
        shared_cpus,
        dedicated_cpus,
        pinned: CpuSet::new(),
        shared_vcpus: SharedVcpus { promisable: threads.promisable(profile), promised: 0 },
        memory: CellMemory {
            total_bytes: figures.total.saturating_sub(figures.reserved),
            promisable_bytes: figures.promisable(profile),
            promised_bytes: 0,
        },
        hugepages,
        devices: Vec::new(),
    })
}

/// The threads of each core with a dedicated CPU.
fn siblings(cpu: &Cpu, dedicated: &CpuSet, online: &CpuSet) -> Vec<CpuSet> {
    let core = |at: &CpuTopology| Some((at.drawer, at.book, at.socket, at.die, at.cluster, at.core?));
    let mut cores = BTreeMap::<_, CpuSet>::new();
    for at in cpu.topology.iter().filter(|at| online.contains(at.cpu)) {
        if let Some(core) = core(at) {
            cores.entry(core).or_default().insert(at.cpu);
        }
    }
    cores.into_values().filter(|threads| !threads.intersection(dedicated).is_empty()).collect()
}

/// None: not known, or several.
fn socket(cpu: &Cpu, online: &CpuSet) -> Option<u32> {
    let mut sockets = cpu.topology.iter().filter(|at| online.contains(at.cpu)).map(|at| at.socket);
    let first = sockets.next()??;
    sockets.all(|socket| socket == Some(first)).then_some(first)
}

/// What each instance holds, and whether it runs. None: of one that is not known.
fn held<'a>(
    host: AccountedHost<'_>,
    claims: impl Iterator<Item = &'a Claim>,
) -> Option<BTreeMap<String, (Held, bool)>> {
    let huge_page = host.inventory.memory.as_ref().and_then(|memory| memory.default_hugepage_size_bytes);
    let dedicated = &host.settings.dedicated_cpus;
    let mut all = BTreeMap::new();
    for domain in host.usage?.domains.as_deref()? {
        let held = Held::of_domain(domain, dedicated, huge_page)?;
        all.insert(instance(domain), (held, is_running(domain)));
    }
    for claim in claims {
        let of_claim = Held::of_claim(claim);
        match all.get_mut(&claim.instance.to_string()) {
            None => drop(all.insert(claim.instance.to_string(), (of_claim, false))),
            // A guest that was placed to float and binds itself gives back what it does not use.
            Some((held, _)) if held.floating.is_none() && of_claim.floating.is_some() => {}
            Some((held, _)) => held.merge(&of_claim),
        }
    }
    Some(all)
}

/// As claims spell it, where it is a UUID.
fn instance(domain: &Domain) -> String {
    domain.uuid.parse::<InstanceId>().map_or_else(|_| domain.uuid.clone(), |id| id.to_string())
}

fn is_running(domain: &Domain) -> bool {
    matches!(domain.state.as_deref(), Some("running" | "blocked" | "paused" | "shutting_down" | "suspended"))
}

/// Huge pages of one node and size: promised to all, and of these to running guests.
type Pages = BTreeMap<(u32, u64), (u64, u64)>;

fn charge(all: &mut HostCells, held: &Held, is_running: bool, promised: &mut Pages) {
    all.bound_count += u32::from(!held.cells.is_empty());
    all.floating_count += u32::from(held.floating.is_some());
    let is_mixed = all.is_mixed;
    for cell in &mut all.topology.cells {
        cell.pinned.extend(&held.pinned.intersection(&cell.dedicated_cpus));
        let mut take = |of: &OfCell, shared_vcpus: u64| {
            let vcpus = &mut cell.shared_vcpus.promised;
            *vcpus = vcpus.saturating_add(shared_vcpus);
            let memory = &mut cell.memory.promised_bytes;
            *memory = memory.saturating_add(of.memory_bytes);
            for (size, count) in &of.pages {
                let (sum, running) = promised.entry((cell.id, *size)).or_default();
                *sum = sum.saturating_add(*count);
                *running = running.saturating_add(if is_running { *count } else { 0 });
            }
        };
        if let Some(of) = held.cells.get(&cell.id) {
            take(of, of.shared_vcpus);
        }
        if let Some(of) = held.floating.as_ref().filter(|_| is_mixed) {
            // Where it is only the kernel knows: all of it may be here. Its vCPUs are everywhere.
            take(of, 0);
        }
    }
}

/// What others than guests have of the pages, too: pages that are not free, and that no running guest explains.
fn count_pages(cell: &mut HostCell, usage: &Usage, promised: &Pages) -> Option<()> {
    let free = |size: Bytes| {
        let node = usage.numa.as_ref()?.nodes.iter().find(|node| node.id == cell.id)?;
        node.hugepages.iter().find(|pages| pages.size_bytes == size)?.free
    };
    for pool in &mut cell.hugepages {
        let (all, running) = promised.get(&(cell.id, pool.size.0)).copied().unwrap_or_default();
        let in_use = if pool.total == 0 { 0 } else { pool.total.saturating_sub(free(pool.size)?) };
        pool.used = all.saturating_add(in_use.saturating_sub(running));
    }
    Some(())
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
