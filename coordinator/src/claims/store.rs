//! Where claims are kept.
//!
//! Knows what a store promises. Must not know how one does it.

use std::{fmt, io, path::PathBuf};

use super::{change::Change, claim::Claim, requests::Remembered};

/// What a store had when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// All claims, by name.
    pub claims: Vec<Claim>,
    /// All remembered requests, in the order they were remembered.
    pub requests: Vec<(String, Remembered)>,
    /// No claim ever had this number or a higher one.
    pub next_id: u64,
}

/// Keeps claims where a crash or a lost power supply does not reach them.
pub trait ClaimStore: Send + Sync + fmt::Debug + 'static {
    /// All that is kept.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    fn load(&self) -> Result<Loaded, ClaimStoreError>;

    /// Makes these changes, in this order, all or none. When it returns Ok, they have reached the disk.
    ///
    /// # Errors
    /// After [`ClaimStoreError::Full`] and [`ClaimStoreError::ReadOnly`] nothing has changed. After any other the changes
    /// do not count, but if the machine stops before the next commit, they may be there when it is started again.
    fn commit(&self, batch: &[Change]) -> Result<(), ClaimStoreError>;
}

/// What to do with a store that is no good.
const WAY_OUT: &str = "restore every file whose name begins with 'claims.' from one backup, or move them all away and start with no \
                       claims: what was promised since, and is no guest yet, may then be promised twice";

/// The store of claims cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClaimStoreError {
    /// Another coordinator has it.
    #[error("{0} is in use by another coordinator; give each its own `state_dir`")]
    InUse(PathBuf),
    /// The file makes no sense. It is left as it is.
    #[error("{path}, which keeps the claims, is damaged ({problem}); {WAY_OUT}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file is whole, but older than what was answered.
    #[error(
        "{path}, which keeps the claims, has lost commits: {found} are there of at least {promised}; {WAY_OUT}"
    )]
    LostCommits {
        /// Which file.
        path: PathBuf,
        /// Commits in it.
        found: u64,
        /// Commits that were durable once.
        promised: u64,
    },
    /// Of another version.
    #[error(
        "{path} was written by another version of vmuster (its schema is {found}, not {known}); start that version, or \
         move it away with all files whose names begin with 'claims.': what it promised may then be promised twice"
    )]
    OtherVersion {
        /// Which file.
        path: PathBuf,
        /// What it says.
        found: i64,
        /// What this program writes and reads.
        known: i64,
    },
    /// No room. Nothing has changed, and it works again when there is room.
    #[error("there is no room to keep claims in {path}; free some")]
    Full {
        /// Which file.
        path: PathBuf,
        /// As the system says it.
        #[source]
        source: StoreCause,
    },
    /// It cannot be written. Nothing has changed, and it works again when it can be.
    #[error("{path} cannot be written, so no claim can be kept; make the file system writable")]
    ReadOnly {
        /// Which file.
        path: PathBuf,
        /// As the system says it.
        #[source]
        source: StoreCause,
    },
    /// The system refused.
    #[error("cannot {action} {path}")]
    Other {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreCause,
    },
}

/// What lies below an error of a store: of the system, or of a store's own kind.
pub type StoreCause = Box<dyn std::error::Error + Send + Sync>;

impl ClaimStoreError {
    /// Whether it is certain that nothing has changed, even if the machine stops now.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::Other { .. })
    }

    pub(super) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source: error.into() }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, source: error.into() },
            _ => Self::Other { action, path, source: error.into() },
        }
    }
}
