//! A coordinator and its hosts on a simulated network.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use turmoil::{Builder, Sim};
use vmuster_coordinator::{
    cache::HostCache,
    cluster::{Cluster, FlagsQuestion, read_within},
    config::{DEFAULT_FAILURE_TTL, DEFAULT_TTL},
    fetch::{DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE, Fetcher},
    flags::Detail,
    hosts::{HostEntry, Registry, Scope},
};
use vmuster_proto::{
    clock::Clock,
    model::{FlagsAnswer, HostOrigin, Layer, Timestamp},
};
use vmuster_tests::scripted::ScriptedAgent;

use crate::network::{PORT, SimulatedNetwork, serve};

/// Where the coordinator is.
pub const COORDINATOR: &str = "coordinator";

/// What a caller that is not in a hurry allows.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// 2026-11-23T00:00:00Z; any time will do.
const START_UNIX_MILLIS: u64 = 1_795_392_000_000;

/// Goes with the simulation, and where it is set.
#[derive(Debug)]
pub struct SimulatedClock {
    start: Instant,
    set_millis: Mutex<i64>,
}

impl SimulatedClock {
    /// Sets it ahead, or back.
    pub fn set_by(&self, seconds: i64) {
        *self.set_millis.lock().expect("no panic") += seconds * 1000;
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).expect("not that long");
        let set = *self.set_millis.lock().expect("no panic");
        let millis = START_UNIX_MILLIS.saturating_add(elapsed).saturating_add_signed(set);
        Timestamp::from_unix_millis(millis).expect("in range")
    }
}

/// "kvm-007".
pub fn name(host: usize) -> String {
    format!("kvm-{host:03}")
}

/// What the coordinator's side of a day has.
pub struct World {
    pub agents: Vec<ScriptedAgent>,
    pub cluster: Arc<Cluster>,
    pub clock: Arc<SimulatedClock>,
    log: Arc<Mutex<String>>,
}

impl World {
    fn new(agents: Vec<ScriptedAgent>, seed: u64, log: Arc<Mutex<String>>) -> Self {
        let entries = (0..agents.len()).map(|host| {
            let address = format!("{}:{PORT}", name(host)).parse().expect("an address");
            HostEntry { origin: Some(HostOrigin::File), ..HostEntry::new(name(host), Some(address)) }
        });
        let fetcher = Fetcher::new(DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE)
            .with_dialer(Arc::new(SimulatedNetwork), seed);
        let clock = Arc::new(SimulatedClock { start: Instant::now(), set_millis: Mutex::default() });
        let shared = Arc::clone(&clock);
        let cache = HostCache::new(None, Arc::new(fetcher), shared, DEFAULT_TTL, DEFAULT_FAILURE_TTL);
        let cluster = Cluster::new(Registry::new(entries).expect("distinct"), Arc::new(cache));
        Self { agents, cluster: Arc::new(cluster), clock, log }
    }

    /// Common flags, and how long that took.
    pub async fn ask(&self, max_age: Option<Duration>, time: Duration) -> (FlagsAnswer, Duration) {
        let start = Instant::now();
        let question =
            FlagsQuestion { layer: Layer::Host, scope: Scope::default(), detail: Detail::default() };
        let answer = self.cluster.common_flags(&question, read_within(max_age, time)).await;
        let (answer, took) = (answer.expect("an answer").0.clone(), start.elapsed());
        let (hosts, missing) = (&answer.hosts, &answer.missing);
        writeln!(self.log.lock().expect("no panic"), "{took:?} {hosts:?} {missing:?}").expect("a string");
        (answer, took)
    }

    /// All hosts as fresh as the TTL asks, with time.
    pub async fn flags(&self) -> (FlagsAnswer, Duration) {
        self.ask(None, PATIENCE).await
    }

    /// The same, and everybody is asked.
    pub async fn refreshed(&self) -> (FlagsAnswer, Duration) {
        self.ask(Some(Duration::ZERO), PATIENCE).await
    }

    /// Calls that reached agents so far.
    pub fn calls(&self) -> Vec<u64> {
        self.agents.iter().map(ScriptedAgent::calls).collect()
    }
}

/// Lives a day with so many hosts. Gives what was answered, line by line.
pub fn live<F>(
    seed: u64,
    hosts: usize,
    prepare: impl FnOnce(&mut Sim<'_>),
    day: impl FnOnce(World) -> F + 'static,
) -> String
where
    F: Future<Output = ()> + 'static,
{
    let mut sim = Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(600))
        .tick_duration(Duration::from_millis(5))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(5))
        .enable_random_order()
        .build();
    let agents: Vec<_> = (0..hosts).map(|host| ScriptedAgent::new(name(host))).collect();
    for (host, agent) in agents.iter().enumerate() {
        let agent = agent.clone();
        sim.host(name(host), move || serve(agent.clone()));
    }
    let log = Arc::new(Mutex::new(String::new()));
    let of_world = Arc::clone(&log);
    sim.client(COORDINATOR, async move {
        day(World::new(agents, seed, of_world)).await;
        Ok(())
    });
    prepare(&mut sim);
    sim.run().expect("the day ends well");
    log.lock().expect("no panic").clone()
}
