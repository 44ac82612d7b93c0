//! Facts that change by the second.
//!
//! Units and sources of each field are in the schema (proto/vmuster/v1/host.proto), under the same names.

use serde::{Deserialize, Serialize};

use super::{Bytes, Domain, Hundredths, Image, Promised, StoragePool, Timestamp};

/// What is used now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Usage {
    /// When the reading ended, by the host's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collected_at: Option<Timestamp>,
    /// Main memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryUsage>,
    /// Per memory node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<NumaUsage>,
    /// What the agent itself costs; None of a recorded host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<OwnProcess>,
    /// Mounted file systems, by mount point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystems: Option<Vec<Filesystem>>,
    /// Tasks that run or wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadAverage>,
    /// How long tasks wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
    /// Guests, running or not, by UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<Domain>>,
    /// Storage pools, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<StoragePool>>,
    /// Images of the configured pools and directories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<Image>>,
    /// What the domains together may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised: Option<Promised>,
    /// When domains, pools and their images were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor_collected_at: Option<Timestamp>,
}

/// Main memory now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct MemoryUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hugepages: Vec<FreeHugepages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffers_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_free_bytes: Option<Bytes>,
}

/// Memory nodes now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NumaUsage {
    /// By id.
    pub nodes: Vec<NumaNodeUsage>,
}

/// One memory node now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct NumaNodeUsage {
    pub id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_free_bytes: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hugepages: Vec<FreeHugepages>,
}

/// Free huge pages of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct FreeHugepages {
    pub size_bytes: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surplus: Option<u64>,
}

/// Figures of the agent's own process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct OwnProcess {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
}

/// One mounted file system that stores data on disks or over the network, once however often it is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct Filesystem {
    pub mount_point: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_free: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// Tasks that run or wait for a CPU or a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct LoadAverage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_1m: Option<Hundredths>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_5m: Option<Hundredths>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_15m: Option<Hundredths>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runnable: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
}

/// How long tasks wait for resources (PSI).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct Pressure {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<PressureStall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<PressureStall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<PressureStall>,
}

/// Waiting for one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct PressureStall {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub some: Option<PressureShare>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<PressureShare>,
}

/// Shares of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct PressureShare {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_10s: Option<Hundredths>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_60s: Option<Hundredths>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_300s: Option<Hundredths>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_microseconds: Option<u64>,
}
