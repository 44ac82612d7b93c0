//! What hosts use: asked for when nobody knows it, or when it is too old to promise by.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::{Instant, timeout_at};
use vmuster_proto::model::{Issue, Problem, ProblemKind, Timestamp, Usage};

use super::{Scheduler, decide::Anew, known::KnownUsage};
use crate::{
    cache::ReadOptions,
    claims::{Change, ChangeError, InstanceId},
    cluster::AskedUsage,
    hosts::{HostEntry, Scope},
};

/// Time for the decision and its commit, that must not be spent on waiting for hosts.
const COMMIT_TIME: Duration = Duration::from_secs(1);

/// A list of guests this old is no answer, however long usage may hold: the agent gives the last one it has.
const SILENCE_MAX: Duration = Duration::from_secs(10);

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

    /// Hosts that were never asked, and those whose last answer was none and whose time has come.
    fn unknown_hosts(&self, scope: &Scope) -> (Vec<String>, Vec<String>) {
        let registry = self.cluster.registry();
        let mut planner = self.planner();
        self.with_book(|book| planner.set_registry(&registry, book));
        let doubtful: Vec<String> = planner.doubtful().map(str::to_owned).collect();
        let mut unknown = (Vec::new(), Vec::new());
        for name in doubtful {
            let is_asked = scope.names.is_empty() || scope.names.contains(&name);
            let Some(known) = planner.host(&name).filter(|known| known.is_unknown()) else { continue };
            if !is_asked || scope.exclude.contains(&name) {
                continue;
            }
            if known.view.is_none() && known.problem.is_none() {
                unknown.0.push(name);
            } else if planner.may_retry(&name) {
                unknown.1.push(name);
            }
        }
        unknown
    }

    /// Asks these hosts and takes in what they say. Those that do not say it in time are not placed on until they do.
    pub(super) async fn ask_all(self: &Arc<Self>, hosts: Vec<String>, deadline: Instant) {
        if hosts.is_empty() {
            return;
        }
        let now = Instant::now();
        let until = deadline.checked_sub(COMMIT_TIME.min(deadline.saturating_duration_since(now) / 4));
        let until = until.unwrap_or(now);
        let asking = hosts.iter().map(async |host| timeout_at(until, self.ask(host)).await.is_err());
        let late = join_all(asking).await;
        // Who waits for less than a host may take learns nothing of how it is: others may have the time.
        let host_deadline = self.cluster.cache().fetcher().map(|fetcher| fetcher.deadline());
        if until.saturating_duration_since(now) < host_deadline.unwrap_or_default() {
            return;
        }
        let mut planner = self.planner();
        for host in hosts.iter().zip(late).filter_map(|(host, late)| late.then_some(host)) {
            // Its answer may have come since the time was over.
            if planner.host(host).is_some_and(|known| known.was_learned_after(now)) {
                continue;
            }
            let detail = "it has not answered yet; ask again, or allow more time";
            let problem = Problem::new(ProblemKind::Timeout, detail);
            // What it says later is taken in then, for the next decision.
            self.with_book(|book| planner.learn(host, None, None, Some(problem), book));
        }
    }

    /// Asks one host, together with whoever else wants to know.
    pub(super) async fn ask(self: &Arc<Self>, host: &str) {
        let registry = self.cluster.registry();
        let Some(entry) = registry.get(host).cloned() else { return };
        // Never by the name alone: what one address says is not another's.
        let address = entry.address.as_ref().map(ToString::to_string).unwrap_or_default();
        let key = format!("{host} {address} {}", entry.machine_id.as_deref().unwrap_or_default());
        let scheduler = Arc::clone(self);
        self.flights.join(key, || async move { scheduler.fly(&entry).await }).await;
    }

    async fn fly(self: &Arc<Self>, entry: &Arc<HostEntry>) {
        let (asked_at, order) = (self.cluster.cache().now(), Instant::now());
        let options = ReadOptions { max_age: None, deadline: order + FLIGHT_TIME };
        let (view, asked) = self.cluster.read_anew(entry, options).await;
        let (usage, problem) = match asked as AskedUsage {
            Some(Ok(fetched)) => self.judged(&fetched.usage, asked_at, order, &fetched.issues),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        let mut planner = self.planner();
        self.with_book(|book| planner.set_registry(&self.cluster.registry(), book));
        // What another address said may be another machine's.
        if !planner.is_of(entry) {
            return;
        }
        if let Some(known) = &usage {
            self.observe(&entry.name, known);
        }
        self.with_book(|book| planner.learn(&entry.name, Some(view), usage, problem, book));
    }

    /// An answer, and why it is not one to place by: without its guests what is promised there is not known, and what is
    /// known of them from before is kept.
    fn judged(
        &self,
        usage: &Usage,
        asked_at: Timestamp,
        order: Instant,
        issues: &[Issue],
    ) -> (Option<KnownUsage>, Option<Problem>) {
        for (is_there, section, what) in [
            (usage.domains.is_some(), "usage.domains", "its guests are not known"),
            (usage.pools.is_some(), "usage.pools", "its storage pools are not known"),
        ] {
            if !is_there {
                let why = issues.iter().find(|issue| issue.section.starts_with(section));
                let why = why.map(|issue| format!(": {}", issue.detail)).unwrap_or_default();
                return (None, Some(Problem::new(ProblemKind::Unsupported, format!("{what}{why}"))));
            }
        }
        let age = usage.collected_at.zip(usage.hypervisor_collected_at);
        let age = age.and_then(|(now, then)| now.since(then)).unwrap_or_default();
        let seen_at = asked_at.saturating_sub(age);
        let is_old = age > self.usage_max_age.max(SILENCE_MAX);
        let problem = is_old.then(|| {
            let detail =
                format!("its list of guests is {} s old: libvirt does not answer there", age.as_secs());
            Problem::new(ProblemKind::Timeout, detail)
        });
        (Some(KnownUsage { asked_at, order, seen_at, usage: Arc::new(usage.clone()) }), problem)
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
