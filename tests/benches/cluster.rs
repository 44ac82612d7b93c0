//! What a question about many hosts costs, as ratios measured in one run: medians of interleaved rounds.

use std::{collections::BTreeSet, fs, hint::black_box, sync::Arc, time::Duration, time::Instant};

use tempfile::tempdir;
use vmuster_agent::watch::Unwatched;
use vmuster_coordinator::{
    cache::{HostCache, HostRecord},
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

/// The inventory of each recorded x86 host.
fn inventories() -> Vec<Arc<Inventory>> {
    let recorded = host_names().into_iter().map(|name| {
        let source = vmuster_agent::snapshot::HostSource::recorded(&host(&name)).expect("a recorded host");
        let host = vmuster_agent::snapshot::Host::new(source, None, Arc::new(SystemClock));
        vmuster_agent::snapshot::Collector::new(Arc::new(host)).collect_inventory(&Unwatched).inventory
    });
    recorded.filter(|inventory| inventory.arch() == Some("x86_64")).collect()
}

fn question() -> FlagsQuestion {
    FlagsQuestion { layer: Layer::Host, scope: Scope::default(), detail: Detail::default() }
}

fn cluster_of_many(inventories: &[Arc<Inventory>]) -> Cluster {
    let now = vmuster_proto::clock::Clock::now(&SystemClock);
    let records = (0..MANY_HOSTS).map(|i| HostRecord {
        host: format!("kvm-{i:05}"),
        address: String::new(),
        reported_name: format!("kvm-{i:05}"),
        fetched_at: Some(now),
        validated_at: Some(now),
        inventory: Arc::clone(&inventories[i % inventories.len()]),
        issues: Arc::default(),
        superseded: false,
        saved_usage: None,
    });
    let records: Vec<_> = records.collect();
    let registry =
        Registry::new(records.iter().map(|record| HostEntry::new(&record.host, None))).expect("distinct");
    Cluster::new(registry, Arc::new(HostCache::of_records(records, Arc::new(SystemClock))))
}

/// The obvious way: sets of strings, one host after the other.
fn by_sets_of_strings(hosts: &[BTreeSet<String>]) -> BTreeSet<String> {
    let first = hosts.first().cloned().unwrap_or_default();
    hosts.iter().fold(first, |common, host| common.intersection(host).cloned().collect())
}

async fn warm(inventories: &[Arc<Inventory>]) {
    let cluster = cluster_of_many(inventories);
    let plain: Vec<BTreeSet<String>> = (0..MANY_HOSTS)
        .map(|i| {
            let cpu = inventories[i % inventories.len()].cpu.as_ref().expect("a CPU");
            cpu.host_flags.as_ref().expect("flags").names().into_iter().map(str::to_owned).collect()
        })
        .collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let answer = cluster.common_flags(&question(), read_within(None, Duration::from_secs(60))).await;
        ours.push(start.elapsed());
        theirs.push(timed(|| by_sets_of_strings(&plain)));
        let (answer, _) = answer.expect("an answer");
        let features: Vec<String> =
            answer.groups[0].features.names().into_iter().map(str::to_owned).collect();
        assert_eq!(features, by_sets_of_strings(&plain).into_iter().collect::<Vec<_>>());
    }
    let what = format!("common flags, warm, {MANY_HOSTS} hosts");
    row(&what, median(ours), median(theirs), "of intersecting sets of strings");
}

async fn cold() {
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

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        warm(&inventories()).await;
        cold().await;
    });
}
