//! Directories: many files of one without walking its path for each, their content or only their sizes; and where it is.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, major, minor, openat2, readlinkat,
        statat,
    },
    io::Errno,
};

use super::{
    Access, DIRECTORY_ENTRIES_MAX, DIRECTORY_FLAGS, FILE_FLAGS, HostRoot, LINK_BYTES_FIRST, Opening,
    ReadError, ReadFailure, is_absent,
};

/// st_blocks counts in these, whatever the file system's blocks are (stat(2)).
const STAT_BLOCK_BYTES: u64 = 512;

/// An open directory below a root; the root reads from it.
#[derive(Debug)]
pub struct Directory {
    path: String,
    descriptor: OwnedFd,
}

/// Where a directory is, whatever links and binds lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Major and minor number, as mounts are listed: "8:1".
    pub device: String,
    /// Its path without links; None: not known.
    pub path: Option<String>,
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

    /// The regular files of a directory, by name, and the bytes each takes on disk; links are not followed, and names
    /// that are not UTF-8 are left out. Not noted: a capture has no need of the directory.
    ///
    /// # Errors
    /// As [`HostRoot::read_dir`].
    pub fn sizes_in(&self, path: &str) -> Result<Vec<(String, u64)>, ReadError> {
        let failed = |source| ReadError { path: path.to_owned(), source };
        let os = |errno| failed(ReadFailure::Os(errno));
        let directory = self.open(path, DIRECTORY_FLAGS).map_err(os)?;
        let mut sizes = Vec::new();
        for (count, entry) in Dir::read_from(&directory).map_err(os)?.enumerate() {
            if count >= DIRECTORY_ENTRIES_MAX {
                return Err(failed(ReadFailure::TooManyEntries));
            }
            let entry = entry.map_err(os)?;
            if !matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) {
                continue;
            }
            let Ok(name) = entry.file_name().to_str() else { continue };
            match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile => {
                    let blocks = u64::try_from(status.st_blocks).unwrap_or(0);
                    sizes.push((name.to_owned(), blocks.saturating_mul(STAT_BLOCK_BYTES)));
                }
                Ok(_) => {}
                // It went away meanwhile.
                Err(errno) if is_absent(errno) => {}
                Err(errno) => return Err(os(errno)),
            }
        }
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// Where a directory is. Waits as long as its file system lets it: the caller has to guard it. Not noted: a capture
    /// has no need of the directory.
    ///
    /// # Errors
    /// It is missing, refused, or no directory.
    pub fn location(&self, path: &str) -> Result<Location, ReadError> {
        let failed = |errno| ReadError { path: path.to_owned(), source: ReadFailure::Os(errno) };
        let directory = self.open(path, OFlags::PATH | DIRECTORY_FLAGS).map_err(failed)?;
        let device = fstat(&directory).map_err(failed)?.st_dev;
        // A recorded root's own path is none of the host's.
        let is_live = self.opening == Opening::Plain;
        let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let path = is_live.then(|| readlinkat(CWD, link, Vec::with_capacity(LINK_BYTES_FIRST)));
        Ok(Location {
            device: format!("{}:{}", major(device), minor(device)),
            path: path.and_then(Result::ok).and_then(|path| path.into_string().ok()),
        })
    }
}
