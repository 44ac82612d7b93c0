//! Placement over gRPC, promises on a disk included, beside an empty RPC of the same shape and the disk's own speed.

mod batch;
mod claims;
mod dry_runs;
mod evacuation;
mod refresh;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prost::{Message as _, bytes::Bytes};
use rustix::process::setpriority_process;
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use vmuster_coordinator::{
    cache::HostCache,
    claims::{Ledger, SqliteClaims},
    cluster::Cluster,
    config::{Config, DEFAULT_FAILURE_TTL, DEFAULT_TTL},
    fetch::{DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE, Fetcher},
    hosts::{HostEntry, Registry},
    server::{fetch_runtime, scheduler_of},
    service::{ClusterApi, PlacementApi},
};
use vmuster_proto::{
    clock::SystemClock,
    model::{Domain, HostOrigin},
    pb::{
        self,
        cluster_service_server::ClusterServiceServer,
        placement_service_server::{PlacementServiceServer, SERVICE_NAME},
    },
    transport::{CLUSTER_REPLY_MAX_BYTES, REQUEST_MAX_BYTES},
};
use vmuster_tests::{
    fleet::{Fleet, Source},
    ready::{RawClient, ReadyMade, client, serve_on},
};

/// As the coordinator has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PLACE: &str = "/vmuster.v1.PlacementService/Place";

/// Usage is not asked for again while it is measured.
const USAGE_MAX_AGE: Duration = Duration::from_secs(86_400);

/// Of the simulated hosts: real ones have CPUs of their own, these get what is left.
const FLEET_NICENESS: i32 = 19;

/// A coordinator's services over a fleet, and beside them one that answers with what is there.
struct Served {
    directory: TempDir,
    cluster: Arc<Cluster>,
    _fleet: Fleet,
    /// Of the fleet, and of the coordinator's questions to it. None: shut down already.
    runtimes: Option<[Runtime; 2]>,
}

impl Drop for Served {
    fn drop(&mut self) {
        // Where something asynchronous runs, waiting for a runtime's end is not allowed.
        self.runtimes.take().into_iter().flatten().for_each(Runtime::shutdown_background);
    }
}

fn fleet_runtime() -> Runtime {
    let yielding = || setpriority_process(None, FLEET_NICENESS).expect("one may always yield");
    Builder::new_multi_thread().enable_all().on_thread_start(yielding).build().expect("a runtime")
}

impl Served {
    async fn new(hosts: usize) -> Self {
        Self::with(hosts, USAGE_MAX_AGE).await
    }

    /// The first host has these.
    async fn with_guests(hosts: usize, guests: Vec<Domain>) -> Self {
        Self::of(hosts, USAGE_MAX_AGE, guests).await
    }

    async fn with(hosts: usize, usage_max_age: Duration) -> Self {
        Self::of(hosts, usage_max_age, Vec::new()).await
    }

    async fn of(hosts: usize, usage_max_age: Duration, guests: Vec<Domain>) -> Self {
        let (elsewhere, fetching) = (fleet_runtime(), fetch_runtime().expect("a runtime"));
        let fleet = Fleet::start(hosts, 1, vec![Source::with_hypervisor("rome-2s")]);
        let fleet = elsewhere.spawn(fleet).await.expect("a fleet");
        fleet.set_guests(0, guests);
        let entries = (0..hosts).map(|host| {
            let address = fleet.address(host).parse().expect("an address");
            HostEntry { origin: Some(HostOrigin::File), ..HostEntry::new(fleet.name(host), Some(address)) }
        });
        let registry = Registry::new(entries).expect("distinct");
        let fetcher = Arc::new(Fetcher::new(DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE));
        let cache = HostCache::new(None, fetcher, Arc::new(SystemClock), DEFAULT_TTL, DEFAULT_FAILURE_TTL);
        let cache = cache.with_runtime(fetching.handle().clone());
        let cluster = Arc::new(Cluster::new(registry, Arc::new(cache)));
        // On the disk of the build, as a coordinator's state is on one.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let store = SqliteClaims::open(directory.path()).expect("a store");
        let ledger = Ledger::open(Arc::new(store)).expect("a ledger");
        let config = Config { usage_max_age, ..Config::default() };
        let scheduler = scheduler_of(&config, &cluster, Some(ledger));
        let placement = PlacementServiceServer::new(PlacementApi::new(scheduler, Duration::from_secs(60)))
            .max_decoding_message_size(REQUEST_MAX_BYTES)
            .max_encoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        let api = ClusterApi::new(Arc::clone(&cluster), Duration::from_secs(60));
        let served = Self { directory, cluster, _fleet: fleet, runtimes: Some([elsewhere, fetching]) };
        serve_on(&served.socket("ours"), SERVICE_NAME, |routes| {
            routes.add_service(placement);
            routes.add_service(ClusterServiceServer::new(api));
        })
        .await;
        // All hosts are asked once.
        let answer = served.client("ours").await.ask(dry_run(1)).await;
        serve_on(&served.socket("ready"), SERVICE_NAME, |routes| {
            routes.add_service(ReadyMade::<Named>::new(answer));
        })
        .await;
        served
    }

    fn socket(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    async fn client(&self, name: &str) -> RawClient {
        client(&self.socket(name), PLACE).await
    }

    async fn clients(&self, name: &str, count: usize) -> Vec<RawClient> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(self.client(name).await);
        }
        clients
    }
}

/// The service whose place is taken.
struct Named;

impl tonic::server::NamedService for Named {
    const NAME: &'static str = SERVICE_NAME;
}

fn template(vcpus: u32) -> pb::InstanceTemplate {
    let disk = pb::DiskDemand { size_bytes: 1 << 20, on: None };
    pb::InstanceTemplate { vcpus, memory_bytes: 64 << 20, disks: vec![disk], ..Default::default() }
}

fn request(mode: pb::PlaceMode, request_id: String, groups: Vec<pb::InstanceGroup>) -> Bytes {
    let request = pb::PlaceRequest { request_id, mode: mode.into(), groups, ..Default::default() };
    request.encode_to_vec().into()
}

fn group(vcpus: u32, count: u32) -> pb::InstanceGroup {
    pb::InstanceGroup { template: Some(template(vcpus)), count, ..Default::default() }
}

fn dry_run(vcpus: u32) -> Bytes {
    request(pb::PlaceMode::DryRun, String::new(), vec![group(vcpus, 1)])
}

fn granted(answer: Bytes) -> usize {
    let answer = pb::PlaceResponse::decode(answer).expect("an answer");
    assert!(answer.granted, "{:?}", answer.refusals);
    answer.placements.len()
}

fn granted_count(answer: Bytes) -> usize {
    pb::PlaceResponse::decode(answer).expect("an answer").placements.len()
}

/// What each call of a burst took, and all of them together.
struct Burst {
    calls: Vec<Duration>,
    all: Duration,
}

impl Burst {
    fn rate(&self) -> f64 {
        self.calls.len() as f64 / self.all.as_secs_f64()
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut calls = self.calls.clone();
        calls.sort();
        calls[(calls.len() * percent / 100).min(calls.len() - 1)]
    }
}

/// So many calls of each client, one after another; the request of each is made beforehand.
async fn burst(clients: &[RawClient], calls: usize, request: impl Fn(usize, usize) -> Bytes) -> Burst {
    let work: Vec<(RawClient, Vec<Bytes>)> = clients
        .iter()
        .enumerate()
        .map(|(number, client)| (client.clone(), (0..calls).map(|call| request(number, call)).collect()))
        .collect();
    // As one of the runtime's own tasks: from outside each end would wake a third thread on two CPUs.
    let running = tokio::spawn(async move {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (mut client, requests) in work {
            tasks.spawn(async move {
                let mut times = Vec::with_capacity(requests.len());
                for request in requests {
                    let start = Instant::now();
                    std::hint::black_box(client.ask(request).await);
                    times.push(start.elapsed());
                }
                times
            });
        }
        let calls = tasks.join_all().await.concat();
        Burst { calls, all: start.elapsed() }
    });
    running.await.expect("no panic")
}

/// The one in the middle, by this.
fn middle<T: Clone>(all: &[T], by: impl Fn(&T) -> f64) -> T {
    let mut all = all.to_vec();
    all.sort_by(|a, b| by(a).total_cmp(&by(b)));
    all[all.len() / 2].clone()
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// `cargo bench --bench scheduler -- dry_runs|claims|batch|evacuation|refresh`: one part alone.
fn main() {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let is_asked = |name: &str| {
        let names = ["dry_runs", "claims", "batch", "evacuation", "refresh"];
        let is_any = std::env::args().any(|argument| names.contains(&argument.as_str()));
        !is_any || std::env::args().any(|argument| argument == name)
    };
    let is_met = runtime.block_on(async {
        let mut is_met = true;
        if is_asked("dry_runs") {
            is_met &= dry_runs::measure().await;
        }
        if is_asked("claims") {
            is_met &= claims::measure().await;
        }
        if is_asked("batch") {
            is_met &= batch::measure().await;
        }
        if is_asked("evacuation") {
            is_met &= evacuation::measure().await;
        }
        if is_asked("refresh") {
            is_met &= refresh::measure().await;
        }
        is_met
    });
    assert!(is_met, "a number of BLUEPRINT §5 was missed");
}
