//! A witness of commits: how many were durable at least, in a small file beside the store.
//!
//! SQLite takes a damaged tail of its log for a commit that was never finished, and drops it in silence, whatever was
//! answered. The witness says that there was more. It is written after a commit is durable and not written through, which
//! costs a microsecond: it may be behind, never ahead. Its lock keeps a second coordinator away.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::store::ClaimStoreError;

const MAGIC: [u8; 8] = *b"VMUSTWIT";
const BYTES: usize = 20;
const FILE_MODE: u32 = 0o600;

/// What a witness says when it is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Testimony {
    /// There is none.
    None,
    /// There is one that cannot be read.
    Damaged,
    /// At least so many commits were durable.
    Commits(u64),
}

/// The file, locked.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    path: PathBuf,
}

impl Witness {
    /// Locks the file, which is made if there is none.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Testimony), ClaimStoreError> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(FILE_MODE);
        let file = options.open(&path).map_err(ClaimStoreError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ClaimStoreError::InUse(path)),
            Err(error) => return Err(ClaimStoreError::io("lock", &path)(error.into())),
        }
        let testimony = read(&file).map_err(ClaimStoreError::io("read", &path))?;
        Ok((Self { file, path }, testimony))
    }

    /// Writes it through to the disk, with its name.
    pub(super) fn found(&self, commits: u64) -> Result<(), ClaimStoreError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let written = self.write(commits).and_then(|()| self.file.sync_all());
        written.map_err(ClaimStoreError::io("write", &self.path))?;
        let synced = OpenOptions::new().read(true).open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(ClaimStoreError::io("write through", directory))
    }

    /// So many commits are durable. What fails here makes the next start less sure, and nothing wrong.
    pub(super) fn saw(&self, commits: u64) {
        let _ = self.write(commits);
    }

    fn write(&self, commits: u64) -> io::Result<()> {
        self.file.write_all_at(&encoded(commits), 0)
    }
}

fn encoded(commits: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&commits.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn read(file: &File) -> io::Result<Testimony> {
    if file.metadata()?.len() == 0 {
        return Ok(Testimony::None);
    }
    let mut bytes = [0; BYTES];
    if let Err(error) = file.read_exact_at(&mut bytes, 0) {
        let short = error.kind() == io::ErrorKind::UnexpectedEof;
        return if short { Ok(Testimony::Damaged) } else { Err(error) };
    }
    let commits = bytes[8..].first_chunk().map_or(0, |commits| u64::from_le_bytes(*commits));
    Ok(if encoded(commits) == bytes { Testimony::Commits(commits) } else { Testimony::Damaged })
}
