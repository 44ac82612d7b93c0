//! An agent as a server: sockets, shutdown.

use std::{future::Future, io, path::PathBuf, sync::Arc};

use vmuster_proto::{
    pb::agent_service_server::{AgentServiceServer, SERVICE_NAME},
    transport::{
        AGENT_REPLY_MAX_BYTES, Limits, ListenAddress, ListenError, Listener, REQUEST_MAX_BYTES, RolePolicy,
        ServeError, UnknownGroup, bind, group_id, serve, standard_routes,
    },
};

use crate::{
    collector_thread::CollectorThread,
    config::Config,
    cpu_questions::CpuQuestions,
    service::{AgentApi, CallCounters},
    snapshot::Host,
    watch::StepDeadlines,
};

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is nothing to listen on.
    #[error("`listen` must not be empty")]
    NoListener,
    /// Every collection would be too late.
    #[error("`collect_deadline` must not be zero")]
    NoTime,
    /// What it is relative to, nobody could say.
    #[error("`{key}` must be an absolute path, and {} is none", path.display())]
    NotAbsolute {
        /// Which setting.
        key: &'static str,
        /// As it is written.
        path: PathBuf,
    },
    /// A name that no pool has.
    #[error("`image_pools` has an empty name")]
    NamelessPool,
    /// The configured group does not exist.
    #[error(transparent)]
    Group(#[from] UnknownGroup),
    /// Cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No thread to collect on.
    #[error("cannot start the collector's thread")]
    Thread(#[source] io::Error),
    /// The server failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Looks at everything that can be looked at without changing anything; gives the sockets' group.
///
/// # Errors
/// A value that cannot work, a group that does not exist, a listener that is refused.
pub fn check(config: &Config) -> Result<Option<u32>, ServerError> {
    if config.listen.is_empty() {
        return Err(ServerError::NoListener);
    }
    if config.collect_deadline.is_zero() {
        return Err(ServerError::NoTime);
    }
    if let Some(address) = config.listen.iter().find(|address| !address.is_local() && !config.insecure) {
        return Err(ListenError::Insecure(address.clone()).into());
    }
    let directories = config.image_directories.iter().map(|path| ("image_directories", path));
    let mut paths = std::iter::once(("hypervisor_socket", &config.hypervisor_socket)).chain(directories);
    if let Some((key, path)) = paths.find(|(_, path)| !path.is_absolute()) {
        return Err(ServerError::NotAbsolute { key, path: path.clone() });
    }
    if config.image_pools.iter().any(|name| name.trim().is_empty()) {
        return Err(ServerError::NamelessPool);
    }
    Ok(config.socket_group.as_deref().map(group_id).transpose()?)
}

/// An agent that listens and can be run.
#[derive(Debug)]
pub struct Agent {
    api: AgentApi,
    thread: CollectorThread,
    listeners: Vec<Listener>,
}

impl Agent {
    /// Binds the sockets and starts the collector's thread.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(config: &Config, host: Host) -> Result<Self, ServerError> {
        let group = check(config)?;
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = bind(address, config.insecure, group).await?;
            tracing::info!(name = host.name(), address = %listener.address(), "listening");
            listeners.push(listener);
        }
        let cpus = CpuQuestions::new(host.reader_socket());
        let thread =
            CollectorThread::start(Arc::new(host), config.collect_deadline, StepDeadlines::default())
                .map_err(ServerError::Thread)?;
        Ok(Self { api: AgentApi::new(thread.clone(), cpus), thread, listeners })
    }

    /// Where it listens, with the ports the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.listeners.iter().map(|listener| listener.address().clone()).collect()
    }

    /// Calls answered so far.
    #[must_use]
    pub fn calls(&self) -> Arc<CallCounters> {
        self.api.calls()
    }

    /// Answers until `shutdown` resolves.
    ///
    /// # Errors
    /// The server failed.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServerError> {
        let service = AgentServiceServer::new(self.api)
            .max_decoding_message_size(REQUEST_MAX_BYTES)
            .max_encoding_message_size(AGENT_REPLY_MAX_BYTES);
        let mut routes = standard_routes(SERVICE_NAME).await?;
        routes.add_service(service);
        let api_thread = self.thread;
        // A libvirt that was just started takes seconds to say what guests can be given: better before anybody waits.
        tokio::spawn(async move { drop(api_thread.inventory().await) });
        // An agent changes nothing, so there is no role above reader to give.
        let policy = RolePolicy::default();
        Ok(serve(routes.routes(), self.listeners, &policy, Limits::AGENT, shutdown).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_depend_on_where_the_agent_was_started_are_refused() {
        assert!(check(&Config::default()).is_ok());
        let problem = |config: Config| check(&config).expect_err("refused").to_string();
        let socket = Config { hypervisor_socket: "hypervisor.sock".into(), ..Config::default() };
        assert_eq!(
            problem(socket),
            "`hypervisor_socket` must be an absolute path, and hypervisor.sock is none"
        );
        let directories = vec!["/srv/images".into(), "images".into()];
        let directories = Config { image_directories: directories, ..Config::default() };
        assert_eq!(problem(directories), "`image_directories` must be an absolute path, and images is none");
        let pools = Config { image_pools: vec![" ".to_owned()], ..Config::default() };
        assert_eq!(problem(pools), "`image_pools` has an empty name");
    }
}
