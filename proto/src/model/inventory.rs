//! Facts of a host that change by reboot, hotplug, upgrade or configuration.
//!
//! Units, ranges and sources of each field are in the schema (proto/vmuster/v1/host.proto), under the same names.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Bytes, Cpu, CpuSet, Disk, Hypervisor, Nic, PciDevice, Timestamp};

/// What an agent collects of its host. A section is None where an issue says why.
///
/// The sections that many hosts have alike are behind an [`Arc`], so that whoever knows many hosts can keep each once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    pub cpu: Option<Arc<Cpu>>,
    /// Memory nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<Arc<Numa>>,
    /// Main memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Block devices, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disks: Option<Vec<Disk>>,
    /// PCI functions, by address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci: Option<Arc<[PciDevice]>>,
    /// Network interfaces, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nics: Option<Vec<Nic>>,
    /// What runs guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<Arc<Hypervisor>>,
}

/// The machine and its kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board_vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtualization: Option<String>,
}

/// Memory nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Numa {
    /// By id.
    pub nodes: Vec<NumaNode>,
}

/// One memory node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuless: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memoryless: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_tier: Option<u32>,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct HugepagePool {
    pub size_bytes: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Main memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hugepages: Vec<HugepagePool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_hugepage_size_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_total_bytes: Option<Bytes>,
}

impl Inventory {
    /// The same facts without what may differ between two collections of an unchanged host: times, states of links, and
    /// the devices that come and go with guests. The fingerprint is a digest of this.
    #[must_use]
    pub fn without_drift(&self) -> Self {
        let Self {
            collected_at: _,
            fingerprint: _,
            agent_version,
            system,
            cpu,
            numa,
            memory,
            disks,
            pci,
            nics,
            hypervisor,
        } = self.clone();
        let system = system.map(|system| System { booted_at: None, ..system });
        let disks = disks.map(|disks| disks.into_iter().filter(Disk::is_hardware).collect());
        let steady = |nic: Nic| Nic { speed_mbps: None, carrier: None, operstate: None, ..nic };
        let nics = nics.map(|nics| nics.into_iter().filter(|nic| !nic.is_transient()).map(steady).collect());
        let collected_at = None;
        let fingerprint = String::new();
        Self {
            collected_at,
            fingerprint,
            agent_version,
            system,
            cpu,
            numa,
            memory,
            disks,
            pci,
            nics,
            hypervisor,
        }
    }

    /// As [`System::arch`].
    #[must_use]
    pub fn arch(&self) -> Option<&str> {
        self.system.as_ref()?.arch.as_deref()
    }
}
