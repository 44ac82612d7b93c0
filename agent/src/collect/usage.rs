//! What is used now: the few files that change by the second, and nothing else.

use vmuster_proto::model::{
    Bytes, FreeHugepages, Issue, IssueKind, MemoryUsage, NumaNodeUsage, NumaUsage, Usage,
};

use super::{hugepages, memory, numa, reading::Reading};
use crate::{
    host_root::{HostRoot, KeptFiles},
    parse::meminfo::{self, Meminfo},
};

/// Memory and nodes; the agent's own figures are not the host's files, and the caller has the clock.
pub(crate) fn collect(root: &HostRoot, kept: Option<&mut KeptFiles>) -> (Usage, Option<Meminfo>, Vec<Issue>) {
    let mut reading = Reading::keeping(root, kept);
    let info = memory::read_meminfo(&mut reading, "usage.memory", memory::MEMINFO);
    let memory = memory_usage(&mut reading, info.as_ref());
    let numa = numa::node_ids(&mut reading, "usage.numa")
        .map(|ids| NumaUsage { nodes: ids.into_iter().map(|id| node(&mut reading, id)).collect() });
    let usage = Usage { memory, numa, ..Usage::default() };
    (usage, info, reading.finish())
}

fn memory_usage(reading: &mut Reading<'_>, info: Option<&Meminfo>) -> Option<MemoryUsage> {
    let available_bytes = info.and_then(|info| info.available);
    let free_bytes = info.and_then(|info| info.free);
    if info.is_some() && available_bytes.is_none() {
        let detail = "it has no MemAvailable, as kernels before 3.14";
        let section = "usage.memory.available_bytes";
        reading.issue(Issue::new(section, memory::MEMINFO, IssueKind::Unsupported, detail));
    }
    if info.is_some() && free_bytes.is_none() {
        reading.malformed("usage.memory.free_bytes", memory::MEMINFO, "it has no MemFree");
    }
    let counts = hugepages::counts(reading, "usage.memory.hugepages", hugepages::HOST, hugepages::FREE);
    let default_size = || {
        let info = info?;
        Some(vec![(info.hugepage_size?, info.hugepages_free)])
    };
    let hugepages = free_pages(counts.or_else(default_size));
    let usage = MemoryUsage { available_bytes, free_bytes, hugepages, ..MemoryUsage::default() };
    (usage != MemoryUsage::default()).then_some(usage)
}

fn node(reading: &mut Reading<'_>, id: u32) -> NumaNodeUsage {
    let section = format!("usage.numa.nodes[{id}].memory_free_bytes");
    let path = numa::meminfo_path(id);
    let text = reading.text_of_many("node meminfo", &section, &path);
    let info = text.and_then(|text| reading.parsed(&section, &path, meminfo::parse(&text)));
    if info.as_ref().is_some_and(|info| info.free.is_none()) {
        reading.malformed(&section, &path, "it has no MemFree");
    }
    let section = format!("usage.numa.nodes[{id}].hugepages");
    let counts = hugepages::counts(reading, &section, &numa::hugepages_path(id), hugepages::FREE);
    NumaNodeUsage { id, memory_free_bytes: info.and_then(|info| info.free), hugepages: free_pages(counts) }
}

fn free_pages(counts: Option<Vec<(Bytes, Option<u64>)>>) -> Vec<FreeHugepages> {
    counts
        .into_iter()
        .flatten()
        .map(|(size_bytes, free)| FreeHugepages { size_bytes, free, ..FreeHugepages::default() })
        .collect()
}
