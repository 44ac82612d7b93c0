//! Making a cache directory ready: its directories, its lock, what a killed process left.
//!
//! A coordinator must answer also while its directory cannot be written, so that this may come late: what is there is read
//! as far as it can be, and each write tries again.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::{PoisonError, atomic::Ordering},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    FileStore, Sharing, StoreError,
    store::{DIRECTORY_MODE, FILE_MODE, io_error},
};

impl FileStore {
    /// Opens the directory, makes it if needed, and removes what a killed process left half-written.
    ///
    /// # Errors
    /// In use, or the system refused.
    pub fn open(directory: &Path, sharing: Sharing, fsync: bool) -> Result<Self, StoreError> {
        let store = Self::unopened(directory, sharing, fsync);
        store.ready()?;
        Ok(store)
    }

    /// The same of a directory that need not work yet: then also gives why not. Each write tries again.
    ///
    /// # Errors
    /// Another process has it; that needs somebody to decide.
    pub fn open_or_wait(
        directory: &Path,
        sharing: Sharing,
        fsync: bool,
    ) -> Result<(Self, Option<StoreError>), StoreError> {
        let store = Self::unopened(directory, sharing, fsync);
        match store.ready() {
            Ok(()) => Ok((store, None)),
            Err(error @ StoreError::InUse(_)) => Err(error),
            Err(error) => {
                // Another may read it in the same way, and would write it as soon as it can be written.
                if let Ok(lock) = OpenOptions::new().read(true).open(store.lock_path()) {
                    store.take(&lock)?;
                    *store.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
                }
                Ok((store, Some(error)))
            }
        }
    }

    fn lock_path(&self) -> std::path::PathBuf {
        self.directory.join(".lock")
    }

    fn take(&self, lock: &File) -> Result<(), StoreError> {
        let operation = match self.sharing {
            Sharing::Exclusive => FlockOperation::NonBlockingLockExclusive,
            Sharing::Shared => FlockOperation::NonBlockingLockShared,
        };
        flock(lock, operation).map_err(|_| StoreError::InUse(self.directory.clone()))
    }

    /// Makes the directory ready if it is not.
    pub(super) fn ready(&self) -> Result<(), StoreError> {
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_ready.load(Ordering::Acquire) {
            return Ok(());
        }
        let hosts = &self.hosts;
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE).create(hosts).map_err(io_error("create", hosts))?;
        // Names and addresses of hosts are nobody else's business. `hosts` is ours alone; the directory above may be
        // anybody's choice, so its mode is only set where it was made here.
        let private = Permissions::from_mode(DIRECTORY_MODE);
        std::fs::set_permissions(hosts, private).map_err(io_error("make private", hosts))?;
        if held.is_none() {
            let lock_path = self.lock_path();
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(FILE_MODE);
            let lock = options.open(&lock_path).map_err(io_error("open", &lock_path))?;
            self.take(&lock)?;
            *held = Some(lock);
        }
        remove_temporaries(hosts, self.sharing)?;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }
}

/// Where others work too, only what a process left that no longer runs.
fn remove_temporaries(hosts: &Path, sharing: Sharing) -> Result<(), StoreError> {
    #[expect(clippy::disallowed_methods, reason = "the store lists its own directory")]
    let entries = std::fs::read_dir(hosts).map_err(io_error("list", hosts))?;
    for entry in entries {
        let path = entry.map_err(io_error("list", hosts))?.path();
        let Some(writer) = writer_of_temporary(&path) else { continue };
        if sharing == Sharing::Exclusive || !Path::new("/proc").join(writer).exists() {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // In nobody's way: never a reason not to start.
                    tracing::warn!(path = %path.display(), %error, "cannot remove what was left half-written");
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The process id in ".PID-NUMBER.tmp".
fn writer_of_temporary(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(".tmp")?;
    let (writer, number) = name.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(writer) && digits(number)).then_some(writer)
}
