//! Why something is absent or doubtful.

use serde::{Deserialize, Serialize};

use super::printable;

/// A file's content may be part of a detail and must not make it large.
const TEXT_MAX_BYTES: usize = 1000;

/// Why a section or field is absent or doubtful. Absence always has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Issue {
    /// A section ("numa") or field ("numa.nodes\[3\].cpus").
    pub section: String,
    /// A path, or the name of a call.
    pub source: String,
    /// What went wrong.
    pub kind: IssueKind,
    /// For a human.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What went wrong with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// This kernel, machine or agent does not have it.
    Unsupported,
    /// Reading was not permitted.
    Denied,
    /// It was read and made no sense.
    Malformed,
    /// It did not answer in time.
    Timeout,
    /// It should be there and is not.
    Missing,
    /// It is an older value.
    Stale,
    /// A kind that only a newer version knows.
    #[serde(other)]
    Unrecognized,
}

impl Issue {
    /// An issue, its texts made printable and cut to a readable length.
    #[must_use]
    pub fn new(
        section: impl Into<String>,
        source: impl Into<String>,
        kind: IssueKind,
        detail: impl Into<String>,
    ) -> Self {
        let short = |text: String| printable(&text, TEXT_MAX_BYTES);
        Self {
            section: short(section.into()),
            source: short(source.into()),
            kind,
            detail: short(detail.into()),
        }
    }
}

/// Puts issues into the order they are shown in and drops repetitions.
pub fn sort_issues(issues: &mut Vec<Issue>) {
    issues.sort_unstable();
    issues.dedup();
}
