//! Processors of one host.
//!
//! Units, ranges and sources of each field are in the schema (proto/vmuster/v1/host.proto), under the same names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Bytes, CpuSet, FeatureSet, GuestCpu};

/// Processors of one host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smt_active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smt_control: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<CpuCache>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub core_types: Vec<CoreType>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frequencies: Vec<CpuFrequency>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vulnerabilities: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestCpu>,
}

/// Where one CPU sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub book: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawer: Option<u32>,
}

/// Caches of one level, type and size.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct CpuCache {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_by: Vec<CpuSet>,
}

/// CPUs of one sort, where a host has more than one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct CoreType {
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    pub cpus: CpuSet,
}

/// Clock rates that CPUs can have; what they have now drifts and is not collected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct CpuFrequency {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_khz: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_khz: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_khz: Option<u64>,
    pub cpus: CpuSet,
}
