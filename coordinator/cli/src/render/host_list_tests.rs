//! What went wrong last, in a list of hosts.

use std::time::Duration;

use insta::assert_snapshot;
use vmuster_proto::model::{Freshness, HostFailure, HostSummary, Issue, IssueKind, Problem, ProblemKind};

use super::{
    hosts::{ListDocument, list_table},
    settings_tests::summary,
    tests::{WIDTH, now},
};

fn failed(kind: ProblemKind, seconds: u64, consecutive_count: u32) -> Option<HostFailure> {
    let problem =
        Problem::new(kind, "cannot connect to 192.0.2.4:9440: connection refused; is the agent running?");
    let failed_at = now().saturating_sub(Duration::from_secs(seconds));
    Some(HostFailure { problem, failed_at, consecutive_count })
}

fn hosts() -> [HostSummary; 3] {
    [
        summary("kvm-01", Freshness::Fresh, false),
        HostSummary {
            last_failure: failed(ProblemKind::Timeout, 60, 1),
            ..summary("kvm-02", Freshness::Fresh, true)
        },
        HostSummary {
            last_failure: failed(ProblemKind::Unreachable, 7200, 12),
            ..summary("kvm-03", Freshness::Stale, false)
        },
    ]
}

#[test]
fn the_last_error_has_a_column_where_there_is_one() {
    let narrow = list_table(&hosts(), now(), WIDTH);
    assert!(narrow.lines().all(|line| line.len() <= usize::from(WIDTH)), "{narrow}");
    assert_snapshot!("last_errors_narrow", narrow);
    let wide = list_table(&hosts(), now(), 140);
    assert!(wide.lines().all(|line| line.chars().count() <= 140), "{wide}");
    assert_snapshot!("last_errors_wide", wide);
    let hosts = hosts().map(|host| HostSummary { last_failure: None, ..host });
    assert!(!list_table(&hosts, now(), WIDTH).contains("ERROR"));
}

#[test]
fn a_document_has_failures_and_issues() {
    let issue = Issue::new("cache", "/var/cache", IssueKind::Missing, "No space left on device");
    let document = super::json(&ListDocument::new(&hosts()[1..2], &[issue])).expect("JSON");
    assert_snapshot!("last_error_json", document);
}
