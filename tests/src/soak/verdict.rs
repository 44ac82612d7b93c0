//! Whether samples show growth. Pure.
//!
//! The median of the last third after the warm-up against that of the first: a leak grows with time, so it is in every
//! sample of the last third, while peaks of load and the allocator's steps are in few. Nothing is fitted, nothing is left out.

use std::{fmt::Write as _, thread::available_parallelism, time::Duration};

use vmuster_coordinator::fetch::IN_FLIGHT_MAX;

use super::Plan;

/// What the coordinator had at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    /// RssAnon: heap and stacks.
    pub anon_kib: u64,
    /// VmRSS: with the program's own pages.
    pub resident_kib: u64,
    /// In /proc/PID/fd.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// VmRSS by its own metrics.
    pub own_resident_kib: u64,
    /// Descriptors by its own metrics, that of the scrape among them.
    pub own_descriptors: u64,
    /// Fetches that ended, so far.
    pub fetches: f64,
    /// Fetches under way.
    pub in_flight: f64,
}

/// Memory may grow by a twentieth and this from third to third: the allocator keeps what a peak took, and peaks that are
/// rare (many answers of 8 MiB at once, a refresh beside a list) come later, too. A leak of 20 bytes a fetch is more in half
/// an hour.
const MEMORY_PERCENT: u64 = 5;
const MEMORY_SLACK_KIB: u64 = 2 << 10;

/// Under load descriptors are fetches under way, up and down with the hosts that hang: only their number is limited, to what
/// may be under way and these for listeners, callers and files. What leaks is seen when all is quiet, to the descriptor.
const DESCRIPTORS_BESIDE_FETCHES: u64 = 128;

/// Beside one for each CPU. 16 pieces of work on the disk and 8 look-ups of users go on at once, but a permit is back before
/// its thread is, so that a burst may start more. tokio would allow 512.
const THREADS_MAX: u64 = 64;

/// Rows of the table.
const ROWS: usize = 10;

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

struct Rule {
    name: &'static str,
    of: fn(&Sample) -> u64,
}

const RULES: [Rule; 3] = [
    Rule { name: "RssAnon KiB", of: |it| it.anon_kib },
    Rule { name: "VmRSS KiB", of: |it| it.resident_kib },
    Rule { name: "VmRSS KiB, own metrics", of: |it| it.own_resident_kib },
];

fn row(text: &mut String, when: &str, it: &Sample) {
    let Sample { anon_kib, resident_kib, descriptors, threads, fetches, in_flight, .. } = it;
    let line = format!(
        "{when:>8} {anon_kib:>10} {resident_kib:>10} {descriptors:>11} {threads:>8} {fetches:>10} {in_flight:>9}"
    );
    writeln!(text, "{line}").expect("a string");
}

/// A table, and whether all is well.
#[must_use]
pub fn judge(plan: Plan, before: Sample, samples: &[Sample], after: Sample) -> (String, bool) {
    let mut text = String::from("    when    RssAnon      VmRSS descriptors  threads    fetches in flight\n");
    row(&mut text, "before", &before);
    for it in samples.iter().step_by(samples.len().div_ceil(ROWS).max(1)) {
        row(&mut text, &format!("{} s", it.at.as_secs()), it);
    }
    row(&mut text, "after", &after);
    let warm: Vec<_> = samples.iter().filter(|it| it.at >= plan.warm_up).collect();
    let third = warm.len() / 3;
    let mut all_good = third > 0;
    let mut say = |is_good: bool, line: String| {
        all_good &= is_good;
        writeln!(text, "{} {line}", if is_good { "good  " } else { "FAILED" }).expect("a string");
    };
    for Rule { name, of } in RULES {
        let parts = [&warm[..third], &warm[third..warm.len() - third], &warm[warm.len() - third..]];
        let [first, middle, last] = parts.map(|part| median(part.iter().map(|it| of(it))));
        let most = first + first * MEMORY_PERCENT / 100 + MEMORY_SLACK_KIB;
        let peak = warm.iter().map(|it| of(it)).max().unwrap_or_default();
        say(last <= most, format!("{name}: thirds {first}, {middle}, {last}; at most {most}; peak {peak}"));
    }
    let descriptors = samples.iter().map(|it| it.descriptors).max().unwrap_or_default();
    let allowed = IN_FLIGHT_MAX as u64 + DESCRIPTORS_BESIDE_FETCHES;
    say(descriptors <= allowed, format!("descriptors: {descriptors} at most; {allowed} allowed"));
    let threads = samples.iter().map(|it| it.threads).max().unwrap_or_default();
    let allowed = THREADS_MAX + available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    say(threads <= allowed, format!("threads: {threads} at most; {allowed} allowed"));
    for (name, of) in
        [("descriptors", (|it| it.descriptors) as fn(&Sample) -> u64), ("threads", |it| it.threads)]
    {
        let (before, after) = (of(&before), of(&after));
        say(after <= before, format!("{name} when nobody asks: {before} before, {after} after"));
    }
    (text, all_good)
}
