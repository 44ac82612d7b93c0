//! A real coordinator in this process.

use std::{fmt::Write as _, fs, path::Path, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use vmuster_coordinator::{cluster::Cluster, config::Config, server::Coordinator};
use vmuster_proto::{
    clock::{SharedClock, SystemClock},
    transport::ListenAddress,
};

/// A coordinator with its hosts file, cache and socket in one directory.
#[derive(Debug)]
pub struct TestCoordinator {
    /// "unix:/…".
    pub address: String,
    /// What it answers from.
    pub cluster: Arc<Cluster>,
    reload: mpsc::Sender<()>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// Writes a hosts file of these (name, address).
pub fn write_hosts_file(path: &Path, hosts: &[(&str, &str)]) {
    let mut text = String::new();
    for (name, address) in hosts {
        writeln!(text, "[[host]]\nname = {name:?}\naddress = {address:?}").expect("a string");
    }
    fs::write(path, text).expect("the hosts file");
}

impl TestCoordinator {
    /// Serves these hosts from `directory`.
    pub async fn start(directory: &Path, hosts: &[(&str, &str)]) -> Self {
        Self::start_with(directory, hosts, Arc::new(SystemClock)).await
    }

    /// The same by a clock of the test's.
    pub async fn start_with(directory: &Path, hosts: &[(&str, &str)], clock: SharedClock) -> Self {
        write_hosts_file(&directory.join("hosts.toml"), hosts);
        let config = Config {
            listen: vec![ListenAddress::Unix(directory.join("coordinator.sock"))],
            hosts_file: directory.join("hosts.toml"),
            cache_dir: directory.join("cache"),
            state_dir: directory.join("state"),
            ..Config::default()
        };
        let coordinator = Coordinator::start(config, clock, Handle::current()).await.expect("a coordinator");
        let address = coordinator.addresses()[0].to_string();
        let cluster = coordinator.cluster();
        let (reload, reloads) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            coordinator.run(reloads, async { drop(stopped.await) }).await.expect("serves until stopped");
        });
        Self { address, cluster, reload, stop, running }
    }

    /// As SIGHUP does.
    pub async fn reload(&self) {
        self.reload.send(()).await.expect("it is running");
    }

    /// Stops it and waits until nothing of it is left: the cache directory is free for the next.
    pub async fn stop(self) {
        let Self { cluster, stop, running, .. } = self;
        drop(stop);
        running.await.expect("ends without a panic");
        let left = Arc::downgrade(&cluster);
        drop(cluster);
        let gone = async {
            // Connections' own tasks end on their own; there is no event to wait for but their end.
            while left.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("every connection ends");
    }
}
