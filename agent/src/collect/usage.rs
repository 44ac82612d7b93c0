//! What is used now: the few files that change by the second, and nothing else.

use vmuster_proto::model::{FreeHugepages, Issue, IssueKind, MemoryUsage, NumaNodeUsage, NumaUsage, Usage};

use super::{hugepages, load, memory, numa, pressure, reading::Reading};
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
    let load = load::collect(&mut reading);
    let pressure = pressure::collect(&mut reading);
    let usage = Usage { memory, numa, load, pressure, ..Usage::default() };
    (usage, info, reading.finish())
}

fn memory_usage(reading: &mut Reading<'_>, info: Option<&Meminfo>) -> Option<MemoryUsage> {
    let available_bytes = info.and_then(|info| info.available);
    if info.is_some() && available_bytes.is_none() {
        let detail = "it has no MemAvailable, as kernels before 3.14";
        let section = "usage.memory.available_bytes";
        reading.issue(Issue::new(section, memory::MEMINFO, IssueKind::Unsupported, detail));
    }
    let mut line = |field: &str, line: &str, value| {
        memory::line_of(reading, info, &format!("usage.memory.{field}"), line, value)
    };
    let usage = MemoryUsage {
        available_bytes,
        free_bytes: line("free_bytes", "MemFree", |info| info.free),
        cached_bytes: line("cached_bytes", "Cached", |info| info.cached),
        buffers_bytes: line("buffers_bytes", "Buffers", |info| info.buffers),
        shared_bytes: line("shared_bytes", "Shmem", |info| info.shared),
        swap_free_bytes: line("swap_free_bytes", "SwapFree", |info| info.swap_free),
        hugepages: free_pages(reading, info),
    };
    (usage != MemoryUsage::default()).then_some(usage)
}

/// The pools' directory, else what meminfo has of the default size.
fn free_pages(reading: &mut Reading<'_>, info: Option<&Meminfo>) -> Vec<FreeHugepages> {
    let default_size = || {
        let info = info?;
        let (size_bytes, free) = (info.hugepage_size?, info.hugepages_free);
        Some(vec![FreeHugepages { size_bytes, free, ..FreeHugepages::default() }])
    };
    let pools = hugepages::free(reading, "usage.memory.hugepages", hugepages::HOST);
    pools.or_else(default_size).unwrap_or_default()
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
    let hugepages = hugepages::free(reading, &section, &numa::hugepages_path(id)).unwrap_or_default();
    NumaNodeUsage { id, memory_free_bytes: info.and_then(|info| info.free), hugepages }
}
