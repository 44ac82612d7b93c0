//! Records in memory, backed by a store, filled on demand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::{Instant, timeout, timeout_at};
use vmuster_proto::{
    clock::SharedClock,
    model::{Freshness, HostStanding, Problem, ProblemKind, Timestamp},
};

use super::{Age, Flights, HostRecord, Store, StoreError, age};
use crate::{
    fetch::{Fetched, Fetcher},
    hosts::HostEntry,
};

/// An entry is read or written in a millisecond; a disk that takes this long hangs, and answers do not wait for it.
const DISK_DEADLINE: Duration = Duration::from_secs(2);

/// How fresh a read must be and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Records at least this old are asked for again; None: the TTL. Never loosens the TTL.
    pub max_age: Option<Duration>,
    /// When the caller must have its answer.
    pub deadline: Instant,
}

/// What a read had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    StillFresh,
    /// Received a new inventory.
    Fetched,
    /// Heard that the old one holds.
    Unchanged,
    /// Asked in vain, or could not ask.
    Failed,
}

/// One host as a read found it.
#[derive(Debug, Clone)]
pub struct HostView {
    /// From the registry.
    pub entry: Arc<HostEntry>,
    /// The last known facts.
    pub record: Option<Arc<HostRecord>>,
    /// Whether they are good.
    pub freshness: Freshness,
    /// Why not.
    pub problem: Option<Problem>,
    /// What the read had to do.
    pub outcome: Outcome,
}

impl HostView {
    /// Without the facts.
    #[must_use]
    pub fn standing(&self) -> HostStanding {
        let record = self.record.as_deref();
        HostStanding {
            name: self.entry.name.clone(),
            address: self.entry.address.as_ref().map(ToString::to_string).unwrap_or_default(),
            reported_name: record.map(|record| record.reported_name.clone()).unwrap_or_default(),
            freshness: self.freshness,
            fetched_at: record.and_then(|record| record.fetched_at),
            validated_at: record.and_then(|record| record.validated_at),
            collected_at: record.and_then(|record| record.inventory.collected_at),
            problem: self.problem.clone(),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Slot {
    record: Option<Arc<HostRecord>>,
    /// The host said that its facts have changed since: usable only as stale.
    superseded: bool,
    /// The last flight failed then, because of that.
    failure: Option<(Instant, Problem)>,
}

type FlightEnd = Result<Outcome, Problem>;

/// Records of all hosts.
#[derive(Debug)]
pub struct HostCache {
    store: Option<Arc<dyn Store>>,
    fetcher: Option<Arc<Fetcher>>,
    clock: SharedClock,
    ttl: Option<Duration>,
    failure_ttl: Duration,
    slots: RwLock<HashMap<String, Slot>>,
    loads: Flights<String, ()>,
    fetches: Flights<String, FlightEnd>,
    store_problem: Mutex<Option<String>>,
}

impl HostCache {
    /// A cache that asks agents and keeps what they say in a store, if there is one.
    #[must_use]
    pub fn new(
        store: Option<Arc<dyn Store>>,
        fetcher: Arc<Fetcher>,
        clock: SharedClock,
        ttl: Duration,
        failure_ttl: Duration,
    ) -> Self {
        Self { store, fetcher: Some(fetcher), ttl: Some(ttl), failure_ttl, ..Self::of_records([], clock) }
    }

    /// A cache of saved snapshots: nothing to ask, nothing to keep, never too old by itself.
    #[must_use]
    pub fn of_records(records: impl IntoIterator<Item = HostRecord>, clock: SharedClock) -> Self {
        let slot = |record: HostRecord| {
            (record.host.clone(), Slot { record: Some(Arc::new(record)), ..Slot::default() })
        };
        Self {
            store: None,
            fetcher: None,
            clock,
            ttl: None,
            failure_ttl: Duration::ZERO,
            slots: RwLock::new(records.into_iter().map(slot).collect()),
            loads: Flights::default(),
            fetches: Flights::default(),
            store_problem: Mutex::default(),
        }
    }

    /// Who asks agents; None for saved snapshots.
    #[must_use]
    pub fn fetcher(&self) -> Option<&Arc<Fetcher>> {
        self.fetcher.as_ref()
    }

    /// The last failure to keep an entry, once. Answers do not suffer from it, the next start does.
    #[must_use]
    pub fn take_store_problem(&self) -> Option<String> {
        self.store_problem.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The host as it stands, asked again if that is not fresh enough.
    pub async fn read(self: &Arc<Self>, entry: &Arc<HostEntry>, options: ReadOptions) -> HostView {
        if let Some(view) = self.fresh(entry, options) {
            return view;
        }
        if entry.address.is_none() || self.fetcher.is_none() {
            return self.offline(entry);
        }
        // A disk that hangs must not hold up the answer: then the host is asked as if it were not known.
        let _ = timeout_at(options.deadline.min(Instant::now() + DISK_DEADLINE), self.load_once(&entry.name))
            .await;
        if let Some(view) = self.fresh(entry, options) {
            return view;
        }
        let always_ask = options.max_age == Some(Duration::ZERO);
        if let Some(problem) = self.recent_failure(entry).filter(|_| !always_ask) {
            return self.failed(entry, problem);
        }
        let (cache, host) = (Arc::clone(self), Arc::clone(entry));
        let flight = self.fetches.join(entry.name.clone(), || async move { cache.fly(&host).await });
        match timeout_at(options.deadline, flight).await {
            Ok(Some(Ok(outcome))) => self.landed(entry, outcome),
            Ok(Some(Err(problem))) => self.failed(entry, problem),
            Ok(None) => {
                self.failed(entry, problem(ProblemKind::Failed, "internal error while asking; see the log"))
            }
            Err(_) => {
                let detail = "no answer before the caller's deadline; ask again or allow more time";
                self.failed(entry, problem(ProblemKind::Timeout, detail))
            }
        }
    }

    /// The host's facts have changed: what is cached may only be used as stale.
    pub fn supersede(&self, host: &str) {
        self.change(host, |slot| slot.superseded = true);
    }

    /// The record as it is, without asking.
    pub async fn last_known(self: &Arc<Self>, host: &str) -> Option<Arc<HostRecord>> {
        self.load_once(host).await;
        self.known(host)
    }

    fn known(&self, host: &str) -> Option<Arc<HostRecord>> {
        self.slot(host)?.record
    }

    async fn load_once(self: &Arc<Self>, host: &str) {
        if self.slot(host).is_some() {
            return;
        }
        let (cache, name) = (Arc::clone(self), host.to_owned());
        let load = || async move {
            // The task only fails if loading panics, and then there is nothing to use.
            let _ = tokio::task::spawn_blocking(move || cache.load(&name)).await;
        };
        self.loads.join(host.to_owned(), load).await;
    }

    fn slot(&self, host: &str) -> Option<Slot> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    fn change(&self, host: &str, change: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        change(slots.entry(host.to_owned()).or_default());
    }

    /// None unless the record in memory is this host's and young enough.
    fn fresh(&self, entry: &Arc<HostEntry>, options: ReadOptions) -> Option<HostView> {
        let limit = match (options.max_age, self.ttl) {
            (Some(max_age), Some(ttl)) => Some(max_age.min(ttl)),
            (max_age, ttl) => max_age.or(ttl),
        };
        let slot = self.slot(&entry.name)?;
        let record = slot.record.filter(|record| !slot.superseded && record.address == address_of(entry))?;
        let is_fresh = age(record.validated_at, self.clock.now(), limit) == Age::Fresh;
        is_fresh.then(|| HostView {
            entry: Arc::clone(entry),
            record: Some(record),
            freshness: Freshness::Fresh,
            problem: None,
            outcome: Outcome::StillFresh,
        })
    }

    fn landed(&self, entry: &Arc<HostEntry>, outcome: Outcome) -> HostView {
        HostView {
            entry: Arc::clone(entry),
            record: self.known(&entry.name),
            freshness: Freshness::Fresh,
            problem: None,
            outcome,
        }
    }

    fn failed(&self, entry: &Arc<HostEntry>, problem: Problem) -> HostView {
        // What another address said may be another machine's.
        let record = self.known(&entry.name).filter(|record| record.address == address_of(entry));
        let freshness = if record.is_some() { Freshness::Stale } else { Freshness::Missing };
        HostView {
            entry: Arc::clone(entry),
            record,
            freshness,
            problem: Some(problem),
            outcome: Outcome::Failed,
        }
    }

    fn offline(&self, entry: &Arc<HostEntry>) -> HostView {
        let detail = match self.known(&entry.name).map(|record| record.validated_at) {
            Some(Some(_)) => "the snapshot is older than max-age",
            Some(None) => "the snapshot does not say when it was collected",
            None => "there is no snapshot of it",
        };
        self.failed(entry, problem(ProblemKind::Unsupported, detail))
    }

    fn recent_failure(&self, entry: &HostEntry) -> Option<Problem> {
        let (when, problem) = self.slot(&entry.name)?.failure?;
        (when.elapsed() < self.failure_ttl).then_some(problem)
    }

    /// Blocks: reads the host's file. What another clock wrote into the future is set aside.
    fn load(&self, host: &str) {
        let Some(store) = &self.store else { return };
        let record = match store.load(host) {
            Ok(record) => record.filter(|record| {
                let future = age(record.validated_at, self.clock.now(), self.ttl) == Age::FromTheFuture;
                if future {
                    tracing::warn!(host, validated_at = ?record.validated_at, "set aside an entry from a future clock");
                    if let Err(error) = store.set_aside(host) {
                        self.report_store_problem(&error);
                    }
                }
                !future
            }),
            Err(error) => {
                self.report_store_problem(&error);
                None
            }
        };
        // A flight that ended meanwhile knows better.
        self.change(host, |slot| slot.record = slot.record.take().or(record.map(Arc::new)));
    }

    /// Asks the agent, and keeps the answer in memory and store.
    async fn fly(self: Arc<Self>, entry: &Arc<HostEntry>) -> FlightEnd {
        let end = self.fetch(entry).await;
        match &end {
            Ok((record, _)) => {
                self.change(&entry.name, |slot| {
                    *slot = Slot { record: Some(Arc::clone(record)), superseded: false, failure: None };
                });
                self.save(Arc::clone(record)).await;
            }
            Err(problem) => {
                tracing::debug!(host = entry.name, kind = %problem.kind, detail = problem.detail, "fetch failed");
                self.change(&entry.name, |slot| slot.failure = Some((Instant::now(), problem.clone())));
            }
        }
        end.map(|(_, outcome)| outcome)
    }

    async fn fetch(&self, entry: &HostEntry) -> Result<(Arc<HostRecord>, Outcome), Problem> {
        let (Some(fetcher), Some(address)) = (&self.fetcher, &entry.address) else {
            return Err(problem(ProblemKind::Unsupported, "a saved snapshot cannot be asked"));
        };
        let known = self.known(&entry.name).filter(|record| record.address == address_of(entry));
        let fingerprint = known.as_ref().map(|record| record.inventory.fingerprint.as_str());
        let fetched = fetcher.inventory(address, fingerprint.unwrap_or_default()).await?;
        let now: Timestamp = self.clock.now();
        match (fetched, known) {
            (Fetched::Unchanged { reported_name }, Some(known)) => {
                let record =
                    HostRecord { reported_name, validated_at: Some(now), ..HostRecord::clone(&known) };
                Ok((Arc::new(record), Outcome::Unchanged))
            }
            (Fetched::Unchanged { .. }, None) => Err(problem(
                ProblemKind::Malformed,
                "the agent says that nothing changed, but nothing was known",
            )),
            (Fetched::Inventory { reported_name, inventory, issues }, _) => {
                let record = HostRecord {
                    host: entry.name.clone(),
                    address: address.to_string(),
                    reported_name,
                    fetched_at: Some(now),
                    validated_at: Some(now),
                    inventory,
                    issues: issues.into(),
                    saved_usage: None,
                };
                Ok((Arc::new(record), Outcome::Fetched))
            }
        }
    }

    async fn save(&self, record: Arc<HostRecord>) {
        let Some(store) = self.store.clone() else { return };
        let host = record.host.clone();
        match timeout(DISK_DEADLINE, tokio::task::spawn_blocking(move || store.save(&record))).await {
            Ok(Ok(Err(error))) => self.report_store_problem(&error),
            Ok(_) => {}
            Err(_) => self.report(format!(
                "writing the cache entry of {host} takes over {DISK_DEADLINE:?}; the disk may hang"
            )),
        }
    }

    fn report_store_problem(&self, error: &StoreError) {
        let source = std::error::Error::source(error);
        self.report(source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")));
    }

    fn report(&self, text: String) {
        tracing::warn!(problem = text, "cache");
        *self.store_problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

fn problem(kind: ProblemKind, detail: &str) -> Problem {
    Problem { kind, detail: detail.to_owned() }
}

fn address_of(entry: &HostEntry) -> String {
    entry.address.as_ref().map(ToString::to_string).unwrap_or_default()
}
