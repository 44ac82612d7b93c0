//! Entries read from the store: each host's once, many hosts at a time.
//!
//! A question about all hosts of a coordinator that has just started waits for ten thousand files. Threads of their own read
//! them in batches; whoever wants one of a batch's hosts waits for the batch, and no longer than a disk may take.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};

use super::{Age, HostCache, HostRecord, Store, StoreError, age, slot::Slot};
use crate::statistics::StoreOperation;

/// An entry is read in a millisecond. A disk that takes this long hangs, and answers do not wait for it.
pub(super) const LOAD_PATIENCE: Duration = Duration::from_secs(2);

/// Threads that read entries at once: more than there are CPUs, for a disk answers many at once faster than one after
/// another. Half of the disk's workers: a disk that hangs while it is read leaves some to write.
const LOADERS: usize = 8;

/// Entries that are read before what is known changes: the lock and the answers that are kept notice a hundredth of the
/// hosts. A file that hangs alone keeps so many from being used, which are asked instead.
const BATCH_MAX: usize = 64;

/// What tells that a batch has ended: it is closed then, also if the work panicked.
type End = watch::Receiver<()>;

/// Which hosts are being read, and by which batch.
#[derive(Debug)]
pub(super) struct Loads {
    under_way: Mutex<HashMap<String, (u64, End)>>,
    next_batch: AtomicU64,
    loaders: Arc<Semaphore>,
}

impl Default for Loads {
    fn default() -> Self {
        let loaders = Arc::new(Semaphore::new(LOADERS));
        Self { under_way: Mutex::default(), next_batch: AtomicU64::new(0), loaders }
    }
}

impl Loads {
    /// Locked before the slots, never while they are: a batch's end changes both at once.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (u64, End)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a batch still finds of these hosts is of no use.
    pub(super) fn forget(&self, hosts: &[String]) {
        let mut under_way = self.lock();
        for host in hosts {
            under_way.remove(host);
        }
    }
}

impl HostCache {
    /// Leaves time to ask the hosts as if they were not known. False: there was nothing to read.
    pub(super) async fn load_once<'a>(
        self: &Arc<Self>,
        hosts: impl IntoIterator<Item = &'a str>,
        deadline: Instant,
    ) -> bool {
        let ends = self.begin_loading(hosts);
        if ends.is_empty() {
            return false;
        }
        let patience = LOAD_PATIENCE.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let all = async {
            for mut end in ends {
                // Nothing is ever sent: it fails when the batch has ended.
                let _ = end.changed().await;
            }
        };
        // Too late is as good as not there: the host is asked.
        if timeout(patience, all).await.is_err() && patience == LOAD_PATIENCE {
            self.report_slow_disk(patience);
        }
        true
    }

    /// Reads these hosts' entries while nobody waits, so that the first question finds them read or under way.
    pub fn load_ahead<'a>(self: &Arc<Self>, hosts: impl IntoIterator<Item = &'a str>) {
        drop(self.begin_loading(hosts));
    }

    /// Begins to read what was not, and gives the ends of all batches that these hosts are in.
    fn begin_loading<'a>(self: &Arc<Self>, hosts: impl IntoIterator<Item = &'a str>) -> Vec<End> {
        if self.store.is_none() {
            return Vec::new();
        }
        // Of hosts that are loaded, which is nearly always, nothing else is locked.
        let is_loaded =
            |slots: &HashMap<String, Slot>, host: &str| slots.get(host).is_some_and(|slot| slot.loaded);
        let hosts: Vec<&str> = {
            let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
            hosts.into_iter().filter(|host| !is_loaded(&slots, host)).collect()
        };
        if hosts.is_empty() {
            return Vec::new();
        }
        let (mut ends, mut others) = (BTreeMap::new(), Vec::new());
        let mut under_way = self.loads.lock();
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        for host in hosts {
            match under_way.get(host) {
                _ if is_loaded(&slots, host) => {}
                Some((batch, end)) => drop(ends.entry(*batch).or_insert_with(|| end.clone())),
                None => {
                    slots.entry(host.to_owned()).or_default();
                    others.push(host.to_owned());
                }
            }
        }
        drop(slots);
        for hosts in others.chunks(BATCH_MAX) {
            let batch = self.loads.next_batch.fetch_add(1, Ordering::Relaxed);
            let end = self.spawn_batch(batch, hosts.to_vec());
            under_way.extend(hosts.iter().map(|host| (host.clone(), (batch, end.clone()))));
            ends.insert(batch, end);
        }
        ends.into_values().collect()
    }

    /// Reads a batch when its turn comes. Nobody is kept alive by one that waits.
    fn spawn_batch(self: &Arc<Self>, batch: u64, hosts: Vec<String>) -> End {
        let (ending, end) = watch::channel(());
        let (cache, loaders) = (Arc::downgrade(self), Arc::clone(&self.loads.loaders));
        let disk = Arc::clone(&self.disk);
        tokio::spawn(async move {
            // The semaphores are never closed.
            let Ok(_loader) = loaders.acquire_owned().await else { return };
            let Ok(worker) = disk.acquire_owned().await else { return };
            let Some(cache) = cache.upgrade() else { return };
            let blocking = tokio::task::spawn_blocking(move || {
                let _landing = Landing { cache: &cache, batch, hosts: &hosts };
                if let Some(store) = &cache.store {
                    let records = hosts.iter().map(|host| cache.load(host, &**store)).collect();
                    cache.land(batch, &hosts, records);
                }
                drop(worker);
            });
            // Fails only if the work panics, and then there is nothing to use.
            let _ = blocking.await;
            drop(ending);
        });
        end
    }

    /// Blocks: reads the host's file. What another clock wrote into the future is set aside.
    fn load(&self, host: &str, store: &dyn Store) -> Option<Arc<HostRecord>> {
        if self.removing().contains(host) {
            // Of one that left: it may have been another machine.
            return None;
        }
        let record = match store.load(host, &self.parts) {
            Ok(Some(record)) => record,
            Ok(None) => return None,
            Err(error) => {
                if matches!(error, StoreError::NotAnEntry { .. }) {
                    self.statistics.set_aside();
                }
                self.report_store_problem(StoreOperation::Load, &error);
                return None;
            }
        };
        if age(record.validated_at, self.clock.now(), self.ttl) == Age::FromTheFuture {
            tracing::warn!(host, validated_at = ?record.validated_at, "set aside an entry from a future clock");
            match store.set_aside(host) {
                Ok(()) => self.statistics.set_aside(),
                Err(error) => self.report_store_problem(StoreOperation::Load, &error),
            }
            return None;
        }
        let guest_names = self.parts.guest_names(&record.inventory);
        Some(Arc::new(HostRecord { guest_names, ..record }))
    }

    /// What a batch read becomes known, all of it at once.
    fn land(&self, batch: u64, hosts: &[String], records: Vec<Option<Arc<HostRecord>>>) {
        let under_way = self.loads.lock();
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        for (host, record) in hosts.iter().zip(records) {
            // A host that was forgotten meanwhile does not come back, whoever registered that name again.
            let is_ours = under_way.get(host).is_some_and(|(of, _)| *of == batch);
            let Some(slot) = slots.get_mut(host).filter(|_| is_ours) else { continue };
            slot.loaded = true;
            // A flight that ended meanwhile knows better.
            slot.record = slot.record.take().or(record);
        }
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// Ends a batch, also if it panics: its hosts can be read again.
struct Landing<'a> {
    cache: &'a HostCache,
    batch: u64,
    hosts: &'a [String],
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut under_way = self.cache.loads.lock();
        for host in self.hosts {
            if under_way.get(host).is_some_and(|(of, _)| *of == self.batch) {
                under_way.remove(host);
            }
        }
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
