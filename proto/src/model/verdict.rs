//! Yes, no, or not known; each with its reasons.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A verdict without its reasons; the worse, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// It is so.
    Yes,
    /// Cannot be told.
    Unknown,
    /// It is not.
    No,
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yes => "yes",
            Self::Unknown => "unknown",
            Self::No => "no",
        })
    }
}

/// The answer to a question about one host. Unknown is never yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is so.
    Yes,
    /// It is not, for all these reasons.
    No {
        /// At least one.
        reasons: Vec<String>,
    },
    /// Cannot be told, because this is missing.
    Unknown {
        /// At least one.
        missing: Vec<String>,
    },
}

impl Verdict {
    /// Without the reasons.
    #[must_use]
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Yes => VerdictKind::Yes,
            Self::No { .. } => VerdictKind::No,
            Self::Unknown { .. } => VerdictKind::Unknown,
        }
    }
}
