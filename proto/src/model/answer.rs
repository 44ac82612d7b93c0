//! The answer to "which CPU flags do these hosts share?".

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{FeatureSet, HostStanding, MissingHost};

/// `schema` of the answer's JSON document.
pub const FLAGS_SCHEMA: &str = "vmuster.flags.v1";

/// Which view of a CPU an answer is about. Never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// What hosts' kernels show.
    Host,
    /// What hosts' hypervisors can give a guest and migrate.
    Guest,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::Guest => "guest",
        })
    }
}

/// The flags all hosts in scope share; fields as in cluster_service.proto's ComputeCommonCpuFlagsResponse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct FlagsAnswer {
    pub layer: Layer,
    pub complete: bool,
    pub groups: Vec<FlagsGroup>,
    pub host_count: u32,
    pub fresh_host_count: u32,
    pub hosts: Vec<HostStanding>,
    pub missing: Vec<MissingHost>,
}

/// What hosts of one sort share; fields as in CommonCpuFlags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct FlagsGroup {
    pub arch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    pub vendors: BTreeSet<String>,
    pub features: FeatureSet,
    pub host_count: u32,
    #[serde(default)]
    pub hosts: Vec<String>,
    pub sole_blockers: BTreeMap<String, FeatureSet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_address_bits: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<HostClass>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<AbsentFeature>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psabi_level: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_types: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_models: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<UnknownFact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what_if: Option<WhatIf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<Division>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestions_refused: Option<String>,
}

/// A fact of a group that hosts do not report; fields as in cluster_service.proto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct UnknownFact {
    pub fact: String,
    pub hosts: Vec<String>,
    pub host_count: u32,
}

/// A group without some of its hosts; fields as in cluster_service.proto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct WhatIf {
    pub without: Vec<String>,
    pub host_count: u32,
    pub gained: FeatureSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psabi_level: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_address_bits: Option<u32>,
}

/// A group divided, largest part first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Division {
    /// At least two.
    pub parts: Vec<DivisionPart>,
}

/// Hosts that would better be a group of their own; fields as in cluster_service.proto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct DivisionPart {
    pub hosts: Vec<String>,
    pub feature_count: u32,
    pub gained: FeatureSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psabi_level: Option<u32>,
}

/// Hosts with equal features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostClass {
    /// Sorted names.
    pub hosts: Vec<String>,
    /// Features each of them has.
    pub feature_count: u32,
}

/// A feature that some but not all hosts have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentFeature {
    /// Its name.
    pub name: String,
    /// Indexes into the group's classes of those that lack it, ascending.
    pub lacking_classes: Vec<u32>,
}
