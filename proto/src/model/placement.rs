//! What instances need, which hosts they get, and why not.
//!
//! Units and meanings of each field are in the schema (proto/vmuster/v1/placement_service.proto), under the same names.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Bytes, CpuSet, FeatureSet, GuestTopology, HostStanding, LeavingInstances, Nomination, PlacedCell,
    Problem, StaleHint, Timestamp,
};

/// The schema's name in JSON.
pub const PLACE_SCHEMA: &str = "vmuster.place.v1";

/// Instances in one request: with a UUID, a host and a claim each its answer has some 1.5 MB.
pub const INSTANCES_MAX: usize = 10_000;

/// Different sorts of instances with a NUMA topology in one request. Of each every host may have to be asked whether its cells
/// have room, some microseconds each, and other requests wait meanwhile.
pub const TOPOLOGIES_MAX: usize = 64;

/// What one instance needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct InstanceTemplate {
    pub vcpus: u32,
    pub memory_bytes: Bytes,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskDemand>,
    pub required_features: FeatureSet,
    pub forbidden_features: FeatureSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<GuestTopology>,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DiskDemand {
    /// Size the guest sees.
    pub size_bytes: Bytes,
    /// Where to.
    #[serde(flatten)]
    pub on: DiskPlace,
}

/// Where a disk goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskPlace {
    /// The host's default pool.
    #[default]
    Default,
    /// The pool of this name.
    Pool(String),
    /// A pool of this class.
    StorageClass(String),
}

/// Instances that need the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceGroup {
    /// For a human.
    pub name: String,
    /// What each needs.
    pub template: InstanceTemplate,
    /// Which they are.
    pub uuids: Vec<String>,
    /// Where they may be beside others.
    pub rules: Vec<AffinityRule>,
}

/// What a rule wants, as Nova's server groups name it. A domain is a host, or all hosts with one value of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AffinityPolicy {
    /// In a domain that has members. The first is free.
    Affinity,
    /// In a domain that has none.
    AntiAffinity,
    /// In a domain that has members, if any can take it.
    SoftAffinity,
    /// In a domain that has as few as possible.
    SoftAntiAffinity,
}

impl AffinityPolicy {
    /// Whether it wants members in one place.
    #[must_use]
    pub const fn is_together(self) -> bool {
        matches!(self, Self::Affinity | Self::SoftAffinity)
    }

    /// Whether a host that it does not want is refused.
    #[must_use]
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Affinity | Self::AntiAffinity)
    }
}

/// Where an instance may be beside the members of a group. It becomes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffinityRule {
    /// The group's name: of the cluster, for all requests.
    pub group: String,
    /// What it wants.
    pub policy: AffinityPolicy,
    /// The label whose values are the domains. None: each host is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_key: Option<String>,
    /// Members of one partition may meet. None: apart from all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

/// How many must find a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// All, or none is placed.
    #[default]
    All,
    /// At least so many, or none is placed.
    AtLeast(u32),
    /// As many as find one.
    BestEffort,
}

/// Why a claim may be a second one of its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The instance is nowhere yet.
    #[default]
    New,
    /// It moves from another host.
    Move,
}

/// Which of the hosts that can take an instance is taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WeigherProfile {
    /// "spread", "pack"; empty: the default.
    pub name: String,
    /// Instead of the profile's, by weigher.
    pub multipliers: BTreeMap<String, f64>,
}

/// Asks for hosts.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct PlaceRequest {
    pub request_id: String,
    /// Promise it; else only tell.
    pub claim: bool,
    pub groups: Vec<InstanceGroup>,
    pub completeness: Completeness,
    pub hosts: Vec<String>,
    pub exclude_hosts: Vec<String>,
    pub forced_host: Option<String>,
    pub ignore_capacity: bool,
    pub profile: WeigherProfile,
    pub hold: Option<Duration>,
    pub purpose: Purpose,
    pub max_candidates: u32,
    pub explain: bool,
    pub evacuate_host: Option<String>,
    pub releasing: Vec<String>,
    pub hints: Vec<Nomination>,
}

/// Where an instance goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct Placement {
    pub uuid: String,
    pub group: u32,
    pub host: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim_id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    pub score: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<PlacedCell>,
    #[serde(default, skip_serializing_if = "CpuSet::is_empty")]
    pub emulator_cpus: CpuSet,
}

/// What a host lacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct Shortage {
    pub filter: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lacking: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    pub detail: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// A host that nearly could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMiss {
    /// Which.
    pub host: String,
    /// All that it lacked.
    pub shortages: Vec<Shortage>,
}

/// Hosts that a filter rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterCount {
    /// The filter.
    pub filter: String,
    /// Hosts it was the first to reject.
    pub rejected_host_count: u32,
    /// Of those, hosts of which what it asks is not known.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unknown_host_count: u32,
}

/// Instances of a group that found no host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct Refusal {
    pub group: u32,
    pub uuids: Vec<String>,
    pub filters: Vec<FilterCount>,
    pub nearest: Vec<NearMiss>,
    pub summary: String,
}

/// An instance of a host that is evacuated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct EvacuatedInstance {
    pub uuid: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    pub group: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub elsewhere: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// What stood in the way of an instance of a group, before any was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct GroupExplanation {
    pub group: u32,
    pub filters: Vec<FilterCount>,
    pub nearest: Vec<NearMiss>,
    pub summary: String,
}

/// How old the figures are that a host was judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedHost {
    /// How its facts stand.
    #[serde(flatten)]
    pub standing: HostStanding,
    /// When its usage was asked for; None: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_asked_at: Option<Timestamp>,
    /// Why its usage is not known, or not of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_problem: Option<Problem>,
}

/// A host that can take an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which.
    pub host: String,
    /// Sum of the weighers.
    pub score: f64,
    /// By weigher, before it is multiplied.
    pub weights: BTreeMap<String, f64>,
}

/// Who goes where.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct PlaceAnswer {
    pub granted: bool,
    pub placed_count: u32,
    pub placements: Vec<Placement>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<JudgedHost>,
    /// By group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub candidates: BTreeMap<u32, Vec<Candidate>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_filters: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_committed: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explanations: Vec<GroupExplanation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evacuated: Vec<EvacuatedInstance>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nominations: Vec<Nomination>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<LeavingInstances>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale_hints: Vec<StaleHint>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hints_used: bool,
    pub cluster_generation: String,
}

/// A resource of a host: vCPUs, or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct ResourceFigures {
    pub total: u64,
    pub reserved: u64,
    pub ratio: f64,
    pub promised: u64,
    pub free_physical: i64,
    pub headroom: i64,
}

/// Storage of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct StorageFigures {
    pub key: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    #[serde(default)]
    pub shared: bool,
    #[serde(default)]
    pub default: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<ResourceFigures>,
}

/// One host's capacity for one sort of instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct HostCapacity {
    pub host: String,
    pub count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<ResourceFigures>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ResourceFigures>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage: Vec<StorageFigures>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// How many instances of one sort still fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct CapacityAnswer {
    pub count: u64,
    pub hosts: Vec<HostCapacity>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<FilterCount>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<JudgedHost>,
}
