//! Records in memory, backed by a store, filled on demand.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use vmuster_proto::{
    clock::SharedClock,
    model::{Freshness, Problem, ProblemKind, Timestamp},
};

use super::{Age, Flights, GuestNames, HostRecord, HostView, Outcome, ReadOptions, Store, StoreError, age};
use crate::{
    fetch::{Fetched, Fetcher},
    hosts::HostEntry,
};

/// An entry is read in a millisecond. A disk that takes this long hangs, and answers do not wait for it.
const LOAD_PATIENCE: Duration = Duration::from_secs(2);

/// Threads that a hanging disk may hold; the runtime has 512 for everything.
const DISK_WORKERS: u32 = 16;

/// An entry is written in a millisecond. What takes longer goes on while the answer is given.
const SAVE_PATIENCE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// The store was looked at, or a flight ended, which knows better.
    loaded: bool,
    pub(super) record: Option<Arc<HostRecord>>,
    failure: Option<Failure>,
}

/// The last flight that failed.
#[derive(Debug, Clone)]
struct Failure {
    when: Instant,
    /// Where it went: another address may do better.
    address: String,
    problem: Problem,
}

/// A host at an address. Never the name alone: what one address says must not be taken for another's.
type FlightKey = (String, String);

type FlightEnd = Result<(Arc<HostRecord>, Outcome), Problem>;

/// Records of all hosts.
#[derive(Debug)]
pub struct HostCache {
    store: Option<Arc<dyn Store>>,
    fetcher: Option<Arc<Fetcher>>,
    pub(super) clock: SharedClock,
    pub(super) ttl: Option<Duration>,
    failure_ttl: Duration,
    pub(super) slots: RwLock<HashMap<String, Slot>>,
    /// Of `slots`: raised whenever they change, while they are locked.
    pub(super) version: AtomicU64,
    loads: Flights<String, ()>,
    fetches: Flights<FlightKey, FlightEnd>,
    store_problem: Mutex<Option<String>>,
    /// One write at a time, so that they keep their order.
    writing: Mutex<()>,
    disk: Arc<Semaphore>,
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
            (record.host.clone(), Slot { loaded: true, record: Some(Arc::new(record)), failure: None })
        };
        Self {
            store: None,
            fetcher: None,
            clock,
            ttl: None,
            failure_ttl: Duration::ZERO,
            slots: RwLock::new(records.into_iter().map(slot).collect()),
            version: AtomicU64::new(0),
            loads: Flights::default(),
            fetches: Flights::default(),
            store_problem: Mutex::default(),
            writing: Mutex::default(),
            disk: Arc::new(Semaphore::new(DISK_WORKERS as usize)),
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
        self.load_once(&entry.name, options.deadline).await;
        if let Some(view) = self.fresh(entry, options) {
            return view;
        }
        let always_ask = options.max_age == Some(Duration::ZERO);
        if let Some((problem, _)) = self.recent_failure(entry).filter(|_| !always_ask) {
            return self.failed(entry, problem);
        }
        let (cache, host) = (Arc::clone(self), Arc::clone(entry));
        let key = (entry.name.clone(), address_of(entry));
        let flight = self.fetches.join(key, || async move { cache.fly(&host).await });
        match timeout_at(options.deadline, flight).await {
            Ok(Some(Ok((record, outcome)))) => HostView::fresh(entry, record, outcome),
            Ok(Some(Err(problem))) => self.failed(entry, problem),
            Ok(None) => self
                .failed(entry, Problem::new(ProblemKind::Failed, "internal error while asking; see the log")),
            Err(_) => {
                let detail = "no answer before the caller's deadline; ask again or allow more time";
                self.failed(entry, Problem::new(ProblemKind::Timeout, detail))
            }
        }
    }

    /// Hosts that left the registry are forgotten, entries and all: one that comes back may be another machine.
    pub async fn forget(self: &Arc<Self>, hosts: Vec<String>) {
        {
            let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
            hosts.iter().for_each(|host| drop(slots.remove(host)));
            self.version.fetch_add(1, Ordering::Release);
        }
        let removal = self.on_disk(LOAD_PATIENCE, move |cache, store| {
            let _turn = cache.writing.lock().unwrap_or_else(PoisonError::into_inner);
            for host in &hosts {
                store.remove(host).unwrap_or_else(|error| cache.report_store_problem(&error));
            }
        });
        removal.await;
    }

    /// The host's facts have changed: what is cached may only be used as stale.
    pub async fn supersede(self: &Arc<Self>, host: &str, deadline: Instant) {
        if self.last_known(host, deadline).await.is_some() {
            self.outdate(host);
            self.save(host.to_owned()).await;
        }
    }

    fn outdate(&self, host: &str) {
        let outdated = |record: &mut Arc<HostRecord>| Arc::make_mut(record).superseded = true;
        self.change_known(host, |slot| slot.record.iter_mut().for_each(outdated));
    }

    /// The record as it is, without asking.
    pub async fn last_known(self: &Arc<Self>, host: &str, deadline: Instant) -> Option<Arc<HostRecord>> {
        self.load_once(host, deadline).await;
        self.known(host)
    }

    /// Waits until what is known is also on disk; false if that takes longer than `patience`.
    pub async fn settle(&self, patience: Duration) -> bool {
        timeout(patience, self.disk.acquire_many(DISK_WORKERS)).await.is_ok()
    }

    /// Work on the store, on a thread of its own. Goes on without it when that takes too long: a disk that hangs holds so
    /// many threads and no more, and costs no answer.
    async fn on_disk(
        self: &Arc<Self>,
        patience: Duration,
        work: impl FnOnce(&Self, &dyn Store) + Send + 'static,
    ) {
        let Some(store) = self.store.clone() else { return };
        let cache = Arc::clone(self);
        let working = async {
            // The semaphore is never closed.
            let Ok(worker) = Arc::clone(&self.disk).acquire_owned().await else { return };
            let blocking = tokio::task::spawn_blocking(move || {
                work(&cache, &*store);
                drop(worker);
            });
            // Fails only if the work panics, and then there is nothing to use.
            let _ = blocking.await;
        };
        if timeout(patience, working).await.is_err() {
            tracing::warn!("the cache's disk did not answer within {patience:?}; it is slow or hangs");
        }
    }

    fn known(&self, host: &str) -> Option<Arc<HostRecord>> {
        self.slot(host)?.record
    }

    /// Leaves time to ask the host as if it were not known.
    async fn load_once(self: &Arc<Self>, host: &str, deadline: Instant) {
        if self.slot(host).is_some_and(|slot| slot.loaded) {
            return;
        }
        self.make_room(host);
        let (cache, name) = (Arc::clone(self), host.to_owned());
        let load = || async move {
            cache.on_disk(LOAD_PATIENCE, move |cache, store| cache.load(&name, store)).await;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        // Too late is as good as not there: the host is asked.
        let _ = timeout(LOAD_PATIENCE.min(left / 2), self.loads.join(host.to_owned(), load)).await;
    }

    fn slot(&self, host: &str) -> Option<Slot> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    /// For what will be learned of the host. Nothing is learned by it.
    fn make_room(&self, host: &str) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).entry(host.to_owned()).or_default();
    }

    /// Unless the host was forgotten meanwhile: what was under way then must not bring it back.
    fn change_known(&self, host: &str, change: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(host) {
            change(slot);
            self.version.fetch_add(1, Ordering::Release);
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

    /// With how long it is remembered yet.
    pub(super) fn recent_failure(&self, entry: &HostEntry) -> Option<(Problem, Duration)> {
        let failure =
            self.slot(&entry.name)?.failure.filter(|failure| failure.address == address_of(entry))?;
        let left = self.failure_ttl.saturating_sub(failure.when.elapsed());
        (!left.is_zero()).then_some((failure.problem, left))
    }

    /// Blocks: reads the host's file. What another clock wrote into the future is set aside.
    fn load(&self, host: &str, store: &dyn Store) {
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
        self.change_known(host, |slot| {
            slot.loaded = true;
            slot.record = slot.record.take().or(record.map(Arc::new));
        });
    }

    /// Asks the agent, and keeps the answer in memory and store.
    async fn fly(self: Arc<Self>, entry: &Arc<HostEntry>) -> FlightEnd {
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
                tracing::debug!(host = entry.name, kind = %problem.kind, detail = problem.detail, "fetch failed");
                let problem = problem.clone();
                let failure = Failure { when: Instant::now(), address: address_of(entry), problem };
                self.change_known(&entry.name, |slot| slot.failure = Some(failure));
            }
        }
        end
    }

    async fn fetch(&self, entry: &HostEntry) -> Result<(Arc<HostRecord>, Outcome), Problem> {
        let (Some(fetcher), Some(address)) = (&self.fetcher, &entry.address) else {
            return Err(Problem::new(ProblemKind::Unsupported, "a saved snapshot cannot be asked"));
        };
        let known = self.known(&entry.name).filter(|record| record.address == address_of(entry));
        let fingerprint = known.as_ref().map(|record| record.known_fingerprint());
        let fetched = fetcher.inventory(address, fingerprint.unwrap_or_default()).await?;
        let now: Timestamp = self.clock.now();
        match (fetched, known) {
            (Fetched::Unchanged { reported_name }, Some(known)) => {
                let known = HostRecord::clone(&known);
                let record =
                    HostRecord { reported_name, validated_at: Some(now), superseded: false, ..known };
                Ok((Arc::new(record), Outcome::Unchanged))
            }
            (Fetched::Unchanged { .. }, None) => Err(Problem::new(
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
                    superseded: false,
                    saved_usage: None,
                    guest_names: GuestNames::default(),
                };
                Ok((Arc::new(record), Outcome::Fetched))
            }
        }
    }

    /// Writes what is known of the host when its turn comes: a write that was late never undoes a later one.
    async fn save(self: &Arc<Self>, host: String) {
        let save = self.on_disk(SAVE_PATIENCE, move |cache, store| {
            let _turn = cache.writing.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(record) = cache.known(&host) {
                store.save(&record).unwrap_or_else(|error| cache.report_store_problem(&error));
            }
        });
        save.await;
    }

    fn report_store_problem(&self, error: &StoreError) {
        let source = std::error::Error::source(error);
        let text = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        tracing::warn!(problem = text, "cache");
        *self.store_problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

pub(super) fn address_of(entry: &HostEntry) -> String {
    entry.address.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
#[path = "host_cache_tests.rs"]
mod tests;
