//! Promises of resources on hosts to instances, kept over crashes.
//!
//! Pure: [`claim`] what a claim is, [`life`] when it ends, [`book`] all of them, [`requests`] who was answered what. Kept:
//! [`store`] what a store promises, [`sqlite`] one that keeps it, [`ledger`] memory and disk as one. Must not know how much a
//! host has, nor who may ask.

pub mod book;
pub mod change;
pub mod claim;
mod committer;
pub mod export;
pub mod holdings;
pub mod ledger;
pub mod life;
pub mod listing;
mod record;
pub mod requests;
pub mod sqlite;
pub mod store;
#[cfg(test)]
mod testing;
mod witness;

pub use book::{ClaimBook, ClaimCounts, Conflict, Outcome};
pub use change::Change;
pub use claim::{
    Claim, ClaimId, ClaimState, ClaimedCell, ClaimedDisk, ClaimedPages, ClaimedResources, InstanceId,
    Membership, NewClaim, ParseClaimIdError, ParseInstanceIdError, Purpose,
};
pub use export::{EXPORT_SCHEMA, ImportError, import_json};
pub use holdings::Holdings;
pub use ledger::{ChangeError, CommitError, Ledger, Pending};
pub use life::{DEFAULT_HOLD, HOLD_MAX, HoldOutOfRange, MISSING_FOR, hold_until};
pub use listing::{ClaimFilter, ClaimPage};
pub use requests::{Lookup, Remembered, Requests};
pub use sqlite::SqliteClaims;
pub use store::{ClaimStore, ClaimStoreError, Loaded};
