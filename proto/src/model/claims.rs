//! Promises of hosts' resources to instances.
//!
//! Units and meanings of each field are in the schema (proto/vmuster/v1/placement_service.proto), under the same names.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Bytes, ClaimedCell, Domain, JudgedHost, Purpose, Timestamp};

/// The schema's name in JSON.
pub const CLAIMS_SCHEMA: &str = "vmuster.claims.v1";

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimState {
    /// Until it expires.
    Held,
    /// Until it is released.
    Confirmed,
    /// Its instance is among the host's guests.
    Observed,
}

impl fmt::Display for ClaimState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Observed => "observed",
        })
    }
}

/// A promise of a host's resources to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct ClaimReport {
    pub id: String,
    pub uuid: String,
    pub host: String,
    pub state: ClaimState,
    pub vcpus: u64,
    pub memory_bytes: Bytes,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disk_bytes: BTreeMap<String, Bytes>,
    pub purpose: Purpose,
    pub request_id: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_committed: bool,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_missing_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<ClaimedCell>,
}

/// An instance: a guest, a claim, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct Instance {
    pub uuid: String,
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_asked_at: Option<Timestamp>,
}

/// The instances of a host, or all places of an instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct InstancesAnswer {
    pub instances: Vec<Instance>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<JudgedHost>,
}
