//! A change of what is kept: what a store writes, and what undoes it.

use std::sync::Arc;

use super::{
    claim::{Claim, ClaimId},
    requests::Remembered,
};

/// One change. Batches of them are durable together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A claim that is new, or is now this.
    Put(Arc<Claim>),
    /// A claim is released.
    Remove(ClaimId),
    /// The request of this id was answered.
    Remember(Arc<str>, Arc<Remembered>),
    /// The request of this id may be answered anew.
    Forget(Arc<str>),
}
