//! Hosts that were registered by API, in a file.
//!
//! `<state_dir>/hosts.json` (0600; the directory 0700). Unlike the cache it cannot be fetched again: it is written to a
//! temporary file beside it, through to the disk, and renamed; a file that makes no sense keeps the coordinator from
//! starting and is never written over.

use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use vmuster_proto::model::{AllocationSettings, HostOrigin};

use super::{HostEntry, host_name, machine_id};
use crate::text_file::read_text;

/// 100,000 hosts with labels have about 30 MiB.
const FILE_MAX_BYTES: usize = 64 << 20;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

const FILE_NAME: &str = "hosts.json";

/// One writer, which the lock sees to, needs one name; what a killed one left is removed by the next.
const TEMPORARY_NAME: &str = ".hosts.json.tmp";

/// What this vmuster writes and reads.
const SCHEMA: &str = "vmuster.registered_hosts.v1";

/// Where registered hosts are kept.
pub trait HostsStore: Send + Sync + fmt::Debug + 'static {
    /// Replaces what is kept. When it returns, that has reached the disk.
    ///
    /// # Errors
    /// It could not be written.
    fn save(&self, hosts: &[Arc<HostEntry>]) -> Result<(), StateError>;
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another coordinator has it.
    #[error("the state directory {0} is in use by another coordinator; give each its own `state_dir`")]
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
    /// It was renamed, but the directory was not written through: after a crash either may be there.
    #[error(
        "cannot write {path} through to the disk; after a crash the change may be lost or not: repeat it"
    )]
    Unsure {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is there and makes no sense. To start without it would forget hosts in silence.
    #[error(
        "{path}, the hosts that were registered by `vmuster hosts add`, cannot be used ({problem}); mend it, restore it \
         from a backup, or move it away and add those hosts again"
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Of another version.
    #[error(
        "{path} was written by another version of vmuster (its schema is '{schema}', not '{SCHEMA}'); start that version, \
         or move the file away and add its hosts again"
    )]
    OtherVersion {
        /// Which file.
        path: PathBuf,
        /// What it says.
        schema: String,
    },
    /// More than could be read again.
    #[error("{path} would have {size} bytes, limit {FILE_MAX_BYTES}")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// How large.
        size: usize,
    },
}

impl StateError {
    /// Whether there is no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Unsure { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::TooLarge { .. } => true,
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Version {
    schema: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    schema: String,
    hosts: Vec<RegisteredHost>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisteredHost {
    name: String,
    address: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    maintenance: bool,
    #[serde(default)]
    settings: AllocationSettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine_id: Option<String>,
}

impl RegisteredHost {
    fn of(host: &HostEntry) -> Self {
        Self {
            name: host.name.clone(),
            address: host.address.as_ref().map(ToString::to_string).unwrap_or_default(),
            labels: host.labels.clone(),
            maintenance: host.maintenance,
            settings: host.settings.clone(),
            machine_id: host.machine_id.clone(),
        }
    }

    fn entry(self) -> Result<HostEntry, String> {
        let name = host_name(&self.name).map_err(|error| error.to_string())?;
        let address = self.address.parse().map_err(|error| format!("host '{name}': {error}"))?;
        let machine_id = self.machine_id.as_deref().map(machine_id).transpose();
        let machine_id = machine_id.map_err(|error| format!("host '{name}': {error}"))?;
        Ok(HostEntry {
            name,
            machine_id,
            address: Some(address),
            labels: self.labels,
            maintenance: self.maintenance,
            settings: self.settings,
            origin: Some(HostOrigin::Api),
        })
    }
}

/// What is kept in a state directory, which need not be there. Changes nothing.
///
/// # Errors
/// It cannot be read, or makes no sense.
pub fn read_state(directory: &Path) -> Result<Vec<Arc<HostEntry>>, StateError> {
    let path = directory.join(FILE_NAME);
    match read_text(&path, FILE_MAX_BYTES as u64) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(StateError::Malformed { path, problem: "it is not UTF-8".to_owned() })
        }
        Err(source) => Err(StateError::Io { action: "read", path, source }),
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Arc<HostEntry>>, StateError> {
    let malformed = |problem: String| StateError::Malformed { path: path.to_owned(), problem };
    let version: Version = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    if version.schema != SCHEMA {
        return Err(StateError::OtherVersion { path: path.to_owned(), schema: version.schema });
    }
    let file: StateFile = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let mut hosts = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    let mut addresses = std::collections::BTreeSet::new();
    for host in file.hosts {
        let entry = host.entry().map_err(malformed)?;
        if !names.insert(entry.name.clone()) || !addresses.insert(entry.address.clone()) {
            return Err(malformed(format!("the name or address of host '{}' is there twice", entry.name)));
        }
        hosts.push(Arc::new(entry));
    }
    Ok(hosts)
}

/// A state directory that nobody else writes to.
#[derive(Debug)]
pub struct StateDirectory {
    directory: PathBuf,
    _lock: File,
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}

impl StateDirectory {
    /// Makes the directory if needed, locks it, and reads what is kept there.
    ///
    /// # Errors
    /// In use, the system refused, or what is there makes no sense.
    pub fn open(directory: &Path) -> Result<(Self, Vec<Arc<HostEntry>>), StateError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(DIRECTORY_MODE).create(directory);
        made.map_err(io_error("create", directory))?;
        let lock_path = directory.join(".lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(FILE_MODE);
        let lock = options.open(&lock_path).map_err(io_error("open", &lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StateError::InUse(directory.to_owned()))?;
        // Names and addresses of hosts are nobody else's business, whoever made the directory.
        let private = Permissions::from_mode(DIRECTORY_MODE);
        std::fs::set_permissions(directory, private).map_err(io_error("make private", directory))?;
        let hosts = read_state(directory)?;
        Ok((Self { directory: directory.to_owned(), _lock: lock }, hosts))
    }

    fn write(&self, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
        match std::fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.create_new(true).write(true).mode(FILE_MODE).open(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(temporary, self.directory.join(FILE_NAME))
    }
}

impl HostsStore for StateDirectory {
    fn save(&self, hosts: &[Arc<HostEntry>]) -> Result<(), StateError> {
        let path = self.directory.join(FILE_NAME);
        let hosts = hosts.iter().map(|host| RegisteredHost::of(host)).collect();
        let file = StateFile { schema: SCHEMA.to_owned(), hosts };
        let mut bytes = serde_json::to_vec_pretty(&file)
            .map_err(|error| io_error("write", &path)(io::Error::other(error)))?;
        bytes.push(b'\n');
        if bytes.len() > FILE_MAX_BYTES {
            return Err(StateError::TooLarge { path, size: bytes.len() });
        }
        let temporary = self.directory.join(TEMPORARY_NAME);
        self.write(&temporary, &bytes).map_err(|source| {
            // On a full disk it would take the room that others need.
            let _ = std::fs::remove_file(&temporary);
            io_error("write", &path)(source)
        })?;
        let synced = OpenOptions::new().read(true).open(&self.directory).and_then(|dir| dir.sync_all());
        synced.map_err(|source| StateError::Unsure { path: self.directory.clone(), source })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests set the scene")]
mod tests {
    use super::*;

    fn host(name: &str) -> Arc<HostEntry> {
        let settings = AllocationSettings { mixed_numa: Some(true), ..AllocationSettings::default() };
        let address = format!("{name}:9440").parse().ok();
        let labels = [("zone".to_owned(), "a".to_owned())].into();
        let origin = Some(HostOrigin::Api);
        Arc::new(HostEntry { labels, settings, maintenance: true, origin, ..HostEntry::new(name, address) })
    }

    #[test]
    fn what_was_saved_is_there_again_and_private() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("a/b");
        let (store, hosts) = StateDirectory::open(&directory).expect("opens");
        assert_eq!(hosts, []);
        store.save(&[host("a"), host("b")]).expect("saved");
        std::fs::write(directory.join(TEMPORARY_NAME), "{ half of a longer text").expect("a killed writer's");
        assert!(matches!(StateDirectory::open(&directory), Err(StateError::InUse(_))));
        drop(store);
        let (store, hosts) = StateDirectory::open(&directory).expect("opens");
        assert_eq!(hosts, [host("a"), host("b")]);
        store.save(&[host("b")]).expect("saved");
        assert_eq!(read_state(&directory).expect("reads"), [host("b")]);
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&directory), DIRECTORY_MODE);
        assert_eq!(mode(&directory.join(FILE_NAME)), FILE_MODE);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = StateDirectory::open(directory.path()).expect("opens");
        store.save(&[host("a"), host("b")]).expect("saved");
        drop(store);
        let path = directory.path().join(FILE_NAME);
        let good = std::fs::read_to_string(&path).expect("text");
        let refused = |text: &str| {
            std::fs::write(&path, text).expect("written");
            let error = StateDirectory::open(directory.path()).expect_err("refused").to_string();
            assert_eq!(std::fs::read_to_string(&path).expect("text"), text);
            error
        };
        for torn in 0..good.len() - 2 {
            assert!(refused(&good[..torn]).contains("cannot be used"), "{torn} bytes");
        }
        assert!(refused(&good.replace(".v1", ".v2")).contains("another version"));
        assert!(refused(&good.replace("\"maintenance\"", "\"later\"")).contains("unknown field `later`"));
        assert!(
            refused(&good.replace("b:9440", "nowhere")).contains("host 'b': 'nowhere' is not an address")
        );
        assert!(refused(&good.replace("\"b\"", "\"a\"")).contains("host 'a' is there twice"));
        assert!(refused(&good.replace("\"b\"", "\"../b\"")).contains("not a host name"));
    }
}
