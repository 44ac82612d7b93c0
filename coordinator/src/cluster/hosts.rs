//! One host: its facts, its figures of the moment, and whether the one still goes with the other.

use std::sync::Arc;

use tokio::time::{Instant, timeout};
use vmuster_proto::model::{HostRegistration, Issue, IssueKind, Problem, ProblemKind, Usage, sort_issues};

use super::{Cluster, ClusterError};
use crate::{
    cache::{HostView, ReadOptions, check_name},
    fetch::FetchedUsage,
    hosts::{HostEntry, Scope},
};

/// One host in full.
#[derive(Debug, Clone)]
pub struct HostReport {
    /// Facts and how they stand.
    pub view: HostView,
    /// Figures of the moment, if asked for and received.
    pub usage: Option<Usage>,
    /// Everything absent or doubtful.
    pub issues: Vec<Issue>,
    /// What the registry says of it; None: it is in none.
    pub registration: Option<HostRegistration>,
}

/// What an agent said of its usage; None: there is nobody to ask.
pub(crate) type AskedUsage = Option<Result<FetchedUsage, Problem>>;

impl Cluster {
    /// One host in full.
    ///
    /// # Errors
    /// Not registered, or nothing is known of it.
    pub async fn show(
        &self,
        host: &str,
        options: ReadOptions,
        with_usage: bool,
    ) -> Result<HostReport, ClusterError> {
        let registry = self.registry.load_full();
        let entry = Arc::clone(&Scope::of(host).select(&registry)?[0]);
        let (view, usage) = if with_usage {
            self.read_anew(&entry, options).await
        } else {
            (self.cache.read(&entry, options).await, None)
        };
        let Some(record) = &view.record else {
            let detail = view.problem.map(|problem| problem.detail).unwrap_or_default();
            return Err(ClusterError::HostMissing { host: host.to_owned(), detail });
        };
        let mut issues = record.issues.to_vec();
        if let Some(problem) = &view.problem {
            issues.push(Issue::new(
                "inventory",
                view.standing().address,
                IssueKind::Stale,
                problem.detail.clone(),
            ));
        }
        let usage = match usage {
            Some(Ok(fetched)) => {
                issues.extend(fetched.issues);
                Some(fetched.usage)
            }
            Some(Err(problem)) => {
                issues.push(Issue::new("usage", "GetUsage", usage_issue(problem.kind), problem.detail));
                None
            }
            None => record.saved_usage.as_deref().filter(|_| with_usage).cloned(),
        };
        sort_issues(&mut issues);
        let registration = entry.origin.map(|origin| HostRegistration {
            origin: Some(origin),
            labels: entry.labels.clone(),
            maintenance: entry.maintenance,
            settings: registry.settings_of(&entry),
            machine_id: entry.machine_id.clone(),
        });
        Ok(HostReport { view, usage, issues, registration })
    }

    /// The host's figures of the moment, and its facts as they are by then: a reboot or upgrade inside the TTL shows in
    /// the figures first, and what is cached is then asked for again.
    pub(crate) async fn read_anew(
        &self,
        entry: &Arc<HostEntry>,
        options: ReadOptions,
    ) -> (HostView, AskedUsage) {
        let usage = self.usage(entry, options).await;
        if let Some(Ok(FetchedUsage { inventory_fingerprint, .. })) = &usage {
            let known = self.cache.last_known(&entry.name, options.deadline).await;
            let known = known.map(|record| record.inventory.fingerprint.clone());
            if known.is_some() && known != *inventory_fingerprint {
                self.cache.supersede(&entry.name, options.deadline).await;
            }
        }
        let view = self.cache.read(entry, options).await;
        // What another machine says of itself is not this one's.
        match view.problem.clone().filter(|problem| problem.kind == ProblemKind::WrongIdentity) {
            Some(problem) => (view, Some(Err(problem))),
            None => (view, usage),
        }
    }

    /// None: there is nobody to ask. Takes two thirds of the time there is at most: the inventory, mostly known, needs
    /// the rest.
    async fn usage(&self, entry: &HostEntry, options: ReadOptions) -> AskedUsage {
        let (fetcher, address) = (self.cache.fetcher()?, entry.address.as_ref()?);
        if let Some(problem) = self.cache.barred_now(entry, options) {
            return Some(Err(problem));
        }
        let most = options.deadline.saturating_duration_since(Instant::now()) / 3 * 2;
        let usage = timeout(most, fetcher.usage(address)).await;
        let late = || {
            let detail = format!("no usage within {:.1} s; allow more time", most.as_secs_f32());
            Problem::new(ProblemKind::Timeout, detail)
        };
        let usage = usage.unwrap_or_else(|_| Err(late()));
        // What another machine says of itself is not this one's.
        Some(usage.and_then(|usage| check_name(entry, &usage.reported_name).map(|()| usage)))
    }
}

fn usage_issue(kind: ProblemKind) -> IssueKind {
    match kind {
        ProblemKind::Timeout => IssueKind::Timeout,
        ProblemKind::Denied => IssueKind::Denied,
        ProblemKind::Malformed => IssueKind::Malformed,
        ProblemKind::Unsupported => IssueKind::Unsupported,
        ProblemKind::Unreachable | ProblemKind::Failed | ProblemKind::WrongIdentity => IssueKind::Missing,
    }
}
