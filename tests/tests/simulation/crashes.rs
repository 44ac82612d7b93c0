//! A store that dies at a step of a write and leaves on the disk what a killed process would have left there.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use vmuster_coordinator::cache::{FileStore, HostRecord, Parts, Sharing, Store, StoreError, encode_entry};

/// The steps of a write, and what a power failure makes of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing was done yet.
    Nothing,
    /// The temporary file is there, and some of its bytes.
    Begun,
    /// All of its bytes.
    Written,
    /// And it has its name.
    Renamed,
    /// It has its name, but not all of its bytes: they were not written through to the disk.
    Torn,
}

pub const STEPS: [Step; 5] = [Step::Nothing, Step::Begun, Step::Written, Step::Renamed, Step::Torn];

/// The real store, until it dies.
#[derive(Debug)]
pub struct Mortal {
    store: FileStore,
    temporary: PathBuf,
    dies_at: Mutex<Option<Step>>,
}

impl Mortal {
    pub fn open(directory: PathBuf) -> Self {
        let store = FileStore::open(&directory, Sharing::Exclusive, false).expect("a cache");
        // As if another process had begun it: a name that no write of ours has.
        Self { store, temporary: directory.join("hosts/.1-1.tmp"), dies_at: Mutex::default() }
    }

    pub fn path_of(&self, host: &str) -> PathBuf {
        self.store.path_of(host)
    }

    /// The next write is the last.
    pub fn die_at(&self, step: Step) {
        *self.dies_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
    }

    fn leave(&self, record: &HostRecord, step: Step) -> Result<(), StoreError> {
        let bytes = encode_entry(record);
        match step {
            Step::Nothing => {}
            Step::Begun => fs::write(&self.temporary, &bytes[..bytes.len() / 3]).expect("written"),
            Step::Written => fs::write(&self.temporary, &bytes).expect("written"),
            Step::Renamed => self.store.save(record).expect("saved"),
            Step::Torn => fs::write(self.path_of(&record.host), &bytes[..bytes.len() / 3]).expect("written"),
        }
        let source = io::Error::other("the process was killed");
        Err(StoreError::Io { action: "write", path: self.path_of(&record.host), source })
    }
}

impl Store for Mortal {
    fn load(&self, host: &str, parts: &Parts) -> Result<Option<HostRecord>, StoreError> {
        self.store.load(host, parts)
    }

    fn save(&self, record: &HostRecord) -> Result<(), StoreError> {
        let step = *self.dies_at.lock().unwrap_or_else(PoisonError::into_inner);
        step.map_or_else(|| self.store.save(record), |step| self.leave(record, step))
    }

    fn remove(&self, host: &str) -> Result<(), StoreError> {
        self.store.remove(host)
    }

    fn set_aside(&self, host: &str) -> Result<(), StoreError> {
        self.store.set_aside(host)
    }
}
