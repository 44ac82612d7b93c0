//! NUMA cells of guests: what is asked for, and where they go.
//!
//! Units and meanings of each field are in the schema (proto/vmuster/v1/placement_service.proto), under the same names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Bytes, CpuSet};

/// What a guest's vCPUs run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuPolicy {
    /// They float over a cell.
    #[default]
    Shared,
    /// Each has a CPU of its own.
    Dedicated,
    /// Some have.
    Mixed,
}

/// What dedicated vCPUs want of the threads of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadPolicy {
    /// Siblings together where there are any.
    #[default]
    Prefer,
    /// One vCPU a core.
    Isolate,
    /// Only cores with two or more free threads.
    Require,
}

/// Where the threads of the emulator itself run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmulatorThreads {
    /// Over the guest's own CPUs.
    #[default]
    Float,
    /// Over the shared CPUs of its cells.
    Share,
    /// On a dedicated CPU of their own.
    Isolate,
}

/// Which pages back a guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageChoice {
    /// Ordinary pages, by the host's memory ratio.
    #[default]
    Ordinary,
    /// Ordinary pages, never promised twice.
    Small,
    /// Huge pages, the largest that fit.
    Large,
    /// The largest that fit, ordinary ones last.
    Any,
    /// Of this size.
    Bytes(Bytes),
}

/// A guest's own memory nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct GuestTopology {
    pub cells: Vec<GuestTopologyCell>,
    pub cpu_policy: CpuPolicy,
    pub thread_policy: ThreadPolicy,
    pub emulator_threads: EmulatorThreads,
    pub pages: PageChoice,
}

/// One of a guest's memory nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct GuestTopologyCell {
    pub vcpus: u32,
    pub memory_bytes: Bytes,
    #[serde(default)]
    pub dedicated_vcpus: u32,
}

/// Where one cell of a guest goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct PlacedCell {
    pub host_cell: u32,
    pub vcpus: CpuSet,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<u32, u32>,
    #[serde(default, skip_serializing_if = "CpuSet::is_empty")]
    pub shared_cpus: CpuSet,
    pub memory_bytes: Bytes,
    pub page_size_bytes: Bytes,
    pub huge_pages: bool,
}

/// What a claim holds of a NUMA cell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct ClaimedCell {
    pub host_cell: u32,
    #[serde(default, skip_serializing_if = "CpuSet::is_empty")]
    pub pinned_cpus: CpuSet,
    pub shared_vcpus: u64,
    pub memory_bytes: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size_bytes: Option<Bytes>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub page_count: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
