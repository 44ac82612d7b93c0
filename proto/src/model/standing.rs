//! How far a coordinator can vouch for a host's facts.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Bytes, HostOrigin, HostSettings, Timestamp, printable};

/// How a host's facts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Validated within the asked age.
    Fresh,
    /// The last known record; it could not be validated.
    Stale,
    /// No record at all.
    Missing,
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Missing => "missing",
        })
    }
}

/// What sort of problem keeps a host from being asked or counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// No connection: refused, no route, name not found.
    Unreachable,
    /// No whole answer before the deadline.
    Timeout,
    /// The answer made no sense or was too large.
    Malformed,
    /// The agent refused the coordinator.
    Denied,
    /// The host does not report what was asked for.
    Unsupported,
    /// The agent answered with an error of its own.
    Failed,
    /// Another machine answered than the one that is registered.
    WrongIdentity,
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
            Self::WrongIdentity => "wrong_identity",
        })
    }
}

/// Why a host could not be asked, or does not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// What sort.
    pub kind: ProblemKind,
    /// For a human, with what to do next.
    pub detail: String,
}

/// Details are for humans and go into every answer about the host: what a peer sent must not make them large.
const DETAIL_MAX_BYTES: usize = 400;

impl Problem {
    /// A problem, its detail made printable and cut to a readable length.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl AsRef<str>) -> Self {
        Self { kind, detail: printable(detail.as_ref(), DETAIL_MAX_BYTES) }
    }
}

/// How one host's facts stand. Times are explained in cluster_service.proto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct HostStanding {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reported_name: String,
    pub freshness: Freshness,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The last fetch from a host, which failed. Times are explained in cluster_service.proto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFailure {
    /// Why.
    #[serde(flatten)]
    pub problem: Problem,
    /// When it ended.
    pub failed_at: Timestamp,
    /// Fetches that failed one after another, this one included.
    pub consecutive_count: u32,
}

/// A host in scope that could not be counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingHost {
    /// The name it is registered under.
    pub name: String,
    /// Why.
    #[serde(flatten)]
    pub problem: Problem,
}

/// One host in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct HostSummary {
    #[serde(flatten)]
    pub standing: HostStanding,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub maintenance: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_vendor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa_node_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_flag_count: Option<u32>,
    #[serde(default)]
    pub issue_count: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<HostOrigin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<HostSettings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<HostFailure>,
}
