//! A coordinator under steady load for as long as one likes: does it keep what it should have let go?
//!
//! The fleet and those who ask are in this process, the coordinator is a real one in its own: only that is measured.

mod load;
mod sample;
mod trouble;
pub mod verdict;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::tempdir;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    coordinators::write_hosts_file,
    fleet::{Fleet, Source},
    programs::Daemon,
};
use sample::Watched;
use verdict::Sample;

/// Hosts in the hosts file.
pub const HOSTS: usize = 1000;

/// Hosts that are registered and removed while it runs.
const VISITORS: usize = 8;

const SEED: u64 = 30;

/// A host's facts hold so long: each is asked again every few seconds.
const TTL_SECONDS: u64 = 3;

/// Less than half of what would be fetched if everybody always answered at once: the fleet is really asked all the time.
const FETCHES_PER_SECOND_MIN: f64 = 100.0;

/// When nobody asks any more: deadlines of fetches are a second, idle threads end after ten, the rest is a busy machine.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// How time is divided.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// In all.
    pub duration: Duration,
    /// Until then nothing is judged.
    pub warm_up: Duration,
    /// So long the same tenth of the hosts is in trouble.
    pub turn: Duration,
    /// Between samples.
    pub look: Duration,
}

impl Plan {
    /// Every host is in trouble once while it warms up: what is kept of failures is there before it counts.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        let turn = (duration / 30).clamp(Duration::from_secs(1), Duration::from_secs(10));
        let tenths = u32::try_from(trouble::PARTS).expect("ten");
        let look = (duration / 60).clamp(Duration::from_secs(1), Duration::from_secs(5));
        Self { duration, warm_up: (turn * tenths).max(duration / 6), turn, look }
    }
}

/// Files and sockets of the coordinator.
fn configure(directory: &Path, fleet: &Fleet) {
    let listed: Vec<_> = (0..HOSTS).map(|host| (fleet.name(host), fleet.address(host))).collect();
    let listed: Vec<_> = listed.iter().map(|(name, address)| (*name, address.as_str())).collect();
    write_hosts_file(&directory.join("hosts.toml"), &listed);
    let at = |name: &str| directory.join(name).display().to_string();
    let [hosts, state, cache, socket, metrics] = ["hosts.toml", "state", "cache", "c.sock", "m.sock"].map(at);
    let config = format!(
        "hosts_file = '{hosts}'\nstate_dir = '{state}'\ncache_dir = '{cache}'\nlisten = ['unix:{socket}']\n\
         metrics_listen = ['unix:{metrics}']\nttl = '{TTL_SECONDS}s'\nfailure_ttl = '1s'\nhost_deadline = '1s'\n"
    );
    fs::write(directory.join("c.toml"), config).expect("a configuration");
}

/// What is left when nobody asks: at best what was there before anybody did.
async fn quiet(watched: &Watched, before: &Sample) -> Sample {
    let end = Instant::now() + QUIET_WITHIN;
    loop {
        let now = watched.look();
        let is_as_before = now.descriptors <= before.descriptors && now.threads <= before.threads;
        if is_as_before || Instant::now() > end {
            return now;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Runs it; what it came to, and whether that is good.
///
/// # Panics
/// The fleet or the coordinator does not start, or ends.
pub async fn soak(plan: Plan, coordinator: &Path) -> (String, bool) {
    let fleet = Arc::new(Fleet::start(HOSTS + VISITORS, SEED, Source::all_x86()).await);
    let directory = tempdir().expect("a directory");
    configure(directory.path(), &fleet);
    let mut command = Command::new(coordinator);
    // What fails is in the metrics; a line for each refusal of half an hour is for nobody. Where it listens is needed.
    command.env("VMUSTER_LOG", "error,vmuster_coordinator::server=info").arg("--config");
    let daemon = Daemon::start_by(command.arg(directory.path().join("c.toml")).arg("serve"));
    let watched = Watched::new(daemon.pid(), directory.path().join("m.sock"));
    let before = watched.look();

    let tally = Arc::new(load::Tally::default());
    let mut busy = JoinSet::new();
    busy.spawn(trouble::go_round(Arc::clone(&fleet), plan.turn));
    load::ask_all_the_time(&mut busy, &daemon.address.parse().expect("an address"), &fleet, &tally);
    let start = Instant::now();
    let (mut samples, mut looks) = (Vec::new(), interval(plan.look));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while start.elapsed() < plan.duration {
        tokio::select! {
            _ = looks.tick() => samples.push(watched.look()),
            ended = busy.join_next() => panic!("somebody stopped asking: {ended:?}\n{}", daemon.log()),
        }
    }
    let soaked = watched.look();
    busy.shutdown().await;
    let after = quiet(&watched, &before).await;
    let (text, mut is_good) = verdict::judge(plan, before, &samples, after);
    let rate = (soaked.fetches - before.fetches) / start.elapsed().as_secs_f64();
    let (asked, refusals) = tally.told();
    let kinds = watched.failures();
    is_good &= rate >= FETCHES_PER_SECOND_MIN && refusals.is_empty() && kinds.len() >= trouble::KINDS_MIN;
    let text = format!(
        "{text}{rate:.0} fetches/s (at least {FETCHES_PER_SECOND_MIN}); failed: {kinds:?}\n\
         answers and messages of streams: {asked}; refused: {refusals:?}\n"
    );
    (text, is_good)
}
