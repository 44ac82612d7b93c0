//! Questions about the cluster, answered from registry and cache.
//!
//! Knows which hosts a question needs and how fresh they must be. Must not know the wire.

mod baseline;
mod flags;
mod hosts;
mod kept;
mod migration;
mod register;
mod vendor;

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt as _, stream::FuturesUnordered};
use tokio::time::Instant;
use vmuster_proto::model::{HostSummary, Issue};

pub use baseline::BaselineQuestion;
pub use flags::FlagsQuestion;
pub(crate) use hosts::AskedUsage;
pub use hosts::HostReport;
use kept::KeptAnswers;
pub use migration::{ClaimsOn, Guest, MigrationError, MigrationQuestion};
pub use register::RegisterError;

use crate::{
    cache::{Counts, HostCache, HostView, ReadOptions, StoreProblem},
    cpu_map::DEFAULT_CPU_MAP,
    hosts::{HostsStore, Registry, Scope, ScopeError},
};

/// Why a question about the cluster has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The scope is wrong.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The one host asked for is not known at all.
    #[error("host '{host}' has no record and cannot be asked: {detail}")]
    HostMissing {
        /// Which.
        host: String,
        /// Why.
        detail: String,
    },
    /// Saved snapshots cannot be refreshed.
    #[error("saved snapshots cannot be asked again; use --coordinator or --agents")]
    Offline,
}

/// Registry and cache.
#[derive(Debug)]
pub struct Cluster {
    registry: ArcSwap<Registry>,
    /// None: hosts are named by the caller, and none is registered.
    hosts_store: Option<Arc<dyn HostsStore>>,
    /// Changes of the registry, one at a time.
    changing: tokio::sync::Mutex<()>,
    cache: Arc<HostCache>,
    cpu_map_directory: PathBuf,
    kept: KeptAnswers,
}

impl Cluster {
    /// A cluster of these hosts.
    #[must_use]
    pub fn new(registry: Registry, cache: Arc<HostCache>) -> Self {
        Self {
            registry: ArcSwap::from_pointee(registry),
            hosts_store: None,
            changing: tokio::sync::Mutex::default(),
            cache,
            cpu_map_directory: DEFAULT_CPU_MAP.into(),
            kept: KeptAnswers::default(),
        }
    }

    /// libvirt's cpu_map files elsewhere than where its packages put them.
    #[must_use]
    pub fn with_cpu_map(self, cpu_map_directory: PathBuf) -> Self {
        Self { cpu_map_directory, ..self }
    }

    /// Who is in the cluster.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// Swaps the registry; questions under way keep the old one. Hosts that left are forgotten.
    pub async fn set_registry(&self, registry: Registry) {
        let registry = Arc::new(registry);
        let old = self.registry.swap(Arc::clone(&registry));
        let left = old.iter().filter(|host| registry.get(&host.name).is_none());
        self.cache.forget(left.map(|host| host.name.clone()).collect()).await;
    }

    /// Begins to read what is cached of every host, so that the first question need not wait for all of it.
    pub fn load_ahead(&self) {
        self.cache.load_ahead(self.registry.load().iter().map(|host| host.name.as_str()));
    }

    /// What is known, for the CLI's closing notes.
    #[must_use]
    pub fn cache(&self) -> &Arc<HostCache> {
        &self.cache
    }

    /// The hosts in scope, by name, each as fresh as asked or with the reason why not.
    ///
    /// # Errors
    /// The scope is wrong.
    pub async fn read(&self, scope: &Scope, options: ReadOptions) -> Result<Vec<HostView>, ScopeError> {
        let hosts = scope.select(&self.registry.load())?;
        let views = self.cache.read_all(&hosts, options).await;
        Ok(of_arch(views, scope.arch.as_deref()))
    }

    /// One page of hosts after `after`, with the number of all in scope.
    ///
    /// # Errors
    /// The scope is wrong.
    pub async fn list(
        &self,
        scope: &Scope,
        options: ReadOptions,
        after: Option<&str>,
        page_size: usize,
    ) -> Result<(Vec<HostSummary>, usize, Option<String>), ScopeError> {
        let registry = self.registry.load_full();
        let hosts = scope.select(&registry)?;
        let start = after.map_or(0, |after| hosts.partition_point(|host| host.name.as_str() <= after));
        let end = hosts.len().min(start + page_size);
        let page = &hosts[start..end];
        let views = self.cache.read_all(page, options).await;
        let next = page.last().filter(|_| end < hosts.len()).map(|host| host.name.clone());
        let views = of_arch(views, scope.arch.as_deref());
        if views.is_empty() && after.is_none() && next.is_none() {
            return Err(none_of_arch(scope));
        }
        let summaries = views.iter().map(|view| HostSummary {
            last_failure: self.cache.last_failure(&view.entry).map(Into::into),
            ..summary(view, &registry)
        });
        Ok((summaries.collect(), hosts.len(), next))
    }

    /// How all hosts stand. Nobody is asked.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.cache.counts(self.registry.load().iter())
    }

    /// What is wrong with the coordinator itself.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        self.cache.store_problem().iter().map(StoreProblem::issue).collect()
    }

    /// Asks the hosts in scope again; each view comes as its host ends. The first value is how many there will be.
    ///
    /// # Errors
    /// The scope is wrong, or there is nobody to ask.
    pub fn refresh(
        self: &Arc<Self>,
        scope: &Scope,
        options: ReadOptions,
    ) -> Result<(usize, impl Stream<Item = HostView> + Send + use<>), ClusterError> {
        if self.cache.fetcher().is_none() {
            return Err(ClusterError::Offline);
        }
        let hosts = scope.select(&self.registry.load())?;
        let count = hosts.len();
        self.cache.load_ahead(hosts.iter().map(|host| host.name.as_str()));
        let reads: FuturesUnordered<_> = hosts
            .into_iter()
            .map(|host| {
                let cache = Arc::clone(&self.cache);
                async move { cache.read(&host, options).await }
            })
            .collect();
        Ok((count, reads.map(|view| view)))
    }
}

fn none_of_arch(scope: &Scope) -> ScopeError {
    ScopeError::Empty(format!("no host in scope is {}", scope.arch.as_deref().unwrap_or_default()))
}

/// Hosts of an architecture, and those that may be of it.
fn of_arch(mut views: Vec<HostView>, arch: Option<&str>) -> Vec<HostView> {
    views.retain(|view| is_of_arch(view, arch));
    views
}

fn is_of_arch(view: &HostView, wanted: Option<&str>) -> bool {
    let known = view.record.as_ref().and_then(|record| record.inventory.arch());
    wanted.zip(known).is_none_or(|(wanted, known)| wanted == known)
}

fn summary(view: &HostView, registry: &Registry) -> HostSummary {
    let record = view.record.as_deref();
    let inventory = record.map(|record| &record.inventory);
    let cpu = inventory.and_then(|inventory| inventory.cpu.as_ref());
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    HostSummary {
        standing: view.standing(),
        labels: view.entry.labels.clone(),
        maintenance: view.entry.maintenance,
        arch: inventory.and_then(|inventory| inventory.arch()).map(str::to_owned),
        cpu_vendor: cpu.and_then(|cpu| cpu.vendor.clone()),
        cpu_model_name: cpu.and_then(|cpu| cpu.model_name.clone()),
        socket_count: cpu.and_then(|cpu| cpu.socket_count),
        core_count: cpu.and_then(|cpu| cpu.core_count),
        thread_count: cpu.and_then(|cpu| cpu.thread_count),
        numa_node_count: inventory.and_then(|i| i.numa.as_ref()).map(|numa| count(numa.nodes.len())),
        memory_total_bytes: inventory.and_then(|i| i.memory.as_ref()).and_then(|memory| memory.total_bytes),
        host_flag_count: cpu.and_then(|cpu| cpu.host_flags.as_ref()).map(|flags| count(flags.len())),
        issue_count: record.map_or(0, |record| count(record.issues.len())),
        origin: view.entry.origin,
        settings: view.entry.origin.map(|_| registry.settings_of(&view.entry)),
        last_failure: None,
    }
}

/// A read that must end this long from now.
#[must_use]
pub fn read_within(max_age: Option<Duration>, time: Duration) -> ReadOptions {
    ReadOptions { max_age, deadline: Instant::now() + time }
}
