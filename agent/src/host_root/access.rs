//! What was asked of a root: for captures, for tests that break each file, and for benchmarks that read the same files.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// How a path was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Read as a file.
    File,
    /// Listed.
    Directory,
    /// Read as a symbolic link.
    Link,
    /// Looked whether it is there.
    Exists,
    /// Asked for its size and free space (statvfs).
    Statvfs,
}

/// Notes each path once; clones share the notes.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Arc<Mutex<BTreeSet<(String, Access)>>>);

impl AccessLog {
    /// Notes an access.
    pub fn note(&self, path: &str, access: Access) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((path.to_owned(), access));
    }

    /// What was noted since the last call, by path.
    #[must_use]
    pub fn take(&self) -> BTreeSet<(String, Access)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
