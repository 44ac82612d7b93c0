//! What the exit code says.

use std::{collections::BTreeSet, fmt, process::ExitCode};

use tonic::{Code, Status};
use vmuster_proto::model::printable;

/// Exit codes; where several apply, the one that is worst for a script wins: 5, 2, 4, 3, 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Exit {
    /// Answered in full.
    Complete,
    /// Answered "no": no host fits, empty intersection.
    No,
    /// Answered, but some host's data is missing or stale.
    Incomplete,
    /// Could not answer.
    CannotAnswer,
    /// Wrong use or configuration.
    Usage,
    /// Not allowed.
    Denied,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::CannotAnswer => 4,
            Self::Denied => 5,
        }
    }

    /// The variants stand in this order.
    pub(crate) fn worst(of: &BTreeSet<Self>) -> Self {
        of.last().copied().unwrap_or(Self::Complete)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An answer as the user sees it.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// For stdout, with its last newline.
    pub(crate) text: String,
    /// For stderr, a line each.
    pub(crate) notes: Vec<String>,
    /// Everything that applies.
    pub(crate) exits: BTreeSet<Exit>,
}

impl Answered {
    pub(crate) fn exit(&self) -> Exit {
        Exit::worst(&self.exits)
    }
}

/// As much of another's words as fits on a screen.
const MESSAGE_MAX_BYTES: usize = 1000;

/// No answer.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    pub(crate) fn cannot_answer(message: impl fmt::Display) -> Self {
        Self { exit: Exit::CannotAnswer, message: message.to_string() }
    }

    pub(crate) fn denied(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Denied, message: message.to_string() }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// With one more thing to say.
    pub(crate) fn and(self, more: &str) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let exit = match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => Exit::Denied,
            Code::InvalidArgument | Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition => {
                Exit::Usage
            }
            _ => Exit::CannotAnswer,
        };
        let message = match (status.message(), status.code()) {
            ("", Code::Unimplemented) => {
                "the other end does not know this question: is it a vmuster coordinator?".to_owned()
            }
            ("", code) => format!("the other end answered {code:?} without a word"),
            (message, _) => printable(message, MESSAGE_MAX_BYTES),
        };
        Self { exit, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins_in_the_documented_order() {
        use Exit::{CannotAnswer, Complete, Denied, Incomplete, No, Usage};
        let order = [Denied, Usage, CannotAnswer, Incomplete, No, Complete];
        assert_eq!(order.map(Exit::code), [5, 2, 4, 3, 1, 0]);
        for (i, worse) in order.iter().enumerate() {
            for better in &order[i..] {
                assert_eq!(Exit::worst(&BTreeSet::from([*better, *worse])), *worse);
            }
        }
        assert_eq!(Exit::worst(&BTreeSet::new()), Complete);
    }
}
