//! The agent's own figures, and when the kernel started: the two things sysinfo is asked.
//!
//! It is right here because both are only of this machine and this process, and it knows clock ticks, the boot time and
//! /proc/self better than a parser of our own would. It is wrong everywhere else: its paths are fixed, so a recorded
//! host cannot be read; it has neither nodes, flags nor huge pages; it counts CPUs by position, so offline ones shift
//! the rest (physical cores wrong on 32 of 99 captured hosts); and its disks hang with one dead mount.

use std::time::Duration;

use sysinfo::{Error, ProcessRefreshKind, ProcessesToUpdate, System};
use vmuster_proto::model::{Bytes, Issue, IssueKind, OwnProcess, Timestamp};

const SOURCE: &str = "sysinfo";

/// What the agent costs, asked again and again.
#[derive(Debug, Default)]
pub(crate) struct OwnFigures {
    /// Kept, for making it reads all of /proc/stat; None before the first question.
    system: Option<System>,
}

impl OwnFigures {
    /// As they are now.
    pub(crate) fn collect(&mut self) -> (Option<OwnProcess>, Vec<Issue>) {
        match self.read() {
            Ok(own) => (Some(own), Vec::new()),
            Err(error) => {
                (None, vec![Issue::new("usage.agent", SOURCE, IssueKind::Missing, error.to_string())])
            }
        }
    }

    fn read(&mut self) -> Result<OwnProcess, Error> {
        let pid = sysinfo::get_current_pid()?;
        let system = match self.system.take() {
            Some(system) => system,
            None => System::new()?,
        };
        let system = self.system.insert(system);
        // Without tasks: the threads are not needed, and cost a directory listing.
        let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
        let process = system.process(pid);
        Ok(OwnProcess {
            resident_bytes: process.map(|process| Bytes(process.memory())).filter(|bytes| bytes.0 > 0),
            started_at: process.and_then(|process| timestamp(process.start_time())),
        })
    }
}

/// When the kernel started, and why that is not known.
pub(crate) fn booted_at() -> (Option<Timestamp>, Vec<Issue>) {
    match System::boot_time().map(timestamp) {
        Ok(Some(time)) => (Some(time), Vec::new()),
        Ok(None) => {
            (None, vec![Issue::new("system.booted_at", SOURCE, IssueKind::Missing, "the boot time is zero")])
        }
        Err(error) => {
            (None, vec![Issue::new("system.booted_at", SOURCE, IssueKind::Missing, error.to_string())])
        }
    }
}

/// sysinfo's zero is "not known".
fn timestamp(seconds: u64) -> Option<Timestamp> {
    (seconds > 0).then(|| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_began_after_the_kernel() {
        let mut figures = OwnFigures::default();
        let (first, _) = figures.collect();
        let (own, issues) = figures.collect();
        assert_eq!(first.and_then(|own| own.started_at), own.as_ref().and_then(|own| own.started_at));
        let own = own.expect("figures");
        assert!(own.resident_bytes.is_some_and(|bytes| bytes.0 > 1 << 20), "{own:?} {issues:?}");
        assert!(own.started_at >= booted_at().0 && own.started_at.is_some(), "{own:?}");
    }
}
