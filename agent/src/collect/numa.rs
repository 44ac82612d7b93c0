//! Memory nodes: /sys/devices/system/node.
//!
//! Nodes without CPUs or without memory are kept, ids may have gaps, and nothing here need add up to the whole host's.

use std::collections::BTreeMap;

use vmuster_proto::model::{Bytes, CpuSet, HugepagePool, Issue, IssueKind, Numa, NumaNode};

use super::{hugepages, reading::Reading};
use crate::{
    host_root::HostRoot,
    parse::{distance, meminfo},
};

const DIRECTORY: &str = "/sys/devices/system/node";

const MEMORY_TIERS: &str = "/sys/devices/virtual/memory_tiering";

/// The section. `online`: CPUs that nodes may list, for a node's list also names CPUs that are offline.
pub(crate) fn collect(root: &HostRoot, online: Option<&CpuSet>) -> (Option<Numa>, Vec<Issue>) {
    let mut reading = Reading::new(root);
    let Some(ids) = node_ids(&mut reading, "numa") else { return (None, reading.finish()) };
    // A row has a column for each online node. Kernels before 2.6.3x have no such file, and a directory for each.
    let columns = reading.list_if_there("numa.distances", "/sys/devices/system/node/online");
    let columns = columns.unwrap_or_else(|| ids.iter().copied().collect());
    let mut nodes: Vec<NumaNode> = ids.iter().map(|id| node(&mut reading, *id, online, &columns)).collect();
    tell_shared_cpus(&mut reading, &nodes);
    set_memory_tiers(&mut reading, &mut nodes);
    (Some(Numa { nodes }), reading.finish())
}

/// The N of each nodeN, ascending. None, with an issue, if there is none.
pub(super) fn node_ids(reading: &mut Reading<'_>, section: &str) -> Option<Vec<u32>> {
    let names = match reading.root.read_dir(DIRECTORY) {
        Ok(names) => names,
        Err(error) if error.is_absent() => {
            let detail = "no memory nodes: the kernel is built without NUMA, or they were not recorded";
            reading.issue(Issue::new(section, DIRECTORY, IssueKind::Unsupported, detail));
            return None;
        }
        Err(error) => {
            reading.failed(section, &error);
            return None;
        }
    };
    let mut ids: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix("node")?.parse().ok()).collect();
    ids.sort_unstable();
    if ids.is_empty() {
        reading.issue(Issue::new(section, DIRECTORY, IssueKind::Missing, "no nodeN is there"));
        return None;
    }
    Some(ids)
}

fn node(reading: &mut Reading<'_>, id: u32, online: Option<&CpuSet>, columns: &CpuSet) -> NumaNode {
    let directory = directory(id);
    reading.enter(&directory);
    let listed = cpus(reading, id);
    let memory_total_bytes = memory_total(reading, id);
    let is_online = |cpus: &CpuSet| online.map_or_else(|| cpus.clone(), |online| cpus.intersection(online));
    NumaNode {
        id,
        cpus: listed.as_ref().map(is_online),
        memory_total_bytes,
        hugepages: hugepage_pools(reading, id, &directory),
        distances: distances(reading, id, columns),
        cpuless: listed.as_ref().map(|listed| listed.is_empty() && !has_cpus(reading, &directory)),
        memoryless: memory_total_bytes.map(|bytes| bytes.0 == 0),
        memory_tier: None,
    }
}

fn cpus(reading: &mut Reading<'_>, id: u32) -> Option<CpuSet> {
    let section = format!("numa.nodes[{id}].cpus");
    let (list, mask) = (format!("{}/cpulist", directory(id)), format!("{}/cpumap", directory(id)));
    let cpus = reading.list_or_mask(&section, &list, &mask);
    if cpus.is_none() && !reading.root.exists(&list) && !reading.root.exists(&mask) {
        reading.repeated(
            "cpulist",
            Issue::new(section, list, IssueKind::Missing, "neither cpulist nor cpumap is there"),
        );
    }
    cpus
}

fn memory_total(reading: &mut Reading<'_>, id: u32) -> Option<Bytes> {
    let section = format!("numa.nodes[{id}].memory_total_bytes");
    let path = meminfo_path(id);
    let text = reading.text_of_many("node meminfo", &section, &path)?;
    let total = reading.parsed(&section, &path, meminfo::parse(&text))?.total;
    if total.is_none() {
        reading.malformed(&section, &path, "it has no MemTotal");
    }
    total
}

/// A node without the directory, as memoryless ones are, has no pool; that is no issue.
fn hugepage_pools(reading: &mut Reading<'_>, id: u32, directory: &str) -> Vec<HugepagePool> {
    let section = format!("numa.nodes[{id}].hugepages");
    let counts = hugepages::counts(reading, &section, &format!("{directory}/hugepages"), hugepages::TOTAL);
    counts.into_iter().flatten().map(|(size_bytes, total)| HugepagePool { size_bytes, total }).collect()
}

fn distances(reading: &mut Reading<'_>, id: u32, columns: &CpuSet) -> BTreeMap<u32, u32> {
    let section = format!("numa.nodes[{id}].distances");
    let path = format!("{}/distance", directory(id));
    let row = reading
        .text_of_many("distance", &section, &path)
        .and_then(|text| reading.parsed(&section, &path, distance::parse(&text)));
    let Some(row) = row else { return BTreeMap::new() };
    if usize::try_from(columns.len()) != Ok(row.len()) {
        let detail = format!("{} distances for {} online nodes ({columns})", row.len(), columns.len());
        reading.malformed(&section, &path, detail);
        return BTreeMap::new();
    }
    columns.iter().zip(row).collect()
}

/// Some firmware lists the same CPUs in several nodes: each node keeps them, and the CPUs have no node of their own.
fn tell_shared_cpus(reading: &mut Reading<'_>, nodes: &[NumaNode]) {
    let mut seen = CpuSet::new();
    let mut shared = CpuSet::new();
    for cpu in nodes.iter().filter_map(|node| node.cpus.as_ref()).flat_map(CpuSet::iter) {
        if seen.contains(cpu) {
            shared.insert(cpu);
        }
        seen.insert(cpu);
    }
    if !shared.is_empty() {
        let detail = format!("CPUs {shared} are in more than one node");
        reading.issue(Issue::new("numa", DIRECTORY, IssueKind::Malformed, detail));
    }
}

/// Whether a CPU is plugged in, online or not: kernels list the online ones only, and link the others too.
fn has_cpus(reading: &Reading<'_>, directory: &str) -> bool {
    let is_cpu = |name: &String| name.strip_prefix("cpu").is_some_and(|id| id.parse::<u32>().is_ok());
    reading.root.read_dir(directory).is_ok_and(|names| names.iter().any(is_cpu))
}

/// Which nodes have memory of which speed; kernels before 6.1 do not tell, and that is no issue.
fn set_memory_tiers(reading: &mut Reading<'_>, nodes: &mut [NumaNode]) {
    let names = match reading.root.read_dir(MEMORY_TIERS) {
        Ok(names) => names,
        Err(error) if error.is_absent() => return,
        Err(error) => return reading.failed("numa.memory_tiers", &error),
    };
    for name in names {
        let Some(tier) = name.strip_prefix("memory_tier").and_then(|tier| tier.parse().ok()) else {
            continue;
        };
        let list = reading.list("numa.memory_tiers", &format!("{MEMORY_TIERS}/{name}/nodelist"));
        for node in nodes.iter_mut().filter(|node| list.as_ref().is_some_and(|list| list.contains(node.id))) {
            node.memory_tier = Some(tier);
        }
    }
}

fn directory(id: u32) -> String {
    format!("{DIRECTORY}/node{id}")
}

pub(super) fn meminfo_path(id: u32) -> String {
    format!("{DIRECTORY}/node{id}/meminfo")
}

pub(super) fn hugepages_path(id: u32) -> String {
    format!("{DIRECTORY}/node{id}/hugepages")
}
