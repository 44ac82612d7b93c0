//! The answer to "which CPU can a guest have on all these hosts?".

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{CpuDefinition, FeatureSet, HostStanding, MissingHost, Verdict};

/// `schema` of the answer's JSON document.
pub const BASELINE_SCHEMA: &str = "vmuster.baseline.v1";

/// A definition for each architecture and vendor; fields as in cluster_service.proto's
/// ClusterServiceComputeCpuBaselineResponse.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct BaselineAnswer {
    pub complete: bool,
    pub baselines: Vec<CpuBaseline>,
    pub host_count: u32,
    pub fresh_host_count: u32,
    pub hosts: Vec<HostStanding>,
    pub missing: Vec<MissingHost>,
}

/// What hosts of one sort can all give a guest; fields as in CpuBaseline.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct CpuBaseline {
    pub arch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    pub hosts: Vec<String>,
    pub features: FeatureSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuDefinition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psabi_level: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_address_bits: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_types: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_models: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forms: Option<BaselineForms>,
    #[serde(default)]
    pub verdicts: Vec<BaselineVerdict>,
    #[serde(default)]
    pub exceeding_domains: Vec<ExceedingDomain>,
    #[serde(default)]
    pub exceeding_domain_count: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen_domains: Vec<MissingHost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A definition in others' words; fields as in BaselineForms.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct BaselineForms {
    pub libvirt_xml: String,
    pub qemu_cpu: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxmox_conf: Option<String>,
    pub nova_conf: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incus_conf: Option<String>,
}

/// Who says whether a host can run a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictSource {
    /// The host's libvirt compared the definition with its CPU.
    Libvirt,
    /// Known features were compared by name.
    Features,
}

/// What one host says of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineVerdict {
    /// Which host.
    pub host: String,
    /// Who says so.
    pub source: VerdictSource,
    /// What.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A domain that has more than a baseline; fields as in ExceedingDomain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct ExceedingDomain {
    pub host: String,
    pub uuid: String,
    pub name: String,
    pub state: String,
    pub features: FeatureSet,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}
