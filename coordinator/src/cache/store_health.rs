//! Whether the cache's disk does what it is told, and what to say of it. Pure: events and times in, what to log out.
//!
//! A full disk fails for each of ten thousand hosts, so that the log is told of each cause once a minute. Which hosts are not on the disk
//! is kept: the problem is over when all of them are, not when one small entry still found room.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    io,
    time::Duration,
};

use vmuster_proto::model::{Issue, IssueKind, Timestamp};

use super::StoreError;

/// Between two lines in the log of one cause. Long enough for a log to stay readable, short enough to be found beside its cause.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Why the disk is behind what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreProblem {
    /// What was tried last, on what, and why it failed.
    pub detail: String,
    /// What to do about it.
    pub advice: &'static str,
    /// Where.
    pub path: String,
    /// In an issue's words.
    pub kind: IssueKind,
    /// Hosts of which the disk has an older entry or none.
    pub unsaved_count: usize,
}

impl StoreProblem {
    fn new(error: &StoreError) -> Self {
        let source = error.source();
        let detail = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        let (path, kind, advice) = match error {
            StoreError::Slow(_) => return Self::of_slow(detail),
            StoreError::InUse(path) => (path, IssueKind::Denied, "Stop the other one."),
            StoreError::NotAnEntry { path, .. } => (path, IssueKind::Malformed, "Nothing is needed."),
            StoreError::Io { path, source, .. } => {
                let (kind, advice) = remedy(source.kind());
                (path, kind, advice)
            }
        };
        Self { detail, advice, path: path.display().to_string(), kind, unsaved_count: 0 }
    }

    fn of_slow(detail: String) -> Self {
        let advice = "See to the disk, or move `cache_dir`.";
        Self { detail, advice, path: String::new(), kind: IssueKind::Timeout, unsaved_count: 0 }
    }

    /// For an answer.
    #[must_use]
    pub fn issue(&self) -> Issue {
        let hosts = match self.unsaved_count {
            0 => "what is learned of hosts is not kept on the disk and".to_owned(),
            1 => "what is known of 1 host is not on the disk and".to_owned(),
            count => format!("what is known of {count} hosts is not on the disk and"),
        };
        let Self { detail, advice, .. } = self;
        let detail = format!("{detail}: {hosts} would have to be asked for after a restart. {advice}");
        Issue::new("cache", self.path.clone(), self.kind, detail)
    }
}

/// What one line in the log tells enough of.
fn cause(error: &StoreError) -> io::ErrorKind {
    match error {
        StoreError::Io { source, .. } => source.kind(),
        StoreError::Slow(_) => io::ErrorKind::TimedOut,
        StoreError::InUse(_) => io::ErrorKind::ResourceBusy,
        StoreError::NotAnEntry { .. } => io::ErrorKind::InvalidData,
    }
}

fn remedy(kind: io::ErrorKind) -> (IssueKind, &'static str) {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match kind {
        StorageFull | QuotaExceeded => (IssueKind::Missing, "Free space there, or move `cache_dir`."),
        ReadOnlyFilesystem => (
            IssueKind::Denied,
            "Make the file system writable again; if nobody made it read-only, the kernel's log says why.",
        ),
        PermissionDenied => (IssueKind::Denied, "Give the directory to the user that runs this."),
        _ => (IssueKind::Missing, "See to the disk, or move `cache_dir`."),
    }
}

/// What the log should be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// It does not work; so many failures were not logged since the last line.
    Failing { detail: String, unlogged_count: u64 },
    /// It works again, and nothing is left to be written.
    Recovered,
}

/// The cache's disk, as the last reads and writes found it.
#[derive(Debug, Default)]
pub(super) struct StoreHealth {
    problem: Option<StoreProblem>,
    /// Hosts whose last write failed.
    unsaved: BTreeSet<String>,
    /// Any failure, also of a read: for who ends soon and tells it once.
    last_failure: Option<String>,
    /// By cause, when the log was told of it.
    logged_at: BTreeMap<io::ErrorKind, Timestamp>,
    unlogged_count: u64,
    /// The log was told that it fails, and not yet that this is over.
    told: bool,
    last_write_worked: bool,
    /// What could not be written is being written.
    catching_up: bool,
}

impl StoreHealth {
    /// Nothing can be written, whatever it is.
    pub(super) fn unusable(&mut self, error: &StoreError, now: Timestamp) -> Option<Line> {
        self.problem = Some(StoreProblem::new(error));
        self.failure(error, now)
    }

    /// The host's entry could not be written.
    pub(super) fn write_failed(&mut self, host: &str, error: &StoreError, now: Timestamp) -> Option<Line> {
        self.unsaved.insert(host.to_owned());
        self.last_write_worked = false;
        self.unusable(error, now)
    }

    /// An entry could not be read. That is no standing problem: the host is asked, and its entry written anew.
    pub(super) fn read_failed(&mut self, error: &StoreError, now: Timestamp) -> Option<Line> {
        if matches!(error, StoreError::NotAnEntry { .. }) {
            // Each has a cause of its own, and is set aside once.
            let detail = StoreProblem::new(error).detail;
            self.last_failure = Some(detail.clone());
            return Some(Line::Failing { detail, unlogged_count: 0 });
        }
        self.failure(error, now)
    }

    fn failure(&mut self, error: &StoreError, now: Timestamp) -> Option<Line> {
        let detail = StoreProblem::new(error).detail;
        self.last_failure = Some(detail.clone());
        // A clock that was set back says nothing about the last line's age.
        let then = self.logged_at.get(&cause(error));
        let is_due = then.is_none_or(|then| now.since(*then).is_none_or(|since| since >= LOG_INTERVAL));
        if !is_due {
            self.unlogged_count += 1;
            return None;
        }
        self.logged_at.insert(cause(error), now);
        self.told = true;
        Some(Line::Failing { detail, unlogged_count: std::mem::take(&mut self.unlogged_count) })
    }

    /// The host was written.
    pub(super) fn written(&mut self, host: &str) -> Option<Line> {
        self.unsaved.remove(host);
        self.last_write_worked = true;
        self.settle()
    }

    /// The hosts are not in the cluster any more.
    pub(super) fn forgotten(&mut self, hosts: &[String]) {
        for host in hosts {
            self.unsaved.remove(host);
        }
    }

    fn settle(&mut self) -> Option<Line> {
        if !self.unsaved.is_empty() {
            return None;
        }
        self.problem.take()?;
        self.unlogged_count = 0;
        std::mem::take(&mut self.told).then_some(Line::Recovered)
    }

    /// Whether to begin writing what could not be written; one does it at a time.
    pub(super) fn begin_catching_up(&mut self) -> bool {
        let begins = self.last_write_worked && !self.unsaved.is_empty() && !self.catching_up;
        self.catching_up |= begins;
        begins
    }

    pub(super) fn is_catching_up(&self) -> bool {
        self.catching_up
    }

    /// All is written, or the disk failed again.
    pub(super) fn end_catching_up(&mut self) {
        self.catching_up = false;
    }

    /// A host to be written next, now that the disk may work again.
    pub(super) fn next_unsaved(&self) -> Option<String> {
        self.unsaved.first().cloned()
    }

    /// What stands.
    pub(super) fn problem(&self) -> Option<StoreProblem> {
        let problem = self.problem.clone()?;
        Some(StoreProblem { unsaved_count: self.unsaved.len(), ..problem })
    }

    /// The last failure, once.
    pub(super) fn take_last_failure(&mut self) -> Option<String> {
        self.last_failure.take()
    }
}

#[cfg(test)]
#[path = "store_health_tests.rs"]
mod tests;
