//! What a failed fetch means.

use std::{error::Error, time::Duration};

use tonic::{Code, Status};
use vmuster_proto::{
    convert::DecodeError,
    model::{Problem, ProblemKind},
    transport::{AGENT_REPLY_MAX_BYTES, DialError, PeerAddress},
};

use crate::status::reason_of;

/// Why an agent could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Dial(DialError),
    #[error("no whole answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    #[error("{}", .0.message())]
    Status(Status),
    #[error("the answer is larger than {} MiB, which no host needs; is that a vmuster-agent?", AGENT_REPLY_MAX_BYTES >> 20)]
    TooLarge,
    /// Of a question about a CPU, whose errors tell of libvirt.
    #[error("{}", .0.message())]
    Cpu(Status),
    #[error("the answer makes no sense: {0}")]
    Decode(DecodeError),
    #[error("the answer makes no sense: it lacks {0}")]
    Incomplete(&'static str),
    #[error("the answer makes no sense: it says 'unchanged' of another inventory")]
    WrongFingerprint,
}

impl FetchError {
    /// What the agent's status means. tonic says OUT_OF_RANGE of a message over the limit, agents never do.
    pub(super) fn of_status(status: Status) -> Self {
        if status.code() == Code::OutOfRange { Self::TooLarge } else { Self::Status(status) }
    }

    /// UNAVAILABLE, by word or because nobody is there: an agent that is being restarted. What took its time will take it
    /// again, and what was refused will be refused.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Dial(DialError::Unreachable { .. } | DialError::Exhausted { .. }) => true,
            Self::Status(status) => status_kind(status) == ProblemKind::Unreachable,
            Self::Cpu(status) => cpu_kind(status) == ProblemKind::Unreachable,
            _ => false,
        }
    }

    pub(super) fn problem(self, address: &PeerAddress) -> Problem {
        let kind = match &self {
            Self::Dial(DialError::Unreachable { .. } | DialError::Exhausted { .. }) => {
                ProblemKind::Unreachable
            }
            Self::Dial(DialError::TimedOut { .. }) | Self::TimedOut(_) => ProblemKind::Timeout,
            Self::Dial(DialError::Denied { .. }) => ProblemKind::Denied,
            Self::TooLarge | Self::Decode(_) | Self::Incomplete(_) | Self::WrongFingerprint => {
                ProblemKind::Malformed
            }
            Self::Status(status) => status_kind(status),
            Self::Cpu(status) => cpu_kind(status),
        };
        let detail = match &self {
            Self::Dial(error) => error.to_string(),
            other => format!("{address}: {other}"),
        };
        Problem::new(kind, detail)
    }
}

fn status_kind(status: &Status) -> ProblemKind {
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => ProblemKind::Denied,
        Code::DeadlineExceeded | Code::Cancelled => ProblemKind::Timeout,
        Code::Unimplemented => ProblemKind::Unsupported,
        Code::Unavailable => ProblemKind::Unreachable,
        // The connection broke under the call; the agent itself did not say so.
        Code::Unknown | Code::Internal if has_io_error(status) => ProblemKind::Unreachable,
        Code::Internal => ProblemKind::Malformed,
        _ => ProblemKind::Failed,
    }
}

/// The agent's own reasons first: an agent without a reader says "unavailable", and is reached all the same.
fn cpu_kind(status: &Status) -> ProblemKind {
    match reason_of(status).as_deref() {
        Some("INVALID_CPU") => ProblemKind::Malformed,
        Some("CPU_REFUSED" | "TOO_MANY_QUESTIONS") => ProblemKind::Failed,
        Some("HYPERVISOR_UNAVAILABLE") => ProblemKind::Unsupported,
        _ => status_kind(status),
    }
}

fn has_io_error(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use vmuster_proto::transport::error_status;

    use super::*;

    #[test]
    fn an_agents_words_about_a_cpu() {
        let kind = |code, reason| cpu_kind(&error_status(code, "words", reason));
        assert_eq!(kind(Code::InvalidArgument, "INVALID_CPU"), ProblemKind::Malformed);
        assert_eq!(kind(Code::FailedPrecondition, "CPU_REFUSED"), ProblemKind::Failed);
        assert_eq!(kind(Code::Unavailable, "HYPERVISOR_UNAVAILABLE"), ProblemKind::Unsupported);
        assert_eq!(kind(Code::PermissionDenied, "ROLE_TOO_LOW"), ProblemKind::Denied);
        assert_eq!(cpu_kind(&Status::unavailable("no way")), ProblemKind::Unreachable);
        assert_eq!(cpu_kind(&Status::unimplemented("an older agent")), ProblemKind::Unsupported);
    }
}
