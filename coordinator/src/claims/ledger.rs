//! Claims in memory and on disk, as one.
//!
//! A change is decided on what is known, made in memory at once, so that the next decision counts it, and handed to the
//! `committer`, in the same order. Its caller answers when it is durable. What is decided on a change
//! that then cannot be kept is not kept either: all that was handed in since is undone with it, so that memory is always
//! what the disk has, or will have. Must not know what is decided.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{
    change::Change,
    committer,
    holdings::Holdings,
    store::{ClaimStore, ClaimStoreError},
};

/// Batches that wait for the disk. More wait only while it hangs, and then for nothing.
pub const WAITING_MAX: usize = 4_096;

/// Why a change is not durable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// It was not kept, and has been undone.
    #[error("the claims could not be kept")]
    Failed(#[source] Arc<ClaimStoreError>),
    /// The disk has not answered in time: it may still be kept, or be undone.
    #[error(
        "the disk did not answer in time: whether the claims are kept is not known yet; ask again with the same request id"
    )]
    Unknown,
}

/// Why a change was not even begun.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// Whoever decided says no.
    #[error(transparent)]
    Refused(E),
    /// More wait than can be served.
    #[error("{WAITING_MAX} changes of claims wait for the disk; try again later")]
    Busy,
    /// The coordinator is stopping, or the committer died.
    #[error("claims are not changed any more: the coordinator is stopping")]
    Closed,
}

pub(super) type Answer = Result<(), Arc<ClaimStoreError>>;

/// Changes that belong together, and who waits for them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// A change that is made in memory and on its way to the disk. It gets there also if nobody waits.
#[derive(Debug)]
#[must_use = "until it is done the change may be undone"]
pub struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    /// Waits until the change, and all that was handed in before it, is durable.
    ///
    /// # Errors
    /// It could not be kept, or that is not known within `patience`.
    pub async fn done(self, patience: Duration) -> Result<(), CommitError> {
        match timeout(patience, self.0).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(CommitError::Failed(error)),
            // The committer is gone, or the time is over.
            Ok(Err(_)) | Err(_) => Err(CommitError::Unknown),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) holdings: Holdings,
    pub(super) waiting: VecDeque<Batch>,
    /// What undoes each batch that is not durable, the oldest first.
    pub(super) undo: VecDeque<Vec<Change>>,
    pub(super) is_closed: bool,
}

impl Inner {
    /// Undoes all that is not durable, and gives the batches that nobody has begun to write.
    pub(super) fn undo_all(&mut self) -> VecDeque<Batch> {
        while let Some(undo) = self.undo.pop_back() {
            self.holdings.undone += 1;
            for change in undo.iter().rev() {
                self.holdings.apply(change);
            }
        }
        mem::take(&mut self.waiting)
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    pub(super) something_to_do: Condvar,
}

impl Shared {
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        // Who decides may panic, but only before anything is changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self) {
        self.inner().is_closed = true;
        self.something_to_do.notify_all();
    }
}

/// All claims, and the store they are kept in.
pub struct Ledger {
    shared: Arc<Shared>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    /// Reads a store, and starts the thread that writes to it.
    ///
    /// # Errors
    /// The store cannot be read, or the thread not be started.
    pub fn open(store: Arc<dyn ClaimStore>) -> Result<Self, ClaimStoreError> {
        let holdings = Holdings::new(store.load()?);
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner { holdings, ..Inner::default() }),
            ..Shared::default()
        });
        let ended = committer::start(Arc::clone(&shared), store)?;
        Ok(Self { shared, ended: Mutex::new(Some(ended)) })
    }

    /// Looks at what is known, which counts changes that are not durable yet: good for deciding and for showing, but what
    /// promises something to somebody goes through [`Ledger::change`], with no changes if there are none.
    pub fn read<T>(&self, look: impl FnOnce(&Holdings) -> T) -> T {
        look(&self.shared.inner().holdings)
    }

    /// Decides on what is known, and makes the changes in memory before anybody else decides. `decide` holds everybody up:
    /// it must not wait. It gets its holdings to change only what is never kept ([`super::ClaimBook::observe`]). With no
    /// changes [`Pending::done`] still waits for all that was handed in before, on which the decision rests.
    ///
    /// # Errors
    /// Refused by `decide`, or not begun; then nothing has changed.
    pub fn change<T, E>(
        &self,
        decide: impl FnOnce(&mut Holdings) -> Result<(T, Vec<Change>), E>,
    ) -> Result<(T, Pending), ChangeError<E>> {
        let mut inner = self.shared.inner();
        if inner.is_closed {
            return Err(ChangeError::Closed);
        }
        if inner.waiting.len() >= WAITING_MAX {
            return Err(ChangeError::Busy);
        }
        let (decided, changes) = decide(&mut inner.holdings).map_err(ChangeError::Refused)?;
        let (answer, pending) = oneshot::channel();
        if changes.is_empty() && inner.undo.is_empty() {
            // All is durable; whoever waits is told at once.
            let _ = answer.send(Ok(()));
            return Ok((decided, Pending(pending)));
        }
        let undo = changes.iter().filter_map(|change| inner.holdings.apply(change)).collect();
        inner.undo.push_back(undo);
        inner.waiting.push_back(Batch { changes, answer });
        drop(inner);
        self.shared.something_to_do.notify_one();
        Ok((decided, Pending(pending)))
    }

    /// Takes no more changes, and waits until all that were handed in are written; false if that takes longer.
    pub async fn close(&self, patience: Duration) -> bool {
        self.shared.close();
        let kept = || self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut ended) = kept().take() else { return true };
        // The sender goes with the thread, however it ends.
        let has_ended = timeout(patience, &mut ended).await.is_ok();
        if !has_ended {
            *kept() = Some(ended);
        }
        has_ended
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // The thread writes what waits, and ends.
        self.shared.close();
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
