//! Files that are read every few seconds, kept open: the kernel makes a pseudo-file anew for each read from its beginning,
//! and walking the path costs three times the read.

use std::{collections::HashMap, os::fd::OwnedFd};

use rustix::{
    buffer::spare_capacity,
    fs::{FileType, fstat},
    io::{Errno, pread, retry_on_intr},
};

use super::{Access, Ending, FILE_FLAGS, HostRoot, ReadError, ReadFailure, read_to_end};

/// Most files kept open. A host with 64 nodes and four sizes of huge pages has about 800; systemd gives a service 1024
/// descriptors at first, and connections need some.
const KEPT_MAX: usize = 512;

/// Open files by path. Only of this machine: a recorded host's files may be replaced under us.
#[derive(Debug, Default)]
pub struct KeptFiles {
    files: HashMap<String, OwnedFd>,
}

impl KeptFiles {
    /// How many files are kept open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// As [`HostRoot::read`], from a descriptor kept from the last time if there is one.
    ///
    /// # Errors
    /// As [`HostRoot::read`].
    pub fn read(&mut self, root: &HostRoot, path: &str) -> Result<Vec<u8>, ReadError> {
        if root.is_denied(path) {
            return root.read(path);
        }
        if let Some(file) = self.files.get(path) {
            root.note(path, Access::File);
            match read_again(file, path) {
                // Whatever it was may be back under the same name: a CPU that was unplugged and plugged in again.
                Err(ReadFailure::Os(_)) => self.files.remove(path),
                result => return result.map_err(|source| ReadError { path: path.to_owned(), source }),
            };
        }
        if self.files.len() >= KEPT_MAX {
            return root.read(path);
        }
        let failed = |source| ReadError { path: path.to_owned(), source };
        root.note(path, Access::File);
        let file = root.open(path, FILE_FLAGS).map_err(|errno| failed(ReadFailure::Os(errno)))?;
        let status = fstat(&file).map_err(|errno| failed(ReadFailure::Os(errno)))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(failed(ReadFailure::NotRegular));
        }
        let content = read_again(&file, path).map_err(failed)?;
        self.files.insert(path.to_owned(), file);
        Ok(content)
    }
}

fn read_again(file: &OwnedFd, path: &str) -> Result<Vec<u8>, ReadFailure> {
    read_to_end(Ending::of(path), |content| {
        let offset = u64::try_from(content.len()).map_err(|_| Errno::OVERFLOW)?;
        retry_on_intr(|| pread(file, spare_capacity(content), offset))
    })
}
