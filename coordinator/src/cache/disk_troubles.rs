//! A disk that fails: counted, logged, told to whoever asks, and caught up with when it works again.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    HostCache, Store, StoreError,
    load::LOAD_PATIENCE,
    store_health::{Line, StoreHealth, StoreProblem},
};
use crate::statistics::StoreOperation;

/// Entries written in one go while catching up: a shutdown waits for no more than these.
const CATCH_UP_BATCH: usize = 64;

impl HostCache {
    fn health(&self) -> MutexGuard<'_, StoreHealth> {
        self.store_health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last failure of the disk, once: for a command, whose answer does not suffer from it and whose next run does.
    #[must_use]
    pub fn take_store_problem(&self) -> Option<String> {
        self.health().take_last_failure()
    }

    /// Why the disk is behind what is known, for as long as it is.
    #[must_use]
    pub fn store_problem(&self) -> Option<StoreProblem> {
        self.health().problem()
    }

    /// The store could not be opened. It is tried again at each write.
    pub fn report_unusable_store(&self, error: &StoreError) {
        self.report_store_problem(StoreOperation::Open, error);
    }

    /// A failure that is not of writing one host's entry.
    pub(super) fn report_store_problem(&self, operation: StoreOperation, error: &StoreError) {
        self.statistics.store_failed(operation);
        let now = self.clock.now();
        log(match operation {
            StoreOperation::Load => self.health().read_failed(error, now),
            StoreOperation::Open | StoreOperation::Save | StoreOperation::Remove => {
                self.health().unusable(error, now)
            }
        });
    }

    /// The disk did not answer in time. What was wanted of it is done when it does.
    pub(super) fn report_slow_disk(&self, patience: Duration) {
        log(self.health().read_failed(&StoreError::Slow(patience), self.clock.now()));
    }

    /// Blocks: writes what is known of the host. False if that failed.
    pub(super) fn write(&self, host: &str, store: &dyn Store) -> bool {
        let Some(record) = self.known(host) else {
            // It left while its write waited.
            self.health().forgotten(&[host.to_owned()]);
            return true;
        };
        let saved = store.save(&record);
        let line = match &saved {
            Ok(()) => {
                // Unless it left while it was written.
                if self.known(host).is_some_and(|known| Arc::ptr_eq(&known, &record)) {
                    self.removing().remove(host);
                }
                self.statistics.store_worked(StoreOperation::Save);
                self.health().written(host)
            }
            Err(error) => {
                self.statistics.store_failed(StoreOperation::Save);
                self.health().write_failed(host, error, self.clock.now())
            }
        };
        log(line);
        saved.is_ok()
    }

    /// Of hosts that left nothing needs to be written.
    pub(super) fn forget_unsaved(&self, hosts: &[String]) {
        self.health().forgotten(hosts);
    }

    /// After a write that worked: writes what could not be written before, behind the answers.
    pub(super) fn catch_up(self: &Arc<Self>) {
        if !self.health().begin_catching_up() {
            return;
        }
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            while cache.health().is_catching_up() {
                cache.on_disk(LOAD_PATIENCE, Self::write_some_unsaved).await;
            }
        });
    }

    fn write_some_unsaved(&self, store: &dyn Store) {
        for _ in 0..CATCH_UP_BATCH {
            let next = self.health().next_unsaved();
            if !next.is_some_and(|host| self.write(&host, store)) {
                return self.health().end_catching_up();
            }
        }
    }
}

fn log(line: Option<Line>) {
    match line {
        None => {}
        Some(Line::Failing { detail, unlogged_count: 0 }) => tracing::warn!(problem = detail, "cache"),
        Some(Line::Failing { detail, unlogged_count }) => {
            tracing::warn!(
                problem = detail,
                unlogged_count,
                "cache; as many failures more since the last line"
            );
        }
        Some(Line::Recovered) => {
            tracing::info!("the cache's disk works again, and all that is known is on it");
        }
    }
}
