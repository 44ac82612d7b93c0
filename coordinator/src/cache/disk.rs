//! Records and the disk: threads that a hanging disk may hold, and answers that do not wait for it.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{HostCache, Store};

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

    /// Writes what is known of the host when its turn comes: a write that was late never undoes a later one.
    pub(super) async fn save(self: &Arc<Self>, host: String) {
        let save = self.on_disk(SAVE_PATIENCE, move |cache, store| {
            cache.write(&host, store);
        });
        save.await;
        self.catch_up();
    }
}
