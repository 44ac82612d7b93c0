//! What is known of one host, and whether that is enough to place by.

use std::{ops::RangeInclusive, sync::Arc};

use tokio::time::Instant;
use vmuster_proto::model::{
    Freshness, HostSettings, HostStanding, JudgedHost, Problem, ProblemKind, Timestamp, Usage,
};

use crate::{accounting::HostAccount, cache::HostView, hosts::HostEntry};

/// What a host said it uses.
#[derive(Debug, Clone)]
pub(super) struct KnownUsage {
    /// When it was asked, by this coordinator's clock.
    pub(super) asked_at: Timestamp,
    /// The same by a clock that never goes back: what was asked later is what holds.
    pub(super) order: Instant,
    /// When its list of guests was so, at the earliest: the host may have been asked while libvirt was silent.
    pub(super) seen_at: Timestamp,
    /// What it said.
    pub(super) usage: Arc<Usage>,
}

/// When a host must have been asked for its usage to be promised by.
pub(super) type Young = RangeInclusive<Timestamp>;

/// One host.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) entry: Arc<HostEntry>,
    pub(super) settings: HostSettings,
    /// None: it was not read yet.
    pub(super) view: Option<HostView>,
    /// The last one, also of a host that does not answer any more.
    pub(super) usage: Option<KnownUsage>,
    /// Why the last question for usage had no answer; nothing is placed there then.
    pub(super) problem: Option<Problem>,
    pub(super) account: Option<HostAccount>,
    /// Before it, a host that did not answer is not asked again.
    pub(super) not_before: Option<Instant>,
    /// When it, or that it does not answer, was heard of last.
    pub(super) learned_at: Option<Instant>,
    /// A claim on it was released before its guest was seen. The guest may be there: usage of before says nothing of it.
    pub(super) doubted_at: Option<Instant>,
}

impl Known {
    /// As registered.
    #[cfg(test)]
    pub(super) fn entry(&self) -> &Arc<HostEntry> {
        &self.entry
    }

    /// What counts of it.
    pub(super) fn settings(&self) -> &HostSettings {
        &self.settings
    }

    /// By what it is judged.
    pub(super) fn judged(&self) -> JudgedHost {
        let never = || HostStanding {
            name: self.entry.name.clone(),
            address: self.entry.address.as_ref().map(ToString::to_string).unwrap_or_default(),
            reported_name: String::new(),
            freshness: Freshness::Missing,
            fetched_at: None,
            validated_at: None,
            collected_at: None,
            problem: Some(self.problem.clone().unwrap_or_else(|| {
                Problem::new(ProblemKind::Timeout, "it has not answered yet; ask again, or allow more time")
            })),
        };
        JudgedHost {
            standing: self.view.as_ref().map_or_else(never, HostView::standing),
            usage_asked_at: self.usage.as_ref().map(|usage| usage.asked_at),
            usage_problem: self.problem.clone(),
        }
    }

    /// Its usage as it was last known.
    pub(super) fn last_usage(&self) -> Option<&Usage> {
        let saved = || self.view.as_ref()?.record.as_ref()?.saved_usage.as_deref();
        self.usage.as_ref().map(|known| &*known.usage).or_else(saved)
    }

    /// Whether what is known of it is of the machine that this entry is about.
    pub(super) fn is_of(&self, entry: &HostEntry) -> bool {
        self.entry.address == entry.address && self.entry.machine_id == entry.machine_id
    }

    /// Whether it was heard of since.
    pub(super) fn was_learned_after(&self, then: Instant) -> bool {
        self.learned_at.is_some_and(|learned| learned > then)
    }

    /// Whether nothing can be placed there until it is asked.
    pub(super) fn is_unknown(&self) -> bool {
        self.unknown().is_some()
    }

    /// Whether its usage is young enough to promise by.
    pub(super) fn is_fresh(&self, young: &Young) -> bool {
        let is_fresh = |usage: &KnownUsage| {
            young.contains(&usage.seen_at) && self.doubted_at.is_none_or(|doubted| doubted <= usage.order)
        };
        self.problem.is_none() && self.usage.as_ref().is_some_and(is_fresh)
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.is_unknown() || self.view.as_ref().is_none_or(|view| view.freshness != Freshness::Fresh)
    }

    /// Why nothing can be said of it.
    pub(super) fn unknown(&self) -> Option<String> {
        let Some(view) = &self.view else { return Some("it was not asked yet".to_owned()) };
        let Some(record) = &view.record else {
            let problem = view.problem.clone();
            let problem =
                problem.unwrap_or_else(|| Problem::new(ProblemKind::Failed, "nothing is known of it"));
            return Some(format!("nothing is known of it ({}: {})", problem.kind, problem.detail));
        };
        if let Some(Problem { kind, detail }) = &self.problem {
            return Some(format!("what is used there now is not known ({kind}: {detail})"));
        }
        let is_used = self.usage.is_some() || record.saved_usage.is_some();
        (!is_used).then(|| "what is used there is not known".to_owned())
    }
}
