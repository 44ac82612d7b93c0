//! What libvirt measures of guests and pools, beside their definitions; a recorded host's libvirt/figures.json.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vmuster_proto::model::{Bytes, Image, Timestamp};

/// Where a capture keeps them.
pub const FIGURES_JSON: &str = "libvirt/figures.json";

/// Everything measured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// When they were read; None of what was asked for just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collected_at: Option<Timestamp>,
    /// By UUID.
    pub domains: BTreeMap<String, DomainFigures>,
    /// By name.
    pub pools: BTreeMap<String, PoolFigures>,
    /// None where no pool or directory of images is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<Image>>,
}

/// One guest. Source: virConnectGetAllDomainStats.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainFigures {
    /// As [`vmuster_proto::model::Domain::state`]: state.state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// virDomainIsPersistent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent: Option<bool>,
    /// vcpu.current.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// vcpu.maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus_max: Option<u32>,
    /// balloon.current.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    /// balloon.maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max_bytes: Option<Bytes>,
    /// By target.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, DiskFigures>,
}

/// One disk of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskFigures {
    /// block.N.capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_bytes: Option<Bytes>,
    /// block.N.allocation and block.N.physical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_bytes: Option<Bytes>,
}

/// What a pool's definition does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolFigures {
    /// As [`vmuster_proto::model::StoragePool::state`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Of a capture, whose definitions leave out where the storage is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}
