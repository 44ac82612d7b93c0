//! What hosts use: asked for when nobody knows it, or when it is too old to promise by.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::{Instant, timeout_at};
use vmuster_proto::model::{Problem, Timestamp, Usage};

use super::{Scheduler, decide::Anew, planner::KnownUsage};
use crate::{
    cache::ReadOptions,
    claims::{Change, ChangeError, InstanceId},
    cluster::AskedUsage,
    hosts::Scope,
};

/// Time for the decision and its commit, that must not be spent on waiting for hosts.
const COMMIT_TIME: Duration = Duration::from_secs(1);

/// A flight ends by itself; who waits for it may have less time.
const FLIGHT_TIME: Duration = Duration::from_secs(30);

impl Scheduler {
    /// Asks hosts nothing is known of yet, and waits for them. Those that failed before are asked again, if their time has
    /// come, without waiting: one that is down must not hold up each decision.
    pub(super) async fn learn_unknown(self: &Arc<Self>, scope: &Scope, deadline: Instant) {
        let (new, failed) = self.unknown_hosts(scope);
        for host in failed {
            let scheduler = Arc::clone(self);
            tokio::spawn(async move { scheduler.ask(&host).await });
        }
        self.ask_all(new, deadline).await;
    }

    /// Hosts that were never asked, and those whose last answer was none.
    fn unknown_hosts(&self, scope: &Scope) -> (Vec<String>, Vec<String>) {
        let registry = self.cluster.registry();
        let mut planner = self.planner();
        self.with_book(|book| planner.set_registry(&registry, book));
        let mut unknown = (Vec::new(), Vec::new());
        for name in planner.doubtful() {
            let Some(known) = planner.host(name) else { continue };
            let is_asked = scope.names.is_empty() || scope.names.contains(name);
            if !is_asked || scope.exclude.contains(name) || !known.is_unknown() {
                continue;
            }
            if known.view.is_none() {
                unknown.0.push(name.to_owned());
            } else if !self.cluster.is_barred(known.entry()) {
                unknown.1.push(name.to_owned());
            }
        }
        unknown
    }

    /// Asks these hosts and takes in what they say, as far as they do in time.
    pub(super) async fn ask_all(self: &Arc<Self>, hosts: Vec<String>, deadline: Instant) {
        if hosts.is_empty() {
            return;
        }
        let now = Instant::now();
        let until = deadline.checked_sub(COMMIT_TIME.min(deadline.saturating_duration_since(now) / 4));
        let asking = join_all(hosts.iter().map(|host| self.ask(host)));
        // What comes later is taken in as well, for the next decision.
        let _ = timeout_at(until.unwrap_or(now), asking).await;
    }

    /// Asks one host, together with whoever else wants to know; gives why there was no answer.
    pub(super) async fn ask(self: &Arc<Self>, host: &str) -> Option<Problem> {
        let (scheduler, name) = (Arc::clone(self), host.to_owned());
        let flight = self.flights.join(host.to_owned(), || async move { scheduler.fly(&name).await });
        flight.await.flatten()
    }

    async fn fly(self: &Arc<Self>, host: &str) -> Option<Problem> {
        let entry = self.cluster.registry().get(host).cloned()?;
        let asked_at = self.cluster.cache().now();
        let options = ReadOptions { max_age: None, deadline: Instant::now() + FLIGHT_TIME };
        let (view, usage) = self.cluster.read_anew(&entry, options).await;
        let usage: Option<Result<KnownUsage, Problem>> = match usage as AskedUsage {
            Some(Ok(fetched)) => {
                let seen_at = seen_at(asked_at, &fetched.usage);
                let usage = Arc::new(fetched.usage);
                Some(Ok(KnownUsage { asked_at, seen_at, usage }))
            }
            Some(Err(problem)) => Some(Err(problem)),
            None => None,
        };
        let problem = usage.as_ref().and_then(|usage| usage.as_ref().err().cloned());
        if let Some(Ok(known)) = &usage {
            self.observe(host, known);
        }
        let mut planner = self.planner();
        self.with_book(|book| planner.learn(host, Some(view), usage, book));
        problem
    }

    /// Tells the host's claims which of their guests are there.
    fn observe(self: &Arc<Self>, host: &str, known: &KnownUsage) {
        let (Some(ledger), Some(domains)) = (&self.ledger, &known.usage.domains) else { return };
        let present: BTreeSet<InstanceId> =
            domains.iter().filter_map(|domain| domain.uuid.parse().ok()).collect();
        let observed = ledger.change(|holdings| {
            let changes: Vec<Change> = holdings.book.observe(host, known.seen_at, &present);
            Ok::<_, std::convert::Infallible>((!changes.is_empty(), changes))
        });
        // Nobody waits: what is lost here the next answer of the host says again.
        match observed {
            Ok((true, pending)) => {
                // If it is undone, what was given back counts again.
                drop(self.ending(pending, Anew::IfFailed, BTreeSet::from([host.to_owned()])));
            }
            Ok((false, _)) => {}
            Err(ChangeError::Busy | ChangeError::Closed) => {
                tracing::warn!(
                    host,
                    "what this host says of its claims is not taken in: claims wait for the disk"
                );
            }
            Err(ChangeError::Refused(never)) => match never {},
        }
    }
}

/// When a host's list of guests was so, at the earliest.
fn seen_at(asked_at: Timestamp, usage: &Usage) -> Timestamp {
    let age = usage.collected_at.zip(usage.hypervisor_collected_at);
    let age = age.and_then(|(now, then)| now.since(then)).unwrap_or_default();
    asked_at.saturating_sub(age)
}
