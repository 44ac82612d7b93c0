//! What is known of each host, and how long it holds.
//!
//! Knows records, freshness, files and flights. Must not know what is asked of the facts. An entry is only ever trusted
//! whole: torn, corrupt, from a future clock or of an unknown version means "not there", and is never fatal.

mod counts;
mod disk;
mod disk_troubles;
mod entry;
mod flight;
mod flights;
mod freshness;
mod guest_names;
mod host_cache;
mod identity;
mod load;
mod parts;
mod slot;
mod still_fresh;
mod store;
mod store_health;
mod store_opening;
#[cfg(test)]
mod testing;
mod view;

use std::{sync::Arc, time::Duration};

use vmuster_proto::model::{Inventory, Issue, IssueKind, Timestamp, Usage};

pub use counts::Counts;
pub use entry::{DecodeEntryError, decode_entry, encode_entry};
pub use flights::Flights;
pub use freshness::{Age, CLOCK_SKEW_TOLERANCE, age};
pub use guest_names::GuestNames;
pub use host_cache::HostCache;
pub(crate) use identity::check_name;
pub use parts::Parts;
pub use slot::Failure;
pub use store::{FileStore, Sharing, Store, StoreError};
pub use store_health::StoreProblem;
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
    /// Made of the inventory when they are first asked for.
    pub guest_names: GuestNames,
}

/// How long a record holds in which something passes: a libvirt that has just been started takes some seconds, and whoever
/// has given the reader a right or repaired its daemon looks for the result. It must not be missing for a day.
const PASSING_TTL: Duration = Duration::from_secs(60);

/// The same where nobody answers for libvirt: many hosts have none, or not yet, and are not to be asked every minute.
const NO_LIBVIRT_TTL: Duration = Duration::from_secs(600);

impl HostRecord {
    /// A limit of age, or what this record allows if that is less.
    #[must_use]
    pub fn limited(&self, limit: Option<Duration>) -> Option<Duration> {
        let passing = self.issues.iter().filter_map(passing_ttl).min();
        limit.map(|limit| passing.map_or(limit, |passing| limit.min(passing)))
    }

    /// What to tell the agent that we know; empty: ask for all. The fingerprint is of facts only, and "unchanged" to it would
    /// keep an issue that has passed for as long as the facts hold.
    #[must_use]
    pub fn known_fingerprint(&self) -> &str {
        if self.issues.iter().any(|issue| passing_ttl(issue).is_some()) {
            return "";
        }
        &self.inventory.fingerprint
    }
}

/// How long a record with this issue holds; None: the issue stays until the facts change.
fn passing_ttl(issue: &Issue) -> Option<Duration> {
    let is_of_guests = issue.section == "hypervisor" || issue.section.starts_with("cpu.guest");
    match issue.kind {
        IssueKind::Unsupported => None,
        IssueKind::Timeout => Some(PASSING_TTL),
        IssueKind::Missing if is_of_guests => Some(NO_LIBVIRT_TTL),
        _ => is_of_guests.then_some(PASSING_TTL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn record(issues: &[(&str, IssueKind)]) -> HostRecord {
        HostRecord {
            host: "a".to_owned(),
            address: String::new(),
            reported_name: String::new(),
            fetched_at: None,
            validated_at: None,
            inventory: Arc::new(Inventory { fingerprint: "F".to_owned(), ..Inventory::default() }),
            issues: issues.iter().map(|(section, kind)| Issue::new(*section, "libvirt", *kind, "")).collect(),
            superseded: false,
            saved_usage: None,
            guest_names: GuestNames::default(),
        }
    }

    #[test]
    fn what_passes_is_asked_again_soon() {
        let limit = |issues: &[_]| record(issues).limited(Some(DAY));
        assert_eq!(limit(&[]), Some(DAY));
        for kind in [IssueKind::Timeout, IssueKind::Denied, IssueKind::Malformed] {
            for section in ["cpu.guest", "cpu.guest.features", "hypervisor"] {
                assert_eq!(limit(&[(section, kind)]), Some(PASSING_TTL), "{section} {kind:?}");
            }
        }
        assert_eq!(limit(&[("disks", IssueKind::Timeout)]), Some(PASSING_TTL));
        assert_eq!(limit(&[("disks", IssueKind::Denied)]), Some(DAY));
        assert_eq!(limit(&[("hypervisor.kvm_parameters", IssueKind::Denied)]), Some(DAY));
        assert_eq!(limit(&[("cpu.guest", IssueKind::Unsupported)]), Some(DAY), "nobody can cure it");
        let late = record(&[("cpu.guest", IssueKind::Timeout)]);
        assert_eq!(late.limited(Some(Duration::ZERO)), Some(Duration::ZERO));
        assert_eq!(late.limited(None), None, "a saved snapshot never changes");
    }

    #[test]
    fn a_host_without_libvirt_is_not_asked_every_minute() {
        let absent = ("cpu.guest", IssueKind::Missing);
        assert_eq!(record(&[absent]).limited(Some(DAY)), Some(NO_LIBVIRT_TTL));
        let both = record(&[absent, ("hypervisor", IssueKind::Denied)]);
        assert_eq!(both.limited(Some(DAY)), Some(PASSING_TTL), "the shortest counts");
    }

    #[test]
    fn unchanged_must_not_keep_an_issue_that_passed() {
        assert_eq!(record(&[]).known_fingerprint(), "F");
        assert_eq!(record(&[("cpu.guest", IssueKind::Unsupported)]).known_fingerprint(), "F");
        assert_eq!(record(&[("disks", IssueKind::Missing)]).known_fingerprint(), "F");
        for kind in [IssueKind::Timeout, IssueKind::Missing, IssueKind::Denied] {
            assert_eq!(record(&[("hypervisor", kind)]).known_fingerprint(), "", "{kind:?}");
        }
    }
}
