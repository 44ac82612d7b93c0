//! One thread writes for all: what gathers during a commit is the next one.
//!
//! A commit costs what the disk costs, for one batch as for a thousand. Knows the order of batches, and that one that
//! fails takes with it all that were decided on it. Must not know what a batch says.

use std::{
    io, mem,
    path::Path,
    sync::{Arc, PoisonError},
    thread,
};

use tokio::sync::oneshot;

use super::{
    ledger::{Batch, Inner, Shared},
    store::{ClaimStore, ClaimStoreError},
};

/// Changes in one commit, unless a single batch has more: about 15 MB, a tenth of a second. Those who come first must not
/// wait for all.
const COMMIT_MAX_CHANGES: usize = 50_000;

/// Closes the ledger when its thread ends, also by a panic in a store: nobody hands in then what nobody takes.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
        // Whoever waits is told that the outcome is not known.
        self.0.inner().waiting.clear();
    }
}

/// Starts the thread. What is given ends with it.
pub(super) fn start(
    shared: Arc<Shared>,
    store: Arc<dyn ClaimStore>,
) -> Result<oneshot::Receiver<()>, ClaimStoreError> {
    let (running, ended) = oneshot::channel::<()>();
    let thread = thread::Builder::new().name("claims".to_owned()).spawn(move || {
        let closing = Closing(shared);
        while let Some(batches) = next(&closing.0) {
            commit(&closing.0, &*store, batches);
        }
        // The store is closed before the end is told.
        drop(store);
        drop(closing);
        drop(running);
    });
    let failed =
        |error: io::Error| ClaimStoreError::io("start the thread that writes", Path::new("claims"))(error);
    thread.map(|_| ended).map_err(failed)
}

/// Waits for batches; None when there are none and will be none.
fn next(shared: &Shared) -> Option<Vec<Batch>> {
    let is_idle = |inner: &mut Inner| inner.waiting.is_empty() && !inner.is_closed;
    let inner = shared.something_to_do.wait_while(shared.inner(), is_idle);
    let mut inner = inner.unwrap_or_else(PoisonError::into_inner);
    let mut batches = Vec::new();
    let mut changes = 0;
    while let Some(batch) = inner.waiting.front() {
        changes += batch.changes.len();
        if changes > COMMIT_MAX_CHANGES && !batches.is_empty() {
            break;
        }
        batches.extend(inner.waiting.pop_front());
    }
    (!batches.is_empty()).then_some(batches)
}

fn commit(shared: &Shared, store: &dyn ClaimStore, mut batches: Vec<Batch>) {
    let mut changes = mem::take(&mut batches[0].changes);
    for batch in &mut batches[1..] {
        changes.append(&mut batch.changes);
    }
    let committed = store.commit(&changes).map_err(Arc::new);
    {
        let mut inner = shared.inner();
        match &committed {
            Ok(()) => drop(inner.undo.drain(..batches.len())),
            // Those that came since may rest on what is not kept.
            Err(_) => batches.extend(inner.undo_all()),
        }
    }
    for batch in batches {
        // Who does not wait any more need not know.
        let _ = batch.answer.send(committed.clone());
    }
}
