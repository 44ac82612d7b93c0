//! Facts of a host that change by reboot, hotplug, upgrade or configuration.
//!
//! Units, ranges and sources of each field are in the schema (proto/vmuster/v1/host.proto), under the same names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Bytes, CpuSet, FeatureSet, Timestamp};

/// What an agent collects of its host. A section is None where an issue says why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// When the collection ended, by the host's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collected_at: Option<Timestamp>,
    /// Hex digest of the facts and what they depend on; empty before it is computed.
    pub fingerprint: String,
    /// Version of the agent.
    pub agent_version: String,
    /// The machine and its kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<Numa>,
    /// Main memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// The machine and its kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct System {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_release: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booted_at: Option<Timestamp>,
}

/// Processors of one host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct Cpu {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepping: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microcode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_address_bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_address_bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolated: Option<CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_per_core: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topology: Vec<CpuTopology>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_flags: Option<FeatureSet>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub host_flags_not_on_all: BTreeMap<String, CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuid_features: Option<FeatureSet>,
}

/// Where one CPU sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct CpuTopology {
    pub cpu: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub die: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
}

/// Memory nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Numa {
    /// By id.
    pub nodes: Vec<NumaNode>,
}

/// One memory node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct NumaNode {
    pub id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<CpuSet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hugepages: Vec<HugepagePool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub distances: BTreeMap<u32, u32>,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct HugepagePool {
    pub size_bytes: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Main memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hugepages: Vec<HugepagePool>,
}

impl Inventory {
    /// The same facts without what may differ between two collections of an unchanged host. The fingerprint is a digest
    /// of this.
    #[must_use]
    pub fn without_drift(&self) -> Self {
        let Self { collected_at: _, fingerprint: _, agent_version, system, cpu, numa, memory } = self.clone();
        let system = system.map(|system| System { booted_at: None, ..system });
        Self { collected_at: None, fingerprint: String::new(), agent_version, system, cpu, numa, memory }
    }

    /// As [`System::arch`].
    #[must_use]
    pub fn arch(&self) -> Option<&str> {
        self.system.as_ref()?.arch.as_deref()
    }
}
