//! All that is kept: claims, and the requests that were answered.

use std::sync::Arc;

use super::{book::ClaimBook, change::Change, requests::Requests, store::Loaded};

/// Claims and remembered requests, which change together.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    /// The claims.
    pub book: ClaimBook,
    /// The requests that were answered.
    pub requests: Requests,
    /// Batches that were made and then undone, because they could not be kept.
    pub undone: u64,
}

impl Holdings {
    /// What a store had.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        let mut holdings = Self { book: ClaimBook::new(loaded.claims, loaded.next_id), ..Self::default() };
        for (id, remembered) in loaded.requests {
            let _ = holdings.requests.put(&id.into(), Arc::new(remembered));
        }
        holdings
    }

    /// Makes the change; gives the one that undoes it, None if it changes nothing.
    pub fn apply(&mut self, change: &Change) -> Option<Change> {
        match change {
            Change::Put(_) | Change::Remove(_) => self.book.apply(change),
            Change::Remember(id, remembered) => Some(self.requests.put(id, Arc::clone(remembered))),
            Change::Forget(id) => {
                self.requests.take(id).map(|before| Change::Remember(Arc::clone(id), before))
            }
        }
    }
}
