//! What a question about many hosts costs, as ratios measured in one run: medians of interleaved rounds.

mod cold;
mod fleet;
mod ready;
mod restart;
mod throughput;
mod wire;

use std::{collections::BTreeSet, fs, hint::black_box, sync::Arc, time::Duration, time::Instant};

use tempfile::tempdir;
use vmuster_coordinator::{
    cache::HostCache,
    cluster::{Cluster, FlagsQuestion, read_within},
    config::{DEFAULT_FAILURE_TTL, DEFAULT_TTL},
    fetch::{DEFAULT_CONCURRENCY, Fetcher},
    flags::Detail,
    hosts::{HostEntry, Registry, Scope},
};
use vmuster_proto::{
    clock::SystemClock,
    model::{Inventory, Layer},
};
use vmuster_tests::{
    agents::TestAgent,
    fixtures::{host, host_names},
};

use crate::fleet::{cluster_of_many, inventories};

/// As the coordinator has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
const MANY_HOSTS: usize = 10_000;
const AGENTS: usize = 200;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn row(what: &str, ours: Duration, theirs: Duration, than: &str) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("{what:58} {ours:>10.1?}  {ratio:>6.3} x  {than} ({theirs:.1?})");
}

fn question() -> FlagsQuestion {
    FlagsQuestion { layer: Layer::Host, scope: Scope::default(), detail: Detail::default() }
}

/// The obvious way: sets of strings, one host after the other.
fn by_sets_of_strings(hosts: &[BTreeSet<String>]) -> BTreeSet<String> {
    let first = hosts.first().cloned().unwrap_or_default();
    hosts.iter().fold(first, |common, host| common.intersection(host).cloned().collect())
}

async fn warm(inventories: &[Arc<Inventory>]) {
    let (cluster, registry) = cluster_of_many(inventories);
    let plain: Vec<BTreeSet<String>> = (0..MANY_HOSTS)
        .map(|i| {
            let cpu = inventories[i % inventories.len()].cpu.as_ref().expect("a CPU");
            cpu.host_flags.as_ref().expect("flags").names().into_iter().map(str::to_owned).collect()
        })
        .collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // An equal registry: nothing that was kept holds.
        cluster.set_registry(registry.clone()).await;
        let start = Instant::now();
        let answer = cluster.common_flags(&question(), read_within(None, Duration::from_secs(60))).await;
        ours.push(start.elapsed());
        theirs.push(timed(|| by_sets_of_strings(&plain)));
        let answer = answer.expect("an answer");
        let features: Vec<String> =
            answer.0.groups[0].features.names().into_iter().map(str::to_owned).collect();
        assert_eq!(features, by_sets_of_strings(&plain).into_iter().collect::<Vec<_>>());
    }
    let what = format!("common flags, warm, {MANY_HOSTS} hosts");
    row(&what, median(ours), median(theirs), "of intersecting sets of strings");
}

async fn collected_anew() {
    let directory = tempdir().expect("a directory");
    let names: Vec<_> = host_names().into_iter().filter(|name| !name.starts_with("arm")).collect();
    let mut agents = Vec::new();
    for i in 0..AGENTS {
        let socket = directory.path().join(format!("{i}.sock"));
        agents.push(TestAgent::start(&host(&names[i % names.len()]), socket).await);
    }
    let entries = || {
        agents.iter().enumerate().map(|(i, agent)| {
            HostEntry::new(format!("kvm-{i:04}"), Some(agent.address.parse().expect("an address")))
        })
    };
    let once = |concurrency: usize| {
        let registry = Registry::new(entries()).expect("distinct");
        async move {
            let fetcher = Arc::new(Fetcher::new(concurrency, Duration::from_secs(30)));
            let clock = Arc::new(SystemClock);
            let cache = HostCache::new(None, fetcher, clock, DEFAULT_TTL, DEFAULT_FAILURE_TTL);
            let cluster = Cluster::new(registry, Arc::new(cache));
            let start = Instant::now();
            let answer = cluster.common_flags(&question(), read_within(None, Duration::from_secs(60))).await;
            let elapsed = start.elapsed();
            assert!(answer.expect("an answer").0.complete);
            elapsed
        }
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        ours.push(once(DEFAULT_CONCURRENCY).await);
        theirs.push(once(1).await);
    }
    let what = format!("common flags, cold, {AGENTS} agents here that collect anew");
    row(&what, median(ours), median(theirs), "of asking one after the other");
    fs::remove_dir_all(directory.path()).expect("removed");
}

/// `cargo bench --bench cluster -- quick`: without the agents, while working on it; `-- fleet`: the simulated fleet alone;
/// `-- restart`: a coordinator's start alone; `-- throughput`: more and more at once, alone.
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let is_asked = |part: &str| std::env::args().any(|argument| argument == part);
    let is_met = runtime.block_on(async {
        if is_asked("fleet") {
            return cold::measure().await;
        }
        let inventories = inventories();
        if is_asked("restart") {
            return restart::measure(&inventories).await;
        }
        if is_asked("throughput") {
            return throughput::measure(&inventories).await;
        }
        warm(&inventories).await;
        let is_met = wire::measure(&inventories).await;
        if is_asked("quick") {
            return is_met;
        }
        collected_anew().await;
        let is_met = restart::measure(&inventories).await && is_met;
        let is_met = cold::measure().await && is_met;
        throughput::measure(&inventories).await && is_met
    });
    assert!(is_met, "a number of BLUEPRINT §5 was missed");
}
