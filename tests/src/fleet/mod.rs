//! A simulated fleet: many agents in this process, each with a listener on a loopback address of its own, that answer from
//! memory and behave as they are told. The same seed gives the same hosts.
//!
//! One gRPC server answers for all of them; a host costs its listener and its name.

mod host;
mod service;
mod source;

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use vmuster_proto::{daemon::allow_descriptors, model::Domain};

pub use host::{Asked, Manner};
pub use source::Source;

use host::{SimulatedHost, mix};
use service::{Agents, Hosts, accept};

/// Each host holds a descriptor, and most machines allow a process 20,000 or more.
pub const FLEET_MAX_HOSTS: usize = 5000;

/// For connections, beside one for each listener.
const SPARE_DESCRIPTORS: u64 = 4096;

/// A coordinator asks one thing on a connection.
const STREAMS_MAX: u32 = 16;

/// Connections that were taken and that the server has not seen yet.
const DOOR_CAPACITY: usize = 64;

/// Hosts in a /24 of 127.80.0.0/12, away from the addresses that other tests and programs use.
const HOSTS_PER_NET: usize = 250;

/// Agents that listen until this is dropped.
#[derive(Debug)]
pub struct Fleet {
    hosts: Arc<Hosts>,
    /// A host that is gone has none.
    accepting: Vec<Mutex<Option<JoinHandle<()>>>>,
    door: mpsc::Sender<std::io::Result<TcpStream>>,
    /// Dropped with the fleet, which ends the server and the calls that hang.
    _stop: watch::Sender<()>,
}

fn address_of(index: usize) -> SocketAddr {
    let part = |number: usize| u8::try_from(number).expect("below FLEET_MAX_HOSTS");
    let (net, host) = (part(index / HOSTS_PER_NET), part(index % HOSTS_PER_NET + 1));
    (Ipv4Addr::new(127, 80, net, host), 0).into()
}

impl Fleet {
    /// So many hosts, by turns like these sources.
    ///
    /// # Panics
    /// Too many, none, or no more descriptors.
    pub async fn start(count: usize, seed: u64, sources: Vec<Source>) -> Self {
        assert!((1..=FLEET_MAX_HOSTS).contains(&count), "1 to {FLEET_MAX_HOSTS} hosts, not {count}");
        allow_descriptors(count as u64 + SPARE_DESCRIPTORS).expect("up to the hard limit");
        let sources: Vec<_> = sources.into_iter().map(Arc::new).collect();
        let (mut all, mut by_address, mut listeners) = (Vec::new(), HashMap::new(), Vec::new());
        for index in 0..count {
            let listener = TcpListener::bind(address_of(index)).await.expect("a listener");
            let address = listener.local_addr().expect("an address");
            let source = Arc::clone(&sources[index % sources.len()]);
            let key = mix(seed ^ mix(index as u64));
            all.push(SimulatedHost::new(format!("kvm-{index:04}"), address, source, key));
            by_address.insert(address, index);
            listeners.push(listener);
        }
        let hosts = Arc::new(Hosts { all, by_address });
        let (door, connections) = mpsc::channel(DOOR_CAPACITY);
        let (stop, stopped) = watch::channel(());
        let agents = Agents { hosts: Arc::clone(&hosts), stopped: stopped.clone() };
        let server = Server::builder().max_concurrent_streams(STREAMS_MAX).add_service(agents);
        tokio::spawn(async move {
            let mut stopped = stopped;
            let shutdown = async { drop(stopped.changed().await) };
            let served =
                server.serve_with_incoming_shutdown(ReceiverStream::new(connections), shutdown).await;
            served.expect("serves until stopped");
        });
        let accepting = listeners.into_iter().enumerate().map(|(index, listener)| {
            Mutex::new(Some(tokio::spawn(accept(listener, Arc::clone(&hosts), index, door.clone()))))
        });
        Self { accepting: accepting.collect(), hosts, door, _stop: stop }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hosts.all.len()
    }

    /// "kvm-0007".
    #[must_use]
    pub fn name(&self, host: usize) -> &str {
        &self.hosts.all[host].name
    }

    /// "127.80.0.8:40001".
    #[must_use]
    pub fn address(&self, host: usize) -> String {
        self.hosts.all[host].address.to_string()
    }

    /// /etc/machine-id.
    #[must_use]
    pub fn machine_id(&self, host: usize) -> String {
        self.hosts.all[host].machine_id()
    }

    /// Of the boot that it is in.
    #[must_use]
    pub fn boot_id(&self, host: usize) -> String {
        self.hosts.all[host].boot_id()
    }

    /// Of the inventory that holds.
    #[must_use]
    pub fn fingerprint(&self, host: usize) -> String {
        self.hosts.all[host].fingerprint()
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self, host: usize) -> Asked {
        self.hosts.all[host].asked()
    }

    /// A hosts file: each host with the recorded host it is like as its label.
    #[must_use]
    pub fn hosts_file(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts.all {
            let (name, address, like) = (&host.name, host.address, &host.source.name);
            writeln!(
                text,
                "[[host]]\nname = \"{name}\"\naddress = \"{address}\"\nlabels = {{ like = \"{like}\" }}"
            )
            .expect("a string");
        }
        text
    }

    /// From now on it behaves so; calls under way are not concerned.
    ///
    /// # Panics
    /// Somebody took its address while it was gone.
    pub async fn set(&self, host: usize, manner: Manner) {
        if let Manner::LiesAs(other) = manner {
            assert!(other < self.count(), "there is no host {other}");
        }
        self.hosts.all[host].set_manner(manner);
        let accepting = || self.accepting[host].lock().unwrap_or_else(PoisonError::into_inner);
        if manner == Manner::Gone {
            let task = accepting().take();
            if let Some(task) = task {
                task.abort();
                // The listener is closed when the task has ended.
                let _ = task.await;
            }
        } else if accepting().is_none() {
            let listener = TcpListener::bind(self.hosts.all[host].address).await.expect("its own address");
            let task = accept(listener, Arc::clone(&self.hosts), host, self.door.clone());
            *accepting() = Some(tokio::spawn(task));
        }
    }

    /// From now on each of its answers takes so long.
    pub fn set_latency(&self, host: usize, latency: Duration) {
        self.hosts.all[host].set_latency(latency);
    }

    /// The guests it has from now on, beside those of its source.
    pub fn set_guests(&self, host: usize, guests: Vec<Domain>) {
        self.hosts.all[host].set_guests(guests);
    }

    /// It has a new boot id, and so another inventory.
    pub fn reboot(&self, host: usize) {
        self.hosts.all[host].reboot();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for task in &mut self.accepting {
            if let Some(task) = task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
                task.abort();
            }
        }
    }
}
