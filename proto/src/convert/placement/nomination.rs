//! Nominated hosts, as they are answered and handed back.

use std::collections::BTreeSet;

use super::{
    super::{DecodeError, list, text, time, time_to_pb},
    request::instance_uuid,
};
use crate::{
    model::{HintProblem, INSTANCES_MAX, LeavingInstances, Nomination, StaleHint},
    pb,
};

/// Of a fingerprint or a signature: a whole SHA-256.
const DIGEST_MAX_BYTES: usize = 64;

impl From<&Nomination> for pb::Nomination {
    fn from(nomination: &Nomination) -> Self {
        let Nomination { uuid, group, host, host_fingerprint, request_signature, expires_at } =
            nomination.clone();
        let expires_at = Some(time_to_pb(expires_at));
        Self { uuid, group, host, host_fingerprint, request_signature, expires_at }
    }
}

impl TryFrom<pb::Nomination> for Nomination {
    type Error = DecodeError;

    fn try_from(nomination: pb::Nomination) -> Result<Self, DecodeError> {
        let expires_at = time("expires_at", nomination.expires_at)?;
        Ok(Self {
            uuid: instance_uuid("uuid", &nomination.uuid)?,
            group: nomination.group,
            host: text("host", nomination.host)?,
            host_fingerprint: digest("host_fingerprint", nomination.host_fingerprint)?,
            request_signature: digest("request_signature", nomination.request_signature)?,
            expires_at: expires_at.ok_or_else(|| DecodeError::new("expires_at", "must be set"))?,
        })
    }
}

fn digest(field: &str, digest: String) -> Result<String, DecodeError> {
    if digest.len() > DIGEST_MAX_BYTES {
        return Err(DecodeError::new(field, format!("{} bytes, limit {DIGEST_MAX_BYTES}", digest.len())));
    }
    text(field, digest)
}

/// What a caller hands back.
pub(super) fn hints(hints: Vec<pb::Nomination>) -> Result<Vec<Nomination>, DecodeError> {
    if hints.len() > INSTANCES_MAX {
        return Err(DecodeError::new("hints", format!("{}, limit {INSTANCES_MAX}", hints.len())));
    }
    let hints = list("hints", hints, Nomination::try_from)?;
    let mut seen = BTreeSet::new();
    match hints.iter().enumerate().find(|(_, hint)| !seen.insert(&hint.uuid)) {
        Some((index, hint)) => {
            Err(DecodeError::new("uuid", format!("{} is there twice", hint.uuid)).at("hints", index))
        }
        None => Ok(hints),
    }
}

/// Instances that are leaving; to name one twice says nothing more.
pub(super) fn releasing(uuids: &[String]) -> Result<Vec<String>, DecodeError> {
    if uuids.len() > INSTANCES_MAX {
        return Err(DecodeError::new("releasing", format!("{}, limit {INSTANCES_MAX}", uuids.len())));
    }
    uuids
        .iter()
        .enumerate()
        .map(|(index, uuid)| instance_uuid("uuid", uuid).map_err(|error| error.at("releasing", index)))
        .collect()
}

impl From<&LeavingInstances> for pb::LeavingInstances {
    fn from(leaving: &LeavingInstances) -> Self {
        Self { host: leaving.host.clone(), uuids: leaving.uuids.clone() }
    }
}

impl TryFrom<pb::LeavingInstances> for LeavingInstances {
    type Error = DecodeError;

    fn try_from(leaving: pb::LeavingInstances) -> Result<Self, DecodeError> {
        let uuids = list("uuids", leaving.uuids, |uuid| text("uuid", uuid))?;
        Ok(Self { host: text("host", leaving.host)?, uuids })
    }
}

impl From<HintProblem> for pb::HintProblem {
    fn from(problem: HintProblem) -> Self {
        match problem {
            HintProblem::Expired => Self::Expired,
            HintProblem::HostGone => Self::HostGone,
            HintProblem::HostChanged => Self::HostChanged,
            HintProblem::RequestChanged => Self::RequestChanged,
            HintProblem::NoRoom => Self::NoRoom,
            HintProblem::Refused => Self::Refused,
            HintProblem::Gang => Self::Gang,
        }
    }
}

impl From<&StaleHint> for pb::StaleHint {
    fn from(hint: &StaleHint) -> Self {
        let StaleHint { uuid, host, problem, detail } = hint.clone();
        Self { uuid, host, problem: pb::HintProblem::from(problem).into(), detail }
    }
}

impl TryFrom<pb::StaleHint> for StaleHint {
    type Error = DecodeError;

    fn try_from(hint: pb::StaleHint) -> Result<Self, DecodeError> {
        let problem = match hint.problem() {
            pb::HintProblem::Unspecified => return Err(DecodeError::new("problem", "not set")),
            pb::HintProblem::Expired => HintProblem::Expired,
            pb::HintProblem::HostGone => HintProblem::HostGone,
            pb::HintProblem::HostChanged => HintProblem::HostChanged,
            pb::HintProblem::RequestChanged => HintProblem::RequestChanged,
            pb::HintProblem::NoRoom => HintProblem::NoRoom,
            pb::HintProblem::Refused => HintProblem::Refused,
            pb::HintProblem::Gang => HintProblem::Gang,
        };
        Ok(Self {
            uuid: text("uuid", hint.uuid)?,
            host: text("host", hint.host)?,
            problem,
            detail: text("detail", hint.detail)?,
        })
    }
}
