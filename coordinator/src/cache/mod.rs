//! What is known of each host, and how long it holds.
//!
//! Knows records, freshness, files and flights. Must not know what is asked of the facts. An entry is only ever trusted
//! whole: torn, corrupt, from a future clock or of an unknown version means "not there", and is never fatal.

mod entry;
mod flights;
mod freshness;
mod host_cache;
mod store;
mod view;

use std::{sync::Arc, time::Duration};

use vmuster_proto::model::{Inventory, Issue, IssueKind, Timestamp, Usage};

pub use entry::{DecodeEntryError, decode_entry, encode_entry};
pub use flights::Flights;
pub use freshness::{Age, CLOCK_SKEW_TOLERANCE, age};
pub use host_cache::HostCache;
pub use store::{FileStore, Sharing, Store, StoreError};
pub use view::{HostView, Outcome, ReadOptions};

/// The last known facts of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRecord {
    /// The registry's name.
    pub host: String,
    /// Where the agent was asked; empty for a saved snapshot. Another address may be another machine.
    pub address: String,
    /// The name the host itself reports.
    pub reported_name: String,
    /// When it was received; None for a saved snapshot.
    pub fetched_at: Option<Timestamp>,
    /// When it was last known to hold; None if a snapshot does not say.
    pub validated_at: Option<Timestamp>,
    /// Facts.
    pub inventory: Arc<Inventory>,
    /// What is absent from them, and why.
    pub issues: Arc<[Issue]>,
    /// The host said that its facts have changed since: usable only as stale, also after a restart.
    pub superseded: bool,
    /// A saved snapshot's figures. Of a live host usage is asked each time, never kept.
    pub saved_usage: Option<Arc<Usage>>,
}

/// How long a record holds in which something had not answered in time: a libvirt that has just been started takes some
/// seconds, and what a guest can be given must not be missing for a day.
const INCOMPLETE_TTL: Duration = Duration::from_secs(60);

impl HostRecord {
    /// A limit of age, or what this record allows if that is less.
    #[must_use]
    pub fn limited(&self, limit: Option<Duration>) -> Option<Duration> {
        let is_late = self.issues.iter().any(|issue| issue.kind == IssueKind::Timeout);
        limit.map(|limit| if is_late { limit.min(INCOMPLETE_TTL) } else { limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_late_is_asked_again_soon() {
        let day = Duration::from_secs(86_400);
        let record = |kind: IssueKind| HostRecord {
            host: "a".to_owned(),
            address: String::new(),
            reported_name: String::new(),
            fetched_at: None,
            validated_at: None,
            inventory: Arc::default(),
            issues: vec![Issue::new("cpu.guest", "libvirt", kind, "")].into(),
            superseded: false,
            saved_usage: None,
        };
        assert_eq!(record(IssueKind::Timeout).limited(Some(day)), Some(INCOMPLETE_TTL));
        assert_eq!(record(IssueKind::Timeout).limited(Some(Duration::ZERO)), Some(Duration::ZERO));
        assert_eq!(record(IssueKind::Timeout).limited(None), None, "a saved snapshot never changes");
        assert_eq!(record(IssueKind::Denied).limited(Some(day)), Some(day));
    }
}
