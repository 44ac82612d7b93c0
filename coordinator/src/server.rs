//! A coordinator as a server: sockets, reload, shutdown.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::{JoinError, spawn_blocking},
};
use vmuster_proto::{
    clock::SharedClock,
    pb::{
        cluster_service_server::{ClusterServiceServer, SERVICE_NAME},
        placement_service_server::PlacementServiceServer,
    },
    transport::{
        CLUSTER_REPLY_MAX_BYTES, Limits, ListenAddress, ListenError, Listener, REQUEST_MAX_BYTES, RolePolicy,
        ServeError, UnknownGroup, bind, group_id, serve, standard_routes,
    },
};

use crate::{
    cache::{FileStore, HostCache, Sharing, Store, StoreError},
    claims::{ClaimStoreError, Ledger, SqliteClaims},
    cluster::Cluster,
    config::{Config, InvalidValue},
    fetch::Fetcher,
    hosts::{
        ConflictError, HostsFileError, Registry, StateDirectory, StateError, read_hosts_file, read_state,
    },
    metrics::{self, Counted, NotLocal, Scraper},
    scheduler::Scheduler,
    service::{ANSWER_CODEC, ClusterApi, PlacementApi},
    statistics::Statistics,
};

/// For the last entries to reach the disk when the coordinator is stopped. They can be fetched again.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);

/// Why a coordinator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A value that cannot work.
    #[error(transparent)]
    Config(#[from] InvalidValue),
    /// The hosts file is wrong.
    #[error(transparent)]
    Hosts(#[from] HostsFileError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The hosts file and what was registered contradict each other.
    #[error(transparent)]
    Conflict(#[from] ConflictError),
    /// The cache directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The claims cannot be used.
    #[error(transparent)]
    Claims(#[from] ClaimStoreError),
    /// Opening them panicked.
    #[error("the claims could not be opened")]
    Opening(#[source] JoinError),
    /// Metrics for other machines.
    #[error(transparent)]
    Metrics(#[from] NotLocal),
    /// A configured group does not exist.
    #[error(transparent)]
    Group(#[from] UnknownGroup),
    /// Cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The server failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Where agents are asked, apart from where callers are answered: thousands of answers to take in at once would else stand
/// before each step of every call. Of the same priority: what takes an answer in holds locks that callers wait for.
///
/// # Errors
/// The system has no threads.
pub fn fetch_runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().thread_name("fetch").enable_all().build()
}

/// A cluster that asks agents and keeps what they say in `store`; without one, in memory only.
#[must_use]
pub fn cluster_with(
    config: &Config,
    registry: Registry,
    store: Option<Arc<dyn Store>>,
    clock: SharedClock,
) -> Cluster {
    Cluster::new(registry, Arc::new(counting_cache(config, store, clock, Arc::default())))
        .with_cpu_map(config.cpu_map_directory.clone())
}

/// What a cluster knows, counting there.
fn counting_cache(
    config: &Config,
    store: Option<Arc<dyn Store>>,
    clock: SharedClock,
    statistics: Arc<Statistics>,
) -> HostCache {
    let fetcher = Fetcher::new(config.fetch_concurrency, config.host_deadline);
    let fetcher = Arc::new(fetcher.with_statistics(Arc::clone(&statistics)));
    HostCache::new(store, fetcher, clock, config.ttl, config.failure_ttl).with_statistics(statistics)
}

/// Placement over a cluster; without a ledger it only tells.
#[must_use]
pub fn scheduler_of(config: &Config, cluster: &Arc<Cluster>, ledger: Option<Ledger>) -> Arc<Scheduler> {
    counting_scheduler(config, cluster, ledger, Arc::default())
}

/// The same, counting there.
fn counting_scheduler(
    config: &Config,
    cluster: &Arc<Cluster>,
    ledger: Option<Ledger>,
    statistics: Arc<Statistics>,
) -> Arc<Scheduler> {
    let classes = config.storage_classes.clone();
    let scheduler = Scheduler::new(Arc::clone(cluster), ledger, config.usage_max_age, classes, ANSWER_CODEC);
    Arc::new(scheduler.with_statistics(statistics))
}

/// What a good configuration amounts to.
#[derive(Debug)]
pub struct Checked {
    /// Of the hosts file.
    file: Registry,
    policy: RolePolicy,
    /// Of the Unix sockets.
    group: Option<u32>,
}

/// Looks at everything that can be looked at without changing anything.
///
/// # Errors
/// A value that cannot work, hosts that cannot be used, a group that does not exist, a listener that is refused.
pub fn check(config: &Config) -> Result<Checked, ServerError> {
    config.check()?;
    if let Some(address) = config.listen.iter().find(|address| !address.is_local() && !config.insecure) {
        return Err(ListenError::Insecure(address.clone()).into());
    }
    metrics::check(&config.metrics_listen)?;
    let file = read_hosts_file(&config.hosts_file)?.with_profile(config.accounting);
    tracing::info!(hosts = file.len(), file = %config.hosts_file.display(), "read the hosts file");
    Registry::joined(file.clone(), read_state(&config.state_dir)?)?;
    let policy = RolePolicy::from_groups(&config.operator_groups, &config.admin_groups)?;
    let group = config.socket_group.as_deref().map(group_id).transpose()?;
    Ok(Checked { file, policy, group })
}

/// A coordinator that listens and can be run.
#[derive(Debug)]
pub struct Coordinator {
    config: Config,
    cluster: Arc<Cluster>,
    scheduler: Arc<Scheduler>,
    listeners: Vec<Listener>,
    metrics: Vec<Listener>,
    scraper: Scraper,
    statistics: Arc<Statistics>,
    policy: RolePolicy,
}

impl Coordinator {
    /// Reads the hosts, opens cache and claims, binds the sockets. Agents are asked on the runtime `fetching`.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(config: Config, clock: SharedClock, fetching: Handle) -> Result<Self, ServerError> {
        let Checked { file, policy, group } = check(&config)?;
        let (state, registered) = StateDirectory::open(&config.state_dir)?;
        if !registered.is_empty() {
            tracing::info!(hosts = registered.len(), directory = %config.state_dir.display(), "read the registered hosts");
        }
        let registry = Registry::joined(file, registered)?;
        // Beside all that follows: it waits for the disk.
        let claims = spawn_blocking({
            let directory = config.state_dir.clone();
            move || Ledger::open(Arc::new(SqliteClaims::open(&directory)?))
        });
        let opened = FileStore::open_or_wait(&config.cache_dir, Sharing::Exclusive, config.cache_fsync);
        let (store, problem) = opened?;
        let (store, statistics) = (Arc::new(store), Arc::new(Statistics::default()));
        let shared: Arc<dyn Store> = Arc::<FileStore>::clone(&store);
        let cache = counting_cache(&config, Some(shared), Arc::clone(&clock), Arc::clone(&statistics));
        let cache = Arc::new(cache.with_runtime(fetching));
        let cluster = Cluster::new(registry.clone(), cache).with_cpu_map(config.cpu_map_directory.clone());
        // First, so that it goes on while the rest is done.
        cluster.load_ahead();
        forget_others(&config, &cluster, &store, problem, &registry);
        let cluster = Arc::new(cluster.with_hosts_store(Arc::new(state)));
        let ledger = claims.await.map_err(ServerError::Opening)??;
        let scheduler = counting_scheduler(&config, &cluster, Some(ledger), Arc::clone(&statistics));
        for (host, count) in scheduler.strays() {
            tracing::warn!(
                host,
                count,
                "there are claims on a host that is not registered; `vmuster claims list --host` shows them, \
                 `vmuster claims release` gives them back"
            );
        }
        // First: who sees that it listens may scrape it.
        let metrics = metrics::listen(&config.metrics_listen, group).await?;
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = bind(address, config.insecure, group).await?;
            tracing::info!(address = %listener.address(), "listening");
            listeners.push(listener);
        }
        let scraper =
            Scraper::new(Arc::clone(&statistics), Arc::clone(&cluster), Arc::clone(&scheduler), &clock);
        Ok(Self { config, cluster, scheduler, listeners, metrics, scraper, statistics, policy })
    }

    /// Where it listens, with the ports the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.listeners.iter().map(|listener| listener.address().clone()).collect()
    }

    /// Where it serves metrics.
    #[must_use]
    pub fn metrics_addresses(&self) -> Vec<ListenAddress> {
        self.metrics.iter().map(|listener| listener.address().clone()).collect()
    }

    /// What it answers from.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster)
    }

    /// Answers until `shutdown` resolves; `reload` is polled for requests to read the hosts file again.
    ///
    /// # Errors
    /// The server failed.
    pub async fn run(
        self,
        mut reload: tokio::sync::mpsc::Receiver<()>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServerError> {
        let call_deadline = self.config.call_deadline;
        let api = ClusterApi::new(Arc::clone(&self.cluster), call_deadline)
            .with_scheduler(Arc::clone(&self.scheduler));
        let placement =
            PlacementServiceServer::new(PlacementApi::new(Arc::clone(&self.scheduler), call_deadline))
                .max_decoding_message_size(REQUEST_MAX_BYTES)
                .max_encoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        let service = ClusterServiceServer::new(api)
            .max_decoding_message_size(REQUEST_MAX_BYTES)
            .max_encoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        let mut routes = standard_routes(SERVICE_NAME).await?;
        routes.add_service(Counted::new(service, Arc::clone(&self.statistics)));
        routes.add_service(Counted::new(placement, self.statistics));
        let (cluster, hosts_file) = (self.cluster, self.config.hosts_file);
        let reloads = async {
            while reload.recv().await.is_some() {
                reload_hosts(&cluster, &hosts_file).await;
            }
            std::future::pending::<()>().await;
        };
        let serving = serve(routes.routes(), self.listeners, &self.policy, Limits::COORDINATOR, shutdown);
        // Scrapes go on while calls under way end; then they are cut with all else.
        let scraping = metrics::serve(self.metrics, self.scraper);
        let ended = tokio::select! {
            ended = serving => ended,
            () = reloads => Ok(()),
            () = scraping => Ok(()),
        };
        if !cluster.cache().settle(SETTLE_PATIENCE).await {
            tracing::warn!("the cache's disk is slow or hangs: some of what was learned last is not on it");
        }
        if !self.scheduler.close(SETTLE_PATIENCE).await {
            tracing::error!("the disk of the claims hangs: some of what was asked last may not be kept");
        }
        Ok(ended?)
    }
}

/// Entries of hosts that left while nobody looked are removed. A directory that cannot be written is no reason not to start:
/// questions are answered without it, hosts then have to be asked again after the next start.
fn forget_others(
    config: &Config,
    cluster: &Cluster,
    store: &FileStore,
    mut problem: Option<StoreError>,
    registry: &Registry,
) {
    match store.forget_others(registry.iter().map(|host| host.name.as_str())) {
        Ok(0) => {}
        Ok(files) => {
            tracing::info!(files, "forgot what was cached of hosts that are not registered any more");
        }
        Err(error) => problem = problem.or(Some(error)),
    }
    if let Some(problem) = problem {
        tracing::error!(
            directory = %config.cache_dir.display(),
            "starting although the cache cannot be written: what is learned of hosts is lost at the next restart"
        );
        cluster.cache().report_unusable_store(&problem);
    }
}

/// A file that cannot be used leaves the cluster as it is and says so.
async fn reload_hosts(cluster: &Cluster, hosts_file: &Path) {
    match read_hosts_file(hosts_file) {
        Ok(file) => match cluster.reload(file).await {
            Ok(hosts) => tracing::info!(hosts, file = %hosts_file.display(), "read the hosts file again"),
            Err(error) => tracing::error!("the hosts stay as they were: {error}"),
        },
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::error!("the hosts stay as they were: {error:#}");
        }
    }
}
