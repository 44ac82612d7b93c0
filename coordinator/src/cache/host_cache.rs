//! Records in memory, backed by a store, filled on demand.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use vmuster_proto::{
    clock::SharedClock,
    model::{Problem, ProblemKind},
};

use super::{
    Flights, HostRecord, HostView, Outcome, Parts, ReadOptions, Store,
    disk::DISK_WORKERS,
    load::{LOAD_PATIENCE, Loads},
    slot::Slot,
    store_health::StoreHealth,
};
use crate::{
    fetch::Fetcher,
    hosts::HostEntry,
    statistics::{Statistics, StoreOperation},
};

/// A host as it is registered: name and [`target_of`]. Never the name alone: what one address says must not be taken for
/// another's.
type FlightKey = (String, String);

pub(super) type FlightEnd = Result<(Arc<HostRecord>, Outcome), Problem>;

/// Records of all hosts.
#[derive(Debug)]
pub struct HostCache {
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) fetcher: Option<Arc<Fetcher>>,
    pub(super) clock: SharedClock,
    pub(super) ttl: Option<Duration>,
    pub(super) failure_ttl: Duration,
    pub(super) slots: RwLock<HashMap<String, Slot>>,
    /// Of `slots`: raised whenever they change, while they are locked.
    pub(super) version: AtomicU64,
    pub(super) loads: Loads,
    pub(super) parts: Parts,
    fetches: Flights<FlightKey, FlightEnd>,
    runtime: Option<Handle>,
    pub(super) store_health: Mutex<StoreHealth>,
    /// One change of the store at a time: many at once would only wait for each other, each with a thread.
    pub(super) writer: Arc<Semaphore>,
    /// Hosts whose entries wait to be written.
    pub(super) queued: Mutex<HashSet<String>>,
    /// Hosts that left and whose entries are still there: they are as good as not.
    pub(super) removing: Mutex<HashSet<String>>,
    pub(super) disk: Arc<Semaphore>,
    pub(super) statistics: Arc<Statistics>,
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
            loads: Loads::default(),
            parts: Parts::default(),
            fetches: Flights::default(),
            runtime: None,
            store_health: Mutex::default(),
            writer: Arc::new(Semaphore::new(1)),
            queued: Mutex::default(),
            removing: Mutex::default(),
            disk: Arc::new(Semaphore::new(DISK_WORKERS as usize)),
            statistics: Arc::default(),
        }
    }

    /// Counts what it does here.
    #[must_use]
    pub fn with_statistics(self, statistics: Arc<Statistics>) -> Self {
        Self { statistics, ..self }
    }

    /// Asks agents and takes in what they say on this runtime: see [`crate::server::fetch_runtime`].
    #[must_use]
    pub fn with_runtime(self, runtime: Handle) -> Self {
        Self { fetches: Flights::on(Some(runtime.clone())), runtime: Some(runtime), ..self }
    }

    /// Where agents are asked; None: where the question is.
    #[must_use]
    pub fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }

    /// What hosts have alike.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Who asks agents; None for saved snapshots.
    #[must_use]
    pub fn fetcher(&self) -> Option<&Arc<Fetcher>> {
        self.fetcher.as_ref()
    }

    /// The host as it stands, asked again if that is not fresh enough.
    pub async fn read(self: &Arc<Self>, entry: &Arc<HostEntry>, options: ReadOptions) -> HostView {
        self.load_once([entry.name.as_str()], options.deadline).await;
        self.read_loaded(entry, options).await
    }

    /// As [`HostCache::read`], with what is in memory.
    pub(super) async fn read_loaded(
        self: &Arc<Self>,
        entry: &Arc<HostEntry>,
        options: ReadOptions,
    ) -> HostView {
        let view = self.read_uncounted(entry, options).await;
        self.statistics.read(view.outcome, 1);
        if view.outcome == Outcome::Failed {
            self.statistics.unasked(view.record.is_some());
        }
        view
    }

    async fn read_uncounted(self: &Arc<Self>, entry: &Arc<HostEntry>, options: ReadOptions) -> HostView {
        if let Some(view) = self.fresh(entry, options) {
            return view;
        }
        if entry.address.is_none() || self.fetcher.is_none() {
            return self.offline(entry);
        }
        if let Some(problem) = self.barred_now(entry, options) {
            return self.failed(entry, problem);
        }
        let (cache, host) = (Arc::clone(self), Arc::clone(entry));
        let key = (entry.name.clone(), target_of(entry));
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
        self.removing().extend(hosts.iter().cloned());
        self.loads.forget(&hosts);
        {
            let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
            hosts.iter().for_each(|host| drop(slots.remove(host)));
            self.version.fetch_add(1, Ordering::Release);
        }
        self.forget_unsaved(&hosts);
        self.parts.sweep();
        let removal = self.on_disk(LOAD_PATIENCE, move |cache, store| {
            for host in &hosts {
                // Not if it came back and was written meanwhile.
                if cache.removing().contains(host) {
                    match store.remove(host) {
                        Ok(()) => drop(cache.removing().remove(host)),
                        Err(error) => cache.report_store_problem(StoreOperation::Remove, &error),
                    }
                }
            }
        });
        removal.await;
    }

    pub(super) fn removing(&self) -> MutexGuard<'_, HashSet<String>> {
        self.removing.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.load_once([host], deadline).await;
        self.known(host)
    }

    pub(super) fn known(&self, host: &str) -> Option<Arc<HostRecord>> {
        self.slot(host)?.record
    }

    pub(super) fn slot(&self, host: &str) -> Option<Slot> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    /// For what will be learned of the host. Nothing is learned by it.
    pub(super) fn make_room(&self, host: &str) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).entry(host.to_owned()).or_default();
    }

    /// Unless the host was forgotten meanwhile: what was under way then must not bring it back.
    pub(super) fn change_known(&self, host: &str, change: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(host) {
            change(slot);
            self.version.fetch_add(1, Ordering::Release);
        }
    }
}

/// Who is asked: where, and which machine it must be.
pub(super) fn target_of(entry: &HostEntry) -> String {
    let machine_id = entry.machine_id.as_deref().unwrap_or_default();
    format!("{} {machine_id}", address_of(entry))
}

pub(super) fn address_of(entry: &HostEntry) -> String {
    entry.address.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
#[path = "host_cache_tests.rs"]
mod tests;
