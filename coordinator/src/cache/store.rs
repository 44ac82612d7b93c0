//! Entries in files, one a host.
//!
//! Layout of the directory (0700): `hosts/<percent-encoded name>.inventory`, the same with `.set-aside` for a file that
//! could not be trusted (the last one a host, for a bug report), `.lock`. A write goes to a temporary file beside its
//! target and is renamed, so a reader sees the old entry or the new.

use std::{
    collections::HashSet,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::{DecodeEntryError, HostRecord, Parts, decode_entry, encode_entry};

/// An agent's reply is capped at 8 MiB and protobuf to protobuf grows little.
const ENTRY_MAX_BYTES: u64 = 16 << 20;

/// Room for most entries, so that one is read at once.
const ENTRY_EXPECTED_BYTES: usize = 16 << 10;

/// File systems allow 255 bytes a name; longer host keys (paths of sockets) keep a digest instead of their tail.
const FILE_STEM_MAX_BYTES: usize = 200;

/// Files looked at for hosts that left: the most hosts there may be, twice. What is beyond waits for the next start.
const LISTED_MAX: usize = 200_000;

pub(super) const DIRECTORY_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;

/// What a file name may hold as it is; a dot not at its start (see [`file_stem`]).
const FILE_NAME_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The cache directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another coordinator has it.
    #[error("the cache directory {0} is in use by another coordinator; give each its own `cache_dir`")]
    InUse(PathBuf),
    /// The system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not answer.
    #[error("the cache's disk did not answer within {0:?}; it is slow or hangs")]
    Slow(Duration),
    /// The entry is there but cannot be trusted.
    #[error("the cache entry {path} cannot be used and was set aside")]
    NotAnEntry {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DecodeEntryError,
    },
}

/// Where entries are kept.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// The host's entry, if there is one, with the parts that are there already. One that cannot be trusted is set aside.
    ///
    /// # Errors
    /// The entry was set aside, or could not be read.
    fn load(&self, host: &str, parts: &Parts) -> Result<Option<HostRecord>, StoreError>;

    /// Replaces the host's entry.
    ///
    /// # Errors
    /// It could not be written; the old entry is as it was.
    fn save(&self, record: &HostRecord) -> Result<(), StoreError>;

    /// Removes the host's entry, if there is one.
    ///
    /// # Errors
    /// It could not be removed.
    fn remove(&self, host: &str) -> Result<(), StoreError>;

    /// Moves an entry that must not be used out of the way.
    ///
    /// # Errors
    /// It could not be moved.
    fn set_aside(&self, host: &str) -> Result<(), StoreError>;
}

/// Who else may use the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: a coordinator.
    Exclusive,
    /// Other short-lived commands. Renames keep them apart.
    Shared,
}

/// A directory of entries.
#[derive(Debug)]
pub struct FileStore {
    pub(super) directory: PathBuf,
    pub(super) hosts: PathBuf,
    pub(super) sharing: Sharing,
    fsync: bool,
    next_temporary: AtomicU64,
    /// Held while this is; none while the directory cannot be locked.
    pub(super) lock: Mutex<Option<File>>,
    /// The directories are there, and nothing half-written is left in them.
    pub(super) is_ready: AtomicBool,
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

impl FileStore {
    /// A store in this directory, which is not touched before [`FileStore::ready`] or a write.
    pub(super) fn unopened(directory: &Path, sharing: Sharing, fsync: bool) -> Self {
        Self {
            directory: directory.to_owned(),
            hosts: directory.join("hosts"),
            sharing,
            fsync,
            next_temporary: AtomicU64::new(0),
            lock: Mutex::default(),
            is_ready: AtomicBool::new(false),
        }
    }

    /// Removes what is there of other hosts than these: of those that left while nobody looked. Gives how many files that
    /// were; what cannot be removed is in nobody's way and stays.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn forget_others<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) -> Result<usize, StoreError> {
        let stems: HashSet<String> = hosts.into_iter().map(file_stem).collect();
        #[expect(clippy::disallowed_methods, reason = "the store lists its own directory")]
        let entries = std::fs::read_dir(&self.hosts).map_err(io_error("list", &self.hosts))?;
        let mut removed = 0;
        for entry in entries.take(LISTED_MAX) {
            let path = entry.map_err(io_error("list", &self.hosts))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let stem = name.strip_suffix(".set-aside").unwrap_or(name).strip_suffix(".inventory");
            if stem.is_some_and(|stem| !stems.contains(stem)) && std::fs::remove_file(&path).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The file of a host's entry. Always directly inside the directory, whatever the name.
    #[must_use]
    pub fn path_of(&self, host: &str) -> PathBuf {
        self.hosts.join(format!("{}.inventory", file_stem(host)))
    }

    fn write(&self, temporary: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create_new(true).write(true).mode(FILE_MODE).open(temporary)?;
        file.write_all(bytes)?;
        if self.fsync {
            file.sync_all()?;
        }
        std::fs::rename(temporary, target)?;
        if self.fsync {
            open(&self.hosts)?.sync_all()?;
        }
        Ok(())
    }
}

impl Store for FileStore {
    fn load(&self, host: &str, parts: &Parts) -> Result<Option<HostRecord>, StoreError> {
        let path = self.path_of(host);
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::with_capacity(ENTRY_EXPECTED_BYTES);
            // One byte past the cap tells a file that is too long; decoding refuses it as such.
            open(&path)?.take(ENTRY_MAX_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Vec::new(),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        match decode_entry(host, bytes, parts) {
            Ok(record) => Ok(Some(record)),
            Err(source) => {
                self.set_aside(host)?;
                Err(StoreError::NotAnEntry { path, source })
            }
        }
    }

    fn save(&self, record: &HostRecord) -> Result<(), StoreError> {
        self.ready()?;
        let target = self.path_of(&record.host);
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.hosts.join(format!(".{}-{number}.tmp", std::process::id()));
        self.write(&temporary, &target, &encode_entry(record)).map_err(|source| {
            // What is left is removed at the next start at the latest.
            let _ = std::fs::remove_file(&temporary);
            io_error("write", &target)(source)
        })
    }

    fn remove(&self, host: &str) -> Result<(), StoreError> {
        let path = self.path_of(host);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn set_aside(&self, host: &str) -> Result<(), StoreError> {
        let path = self.path_of(host);
        let aside = path.with_extension("inventory.set-aside");
        if aside.is_dir() {
            // A directory in place of an entry was set aside before; a file cannot be renamed over it.
            std::fs::remove_dir_all(&aside).map_err(io_error("remove", &aside))?;
        }
        std::fs::rename(&path, &aside).map_err(io_error("set aside", &path))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

fn file_stem(host: &str) -> String {
    let mut encoded = utf8_percent_encode(host, FILE_NAME_SET).to_string();
    if encoded.starts_with('.') {
        // No name hides its file or climbs.
        encoded.replace_range(..1, "%2E");
    }
    if encoded.len() <= FILE_STEM_MAX_BYTES {
        return encoded;
    }
    let digest = Sha256::digest(host.as_bytes());
    let tail: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}~{tail}", &encoded[..FILE_STEM_MAX_BYTES - tail.len() - 1])
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests set the scene")]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

    use super::*;
    use crate::cache::GuestNames;

    fn record(host: &str) -> HostRecord {
        HostRecord {
            host: host.to_owned(),
            address: String::new(),
            reported_name: String::new(),
            fetched_at: None,
            validated_at: None,
            inventory: Arc::default(),
            issues: Arc::default(),
            superseded: false,
            saved_usage: None,
            guest_names: GuestNames::default(),
        }
    }

    #[test]
    fn any_name_stays_inside_the_directory_and_keeps_its_own_entry() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = FileStore::open(directory.path(), Sharing::Exclusive, true).expect("opens");
        let long = "x".repeat(5000);
        let names = [
            "a",
            "../../etc/passwd",
            "..",
            ".",
            "/",
            "nul\0",
            "ä",
            "unix:/run/a.sock",
            "A",
            &long,
            &format!("{long}y"),
        ];
        for name in names {
            assert_eq!(store.path_of(name).parent(), Some(&*directory.path().join("hosts")), "{name:?}");
            store.save(&record(name)).expect("saved");
        }
        for name in names {
            assert_eq!(store.load(name, &Parts::default()).expect("loads").expect("there").host, name);
        }
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&directory.path().join("hosts")), DIRECTORY_MODE);
        assert_eq!(mode(&store.path_of("a")), FILE_MODE);
    }

    #[test]
    fn two_coordinators_never_share_and_commands_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = FileStore::open(directory.path(), Sharing::Exclusive, false).expect("opens");
        for sharing in [Sharing::Exclusive, Sharing::Shared] {
            let second = FileStore::open(directory.path(), sharing, false);
            assert!(matches!(second, Err(StoreError::InUse(_))));
        }
        drop(first);
        let _one = FileStore::open(directory.path(), Sharing::Shared, false).expect("opens");
        let _two = FileStore::open(directory.path(), Sharing::Shared, false).expect("opens");
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        drop(FileStore::open(directory.path(), Sharing::Exclusive, false).expect("opens"));
        // No process has this id: Linux ends at 4,194,304.
        let dead = directory.path().join("hosts/.4294967295-0.tmp");
        let alive = directory.path().join(format!("hosts/.{}-7.tmp", std::process::id()));
        for (sharing, alive_stays) in [(Sharing::Shared, true), (Sharing::Exclusive, false)] {
            std::fs::write(&dead, "half").expect("written");
            std::fs::write(&alive, "half").expect("written");
            drop(FileStore::open(directory.path(), sharing, false).expect("opens"));
            assert_eq!((dead.exists(), alive.exists()), (false, alive_stays), "{sharing:?}");
        }
    }

    #[test]
    fn what_is_there_of_hosts_that_left_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = FileStore::open(directory.path(), Sharing::Exclusive, false).expect("opens");
        let long = "x".repeat(5000);
        for host in ["a", "b", "b.c", &long] {
            store.save(&record(host)).expect("saved");
        }
        store.set_aside("b").expect("moved");
        assert_eq!(store.forget_others(["a", "b.c", &long]).expect("listed"), 1);
        assert_eq!(store.forget_others(["a", "b.c", &long]).expect("listed"), 0);
        assert!(["a", "b.c", &long].iter().all(|host| store.path_of(host).exists()));
        assert_eq!(store.forget_others([]).expect("listed"), 3);
        assert!(directory.path().join(".lock").exists());
    }

    #[test]
    fn a_directory_in_place_of_an_entry_is_set_aside() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = FileStore::open(directory.path(), Sharing::Exclusive, false).expect("opens");
        for _ in 0..2 {
            std::fs::create_dir(store.path_of("a")).expect("made");
            assert!(matches!(store.load("a", &Parts::default()), Err(StoreError::NotAnEntry { .. })));
            assert_eq!(store.load("a", &Parts::default()).expect("readable"), None);
        }
        store.save(&record("a")).expect("saved");
        assert!(store.load("a", &Parts::default()).expect("readable").is_some());
    }
}
