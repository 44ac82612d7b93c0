//! Records and the disk: threads that a hanging disk may hold, and answers that do not wait for it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{Age, HostCache, Store, StoreError, age};
use crate::statistics::StoreOperation;

/// An entry is read in a millisecond. A disk that takes this long hangs, and answers do not wait for it.
pub(super) const LOAD_PATIENCE: Duration = Duration::from_secs(2);

/// Threads that a hanging disk may hold; the runtime has 512 for everything.
pub(super) const DISK_WORKERS: u32 = 16;

/// An entry is written in a millisecond. What takes longer goes on while the answer is given.
const SAVE_PATIENCE: Duration = Duration::from_millis(100);

impl HostCache {
    /// Waits until what is known is also on disk; false if that takes longer than `patience`.
    pub async fn settle(&self, patience: Duration) -> bool {
        timeout(patience, self.disk.acquire_many(DISK_WORKERS)).await.is_ok()
    }

    /// Work on the store, on a thread of its own. Goes on without it when that takes too long: a disk that hangs holds so
    /// many threads and no more, and costs no answer.
    pub(super) async fn on_disk(
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

    /// Leaves time to ask the host as if it were not known.
    pub(super) async fn load_once(self: &Arc<Self>, host: &str, deadline: Instant) {
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

    /// Blocks: reads the host's file. What another clock wrote into the future is set aside.
    fn load(&self, host: &str, store: &dyn Store) {
        let record = match store.load(host) {
            Ok(record) => record.filter(|record| {
                let future = age(record.validated_at, self.clock.now(), self.ttl) == Age::FromTheFuture;
                if future {
                    tracing::warn!(host, validated_at = ?record.validated_at, "set aside an entry from a future clock");
                    match store.set_aside(host) {
                        Ok(()) => self.statistics.set_aside(),
                        Err(error) => self.report_store_problem(StoreOperation::Load, &error),
                    }
                }
                !future
            }),
            Err(error) => {
                if matches!(error, StoreError::NotAnEntry { .. }) {
                    self.statistics.set_aside();
                }
                self.report_store_problem(StoreOperation::Load, &error);
                None
            }
        };
        // A flight that ended meanwhile knows better.
        self.change_known(host, |slot| {
            slot.loaded = true;
            slot.record = slot.record.take().or(record.map(Arc::new));
        });
    }

    /// Writes what is known of the host when its turn comes: a write that was late never undoes a later one.
    pub(super) async fn save(self: &Arc<Self>, host: String) {
        let save = self.on_disk(SAVE_PATIENCE, move |cache, store| {
            cache.write(&host, store);
        });
        save.await;
        self.catch_up();
    }
}
