//! Hosts added, changed and removed: one change after another, on the disk before it counts.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use vmuster_proto::model::HostSummary;

use super::Cluster;
use crate::{
    cache::ReadOptions,
    hosts::{
        ChangeError, ConflictError, HostChange, HostsStore, NewHost, Registry, Scope, ScopeError, StateError,
    },
};

/// Why a host was not added, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It is refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// It cannot be kept.
    #[error("nothing has changed")]
    State(#[from] StateError),
    /// The disk hangs, or changes before this one take long.
    #[error(
        "the change was not on the disk before the caller's deadline; it may still be made: look with `hosts list`"
    )]
    Late,
    /// Hosts named by the caller are in no registry.
    #[error(
        "hosts that --agents and --snapshots name are registered nowhere; ask a coordinator (--coordinator ADDR), or \
         name others"
    )]
    Embedded,
    /// A mistake of ours.
    #[error("internal error while writing; see the log")]
    Internal,
}

impl Cluster {
    /// Keeps hosts that are registered by API there; without it none can be.
    #[must_use]
    pub fn with_hosts_store(self, store: Arc<dyn HostsStore>) -> Self {
        Self { hosts_store: Some(store), ..self }
    }

    /// Registers a host; gives its name.
    ///
    /// # Errors
    /// See [`RegisterError`]; nothing has changed, unless it says otherwise.
    pub async fn add_host(
        self: &Arc<Self>,
        new: NewHost,
        deadline: Instant,
    ) -> Result<String, RegisterError> {
        self.change(deadline, move |registry| registry.with_added(new)).await
    }

    /// Changes a host; gives its name.
    ///
    /// # Errors
    /// As of [`Cluster::add_host`].
    pub async fn update_host(
        self: &Arc<Self>,
        name: String,
        change: HostChange,
        deadline: Instant,
    ) -> Result<String, RegisterError> {
        self.change(deadline, move |registry| registry.with_changed(&name, change)).await
    }

    /// Forgets a host, and all that is known of it; gives its name.
    ///
    /// # Errors
    /// As of [`Cluster::add_host`].
    pub async fn remove_host(
        self: &Arc<Self>,
        name: String,
        deadline: Instant,
    ) -> Result<String, RegisterError> {
        self.change(deadline, move |registry| registry.without(&name)).await
    }

    /// One host in a line.
    ///
    /// # Errors
    /// It has been removed meanwhile.
    pub async fn summary_of(&self, name: &str, options: ReadOptions) -> Result<HostSummary, ScopeError> {
        let (hosts, ..) = self.list(&Scope::of(name), options, None, 1).await?;
        hosts.into_iter().next().ok_or_else(|| ScopeError::NotRegistered(vec![name.to_owned()]))
    }

    /// The hosts file was read again. What was registered by API stays; gives how many hosts there are now.
    ///
    /// # Errors
    /// The two contradict each other; nothing has changed.
    pub async fn reload(&self, file: Registry) -> Result<usize, ConflictError> {
        let _turn = self.changing.lock().await;
        let old = self.registry.load_full();
        let registry = Registry::joined(file.with_profile(old.profile()), old.registered())?;
        let count = registry.len();
        self.set_registry(registry).await;
        Ok(count)
    }

    async fn change(
        self: &Arc<Self>,
        deadline: Instant,
        make: impl FnOnce(&Registry) -> Result<(Registry, String), ChangeError> + Send + 'static,
    ) -> Result<String, RegisterError> {
        let store = self.hosts_store.clone().ok_or(RegisterError::Embedded)?;
        let cluster = Arc::clone(self);
        // A task of its own: a caller that goes away half-way must not leave disk and memory at odds.
        let changing = tokio::spawn(async move {
            let turn = timeout_at(deadline, cluster.changing.lock()).await;
            let _turn = turn.map_err(|_| RegisterError::Late)?;
            let old = cluster.registry.load_full();
            let (registry, name) = make(&old)?;
            if registry == *old {
                return Ok(name);
            }
            let hosts = registry.registered();
            let saving = tokio::task::spawn_blocking(move || store.save(&hosts));
            saving.await.map_err(|_| RegisterError::Internal)??;
            cluster.set_registry(registry).await;
            Ok(name)
        });
        match timeout_at(deadline, changing).await {
            Ok(Ok(changed)) => changed,
            Ok(Err(_)) => Err(RegisterError::Internal),
            Err(_) => Err(RegisterError::Late),
        }
    }
}

#[cfg(test)]
#[path = "register_tests.rs"]
mod tests;
