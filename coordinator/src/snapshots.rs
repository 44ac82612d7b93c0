//! Saved snapshots as a cluster: nothing to ask, nothing to keep.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use vmuster_proto::{
    clock::SharedClock,
    model::{SNAPSHOT_SCHEMA, Snapshot, is_unprintable},
};

use crate::{
    cache::{GuestNames, HostCache, HostRecord},
    cluster::Cluster,
    hosts::{DuplicateHost, HostEntry, Registry},
    text_file::read_text,
};

/// A snapshot of 8,192 CPUs has about 1 MiB of JSON.
const SNAPSHOT_MAX_BYTES: u64 = 64 << 20;

/// Suffixes of snapshots in a directory.
const SUFFIXES: [&str; 3] = ["json", "yaml", "yml"];

/// Why snapshots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system refused.
    #[error("cannot read {path}")]
    Read {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a snapshot.
    #[error("{path} is not a snapshot ({problem}); make one with `vmuster-agent collect -o json`")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Which one would be right?
    #[error("{first} and {second} are both snapshots of host '{host}'; leave one out")]
    SameHost {
        /// The name both have.
        host: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Nothing to answer from.
    #[error("no snapshot in {0}: looked for *.json, *.yaml and *.yml")]
    None(PathBuf),
    /// Cannot happen: files are compared first.
    #[error(transparent)]
    Registry(#[from] DuplicateHost),
}

/// A cluster of the snapshots in these files, and in these directories' files; and files of the directories that were left
/// out because their names do not say what they are.
///
/// # Errors
/// See [`SnapshotError`]; one bad file refuses all, for an answer without it would be too wide.
pub fn offline_cluster(
    paths: &[PathBuf],
    clock: SharedClock,
) -> Result<(Cluster, Vec<PathBuf>), SnapshotError> {
    let mut found = BTreeMap::<String, (PathBuf, HostRecord)>::new();
    let mut skipped = Vec::new();
    let files = paths.iter().map(|path| files_at(path, &mut skipped)).collect::<Result<Vec<_>, _>>()?;
    for path in files.concat() {
        let record = read_snapshot(&path)?;
        if let Some((first, _)) = found.get(&record.host) {
            let (host, first) = (record.host, first.clone());
            return Err(SnapshotError::SameHost { host, first, second: path });
        }
        found.insert(record.host.clone(), (path, record));
    }
    let registry = Registry::new(found.keys().map(|name| HostEntry::new(name, None)))?;
    let records = found.into_values().map(|(_, record)| record);
    Ok((Cluster::new(registry, Arc::new(HostCache::of_records(records, clock))), skipped))
}

fn files_at(path: &Path, skipped: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, SnapshotError> {
    let error = |source| SnapshotError::Read { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(error)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    #[expect(clippy::disallowed_methods, reason = "the snapshots' own reader")]
    let entries = std::fs::read_dir(path).map_err(error)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(error)?;
    files.sort();
    let (files, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| suffix(file).is_some());
    skipped.extend(others);
    if files.is_empty() { Err(SnapshotError::None(path.to_owned())) } else { Ok(files) }
}

fn suffix(file: &Path) -> Option<&'static str> {
    let extension = file.extension()?.to_str()?.to_ascii_lowercase();
    SUFFIXES.into_iter().find(|suffix| *suffix == extension)
}

fn read_snapshot(path: &Path) -> Result<HostRecord, SnapshotError> {
    let text = read_text(path, SNAPSHOT_MAX_BYTES)
        .map_err(|source| SnapshotError::Read { path: path.to_owned(), source })?;
    let malformed = |problem: String| SnapshotError::Malformed { path: path.to_owned(), problem };
    let is_yaml = matches!(suffix(path), Some("yaml" | "yml"));
    let snapshot: Snapshot = if is_yaml {
        serde_saphyr::from_str(&text).map_err(|error| malformed(error.to_string()))?
    } else {
        serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?
    };
    if snapshot.schema != SNAPSHOT_SCHEMA {
        return Err(malformed(format!("its schema is '{}', not '{SNAPSHOT_SCHEMA}'", snapshot.schema)));
    }
    if snapshot.name.is_empty() {
        return Err(malformed("its name is empty".to_owned()));
    }
    if snapshot.name.contains(is_unprintable) {
        return Err(malformed("its name has characters that are not shown".to_owned()));
    }
    Ok(HostRecord {
        host: snapshot.name.clone(),
        address: String::new(),
        reported_name: snapshot.name,
        fetched_at: None,
        validated_at: snapshot.inventory.collected_at,
        inventory: Arc::new(snapshot.inventory),
        issues: snapshot.issues.into(),
        superseded: false,
        saved_usage: snapshot.usage.map(Arc::new),
        guest_names: GuestNames::default(),
    })
}
