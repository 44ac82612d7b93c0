//! Records and the disk: threads that a hanging disk may hold, and answers that do not wait for it.

use std::{
    collections::HashSet,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::timeout;

use super::{HostCache, Store};

/// Threads that a hanging disk may hold; the runtime has 512 for everything.
pub(super) const DISK_WORKERS: u32 = 16;

/// An entry is written in a millisecond. What takes longer goes on while the answer is given.
const SAVE_PATIENCE: Duration = Duration::from_millis(100);

impl HostCache {
    /// Waits until what is known is also on disk; false if that takes longer than `patience`.
    pub async fn settle(&self, patience: Duration) -> bool {
        let settled = async {
            // Neither semaphore is ever closed. Behind all writes that wait for their turn.
            let _turn = self.writer.acquire().await;
            let _workers = self.disk.acquire_many(DISK_WORKERS).await;
        };
        timeout(patience, settled).await.is_ok()
    }

    /// A change of the store, on a thread of its own, one after the other. The caller goes on when that takes too long; the
    /// change is made all the same, when its turn comes.
    pub(super) async fn on_disk(
        self: &Arc<Self>,
        patience: Duration,
        work: impl FnOnce(&Self, &dyn Store) + Send + 'static,
    ) {
        let Some(store) = self.store.clone() else { return };
        let cache = Arc::clone(self);
        let (writer, disk) = (Arc::clone(&self.writer), Arc::clone(&self.disk));
        // A task of its own: what the caller does not wait for any more must not be lost.
        let working = tokio::spawn(async move {
            // Neither semaphore is ever closed.
            let Ok(_turn) = writer.acquire_owned().await else { return };
            let Ok(worker) = disk.acquire_owned().await else { return };
            let blocking = tokio::task::spawn_blocking(move || {
                work(&cache, &*store);
                drop(worker);
            });
            // Fails only if the work panics, and then there is nothing to use.
            let _ = blocking.await;
        });
        if timeout(patience, working).await.is_err() {
            self.report_slow_disk(patience);
        }
    }

    fn queued(&self) -> MutexGuard<'_, HashSet<String>> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is known of the host when its turn comes: a write that was late never undoes a later one.
    pub(super) async fn save(self: &Arc<Self>, host: String) {
        if self.store.is_none() {
            return;
        }
        if !self.queued().insert(host.clone()) {
            // It will be written as it is known by then. A disk that is slower than what is learned must not make a queue
            // that grows.
            let behind = self.writer.acquire();
            drop(timeout(SAVE_PATIENCE, behind).await);
            return;
        }
        let behind = Arc::clone(self);
        let save = self.on_disk(SAVE_PATIENCE, move |cache, store| {
            cache.queued().remove(&host);
            if cache.write(&host, store) {
                // Here, where it is known to have worked: nobody may be waiting any more.
                behind.catch_up();
            }
        });
        save.await;
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
