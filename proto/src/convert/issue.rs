//! Issues.

use super::{DecodeError, list, text};
use crate::{
    model::{Issue, IssueKind},
    pb,
};

impl From<&Issue> for pb::Issue {
    fn from(issue: &Issue) -> Self {
        let kind = match issue.kind {
            IssueKind::Unsupported => pb::IssueKind::Unsupported,
            IssueKind::Denied => pb::IssueKind::Denied,
            IssueKind::Malformed => pb::IssueKind::Malformed,
            IssueKind::Timeout => pb::IssueKind::Timeout,
            IssueKind::Missing => pb::IssueKind::Missing,
            IssueKind::Stale => pb::IssueKind::Stale,
            IssueKind::Unrecognized => pb::IssueKind::Unspecified,
        };
        Self {
            section: issue.section.clone(),
            source: issue.source.clone(),
            kind: kind.into(),
            detail: issue.detail.clone(),
        }
    }
}

impl TryFrom<pb::Issue> for Issue {
    type Error = DecodeError;

    fn try_from(issue: pb::Issue) -> Result<Self, DecodeError> {
        let kind = match issue.kind() {
            pb::IssueKind::Unspecified => IssueKind::Unrecognized,
            pb::IssueKind::Unsupported => IssueKind::Unsupported,
            pb::IssueKind::Denied => IssueKind::Denied,
            pb::IssueKind::Malformed => IssueKind::Malformed,
            pb::IssueKind::Timeout => IssueKind::Timeout,
            pb::IssueKind::Missing => IssueKind::Missing,
            pb::IssueKind::Stale => IssueKind::Stale,
        };
        Ok(Self {
            section: text("section", issue.section)?,
            source: text("source", issue.source)?,
            kind,
            detail: text("detail", issue.detail)?,
        })
    }
}

/// Issues from the wire.
///
/// # Errors
/// Too many, or a text too long.
pub fn issues(issues: Vec<pb::Issue>) -> Result<Vec<Issue>, DecodeError> {
    list("issues", issues, Issue::try_from)
}

/// Issues for the wire.
#[must_use]
pub fn issues_to_pb(issues: &[Issue]) -> Vec<pb::Issue> {
    issues.iter().map(Into::into).collect()
}
