//! From "where to ask" to something that can be asked.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use vmuster_coordinator::{
    cache::{FileStore, Sharing, Store},
    cluster::Cluster,
    config::{Config, DEFAULT_SOCKET},
    hosts::{HostEntry, Registry},
    server::cluster_with,
    snapshots::{SnapshotError, offline_cluster},
};
use vmuster_proto::{clock::SystemClock, transport::PeerAddress};

use crate::{args::Source, client::Client, exit::Failure, settings};

/// Somebody to ask, and what to tell afterwards.
pub(crate) struct Asked {
    pub(crate) client: Client,
    /// Embedded here; None if a coordinator is asked.
    pub(crate) embedded: Option<Arc<Cluster>>,
    /// For stderr.
    pub(crate) notes: Vec<String>,
}

/// Connects to the coordinator, or embeds one over agents or snapshots.
pub(crate) async fn ask(source: &Source) -> Result<Asked, Failure> {
    let ways = [source.coordinator.is_some(), !source.agents.is_empty(), !source.snapshots.is_empty()];
    // Not clap's to check: the options may stand on either side of the command.
    if ways.iter().filter(|given| **given).count() > 1 {
        return Err(Failure::usage("--coordinator, --agents and --snapshots exclude each other: give one"));
    }
    if !source.snapshots.is_empty() {
        let (cluster, skipped) =
            offline_cluster(&source.snapshots, Arc::new(SystemClock)).map_err(snapshot_failure)?;
        let note = |file: PathBuf| {
            format!("note: {} is left out: not a file named *.json, *.yaml or *.yml", file.display())
        };
        return Ok(embed(cluster, source, skipped.into_iter().map(note).collect()));
    }
    if !source.agents.is_empty() {
        return agents(source);
    }
    let (from, text) = match &source.coordinator {
        Some(address) => ("--coordinator".to_owned(), address.clone()),
        None => settings::coordinator()?.unwrap_or_else(|| ("default".to_owned(), DEFAULT_SOCKET.to_owned())),
    };
    let address: PeerAddress = text.parse().map_err(|error| Failure::usage(format!("{from}: {error}")))?;
    let client = Client::connect(&address, source.timeout).await?;
    Ok(Asked { client, embedded: None, notes: Vec::new() })
}

fn agents(source: &Source) -> Result<Asked, Failure> {
    let mut entries = Vec::new();
    for text in &source.agents {
        let address: PeerAddress = text.parse().map_err(Failure::usage)?;
        // The address as written is the key: two agents that report one name stay two hosts.
        entries.push(HostEntry::new(text.trim(), Some(address)));
    }
    let registry = Registry::new(entries).map_err(|error| Failure::usage(format!("--agents: {error}")))?;
    let (store, notes) = match open_store(settings::cache_directory().as_deref()) {
        Ok(store) => (Some(store), Vec::new()),
        Err(note) => (None, vec![note]),
    };
    let config =
        Config { host_deadline: Config::default().host_deadline.min(source.timeout), ..Config::default() };
    Ok(embed(cluster_with(&config, registry, store, Arc::new(SystemClock)), source, notes))
}

/// Without a cache every command asks all agents; that is slower, not wrong.
fn open_store(directory: Option<&Path>) -> Result<Arc<dyn Store>, String> {
    let Some(directory) = directory else {
        return Err("note: neither XDG_CACHE_HOME nor HOME is set, so nothing is cached".to_owned());
    };
    match FileStore::open(directory, Sharing::Shared, false) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Err(format!("note: nothing is cached: {error}{cause}"))
        }
    }
}

fn embed(cluster: Cluster, source: &Source, notes: Vec<String>) -> Asked {
    let cluster = Arc::new(cluster.with_cpu_map(source.cpu_map.clone()));
    Asked { client: Client::embedded(Arc::clone(&cluster), source.timeout), embedded: Some(cluster), notes }
}

fn snapshot_failure(error: SnapshotError) -> Failure {
    match &error {
        SnapshotError::Read { source, .. } => Failure::usage(format!("{error}: {source}")),
        _ => Failure::usage(error),
    }
}
