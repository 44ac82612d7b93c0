//! A real coordinator in this process.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use vmuster_coordinator::{cluster::Cluster, config::Config, server::Coordinator};
use vmuster_proto::{clock::SystemClock, transport::ListenAddress};

/// A coordinator with its hosts file, cache and socket in one directory.
#[derive(Debug)]
pub struct TestCoordinator {
    /// "unix:/…".
    pub address: String,
    /// What it answers from.
    pub cluster: Arc<Cluster>,
    reload: mpsc::Sender<()>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
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
        write_hosts_file(&directory.join("hosts.toml"), hosts);
        let config = Config {
            listen: vec![ListenAddress::Unix(directory.join("coordinator.sock"))],
            hosts_file: directory.join("hosts.toml"),
            cache_dir: directory.join("cache"),
            ..Config::default()
        };
        let coordinator = Coordinator::start(config, Arc::new(SystemClock)).await.expect("a coordinator");
        let address = coordinator.addresses()[0].to_string();
        let cluster = coordinator.cluster();
        let (reload, reloads) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            coordinator.run(reloads, async { drop(stopped.await) }).await.expect("serves until stopped");
        });
        Self { address, cluster, reload, stop: Some(stop), running: Some(running) }
    }

    /// As SIGHUP does.
    pub async fn reload(&self) {
        self.reload.send(()).await.expect("it is running");
    }

    /// Stops it and waits until its socket and cache are free.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.await.expect("ends without a panic");
        }
    }
}
