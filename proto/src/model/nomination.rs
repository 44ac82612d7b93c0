//! Hosts that instances would get once others are gone, and what became of them when they were handed back.
//!
//! Meanings of each field are in the schema (proto/vmuster/v1/placement_service.proto), under the same names.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A host that an instance would get. Nothing is held there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct Nomination {
    pub uuid: String,
    pub group: u32,
    pub host: String,
    pub host_fingerprint: String,
    pub request_signature: String,
    pub expires_at: Timestamp,
}

/// Instances that are leaving one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavingInstances {
    /// The host.
    pub host: String,
    /// Which.
    pub uuids: Vec<String>,
}

/// Why a hint was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HintProblem {
    /// Its time is over.
    Expired,
    /// Its host is not registered.
    HostGone,
    /// Its host is not what it was.
    HostChanged,
    /// The instance asks for something else.
    RequestChanged,
    /// Its host has too little left.
    NoRoom,
    /// A filter other than room refuses its host.
    Refused,
    /// Another hint of the request does not hold, or an instance has none.
    Gang,
}

/// A hint that was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in placement_service.proto")]
pub struct StaleHint {
    pub uuid: String,
    pub host: String,
    pub problem: HintProblem,
    pub detail: String,
}
