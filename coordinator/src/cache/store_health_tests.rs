//! What is said of a disk that fails, and how often.

use std::path::PathBuf;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_000_000_000_000 + seconds * 1000).expect("in range")
}

fn full(path: &str) -> StoreError {
    StoreError::Io { action: "write", path: PathBuf::from(path), source: io::ErrorKind::StorageFull.into() }
}

#[test]
fn ten_thousand_failures_are_one_line_a_minute_and_one_when_it_is_over() {
    let mut health = StoreHealth::default();
    let hosts: Vec<String> = (0..10_000).map(|n| format!("h{n}")).collect();
    let mut lines = Vec::new();
    for (n, host) in (0..).zip(&hosts) {
        lines.extend(health.write_failed(host, &full("/c/h"), at(n / 100)));
    }
    let counts: Vec<u64> = lines
        .iter()
        .map(|line| match line {
            Line::Failing { unlogged_count, .. } => *unlogged_count,
            Line::Recovered => panic!("it is full"),
        })
        .collect();
    assert_eq!(counts, [0, 5_999]);
    assert_eq!(health.problem().expect("it stands").unsaved_count, 10_000);
    let recovered: Vec<Line> = hosts.iter().filter_map(|host| health.written(host)).collect();
    assert_eq!(recovered, [Line::Recovered]);
    assert_eq!(health.problem(), None);
    assert_eq!(health.written("h0"), None, "once");
}

#[test]
fn an_entry_that_still_finds_room_ends_nothing() {
    let mut health = StoreHealth::default();
    assert!(health.write_failed("large", &full("/c/large"), at(0)).is_some());
    assert_eq!(health.written("small"), None);
    assert_eq!(health.problem().expect("it stands").unsaved_count, 1);
    assert!(health.begin_catching_up() && !health.begin_catching_up(), "one at a time");
    assert_eq!(health.next_unsaved().as_deref(), Some("large"));
    health.end_catching_up();
    health.forgotten(&["large".to_owned()]);
    assert_eq!(health.next_unsaved(), None);
    assert_eq!(health.written("small"), Some(Line::Recovered));
}

#[test]
fn a_disk_that_comes_and_goes_is_not_a_line_each_time() {
    let mut health = StoreHealth::default();
    let mut lines = 0;
    for _ in 0..100 {
        lines += usize::from(health.write_failed("a", &full("/c/a"), at(1)).is_some());
        lines += usize::from(health.written("a").is_some());
    }
    assert_eq!(lines, 2);
    assert!(health.write_failed("a", &full("/c/a"), at(61)).is_some());
    assert!(health.write_failed("a", &full("/c/a"), at(0)).is_some(), "a clock set back");
}

#[test]
fn a_read_that_fails_is_told_once_and_is_no_standing_problem() {
    let mut health = StoreHealth::default();
    assert!(health.read_failed(&full("/c/a"), at(0)).is_some());
    assert_eq!((health.problem(), health.written("a")), (None, None));
    assert!(health.take_last_failure().expect("told").contains("/c/a"));
    assert_eq!(health.take_last_failure(), None);
}

#[test]
fn a_line_about_a_read_does_not_hide_why_nothing_is_written_nor_that_it_is_over() {
    let mut health = StoreHealth::default();
    assert!(health.read_failed(&StoreError::Slow(LOG_INTERVAL), at(0)).is_some());
    assert!(health.write_failed("a", &full("/c/a"), at(1)).is_some());
    assert_eq!(health.written("a"), Some(Line::Recovered));

    assert!(health.read_failed(&full("/c/b"), at(100)).is_some());
    assert_eq!(health.write_failed("b", &full("/c/b"), at(101)), None, "known");
    assert_eq!(health.written("b"), Some(Line::Recovered), "of what was told");
}

#[test]
fn an_issue_says_what_to_do() {
    let mut health = StoreHealth::default();
    let read_only = |path: &str| StoreError::Io {
        action: "write",
        path: PathBuf::from(path),
        source: io::ErrorKind::ReadOnlyFilesystem.into(),
    };
    assert!(health.unusable(&read_only("/c"), at(0)).is_some());
    let issue = health.problem().expect("it stands").issue();
    assert_eq!((issue.section.as_str(), issue.source.as_str()), ("cache", "/c"));
    assert_eq!(issue.kind, IssueKind::Denied);
    for words in ["cannot write /c: ", "is not kept on the disk", "writable again"] {
        assert!(issue.detail.contains(words), "{}", issue.detail);
    }
    assert!(health.write_failed("a", &full("/c/a"), at(1)).is_some(), "another cause is news");
    let detail = health.problem().expect("it stands").issue().detail;
    assert!(detail.contains("of 1 host is not on the disk") && detail.contains("Free space"), "{detail}");
}
