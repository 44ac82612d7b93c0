//! What needs no asking: records in memory that are young enough, all hosts of a question at a time.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures::future::join_all;
use vmuster_proto::model::{Freshness, Timestamp};

use super::{Age, HostCache, HostView, Outcome, ReadOptions, age, identity::is_of, slot::Slot};
use crate::hosts::HostEntry;

/// Further ahead than any record holds.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

impl HostCache {
    /// Each of these hosts as it stands, asked again where that is not fresh enough. In the same order.
    pub async fn read_all(
        self: &Arc<Self>,
        entries: &[Arc<HostEntry>],
        options: ReadOptions,
    ) -> Vec<HostView> {
        let now = self.clock.now();
        let look = |views: &mut Vec<Option<HostView>>| {
            let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
            for (view, entry) in views.iter_mut().zip(entries).filter(|(view, _)| view.is_none()) {
                *view = self.fresh_of(&slots, entry, options, now);
            }
        };
        let mut fresh = vec![None; entries.len()];
        look(&mut fresh);
        let others = entries.iter().zip(&fresh).filter(|(_, view)| view.is_none());
        if self.load_once(others.map(|(entry, _)| entry.name.as_str()), options.deadline).await {
            look(&mut fresh);
        }
        self.statistics.read(Outcome::StillFresh, fresh.iter().flatten().count());
        let others = entries.iter().zip(&fresh).filter(|(_, view)| view.is_none()).map(|(entry, _)| entry);
        let mut asked = join_all(others.map(|entry| self.read_loaded(entry, options))).await.into_iter();
        fresh.into_iter().filter_map(|view| view.or_else(|| asked.next())).collect()
    }

    /// None unless the record in memory is this host's and young enough.
    pub(super) fn fresh(&self, entry: &Arc<HostEntry>, options: ReadOptions) -> Option<HostView> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        self.fresh_of(&slots, entry, options, self.clock.now())
    }

    fn fresh_of(
        &self,
        slots: &HashMap<String, Slot>,
        entry: &Arc<HostEntry>,
        options: ReadOptions,
        now: Timestamp,
    ) -> Option<HostView> {
        let record = slots.get(&entry.name)?.record.as_ref()?;
        if record.superseded || !is_of(entry, record) {
            return None;
        }
        let limit = record.limited(self.limit(options));
        let is_fresh = age(record.validated_at, now, limit) == Age::Fresh;
        is_fresh.then(|| HostView::fresh(entry, Arc::clone(record), Outcome::StillFresh))
    }

    fn limit(&self, options: ReadOptions) -> Option<Duration> {
        match (options.max_age, self.ttl) {
            (Some(max_age), Some(ttl)) => Some(max_age.min(ttl)),
            (max_age, ttl) => max_age.or(ttl),
        }
    }

    /// Changes whenever what is known of any host does. What was read while it stayed the same holds as long as
    /// [`HostCache::settled_until`] says.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The time, by the cache's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Until when these stay as they are if nothing is learned of any: when the first of them has to be asked again. None:
    /// now.
    #[must_use]
    pub fn settled_until(&self, views: &[HostView], options: ReadOptions) -> Option<Timestamp> {
        if options.max_age == Some(Duration::ZERO) {
            return None;
        }
        let (limit, now) = (self.limit(options), self.clock.now());
        let mut first = now.saturating_add(FOR_EVER);
        for view in views {
            if view.freshness == Freshness::Fresh {
                let record = view.record.as_ref()?;
                if let (Some(limit), Some(then)) = (record.limited(limit), record.validated_at) {
                    first = first.min(then.saturating_add(limit));
                }
            } else {
                // A host that failed a moment ago is not asked again for a while, and gives the same problem.
                let (problem, left) = self.barred(&view.entry)?;
                view.problem.as_ref().filter(|given| **given == problem)?;
                first = first.min(now.saturating_add(left));
            }
        }
        Some(first)
    }
}
