//! The answer to "can this guest go there?".

use serde::{Deserialize, Serialize};

use super::{Domain, HostStanding, VerdictKind, printable};

/// `schema` of the answer's JSON document.
pub const MIGRATION_SCHEMA: &str = "vmuster.migration.v1";

/// One verdict a candidate; fields as in cluster_service.proto's CheckMigrationResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct MigrationAnswer {
    pub domain: Domain,
    pub source_host: Option<String>,
    pub verdicts: Vec<MigrationVerdict>,
}

/// Whether a guest can go to one host; fields as in cluster_service.proto.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct MigrationVerdict {
    pub host: HostStanding,
    pub verdict: VerdictKind,
    pub findings: Vec<Finding>,
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: String,
    /// What it says.
    pub verdict: VerdictKind,
    /// Why, with figures; with a yes: what to know.
    pub detail: String,
}

/// A finding is read by people: names of guests and words of libvirt's must not make it endless.
const DETAIL_MAX_BYTES: usize = 1000;

impl Finding {
    /// A finding, its detail made printable and cut to a readable length.
    #[must_use]
    pub fn new(rule: &str, verdict: VerdictKind, detail: impl AsRef<str>) -> Self {
        Self { rule: rule.to_owned(), verdict, detail: printable(detail.as_ref(), DETAIL_MAX_BYTES) }
    }
}

impl MigrationVerdict {
    /// The worst of its findings; without any, yes.
    #[must_use]
    pub fn of(host: HostStanding, findings: Vec<Finding>) -> Self {
        let worst = findings.iter().map(|finding| finding.verdict).max();
        Self { host, verdict: worst.unwrap_or(VerdictKind::Yes), findings }
    }
}
