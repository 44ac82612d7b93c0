//! This process's own figures, under the names that Prometheus' client libraries use.
//!
//! From /proc/self alone: the unit hides the rest of /proc. What cannot be read is left out, never zero.

use prometheus_client::{
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use rustix::param::clock_ticks_per_second;
use vmuster_proto::model::Timestamp;

/// Fields of /proc/self/stat, counted from 0 behind the name in parentheses (proc(5) counts them from 3).
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

pub(super) fn register(registry: &mut Registry, started_at: Timestamp) {
    let started = started_at.unix_millis();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
    let started = started as f64 / 1000.0;
    let start = "When this process began to serve, since 1970";
    registry.register_with_unit("process_start_time", start, Unit::Seconds, ConstGauge::new(started));
    if let Some(stat) = read("/proc/self/stat")
        && let Some(seconds) = cpu_seconds(&stat, clock_ticks_per_second())
    {
        let help = "CPU time of user and system";
        registry.register_with_unit("process_cpu", help, Unit::Seconds, ConstCounter::new(seconds));
    }
    if let Some(status) = read("/proc/self/status") {
        if let Some(kib) = figure(&status, "VmRSS:") {
            let help = "Resident memory";
            let bytes = ConstGauge::new(kib.saturating_mul(1024));
            registry.register_with_unit("process_resident_memory", help, Unit::Bytes, bytes);
        }
        if let Some(threads) = figure(&status, "Threads:") {
            registry.register("process_threads", "Threads", ConstGauge::new(threads));
        }
    }
    if let Some(open) = open_descriptors() {
        registry.register("process_open_fds", "Open file descriptors", ConstGauge::new(open));
    }
    if let Some(most) =
        read("/proc/self/limits").as_deref().and_then(|limits| figure(limits, "Max open files"))
    {
        registry.register("process_max_fds", "Open file descriptors at most", ConstGauge::new(most));
    }
}

fn read(path: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "own figures, from the kernel; a few kilobytes each")]
    std::fs::read_to_string(path).ok()
}

fn open_descriptors() -> Option<i64> {
    #[expect(clippy::disallowed_methods, reason = "own descriptors, which the unit limits to some thousand")]
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    // One of them is that of the listing.
    i64::try_from(entries.count().saturating_sub(1)).ok()
}

/// The first number after this word at the start of a line. "unlimited" is none.
fn figure(text: &str, name: &str) -> Option<i64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds(stat: &str, ticks_per_second: u64) -> Option<f64> {
    // The name may hold anything, parentheses too.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = ticks(USER_TIME)?.checked_add(ticks(SYSTEM_TIME)?)?;
    #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
    let seconds = ticks as f64 / ticks_per_second as f64;
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_and_nothing_is_made_up() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 1000 1 1";
        assert_eq!(cpu_seconds(stat, 100), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S 1", 100), None);
        let status = "Name:\tx\nVmRSS:\t    1204 kB\nThreads:\t4\n";
        assert_eq!((figure(status, "VmRSS:"), figure(status, "Threads:")), (Some(1204), Some(4)));
        let limits = "Max cpu time              unlimited            unlimited            seconds\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!((figure(limits, "Max open files"), figure(limits, "Max cpu time")), (Some(1024), None));
        assert_eq!(figure(limits, "Max core"), None);
    }
}
