//! A coordinator that is killed while it writes its cache: an entry is the old one or the new one, never garbage, and what
//! is there is used again.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio_stream::StreamExt as _;
use vmuster_coordinator::cache::{Parts, decode_entry};
use vmuster_proto::{
    pb::{self, cluster_service_client::ClusterServiceClient},
    transport::{CLUSTER_REPLY_MAX_BYTES, CONNECT_DEADLINE, connect},
};
use vmuster_tests::{
    fleet::{Fleet, Source},
    programs::{Daemon, Signal},
    tools::are_there,
};

use crate::registry::House;

/// Kills at moments of their own.
const ROUNDS: usize = 500;
const HOSTS: usize = 24;

/// Kills at each step that is a system call of its own.
const ROUNDS_AT_A_STEP: usize = 12;

struct Setup {
    fleet: Fleet,
    house: House,
    /// The fingerprints each host had, oldest first.
    had: BTreeMap<String, Vec<String>>,
}

impl Setup {
    async fn start(configuration: &str) -> Self {
        let sources = vec![Source::recorded("rome-2s"), Source::recorded("skylake-smt")];
        let fleet = Fleet::start(HOSTS, 11, sources).await;
        let addresses: Vec<_> = (0..HOSTS).map(|host| fleet.address(host)).collect();
        let hosts: Vec<_> = (0..HOSTS).map(|host| (fleet.name(host), addresses[host].as_str())).collect();
        let house = House::new(&hosts);
        let file = house.at("c.toml");
        let text = fs::read_to_string(&file).expect("a configuration") + configuration;
        fs::write(file, text).expect("a configuration");
        Self { fleet, house, had: BTreeMap::new() }
    }

    /// All hosts have new facts, so that each entry is written.
    fn reboot(&mut self) {
        for host in 0..HOSTS {
            self.fleet.reboot(host);
            let (name, fingerprint) = (self.fleet.name(host).to_owned(), self.fleet.fingerprint(host));
            self.had.entry(name).or_default().push(fingerprint);
        }
    }

    /// Refreshes until so many hosts have ended, or the coordinator has.
    async fn refresh(&self, daemon: &Daemon, enough: usize) {
        let address = daemon.address.parse().expect("an address");
        let Ok(channel) = connect(&address, CONNECT_DEADLINE).await else { return };
        let mut client =
            ClusterServiceClient::new(channel).max_decoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        let Ok(steps) = client.refresh_hosts(pb::RefreshHostsRequest::default()).await else { return };
        let mut steps = steps.into_inner();
        // The first tells only how many there are.
        for _ in 0..=enough {
            if !matches!(steps.next().await, Some(Ok(_))) {
                return;
            }
        }
    }

    /// What is there is whole, of the host it is named after, and no older than what was there.
    fn examine(&self, before: &BTreeMap<String, usize>, what: &str) -> BTreeMap<String, usize> {
        let mut there = BTreeMap::new();
        for (name, had) in &self.had {
            let path = self.house.at("cache/hosts").join(format!("{name}.inventory"));
            let Ok(bytes) = fs::read(&path) else {
                assert!(!before.contains_key(name), "{what}: the entry of {name} is gone");
                continue;
            };
            let record = decode_entry(name, bytes, &Parts::default());
            let record = record.unwrap_or_else(|error| panic!("{what}: the entry of {name}: {error}"));
            let version = had.iter().position(|one| *one == record.inventory.fingerprint);
            let version = version.unwrap_or_else(|| panic!("{what}: {name} never had such facts"));
            assert!(before.get(name).is_none_or(|before| *before <= version), "{what}: {name} is older");
            there.insert(name.clone(), version);
        }
        there
    }

    fn temporaries(&self) -> usize {
        let entries = fs::read_dir(self.house.at("cache/hosts")).expect("the cache");
        let is_temporary = |path: &Path| path.extension().is_some_and(|extension| extension == "tmp");
        entries.filter(|entry| is_temporary(&entry.as_ref().expect("an entry").path())).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_a_write() {
    let mut setup = Setup::start("").await;
    let (mut known, mut mixed) = (BTreeMap::new(), 0);
    for round in 0..ROUNDS {
        setup.reboot();
        let mut daemon = setup.house.start();
        // No round is like another: after so many hosts, with the writes of others under way.
        setup.refresh(&daemon, round % HOSTS).await;
        daemon.signal(Signal::KILL);
        daemon.wait();
        known = setup.examine(&known, &format!("round {round}"));
        let newest = known.values().filter(|version| **version == round).count();
        mixed += usize::from(newest > 0 && newest < HOSTS);
    }
    assert!(mixed > ROUNDS / 10, "most kills came too early or too late: {mixed} of {ROUNDS} between writes");
    let _daemon = setup.house.start();
    assert_eq!(setup.temporaries(), 0, "what was left half-written is removed at the start");
}

/// strace(1) on all threads that are there and that will be; it kills.
fn attach(pid: u32, inject: &str) -> Child {
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--output=/dev/null", "-e", inject, "--attach", &pid.to_string()]);
    let mut tracer = strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace starts");
    let mut said = BufReader::new(tracer.stderr.take().expect("piped")).lines();
    let first = said.next().expect("a line").expect("UTF-8");
    assert!(first.contains("attached"), "{first}");
    // Somebody must go on reading.
    std::thread::spawn(move || said.map_while(Result::ok).for_each(drop));
    tracer
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_of_a_write() {
    if !are_there(&[("strace", "strace")]) {
        return;
    }
    let mut setup = Setup::start("cache_fsync = true\n").await;
    let mut known = BTreeMap::new();
    let mut half_written = 0;
    for round in 0..ROUNDS_AT_A_STEP {
        // Before its bytes are written through; before it gets its name; before the directory is written through.
        for (call, count) in [("fsync", 1), ("rename", 1), ("fsync", 2)] {
            setup.reboot();
            // Counted in each thread; the first that comes so far dies for all.
            let inject = format!("inject={call}:signal=KILL:when={}", count + round % 3);
            let mut daemon = setup.house.start();
            let mut tracer = attach(daemon.pid(), &inject);
            setup.refresh(&daemon, HOSTS).await;
            // Where no thread came so far it is ended here.
            daemon.signal(Signal::KILL);
            daemon.wait();
            tracer.wait().expect("it ends with what it traces");
            half_written += usize::from(setup.temporaries() > 0);
            known = setup.examine(&known, &format!("{call} {count} of round {round}"));
        }
    }
    assert!(half_written > ROUNDS_AT_A_STEP, "only {half_written} kills left something half-written");
}
