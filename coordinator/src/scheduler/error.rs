//! Why there is no answer.

use crate::{
    claims::{CommitError, Conflict, HoldOutOfRange},
    hosts::ScopeError,
};

/// Why instances were not placed, nor refused.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A name that is not registered.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// A field that makes no sense.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// Why.
        problem: String,
    },
    /// The hold is out of range.
    #[error(transparent)]
    Hold(#[from] HoldOutOfRange),
    /// The same id with another request.
    #[error("request_id '{0}' was used for another request within a day; take a new one")]
    RequestIdReused(String),
    /// The same request was answered, and the answer cannot be given again.
    #[error(
        "the answer to request_id '{0}' is kept and cannot be read; `vmuster claims list` shows what it promised"
    )]
    Unreadable(String),
    /// An instance has a claim.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// An instance is there already.
    #[error("instance {uuid} is a guest of '{host}' already; take another UUID, or ask with purpose MOVE")]
    Exists {
        /// Which.
        uuid: String,
        /// Where.
        host: String,
    },
    /// A host is to be evacuated, and what was on it is not known.
    #[error(
        "what guests '{0}' has, or had last, is not known; `vmuster claims list --host {0}` shows what was promised there"
    )]
    NothingKnown(String),
    /// Hosts changed faster than they could be asked.
    #[error(
        "what was decided changed again and again while hosts were asked; ask again with the same request_id"
    )]
    Changed,
    /// About claims.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
}

/// Why claims could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// Nothing is registered here, so nothing is promised.
    #[error("claims are made by a coordinator; use --coordinator")]
    Offline,
    /// No such claims.
    #[error("no such claim: {}. `vmuster claims list` shows those there are", .0.join(", "))]
    NotFound(Vec<String>),
    /// The hold is out of range.
    #[error(transparent)]
    Hold(#[from] HoldOutOfRange),
    /// They could not be kept, or that is not known.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Not even begun.
    #[error("{0}")]
    Busy(String),
}
