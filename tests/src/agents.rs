//! Real agents in this process, each on a Unix socket.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use tokio::{sync::oneshot, task::JoinHandle};
use vmuster_agent::{
    config::Config,
    server::Agent,
    service::CallCounters,
    snapshot::{Host, HostSource},
};
use vmuster_proto::{clock::SystemClock, transport::ListenAddress};

/// An agent of a recorded host.
#[derive(Debug)]
pub struct TestAgent {
    /// "unix:/…".
    pub address: String,
    calls: Arc<CallCounters>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

/// What an agent was asked so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// GetInventory with a body in the answer.
    pub inventories: u64,
    /// GetInventory answered "unchanged".
    pub unchanged: u64,
    /// GetUsage.
    pub usages: u64,
}

impl TestAgent {
    /// Serves the recorded host in `recorded` on `socket`.
    pub async fn start(recorded: &Path, socket: PathBuf) -> Self {
        Self::serve(recorded, None, socket).await
    }

    /// The same, configured to call itself so.
    pub async fn named(name: &str, recorded: &Path, socket: PathBuf) -> Self {
        Self::serve(recorded, Some(name.to_owned()), socket).await
    }

    async fn serve(recorded: &Path, name: Option<String>, socket: PathBuf) -> Self {
        let source = HostSource::recorded(recorded).expect("a recorded host");
        let host = Host::new(source, name, Arc::new(SystemClock));
        let config = Config { listen: vec![ListenAddress::Unix(socket)], ..Config::default() };
        let agent = Agent::start(&config, host).await.expect("an agent");
        let address = agent.addresses()[0].to_string();
        let calls = agent.calls();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            agent.run(async { drop(stopped.await) }).await.expect("serves until stopped");
        });
        Self { address, calls, stop: Some(stop), running: Some(running) }
    }

    /// What it was asked so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        Calls {
            inventories: self.calls.inventories.load(Ordering::SeqCst),
            unchanged: self.calls.unchanged.load(Ordering::SeqCst),
            usages: self.calls.usages.load(Ordering::SeqCst),
        }
    }

    /// Stops it and waits until its socket is gone.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.await.expect("ends without a panic");
        }
    }
}
