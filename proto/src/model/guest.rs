//! What a hypervisor can give guests.
//!
//! Units, ranges and sources of each field are in the schema (proto/vmuster/v1/hypervisor.proto), under the same names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::FeatureSet;

/// What a guest can be given on this host so that it can move.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct GuestCpu {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virt_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<FeatureSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecognized_features: Option<FeatureSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_address_bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_model: Option<CpuDefinition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usable_models: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<GuestCpuModel>,
}

/// One named CPU model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct GuestCpuModel {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blockers: Option<FeatureSet>,
}

/// A guest's CPU as libvirt's `<cpu>` element defines it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct CpuDefinition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#match: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migratable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_address_bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_address_mode: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<CpuFeature>,
}

/// One feature of a CPU definition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct CpuFeature {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// What runs guests here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in hypervisor.proto")]
pub struct Hypervisor {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub libvirt_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qemu_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulator: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub virt_types: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub machine_types: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub machine_aliases: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub machine_max_vcpus: BTreeMap<String, u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deprecated_machine_types: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub firmwares: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kvm_parameters: BTreeMap<String, String>,
}

/// What libvirt finds when it compares a CPU definition with a host: virCPUCompareResult.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuComparison {
    /// The host cannot run it.
    Incompatible,
    /// The host is exactly that CPU.
    Identical,
    /// The host can run it and more.
    Superset,
}
