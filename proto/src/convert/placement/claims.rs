//! Claims and instances on the wire.

use std::collections::BTreeMap;

use super::super::{DecodeError, list, section, text, time, time_to_pb};
use crate::{
    model::{Bytes, ClaimReport, ClaimState, ClaimedCell, Instance, InstancesAnswer, JudgedHost, Purpose},
    pb,
};

impl From<ClaimState> for pb::ClaimState {
    fn from(state: ClaimState) -> Self {
        match state {
            ClaimState::Held => Self::Held,
            ClaimState::Confirmed => Self::Confirmed,
            ClaimState::Observed => Self::Observed,
        }
    }
}

/// A state; None: any.
impl From<pb::ClaimState> for Option<ClaimState> {
    fn from(state: pb::ClaimState) -> Self {
        match state {
            pb::ClaimState::Unspecified => None,
            pb::ClaimState::Held => Some(ClaimState::Held),
            pb::ClaimState::Confirmed => Some(ClaimState::Confirmed),
            pb::ClaimState::Observed => Some(ClaimState::Observed),
        }
    }
}

impl From<&ClaimReport> for pb::Claim {
    fn from(claim: &ClaimReport) -> Self {
        Self {
            id: claim.id.clone(),
            uuid: claim.uuid.clone(),
            host: claim.host.clone(),
            state: pb::ClaimState::from(claim.state).into(),
            vcpus: claim.vcpus,
            memory_bytes: claim.memory_bytes.0,
            disk_bytes: claim.disk_bytes.iter().map(|(key, size)| (key.clone(), size.0)).collect(),
            purpose: pb::ClaimPurpose::from(claim.purpose).into(),
            request_id: claim.request_id.clone(),
            over_committed: claim.over_committed,
            created_at: Some(time_to_pb(claim.created_at)),
            expires_at: claim.expires_at.map(time_to_pb),
            observed_at: claim.observed_at.map(time_to_pb),
            first_missing_at: claim.first_missing_at.map(time_to_pb),
            groups: claim.groups.clone(),
            cells: claim.cells.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::Claim> for ClaimReport {
    type Error = DecodeError;

    fn try_from(claim: pb::Claim) -> Result<Self, DecodeError> {
        let state = Option::<ClaimState>::from(claim.state());
        let purpose = Purpose::from(claim.purpose());
        let disks =
            claim.disk_bytes.into_iter().map(|(key, size)| Ok((text("disk_bytes", key)?, Bytes(size))));
        let created_at = time("created_at", claim.created_at)?;
        Ok(Self {
            id: text("id", claim.id)?,
            uuid: text("uuid", claim.uuid)?,
            host: text("host", claim.host)?,
            state: state.ok_or_else(|| DecodeError::new("state", "not set"))?,
            vcpus: claim.vcpus,
            memory_bytes: Bytes(claim.memory_bytes),
            disk_bytes: disks.collect::<Result<BTreeMap<_, _>, _>>()?,
            purpose,
            request_id: text("request_id", claim.request_id)?,
            over_committed: claim.over_committed,
            created_at: created_at.ok_or_else(|| DecodeError::new("created_at", "not set"))?,
            expires_at: time("expires_at", claim.expires_at)?,
            observed_at: time("observed_at", claim.observed_at)?,
            first_missing_at: time("first_missing_at", claim.first_missing_at)?,
            groups: list("groups", claim.groups, |group| text("group", group))?,
            cells: list("cells", claim.cells, ClaimedCell::try_from)?,
        })
    }
}

/// Claims of an answer.
///
/// # Errors
/// The first field that makes no sense.
pub fn claims(claims: Vec<pb::Claim>) -> Result<Vec<ClaimReport>, DecodeError> {
    list("claims", claims, ClaimReport::try_from)
}

impl From<&Instance> for pb::Instance {
    fn from(instance: &Instance) -> Self {
        Self {
            uuid: instance.uuid.clone(),
            host: instance.host.clone(),
            domain: instance.domain.as_ref().map(Into::into),
            claim: instance.claim.as_ref().map(Into::into),
            vcpus: instance.vcpus,
            memory_bytes: instance.memory_bytes.map(|bytes| bytes.0),
            usage_asked_at: instance.usage_asked_at.map(time_to_pb),
        }
    }
}

impl TryFrom<pb::Instance> for Instance {
    type Error = DecodeError;

    fn try_from(instance: pb::Instance) -> Result<Self, DecodeError> {
        Ok(Self {
            uuid: text("uuid", instance.uuid)?,
            host: text("host", instance.host)?,
            domain: section("domain", instance.domain)?,
            claim: section("claim", instance.claim)?,
            vcpus: instance.vcpus,
            memory_bytes: instance.memory_bytes.map(Bytes),
            usage_asked_at: time("usage_asked_at", instance.usage_asked_at)?,
        })
    }
}

impl From<&InstancesAnswer> for pb::ListInstancesResponse {
    fn from(answer: &InstancesAnswer) -> Self {
        Self {
            instances: answer.instances.iter().map(Into::into).collect(),
            hosts: answer.hosts.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::ListInstancesResponse> for InstancesAnswer {
    type Error = DecodeError;

    fn try_from(answer: pb::ListInstancesResponse) -> Result<Self, DecodeError> {
        Ok(Self {
            instances: list("instances", answer.instances, Instance::try_from)?,
            hosts: list("hosts", answer.hosts, JudgedHost::try_from)?,
        })
    }
}
