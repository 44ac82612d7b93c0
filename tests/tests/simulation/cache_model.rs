//! The cache against a reference model: whatever happens to the clock, the agents, the disk and the process, it says what
//! fifty lines say (10,000 random sequences).

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use proptest::{prelude::*, sample, test_runner::TestRunner};
use tempfile::{TempDir, tempdir};
use tokio::{io::duplex, runtime::Builder};
use tonic::{Code, transport::Channel};
use vmuster_coordinator::{
    cache::{HostCache, Store},
    cluster::read_within,
    config::DEFAULT_FAILURE_TTL,
    fetch::{DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE, Dial, Fetcher},
    hosts::HostEntry,
};
use vmuster_proto::{
    clock::Clock,
    model::{Freshness, Timestamp},
    transport::{ByteStream, DialError, PeerAddress, connect_through},
};
use vmuster_tests::scripted::{Act, ScriptedAgent};

use crate::{
    crashes::{Mortal, STEPS, Step},
    reference::{Disk, Reference},
};

const SEQUENCES: u32 = 10_000;
const STEPS_MAX: usize = 24;
const HOSTS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(30);

/// Far from both ends of time.
const START: u64 = 1_800_000_000;

/// As much as a message; what does not fit waits.
const PIPE_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Advance(u64),
    Rewind(u64),
    Read { host: usize, max_age: Option<u64>, act: Act },
    Reboot(usize),
    Supersede(usize),
    Forget(usize),
    Flip { host: usize, at: usize },
    Truncate { host: usize, at: usize },
    Crash { host: usize, step: Step },
    Restart,
    ChangeTtl(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::{
        Advance, ChangeTtl, Crash, Flip, Forget, Read, Reboot, Restart, Rewind, Supersede, Truncate,
    };
    let host = || 0..HOSTS;
    let act = || sample::select(vec![Act::Answer, Act::Answer, Act::Fail(Code::Internal), Act::Hang]);
    let max_age = sample::select(vec![None, None, Some(0), Some(60), Some(200_000)]);
    let times = || sample::select(vec![1, 4, 6, 30, 299, 300, 301, 3600, 86_399, 86_400, 200_000]);
    prop_oneof![
        3 => times().prop_map(Advance),
        1 => times().prop_map(Rewind),
        8 => (host(), max_age, act()).prop_map(|(host, max_age, act)| Read { host, max_age, act }),
        1 => host().prop_map(Reboot),
        1 => host().prop_map(Supersede),
        1 => host().prop_map(Forget),
        1 => (host(), 0_usize..4096).prop_map(|(host, at)| Flip { host, at }),
        1 => (host(), 0_usize..4096).prop_map(|(host, at)| Truncate { host, at }),
        2 => (host(), sample::select(STEPS.to_vec())).prop_map(|(host, step)| Crash { host, step }),
        1 => Just(Restart),
        1 => sample::select(vec![60, 3600, 86_400]).prop_map(ChangeTtl),
    ]
}

#[derive(Debug)]
struct SetClock(Mutex<u64>);

impl SetClock {
    fn seconds(&self) -> u64 {
        *self.0.lock().expect("no panic")
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.seconds() * 1000).expect("in range")
    }
}

/// Each agent at the end of a pipe; the port is its number.
#[derive(Debug)]
struct Pipes(Vec<ScriptedAgent>);

impl Dial for Pipes {
    fn dial<'a>(
        &'a self,
        address: &'a PeerAddress,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        let PeerAddress::Tcp { port, .. } = address else { panic!("pipes have numbers") };
        let agent = self.0[usize::from(*port) - 1].clone();
        let open = move |_| {
            let agent = agent.clone();
            async move {
                let (ours, theirs) = duplex(PIPE_BYTES);
                tokio::spawn(agent.serve(theirs));
                Ok(Box::new(ours) as Box<dyn ByteStream>)
            }
        };
        connect_through(address, deadline, open).boxed()
    }
}

struct House {
    directory: TempDir,
    clock: Arc<SetClock>,
    agents: Vec<ScriptedAgent>,
    entries: Vec<Arc<HostEntry>>,
    store: Arc<Mortal>,
    cache: Arc<HostCache>,
    references: Vec<Reference>,
}

const FIRST_TTL: u64 = 86_400;

impl House {
    fn new() -> Self {
        let directory = tempdir().expect("a directory");
        let clock = Arc::new(SetClock(Mutex::new(START)));
        let agents: Vec<_> = (0..HOSTS).map(|host| ScriptedAgent::new(format!("kvm-{host}"))).collect();
        let entry = |host: usize| {
            let address = format!("pipe:{}", host + 1).parse().expect("an address");
            Arc::new(HostEntry::new(format!("kvm-{host}"), Some(address)))
        };
        let store = Arc::new(Mortal::open(directory.path().to_owned()));
        let cache = cache_of(&store, &agents, &clock, FIRST_TTL);
        let references = (0..HOSTS).map(|_| Reference::new(FIRST_TTL)).collect();
        Self { directory, clock, agents, entries: (0..HOSTS).map(entry).collect(), store, cache, references }
    }

    /// Nothing of the old one is left.
    async fn restart(&mut self, ttl: u64) {
        assert!(self.cache.settle(PATIENCE).await);
        // One that is there only so that the old ones can go: the directory is locked.
        let aside = tempdir().expect("a directory");
        self.store = Arc::new(Mortal::open(aside.path().to_owned()));
        self.cache = cache_of(&self.store, &self.agents, &self.clock, ttl);
        self.store = Arc::new(Mortal::open(self.directory.path().to_owned()));
        self.cache = cache_of(&self.store, &self.agents, &self.clock, ttl);
        self.references.iter_mut().for_each(|reference| reference.restart(ttl));
    }

    async fn read(&mut self, host: usize, max_age: Option<u64>, act: Act) {
        let (agent, now) = (&self.agents[host], self.clock.seconds());
        agent.act(act);
        let before = agent.calls();
        let options = read_within(max_age.map(Duration::from_secs), PATIENCE);
        let view = self.cache.read(&self.entries[host], options).await;
        let (outcome, calls) = self.references[host].read(now, max_age, act, agent.version());
        assert_eq!((view.outcome, agent.calls() - before), (outcome, calls));
        let memory = self.references[host].memory;
        let freshness = match (view.problem.is_some(), memory.is_some()) {
            (false, _) => Freshness::Fresh,
            (true, true) => Freshness::Stale,
            (true, false) => Freshness::Missing,
        };
        assert_eq!(view.freshness, freshness);
        let seen = view.record.map(|record| {
            let validated_at = record.validated_at.expect("it was").unix_millis() / 1000;
            (record.inventory.fingerprint.clone(), validated_at, record.superseded)
        });
        let expected =
            memory.map(|record| (record.version.to_string(), record.validated_at, record.superseded));
        assert_eq!(seen, expected);
    }

    /// Damages the entry, if there is one: damage to damage might mend it.
    fn damage(&mut self, host: usize, damage: impl FnOnce(&mut Vec<u8>)) {
        if let Disk::Entry(_) = self.references[host].disk {
            let path = self.store.path_of(&self.entries[host].name);
            let mut bytes = fs::read(&path).expect("an entry");
            damage(&mut bytes);
            fs::write(&path, bytes).expect("damaged");
            self.references[host].disk = Disk::Garbage;
        }
    }

    async fn crash(&mut self, host: usize, step: Step) {
        assert!(self.cache.settle(PATIENCE).await);
        // What is read first is set aside if it cannot be trusted.
        self.references[host].load(self.clock.seconds());
        let before = self.references[host].disk;
        self.store.die_at(step);
        self.read(host, Some(0), Act::Answer).await;
        match step {
            Step::Nothing | Step::Begun | Step::Written => self.references[host].disk = before,
            Step::Renamed => {}
            Step::Torn => self.references[host].disk = Disk::Garbage,
        }
        let ttl = self.references[host].ttl;
        self.restart(ttl).await;
    }

    async fn apply(&mut self, operation: Operation) {
        let now = self.clock.seconds();
        let set = |seconds: u64| *self.clock.0.lock().expect("no panic") = seconds;
        match operation {
            Operation::Advance(seconds) => set(now + seconds),
            Operation::Rewind(seconds) => set(now - seconds),
            Operation::Read { host, max_age, act } => self.read(host, max_age, act).await,
            Operation::Reboot(host) => self.agents[host].reboot(),
            Operation::Supersede(host) => {
                let deadline = read_within(None, PATIENCE).deadline;
                self.cache.supersede(&self.entries[host].name, deadline).await;
                self.references[host].supersede(now);
            }
            Operation::Forget(host) => {
                self.cache.forget(vec![self.entries[host].name.clone()]).await;
                let ttl = self.references[host].ttl;
                self.references[host] = Reference::new(ttl);
            }
            Operation::Flip { host, at } => self.damage(host, |bytes| {
                let at = at % bytes.len();
                bytes[at] ^= 0x10;
            }),
            Operation::Truncate { host, at } => self.damage(host, |bytes| bytes.truncate(at % bytes.len())),
            Operation::Crash { host, step } => self.crash(host, step).await,
            Operation::Restart => self.restart(self.references[0].ttl).await,
            Operation::ChangeTtl(ttl) => self.restart(ttl).await,
        }
    }
}

fn cache_of(
    store: &Arc<Mortal>,
    agents: &[ScriptedAgent],
    clock: &Arc<SetClock>,
    ttl: u64,
) -> Arc<HostCache> {
    let fetcher = Fetcher::new(DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE);
    let fetcher = Arc::new(fetcher.with_dialer(Arc::new(Pipes(agents.to_vec())), 1));
    let (store, clock) = (Arc::clone(store) as Arc<dyn Store>, Arc::clone(clock) as Arc<dyn Clock>);
    Arc::new(HostCache::new(Some(store), fetcher, clock, Duration::from_secs(ttl), DEFAULT_FAILURE_TTL))
}

#[test]
fn whatever_happens_the_cache_says_what_the_model_says() {
    let config = ProptestConfig { cases: SEQUENCES, failure_persistence: None, ..ProptestConfig::default() };
    let operations = prop::collection::vec(operation(), 1..STEPS_MAX);
    let runtime =
        || Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let lived = TestRunner::new(config).run(&operations, |operations| {
        runtime().block_on(async {
            let mut house = House::new();
            for operation in operations {
                house.apply(operation).await;
            }
        });
        Ok(())
    });
    lived.expect("as the model says");
}
