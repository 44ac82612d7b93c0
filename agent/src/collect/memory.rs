//! Main memory: /proc/meminfo and the host's pools of huge pages.

use vmuster_proto::model::{Bytes, HugepagePool, Issue, IssueKind, Memory};

use super::{hugepages, reading::Reading};
use crate::{
    host_root::HostRoot,
    parse::meminfo::{self, Meminfo},
};

pub(super) const MEMINFO: &str = "/proc/meminfo";

/// The section, and the whole of meminfo for those who need more of it.
pub(crate) fn collect(root: &HostRoot) -> (Option<Memory>, Option<Meminfo>, Vec<Issue>) {
    let mut reading = Reading::new(root);
    let info = read_meminfo(&mut reading, "memory", MEMINFO);
    let total_bytes =
        line_of(&mut reading, info.as_ref(), "memory.total_bytes", "MemTotal", |info| info.total);
    let hugepages = hugepage_pools(&mut reading, info.as_ref());
    let swap_total_bytes =
        line_of(&mut reading, info.as_ref(), "memory.swap_total_bytes", "SwapTotal", |info| info.swap_total);
    let default_hugepage_size_bytes = info.as_ref().and_then(|info| info.hugepage_size);
    if info.is_some() && default_hugepage_size_bytes.is_none() {
        let detail = "it has no Hugepagesize: this kernel has no huge pages";
        let section = "memory.default_hugepage_size_bytes";
        reading.issue(Issue::new(section, MEMINFO, IssueKind::Unsupported, detail));
    }
    let memory = Memory { total_bytes, hugepages, default_hugepage_size_bytes, swap_total_bytes };
    ((memory != Memory::default()).then_some(memory), info, reading.finish())
}

pub(super) fn read_meminfo(reading: &mut Reading<'_>, section: &str, path: &str) -> Option<Meminfo> {
    let text = reading.text(section, path)?;
    reading.parsed(section, path, meminfo::parse(&text))
}

/// What a line of the host's meminfo says; every kernel writes it, and that it is missing is an issue.
pub(super) fn line_of(
    reading: &mut Reading<'_>,
    info: Option<&Meminfo>,
    section: &str,
    line: &str,
    value: fn(&Meminfo) -> Option<Bytes>,
) -> Option<Bytes> {
    let value = value(info?);
    if value.is_none() {
        reading.malformed(section, MEMINFO, format!("it has no {line}"));
    }
    value
}

fn hugepage_pools(reading: &mut Reading<'_>, info: Option<&Meminfo>) -> Vec<HugepagePool> {
    let section = "memory.hugepages";
    if let Some(counts) = hugepages::counts(reading, section, hugepages::HOST, hugepages::TOTAL) {
        return counts.into_iter().map(|(size_bytes, total)| HugepagePool { size_bytes, total }).collect();
    }
    // Without the directory meminfo has at least the default size.
    let default_size = info
        .and_then(|info| Some(HugepagePool { size_bytes: info.hugepage_size?, total: info.hugepages_total }));
    if default_size.is_none() {
        let detail = "neither this directory nor a Hugepagesize in /proc/meminfo";
        reading.issue(Issue::new(section, hugepages::HOST, IssueKind::Unsupported, detail));
    }
    default_size.into_iter().collect()
}
