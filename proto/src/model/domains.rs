//! The guests of a host and the storage they are on.
//!
//! Units, ranges and sources of each field are in the schema (proto/vmuster/v1/hypervisor.proto), under the same names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Bytes, CpuDefinition, CpuSet};

/// One guest, running or not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct Domain {
    pub uuid: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_virtual_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virt_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuDefinition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DomainDisk>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hugepages: Vec<DomainHugepages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<CpuSet>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vcpu_pins: BTreeMap<u32, CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulator_cpus: Option<CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<DomainNuma>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_devices: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_bound: Vec<String>,
}

/// One disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct DomainDisk {
    pub target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shareable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_storage: Option<bool>,
}

/// Huge pages that back a guest's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct DomainHugepages {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_nodes: Option<CpuSet>,
}

/// Memory nodes of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct DomainNuma {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_nodes: Option<CpuSet>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<GuestCell>,
}

/// One memory node of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct GuestCell {
    pub id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_nodes: Option<CpuSet>,
}

/// One storage pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct StoragePool {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_point: Option<String>,
}

/// One image that guests may be made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct Image {
    pub id: String,
    pub location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<Bytes>,
}

/// What all domains together may use, in whatever state they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct Promised {
    pub domain_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_virtual_bytes: Option<Bytes>,
}
