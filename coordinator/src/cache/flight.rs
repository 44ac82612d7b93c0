//! One question to one host, and what is remembered of it.

use std::{sync::Arc, time::Duration};

use vmuster_proto::model::{Freshness, Problem, ProblemKind, Timestamp};

use super::{
    HostCache, HostRecord, HostView, Outcome, ReadOptions,
    host_cache::{FlightEnd, address_of, target_of},
    identity,
    slot::{Failure, Slot},
};
use crate::{fetch::Fetched, hosts::HostEntry};

impl HostCache {
    pub(super) fn failed(&self, entry: &Arc<HostEntry>, problem: Problem) -> HostView {
        // What another address said may be another machine's.
        let record = self.known(&entry.name).filter(|record| identity::is_of(entry, record));
        let freshness = if record.is_some() { Freshness::Stale } else { Freshness::Missing };
        HostView {
            entry: Arc::clone(entry),
            record,
            freshness,
            problem: Some(problem),
            outcome: Outcome::Failed,
        }
    }

    pub(super) fn offline(&self, entry: &Arc<HostEntry>) -> HostView {
        let validated_at = self.known(&entry.name).map(|record| record.validated_at);
        let now = self.clock.now();
        let detail = match validated_at {
            Some(Some(then)) if then > now => {
                "the snapshot's time has not come yet; one of the clocks is wrong"
            }
            Some(Some(_)) => "the snapshot is older than max-age",
            Some(None) => "the snapshot does not say when it was collected",
            None => "there is no snapshot of it",
        };
        self.failed(entry, Problem::new(ProblemKind::Unsupported, detail))
    }

    /// The last flight to the host at its address, if that failed.
    #[must_use]
    pub fn last_failure(&self, entry: &HostEntry) -> Option<Failure> {
        self.slot(&entry.name)?.failure.filter(|failure| failure.target == target_of(entry))
    }

    /// Why the host is not asked now; None for who insists.
    pub(crate) fn barred_now(&self, entry: &HostEntry, options: ReadOptions) -> Option<Problem> {
        let insists = options.max_age == Some(Duration::ZERO);
        self.barred(entry).filter(|_| !insists).map(|(problem, _)| problem)
    }

    /// Why the host is not asked now, and for how long yet.
    pub(super) fn barred(&self, entry: &HostEntry) -> Option<(Problem, Duration)> {
        let failure = self.last_failure(entry)?;
        let left = failure.pause_left(self.failure_ttl, self.clock.now());
        (!left.is_zero()).then_some((failure.problem, left))
    }

    /// Asks the agent, and keeps the answer in memory and store.
    pub(super) async fn fly(self: Arc<Self>, entry: &Arc<HostEntry>) -> FlightEnd {
        self.make_room(&entry.name);
        let end = self.fetch(entry).await;
        match &end {
            Ok((record, _)) => {
                let record = Arc::clone(record);
                self.change_known(&entry.name, |slot| {
                    *slot = Slot { loaded: true, record: Some(record), failure: None };
                });
                self.save(entry.name.clone()).await;
            }
            Err(problem) => {
                if problem.kind == ProblemKind::WrongIdentity {
                    tracing::warn!(
                        host = entry.name,
                        address = address_of(entry),
                        detail = problem.detail,
                        "refused what another machine said"
                    );
                } else {
                    tracing::debug!(host = entry.name, kind = %problem.kind, detail = problem.detail, "fetch failed");
                }
                let problem = problem.clone();
                let (when, target) = (self.clock.now(), target_of(entry));
                self.change_known(&entry.name, |slot| {
                    slot.failure = Some(Failure::after(slot.failure.take(), when, target, problem));
                });
            }
        }
        end
    }

    async fn fetch(&self, entry: &HostEntry) -> Result<(Arc<HostRecord>, Outcome), Problem> {
        let (Some(fetcher), Some(address)) = (&self.fetcher, &entry.address) else {
            return Err(Problem::new(ProblemKind::Unsupported, "a saved snapshot cannot be asked"));
        };
        let known = self.known(&entry.name).filter(|record| identity::is_of(entry, record));
        let fingerprint = known.as_ref().map(|record| record.known_fingerprint());
        let fetched = fetcher.inventory(address, fingerprint.unwrap_or_default()).await?;
        let now: Timestamp = self.clock.now();
        match (fetched, known) {
            (Fetched::Unchanged { reported_name }, Some(known)) => {
                identity::check(entry, &reported_name, identity::machine_id_of(&known.inventory))?;
                let known = HostRecord::clone(&known);
                let guest_names = self.parts.guest_names(&known.inventory);
                let validated_at = Some(now);
                let record =
                    HostRecord { reported_name, validated_at, superseded: false, guest_names, ..known };
                Ok((Arc::new(record), Outcome::Unchanged))
            }
            (Fetched::Unchanged { .. }, None) => Err(Problem::new(
                ProblemKind::Malformed,
                "the agent says that nothing changed, but nothing was known",
            )),
            (Fetched::Inventory { reported_name, inventory, issues }, known) => {
                identity::check(entry, &reported_name, identity::machine_id_of(&inventory))?;
                let before = known.as_ref().and_then(|known| identity::machine_id_of(&known.inventory));
                if before.is_some_and(|before| identity::machine_id_of(&inventory) != Some(before)) {
                    tracing::warn!(host = entry.name, before, now = ?identity::machine_id_of(&inventory), "another machine than before");
                }
                let inventory = self.parts.share(inventory);
                let record = HostRecord {
                    guest_names: self.parts.guest_names(&inventory),
                    host: entry.name.clone(),
                    address: address.to_string(),
                    reported_name,
                    fetched_at: Some(now),
                    validated_at: Some(now),
                    inventory,
                    issues: issues.into(),
                    superseded: false,
                    saved_usage: None,
                };
                Ok((Arc::new(record), Outcome::Fetched))
            }
        }
    }
}
