//! What reading a host costs beside reading the same files and doing nothing with them: ratios of medians, measured in
//! one run with the two interleaved (BLUEPRINT, numbers to reach, rows 1 to 4).

mod bare;
mod resident;

use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tempfile::tempdir;
use vmuster_agent::{
    host_root::{Access, AccessLog},
    snapshot::{Collector, Host, HostSource},
    watch::Unwatched,
};
use vmuster_proto::clock::SystemClock;
use vmuster_tests::{
    synthetic::{HUGE, LARGE, Shape},
    synthetic_guests,
};

use crate::bare::Accesses;

/// Enough for a median that stays within a few per cent on a machine with other work.
const ROUNDS: usize = 101;
const ROUNDS_LARGE: usize = 15;

/// What sysinfo reads, which the access log does not see: when the kernel started, and the agent's own figures.
const SYSINFO_INVENTORY: [&str; 1] = ["/proc/stat"];
const SYSINFO_USAGE: [&str; 4] = ["/proc/uptime", "/proc/self/status", "/proc/self/stat", "/proc/self/statm"];

/// At most so many times what the bare reads take.
const RATIO_MAX: f64 = 1.5;
/// CPU time of one collection of the large host.
const LARGE_CPU_MAX: Duration = Duration::from_millis(30);

/// Guests of one host, and what their part of a usage may take beside libvirt's own time.
const GUESTS: usize = 1000;
const GUESTS_MAX: Duration = Duration::from_millis(50);

struct Verdicts(bool);

impl Verdicts {
    fn row(&mut self, what: &str, measured: &str, is_met: bool, limit: &str) {
        println!("{what:44} {measured:58} {} {limit}", if is_met { "met   " } else { "MISSED" });
        self.0 &= is_met;
    }

    fn ratio(&mut self, what: &str, pair: &Pair) {
        let (ours, bare) = (median(&pair.ours), median(&pair.bare));
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        let measured = format!("{ours:>9.1?} / bare {bare:>9.1?} = {ratio:.2} ({} accesses)", pair.accesses);
        self.row(what, &measured, ratio <= RATIO_MAX, &format!("≤ {RATIO_MAX}"));
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// CPU time of this process, which has one thread that works.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().expect("positive"), now.tv_nsec.try_into().expect("positive"))
}

struct Pair {
    ours: Vec<Duration>,
    bare: Vec<Duration>,
    cpu: Vec<Duration>,
    accesses: usize,
}

fn host(source: HostSource) -> Arc<Host> {
    Arc::new(Host::new(source, None, Arc::new(SystemClock)))
}

fn source(recorded: Option<&Path>) -> HostSource {
    match recorded {
        None => HostSource::live().expect("this machine"),
        Some(directory) => HostSource::recorded(directory).expect("a recorded host"),
    }
}

/// A full collection with nothing kept from before, as `vmuster-agent collect` makes it.
fn inventory(recorded: Option<&Path>, rounds: usize) -> Pair {
    let log = AccessLog::default();
    let noted = host(source(recorded).noting(log.clone()));
    Collector::new(noted).collect_inventory(&Unwatched);
    let mut noted = log.take();
    if recorded.is_none() {
        noted.extend(SYSINFO_INVENTORY.map(|path| (path.to_owned(), Access::File)));
    }
    let accesses = Accesses::new(recorded.unwrap_or(Path::new("/")), noted);
    let host = host(source(recorded));
    let mut pair = Pair { ours: vec![], bare: vec![], cpu: vec![], accesses: accesses.len() };
    for _ in 0..rounds {
        let mut collector = Collector::new(Arc::clone(&host));
        let before = cpu_time();
        pair.ours.push(timed(|| collector.collect_inventory(&Unwatched)));
        pair.cpu.push(cpu_time() - before);
        pair.bare.push(timed(|| accesses.read_by_path(recorded.is_none())));
    }
    pair
}

/// Usage of this machine, descriptors kept on both sides.
fn usage() -> Pair {
    let log = AccessLog::default();
    let noted = host(source(None).noting(log.clone()));
    let mut collector = Collector::new(noted);
    collector.collect_inventory(&Unwatched);
    collector.collect_usage(&Unwatched);
    // The second time shows what every further one reads.
    let _ = log.take();
    collector.collect_usage(&Unwatched);
    let mut accesses = Accesses::new(Path::new("/"), log.take());
    let kept = accesses.open();
    accesses.add(&SYSINFO_USAGE);
    let mut collector = Collector::new(host(source(None)));
    collector.collect_inventory(&Unwatched);
    collector.collect_usage(&Unwatched);
    let mut pair = Pair { ours: vec![], bare: vec![], cpu: vec![], accesses: accesses.len() };
    for _ in 0..ROUNDS {
        pair.ours.push(timed(|| collector.collect_usage(&Unwatched)));
        pair.bare.push(timed(|| accesses.read_kept(&kept)));
    }
    pair
}

/// A second collection by the same collector, as a served agent makes it when nothing changed.
fn inventory_again() -> (Duration, Duration) {
    let mut collector = Collector::new(host(source(None)));
    let first = timed(|| collector.collect_inventory(&Unwatched));
    let again: Vec<_> = (0..ROUNDS).map(|_| timed(|| collector.collect_inventory(&Unwatched))).collect();
    (first, median(&again))
}

fn synthetic(verdicts: &mut Verdicts, shape: &Shape, limits: bool) {
    let directory = tempdir().expect("a directory");
    shape.write(directory.path());
    let pair = inventory(Some(directory.path()), ROUNDS_LARGE);
    let name = format!("{} CPUs, {} nodes, {} PCI", shape.cpus(), shape.nodes, shape.pci);
    verdicts.ratio(&format!("inventory, {name}"), &pair);
    let cpu = median(&pair.cpu);
    if limits {
        let measured = format!("{cpu:.1?} of CPU");
        verdicts.row("  its CPU time", &measured, cpu <= LARGE_CPU_MAX, &format!("≤ {LARGE_CPU_MAX:?}"));
    } else {
        println!("  its CPU time {cpu:.1?}");
    }
}

/// Usage of a host with many guests, all of libvirt's part of it: read, parsed, put together.
fn guests(verdicts: &mut Verdicts) {
    let directory = tempdir().expect("a directory");
    synthetic_guests::write(directory.path(), GUESTS);
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS_LARGE {
        let mut collector = Collector::new(host(source(Some(directory.path()))));
        first.push(timed(|| {
            let usage = collector.collect_usage(&Unwatched).usage;
            assert_eq!(usage.promised.map(|promised| promised.domain_count), u32::try_from(GUESTS).ok());
        }));
        again.push(timed(|| collector.collect_usage(&Unwatched)));
    }
    let mut row = |what: &str, took: Duration| {
        verdicts.row(what, &format!("{took:>9.1?}"), took <= GUESTS_MAX, &format!("≤ {GUESTS_MAX:?}"));
    };
    row(&format!("usage with {GUESTS} recorded domains"), median(&first));
    row("  again by the same agent", median(&again));
}

fn main() {
    let mut verdicts = Verdicts(true);
    // `cargo bench --bench agent -- quick`: this machine only, while working on it.
    let is_quick = std::env::args().any(|argument| argument == "quick");
    verdicts.ratio("inventory, this machine", &inventory(None, ROUNDS));
    let (first, again) = inventory_again();
    println!("  again by the same agent, nothing changed: {again:.1?} (first {first:.1?})");
    verdicts.ratio("usage, this machine, descriptors kept", &usage());
    if is_quick {
        return;
    }
    guests(&mut verdicts);
    synthetic(&mut verdicts, &LARGE, true);
    synthetic(&mut verdicts, &HUGE, false);
    resident::measure(&mut |what, measured, is_met, limit| verdicts.row(what, measured, is_met, limit));
    assert!(verdicts.0, "a number of BLUEPRINT §5 was missed");
}
