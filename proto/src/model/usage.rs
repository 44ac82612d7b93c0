//! Facts that change by the second.
//!
//! Units and sources of each field are in the schema (proto/vmuster/v1/host.proto), under the same names.

use serde::{Deserialize, Serialize};

use super::{Bytes, Timestamp};

/// What is used now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
}

/// Main memory now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct MemoryUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hugepages: Vec<FreeHugepages>,
}

/// Memory nodes now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NumaUsage {
    /// By id.
    pub nodes: Vec<NumaNodeUsage>,
}

/// One memory node now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct FreeHugepages {
    pub size_bytes: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
}

/// Figures of the agent's own process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct OwnProcess {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
}
