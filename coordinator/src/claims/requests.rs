//! Requests that were answered, by their id, so that the same call again gets the same answer.
//!
//! Knows digests and bytes. Must not know what was asked or answered.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use vmuster_proto::model::Timestamp;

use super::change::Change;

/// How long an answer is remembered: a caller that goes on after a day asks anew.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(86_400);

/// At most so many are remembered; the oldest go first, even before their day is over. At 300 bytes they have 30 MB.
pub const REMEMBERED_MAX: usize = 100_000;

/// All answers together; the oldest go first. One for 10,000 instances has about a megabyte, and all are in memory.
pub const REMEMBERED_MAX_BYTES: usize = 128 << 20;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Digest of what was asked.
    pub body_digest: [u8; 32],
    /// The answer, as it was sent.
    pub answer: Vec<u8>,
    /// When.
    pub when: Timestamp,
}

/// What is known of a request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It was answered with this.
    Same(Arc<Remembered>),
    /// Another body had it.
    Reused,
    /// Nothing.
    New,
}

/// All that is remembered.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    by_id: HashMap<Arc<str>, Arc<Remembered>>,
    by_age: BTreeSet<(Timestamp, Arc<str>)>,
    size_bytes: usize,
}

impl Requests {
    /// What is known of this id; nothing of what is older than a day.
    #[must_use]
    pub fn lookup(&self, request_id: &str, body_digest: &[u8; 32], now: Timestamp) -> Lookup {
        match self.by_id.get(request_id).filter(|remembered| !is_over(remembered.when, now)) {
            Some(remembered) if remembered.body_digest == *body_digest => {
                Lookup::Same(Arc::clone(remembered))
            }
            Some(_) => Lookup::Reused,
            None => Lookup::New,
        }
    }

    /// The changes that remember this, and forget what is then too old or too much.
    #[must_use]
    pub fn remember(&self, request_id: &str, remembered: Remembered) -> Vec<Change> {
        let replaced = self.by_id.get(request_id);
        let mut count = self.by_id.len() + 1 - usize::from(replaced.is_some());
        let mut size_bytes = self.size_bytes + size(request_id, &remembered)
            - replaced.map_or(0, |replaced| size(request_id, replaced));
        let now = remembered.when;
        let mut changes = Vec::new();
        for (when, id) in &self.by_age {
            let too_many = count > REMEMBERED_MAX || size_bytes > REMEMBERED_MAX_BYTES;
            if !too_many && !is_over(*when, now) {
                break;
            }
            if **id != *request_id {
                count -= 1;
                size_bytes -= self.by_id.get(id).map_or(0, |old| size(id, old));
                changes.push(Change::Forget(Arc::clone(id)));
            }
        }
        changes.push(Change::Remember(request_id.into(), Arc::new(remembered)));
        changes
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn put(&mut self, id: &Arc<str>, remembered: Arc<Remembered>) -> Change {
        let before = self.take(id);
        self.size_bytes += size(id, &remembered);
        self.by_age.insert((remembered.when, Arc::clone(id)));
        self.by_id.insert(Arc::clone(id), remembered);
        before
            .map_or_else(|| Change::Forget(Arc::clone(id)), |before| Change::Remember(Arc::clone(id), before))
    }

    pub(super) fn take(&mut self, id: &Arc<str>) -> Option<Arc<Remembered>> {
        let before = self.by_id.remove(id)?;
        self.by_age.remove(&(before.when, Arc::clone(id)));
        self.size_bytes -= size(id, &before);
        Some(before)
    }
}

/// A clock that went back makes nothing older.
fn is_over(when: Timestamp, now: Timestamp) -> bool {
    now.since(when).is_some_and(|age| age >= REMEMBERED_FOR)
}

fn size(id: &str, remembered: &Remembered) -> usize {
    id.len() + remembered.answer.len()
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
