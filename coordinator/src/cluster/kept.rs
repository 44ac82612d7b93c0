//! Answers that still hold: the same question again costs a look, not a walk over all hosts.
//!
//! An answer is given again only to the same question, while the registry and what is known of the hosts are the same, and
//! before the first host has to be asked again: one whose facts are too old, or one that failed and may do better now. Then a
//! second look at the hosts would find the same.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use vmuster_proto::model::{FlagsAnswer, Timestamp};

use super::FlagsQuestion;
use crate::{cache::HostCache, hosts::Registry};

/// Schedulers and people ask a handful of questions again and again. With explanations of 10,000 hosts an answer has 3 MiB.
const KEPT_MAX: usize = 8;

/// What an answer is an answer about.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) registry: Arc<Registry>,
    cache_version: u64,
    when: Timestamp,
}

impl Moment {
    pub(super) fn now(registry: &Arc<Registry>, cache: &HostCache) -> Self {
        Self { registry: Arc::clone(registry), cache_version: cache.version(), when: cache.now() }
    }
}

#[derive(Debug)]
struct Kept {
    question: FlagsQuestion,
    max_age: Option<Duration>,
    moment: Moment,
    until: Timestamp,
    answer: Arc<(FlagsAnswer, String)>,
}

/// The last answers, oldest first.
#[derive(Debug, Default)]
pub(super) struct KeptAnswers(Mutex<Vec<Kept>>);

impl KeptAnswers {
    pub(super) fn find(
        &self,
        question: &FlagsQuestion,
        max_age: Option<Duration>,
        now: &Moment,
    ) -> Option<Arc<(FlagsAnswer, String)>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|kept| {
            kept.max_age == max_age && holds(&kept.moment, kept.until, now) && kept.question == *question
        });
        found.map(|kept| Arc::clone(&kept.answer))
    }

    pub(super) fn keep(
        &self,
        question: &FlagsQuestion,
        max_age: Option<Duration>,
        moment: Moment,
        until: Timestamp,
        answer: Arc<(FlagsAnswer, String)>,
    ) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What does not hold any more would only take memory.
        kept.retain(|kept| holds(&kept.moment, kept.until, &moment) && kept.question != *question);
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push(Kept { question: question.clone(), max_age, moment, until, answer });
    }
}

/// A clock that was set back says nothing about the hosts, so the answer is made anew.
fn holds(then: &Moment, until: Timestamp, now: &Moment) -> bool {
    then.cache_version == now.cache_version
        && Arc::ptr_eq(&then.registry, &now.registry)
        && then.when <= now.when
        && now.when < until
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::Instant;
    use vmuster_proto::{
        clock::Clock,
        model::{Cpu, FeatureSet, Inventory, Layer, System},
    };

    use super::*;
    use crate::{
        cache::{GuestNames, HostRecord, ReadOptions},
        cluster::Cluster,
        fetch::Fetcher,
        flags::Detail,
        hosts::{HostEntry, Scope},
    };

    #[derive(Debug)]
    struct SetClock(AtomicU64);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(self.0.load(Ordering::Relaxed)).expect("in range")
        }
    }

    const START: u64 = 1_000_000_000_000;
    const HOUR: Duration = Duration::from_secs(3600);

    fn record(name: &str) -> HostRecord {
        let flags = FeatureSet::from_names(["fpu", name]).expect("valid");
        let system = System { arch: Some("x86_64".to_owned()), ..System::default() };
        let cpu = Cpu { host_flags: Some(flags), ..Cpu::default() };
        HostRecord {
            host: name.to_owned(),
            address: String::new(),
            reported_name: String::new(),
            fetched_at: None,
            validated_at: Timestamp::from_unix_millis(START).ok(),
            inventory: Arc::new(Inventory {
                system: Some(system),
                cpu: Some(Arc::new(cpu)),
                ..Inventory::default()
            }),
            issues: Arc::default(),
            superseded: false,
            saved_usage: None,
            guest_names: GuestNames::default(),
        }
    }

    fn registry() -> Registry {
        Registry::new(["a", "b"].map(|name| HostEntry::new(name, None))).expect("distinct")
    }

    fn question(detail: Detail) -> FlagsQuestion {
        FlagsQuestion { layer: Layer::Host, scope: Scope::default(), detail }
    }

    #[tokio::test]
    async fn a_host_that_failed_is_part_of_an_answer_for_as_long_as_it_is_not_asked_again() {
        let clock = Arc::new(SetClock(AtomicU64::new(START)));
        for (failure_ttl, is_kept) in [(HOUR, true), (Duration::ZERO, false)] {
            let fetcher = Arc::new(Fetcher::new(1, HOUR));
            let clock = Arc::<SetClock>::clone(&clock);
            let cache = Arc::new(HostCache::new(None, fetcher, clock, HOUR, failure_ttl));
            let nowhere = Some("unix:/nonexistent/agent.sock".parse().expect("an address"));
            let registry = Registry::new([HostEntry::new("a", nowhere)]).expect("distinct");
            let cluster = Cluster::new(registry, cache);
            let options = ReadOptions { max_age: None, deadline: Instant::now() + HOUR };
            let ask = async |options| {
                cluster.common_flags(&question(Detail::default()), options).await.expect("an answer")
            };
            let first = ask(options).await;
            assert_eq!(first.0.missing.len(), 1);
            // The first answer was found while something was learned.
            let second = ask(options).await;
            assert!(!Arc::ptr_eq(&first, &second));
            assert_eq!(Arc::ptr_eq(&second, &ask(options).await), is_kept);
            let always = ReadOptions { max_age: Some(Duration::ZERO), ..options };
            assert!(
                !Arc::ptr_eq(&ask(always).await, &ask(always).await),
                "whoever wants it asked anew gets that"
            );
        }
    }

    #[tokio::test]
    async fn an_answer_is_given_again_only_while_a_second_look_would_find_the_same() {
        let clock = Arc::new(SetClock(AtomicU64::new(START)));
        let cache =
            Arc::new(HostCache::of_records([record("a"), record("b")], Arc::<SetClock>::clone(&clock)));
        let cluster = Cluster::new(registry(), cache);
        let deadline = Instant::now() + HOUR;
        let ask = async |detail: Detail, max_age: Option<Duration>| {
            cluster
                .common_flags(&question(detail), ReadOptions { max_age, deadline })
                .await
                .expect("an answer")
        };
        let plainly = async || ask(Detail::default(), Some(HOUR)).await;
        let first = plainly().await;
        assert!(Arc::ptr_eq(&first, &plainly().await));
        let other = ask(Detail { absent: true, ..Detail::default() }, Some(HOUR)).await;
        assert!(first.1 != other.1, "another question");
        assert!(!Arc::ptr_eq(&first, &ask(Detail::default(), None).await), "another age");
        assert!(!Arc::ptr_eq(&first, &plainly().await), "of two ages the last is kept");

        let first = plainly().await;
        cluster.set_registry(registry()).await;
        let second = plainly().await;
        assert!(!Arc::ptr_eq(&first, &second) && *first == *second, "another registry, the same hosts");

        clock.0.store(START - 1, Ordering::Relaxed);
        assert!(!Arc::ptr_eq(&second, &plainly().await), "the clock was set back");
        let third = plainly().await;
        clock.0.store(START + 3_599_999, Ordering::Relaxed);
        assert!(Arc::ptr_eq(&third, &plainly().await), "it still holds");
        clock.0.store(START + 3_600_000, Ordering::Relaxed);
        let late = plainly().await;
        assert!(!late.0.complete && late.0.hosts.len() == 2, "a second look finds them stale");
        assert!(!Arc::ptr_eq(&late, &plainly().await), "nobody says how long that stays so");

        clock.0.store(START, Ordering::Relaxed);
        assert!(plainly().await.0.complete);
        cluster.cache().supersede("a", deadline).await;
        assert!(!plainly().await.0.complete, "what is known of a host has changed");
    }
}
