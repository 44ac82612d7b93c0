//! How all hosts stand by what memory has of them. Nobody is asked, and no file is read.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{HostCache, ReadOptions, identity::is_of};
use crate::hosts::HostEntry;

/// Hosts, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them.
    pub registered: usize,
    /// With a record that would be used without asking.
    pub fresh: usize,
    /// With a record that is too old, or of which the host said that it has changed.
    pub stale: usize,
    /// Without a record in memory.
    pub missing: usize,
    /// Whose last fetch failed.
    pub failing: usize,
    /// Not asked now because of it.
    pub barred: usize,
    /// Since the longest unheard of those with a record was heard.
    pub oldest_age: Option<Duration>,
}

impl HostCache {
    /// Of these hosts, at the TTL.
    pub fn counts<'a>(&self, entries: impl IntoIterator<Item = &'a Arc<HostEntry>>) -> Counts {
        // The deadline is for those who ask.
        let at_ttl = ReadOptions { max_age: None, deadline: Instant::now() };
        let now = self.clock.now();
        let mut counts = Counts::default();
        for entry in entries {
            counts.registered += 1;
            let own = self.known(&entry.name).filter(|record| is_of(entry, record));
            let age = own.as_ref().and_then(|record| now.since(record.validated_at?));
            counts.oldest_age = counts.oldest_age.max(age);
            if self.fresh(entry, at_ttl).is_some() {
                counts.fresh += 1;
            } else if own.is_some() {
                counts.stale += 1;
            } else {
                counts.missing += 1;
            }
            counts.failing += usize::from(self.last_failure(entry).is_some());
            counts.barred += usize::from(self.barred(entry).is_some());
        }
        counts
    }
}
