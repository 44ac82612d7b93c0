//! What a process has, from outside.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Instant};

use super::verdict::Sample;
use crate::metrics::scrape;

/// A coordinator that is looked at.
#[derive(Debug)]
pub(super) struct Watched {
    pid: u32,
    metrics: PathBuf,
    since: Instant,
}

/// The first number of a line of /proc/PID/status.
fn figure(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

impl Watched {
    pub(super) fn new(pid: u32, metrics: PathBuf) -> Self {
        Self { pid, metrics, since: Instant::now() }
    }

    /// By the kernel and by its own metrics, which must agree on what is the same in both.
    pub(super) fn look(&self) -> Sample {
        let at = self.since.elapsed();
        // The scrape's own connection is over when the descriptors are counted.
        let own = tokio::task::block_in_place(|| scrape(&self.metrics));
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it runs");
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("it runs").count();
        let fetches = ["ok", "failed"].map(|outcome| {
            own.count(&format!("vmuster_fetch_duration_seconds_count{{outcome=\"{outcome}\"}}"))
        });
        Sample {
            at,
            anon_kib: figure(&status, "RssAnon:"),
            resident_kib: figure(&status, "VmRSS:"),
            descriptors: descriptors as u64,
            threads: figure(&status, "Threads:"),
            own_resident_kib: (own.value("process_resident_memory_bytes") / 1024.0) as u64,
            own_descriptors: own.value("process_open_fds") as u64,
            fetches: fetches.iter().sum(),
            in_flight: own.count("vmuster_fetches_in_flight"),
        }
    }

    /// Fetches that failed, by kind.
    pub(super) fn failures(&self) -> BTreeMap<String, u64> {
        let own = tokio::task::block_in_place(|| scrape(&self.metrics));
        let kinds = own.starting_with("vmuster_fetch_failures_total{kind=\"");
        kinds
            .map(|(series, count)| (series.split('"').nth(1).unwrap_or_default().to_owned(), count as u64))
            .collect()
    }
}
