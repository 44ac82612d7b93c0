//! How hosts stand.

use super::{
    DecodeError,
    allocation::{origin, origin_to_pb},
    optional_text, section, text, text_map, time, time_to_pb,
};
use crate::{
    model::{Bytes, Freshness, HostFailure, HostStanding, HostSummary, MissingHost, Problem, ProblemKind},
    pb,
};

impl From<&Problem> for pb::HostProblem {
    fn from(problem: &Problem) -> Self {
        let kind = match problem.kind {
            ProblemKind::Unreachable => pb::ProblemKind::Unreachable,
            ProblemKind::Timeout => pb::ProblemKind::Timeout,
            ProblemKind::Malformed => pb::ProblemKind::Malformed,
            ProblemKind::Denied => pb::ProblemKind::Denied,
            ProblemKind::Unsupported => pb::ProblemKind::Unsupported,
            ProblemKind::Failed => pb::ProblemKind::Failed,
            ProblemKind::WrongIdentity => pb::ProblemKind::WrongIdentity,
        };
        Self { kind: kind.into(), detail: problem.detail.clone() }
    }
}

impl TryFrom<pb::HostProblem> for Problem {
    type Error = DecodeError;

    fn try_from(problem: pb::HostProblem) -> Result<Self, DecodeError> {
        let kind = match problem.kind() {
            pb::ProblemKind::Unreachable => ProblemKind::Unreachable,
            pb::ProblemKind::Timeout => ProblemKind::Timeout,
            pb::ProblemKind::Malformed => ProblemKind::Malformed,
            pb::ProblemKind::Denied => ProblemKind::Denied,
            pb::ProblemKind::Unsupported => ProblemKind::Unsupported,
            pb::ProblemKind::WrongIdentity => ProblemKind::WrongIdentity,
            // A kind that only a newer coordinator knows is a failure all the same.
            pb::ProblemKind::Failed | pb::ProblemKind::Unspecified => ProblemKind::Failed,
        };
        Ok(Self { kind, detail: text("detail", problem.detail)? })
    }
}

impl From<&HostStanding> for pb::HostStanding {
    fn from(standing: &HostStanding) -> Self {
        let freshness = match standing.freshness {
            Freshness::Fresh => pb::HostFreshness::Fresh,
            Freshness::Stale => pb::HostFreshness::Stale,
            Freshness::Missing => pb::HostFreshness::Missing,
        };
        Self {
            name: standing.name.clone(),
            address: standing.address.clone(),
            reported_name: standing.reported_name.clone(),
            freshness: freshness.into(),
            fetched_at: standing.fetched_at.map(time_to_pb),
            validated_at: standing.validated_at.map(time_to_pb),
            collected_at: standing.collected_at.map(time_to_pb),
            problem: standing.problem.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::HostStanding> for HostStanding {
    type Error = DecodeError;

    fn try_from(standing: pb::HostStanding) -> Result<Self, DecodeError> {
        let freshness = match standing.freshness() {
            pb::HostFreshness::Fresh => Freshness::Fresh,
            pb::HostFreshness::Stale => Freshness::Stale,
            pb::HostFreshness::Missing => Freshness::Missing,
            pb::HostFreshness::Unspecified => return Err(DecodeError::new("freshness", "not set")),
        };
        Ok(Self {
            name: text("name", standing.name)?,
            address: text("address", standing.address)?,
            reported_name: text("reported_name", standing.reported_name)?,
            freshness,
            fetched_at: time("fetched_at", standing.fetched_at)?,
            validated_at: time("validated_at", standing.validated_at)?,
            collected_at: time("collected_at", standing.collected_at)?,
            problem: problem(standing.problem)?,
        })
    }
}

fn problem(problem: Option<pb::HostProblem>) -> Result<Option<Problem>, DecodeError> {
    problem.map(|p| Problem::try_from(p).map_err(|e| e.within("problem"))).transpose()
}

impl From<&MissingHost> for pb::MissingHost {
    fn from(missing: &MissingHost) -> Self {
        Self { name: missing.name.clone(), problem: Some((&missing.problem).into()) }
    }
}

impl TryFrom<pb::MissingHost> for MissingHost {
    type Error = DecodeError;

    fn try_from(missing: pb::MissingHost) -> Result<Self, DecodeError> {
        let problem = problem(missing.problem)?.ok_or_else(|| DecodeError::new("problem", "not set"))?;
        Ok(Self { name: text("name", missing.name)?, problem })
    }
}

impl From<&HostFailure> for pb::HostFailure {
    fn from(failure: &HostFailure) -> Self {
        let HostFailure { problem, failed_at, consecutive_count } = failure;
        Self {
            problem: Some(problem.into()),
            failed_at: Some(time_to_pb(*failed_at)),
            consecutive_count: *consecutive_count,
        }
    }
}

impl TryFrom<pb::HostFailure> for HostFailure {
    type Error = DecodeError;

    fn try_from(failure: pb::HostFailure) -> Result<Self, DecodeError> {
        let unset = |field| DecodeError::new(field, "not set");
        Ok(Self {
            problem: problem(failure.problem)?.ok_or_else(|| unset("problem"))?,
            failed_at: time("failed_at", failure.failed_at)?.ok_or_else(|| unset("failed_at"))?,
            consecutive_count: failure.consecutive_count,
        })
    }
}

impl From<&HostSummary> for pb::HostSummary {
    fn from(summary: &HostSummary) -> Self {
        Self {
            standing: Some((&summary.standing).into()),
            labels: summary.labels.clone().into_iter().collect(),
            maintenance: summary.maintenance,
            arch: summary.arch.clone(),
            cpu_vendor: summary.cpu_vendor.clone(),
            cpu_model_name: summary.cpu_model_name.clone(),
            socket_count: summary.socket_count,
            core_count: summary.core_count,
            thread_count: summary.thread_count,
            numa_node_count: summary.numa_node_count,
            memory_total_bytes: summary.memory_total_bytes.map(|bytes| bytes.0),
            host_flag_count: summary.host_flag_count,
            issue_count: summary.issue_count,
            origin: origin_to_pb(summary.origin).into(),
            settings: summary.settings.as_ref().map(Into::into),
            last_failure: summary.last_failure.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::HostSummary> for HostSummary {
    type Error = DecodeError;

    fn try_from(summary: pb::HostSummary) -> Result<Self, DecodeError> {
        let origin = origin(summary.origin());
        let standing = summary.standing.ok_or_else(|| DecodeError::new("standing", "not set"))?;
        Ok(Self {
            standing: HostStanding::try_from(standing).map_err(|e| e.within("standing"))?,
            labels: text_map("labels", summary.labels)?,
            maintenance: summary.maintenance,
            arch: optional_text("arch", summary.arch)?,
            cpu_vendor: optional_text("cpu_vendor", summary.cpu_vendor)?,
            cpu_model_name: optional_text("cpu_model_name", summary.cpu_model_name)?,
            socket_count: summary.socket_count,
            core_count: summary.core_count,
            thread_count: summary.thread_count,
            numa_node_count: summary.numa_node_count,
            memory_total_bytes: summary.memory_total_bytes.map(Bytes),
            host_flag_count: summary.host_flag_count,
            issue_count: summary.issue_count,
            origin,
            settings: section("settings", summary.settings)?,
            last_failure: section("last_failure", summary.last_failure)?,
        })
    }
}
