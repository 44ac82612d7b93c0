//! Many files of one directory without walking its path for each.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, ResolveFlags, openat2},
    io::Errno,
};

use super::{Access, FILE_FLAGS, HostRoot, ReadError, ReadFailure};

/// An open directory below a root; the root reads from it.
#[derive(Debug)]
pub struct Directory {
    path: String,
    descriptor: OwnedFd,
}

/// A plain file in the directory itself.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

impl Directory {
    pub(super) fn new(path: &str, descriptor: OwnedFd) -> Self {
        Self { path: path.trim_end_matches('/').to_owned(), descriptor }
    }

    /// As it was asked for, without a slash at its end.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl HostRoot {
    /// As [`HostRoot::read`] of `directory`/`name`; `path` is the whole of it.
    ///
    /// # Errors
    /// As [`HostRoot::read`].
    pub fn read_in(&self, directory: &Directory, name: &str, path: &str) -> Result<Vec<u8>, ReadError> {
        let failed = |source| ReadError { path: path.to_owned(), source };
        if self.is_denied(path) {
            return Err(failed(ReadFailure::Os(Errno::ACCESS)));
        }
        match openat2(&directory.descriptor, name, FILE_FLAGS, Mode::empty(), RESOLVE) {
            Ok(file) => {
                self.note(path, Access::File);
                self.read_open(&file, path).map_err(failed)
            }
            Err(Errno::NOENT) => {
                self.note(path, Access::File);
                Err(failed(ReadFailure::Os(Errno::NOENT)))
            }
            // A link, which only the root can follow; or a kernel without openat2.
            Err(_) => self.read(path),
        }
    }
}
