//! Answers that still hold: the same question again costs a look, not a walk over all hosts.
//!
//! An answer is kept only if every host in it was fresh, and given again only to the same question, while the registry and
//! what is known of the hosts are the same, and before the first host has to be asked again. Then a second look at the hosts
//! would find the same.

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
