//! What the reading thread is at, so that a read which never returns costs its section and not the host.
//!
//! Knows steps, how long each may take, and which never came back. Must not know threads, files or what a step reads:
//! the times are passed in.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use vmuster_proto::model::{Issue, IssueKind};

/// For a section: 2,048 CPUs take 0.4 s on a slow machine, and a wrong suspicion costs the section.
pub const SECTION_DEADLINE: Duration = Duration::from_secs(2);

/// For one statvfs: a live server answers in milliseconds. A whole answer must not take a second.
pub const MOUNT_DEADLINE: Duration = Duration::from_millis(250);

/// Each mount that hangs within one answer halves the time for the next, but not below this: a dead server has many
/// mounts.
const MOUNT_DEADLINE_MIN: Duration = Duration::from_millis(15);

/// As with mounts: sections that hang within one answer must leave time for the rest of it.
const SECTION_DEADLINE_MIN: Duration = Duration::from_millis(250);

/// Threads that may hang at once; each costs some 30 KB until its read returns.
const STUCK_MAX: usize = 16;

/// Of those, mounts: the rest is for sections.
const STUCK_MOUNTS_MAX: usize = 12;

/// What is read in one go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A section of inventory or usage.
    Section(&'static str),
    /// The size of the file system at this mount point, or which one this directory is on.
    Mount(String),
    /// The hypervisor's answer. Whoever asks for it waits no longer than it is allowed to.
    Hypervisor,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(name) => write!(f, "section {name}"),
            Self::Mount(path) => write!(f, "statvfs {path}"),
            Self::Hypervisor => f.write_str("hypervisor"),
        }
    }
}

/// Why a step must not be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// It was begun this long ago and has not ended.
    Stuck(Duration),
    /// Too many mounts hang already.
    Crowded,
    /// Another thread has taken over: nobody waits for this one's results.
    Superseded,
}

impl Barred {
    /// As an issue of a section or field.
    #[must_use]
    pub fn issue(self, section: &str, source: &str) -> Issue {
        let detail = match self {
            Self::Stuck(since) => format!(
                "reading it has not ended for {:.1} s; it is not asked again before that",
                since.as_secs_f32()
            ),
            Self::Crowded => {
                format!("{STUCK_MOUNTS_MAX} other mounts hang; it is not asked before one answers")
            }
            Self::Superseded => "another thread reads it".to_owned(),
        };
        Issue::new(section, source, IssueKind::Timeout, detail)
    }
}

/// Asked before each step.
pub trait Watch {
    /// Notes that the step begins; the one before has ended.
    ///
    /// # Errors
    /// It must be left out.
    fn enter(&self, step: Step) -> Result<(), Barred>;
}

/// For one-off readings, where a hang is seen by whoever waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn enter(&self, _: Step) -> Result<(), Barred> {
        Ok(())
    }
}

/// How long steps may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepDeadlines {
    /// A section.
    pub section: Duration,
    /// A mount.
    pub mount: Duration,
}

impl Default for StepDeadlines {
    fn default() -> Self {
        Self { section: SECTION_DEADLINE, mount: MOUNT_DEADLINE }
    }
}

/// The reader and the steps that never came back. A reader is known by its number; the next takes over from one that
/// hangs.
#[derive(Debug, Default)]
pub struct Progress {
    deadlines: StepDeadlines,
    reader: u64,
    current: Option<(Step, Instant)>,
    /// By the reader that hangs in it.
    stuck: BTreeMap<u64, (Step, Instant)>,
    /// Readers that hung since the last whole answer, in mounts and in sections.
    hung_mounts: u32,
    hung_sections: u32,
}

impl Progress {
    /// With nothing begun.
    #[must_use]
    pub fn new(deadlines: StepDeadlines) -> Self {
        Self { deadlines, ..Self::default() }
    }

    /// The number of the reader that counts.
    #[must_use]
    pub fn reader(&self) -> u64 {
        self.reader
    }

    /// How many readers hang.
    #[must_use]
    pub fn stuck_count(&self) -> usize {
        self.stuck.len()
    }

    /// A reader begins a step.
    ///
    /// # Errors
    /// See [`Barred`].
    pub fn enter(&mut self, reader: u64, step: Step, now: Instant) -> Result<(), Barred> {
        if reader != self.reader {
            self.stuck.remove(&reader);
            return Err(Barred::Superseded);
        }
        self.current = None;
        if let Some((_, since)) = self.stuck.values().find(|(stuck, _)| *stuck == step) {
            return Err(Barred::Stuck(now.saturating_duration_since(*since)));
        }
        let mounts = self.stuck.values().filter(|(stuck, _)| matches!(stuck, Step::Mount(_))).count();
        if matches!(step, Step::Mount(_)) && mounts >= STUCK_MOUNTS_MAX {
            return Err(Barred::Crowded);
        }
        self.current = Some((step, now));
        Ok(())
    }

    /// A reader is between steps. Whether it still counts.
    pub fn rest(&mut self, reader: u64) -> bool {
        if reader != self.reader {
            self.stuck.remove(&reader);
            return false;
        }
        self.current = None;
        true
    }

    /// A whole answer was given.
    pub fn answered(&mut self) {
        self.hung_mounts = 0;
        self.hung_sections = 0;
    }

    /// When the running step will have taken too long.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let (step, since) = self.current.as_ref()?;
        let (deadline, hung, least) = match step {
            Step::Section(_) => (self.deadlines.section, self.hung_sections, SECTION_DEADLINE_MIN),
            Step::Mount(_) => (self.deadlines.mount, self.hung_mounts, MOUNT_DEADLINE_MIN),
            // It ends by itself.
            Step::Hypervisor => return None,
        };
        let halved = deadline.checked_div(1 << hung.min(16)).unwrap_or_default();
        since.checked_add(halved.max(least.min(deadline)))
    }

    /// Gives up the reader if its step takes too long: the step it hangs in; from then on [`Self::reader`] is another,
    /// which has to be started.
    pub fn supersede_if_due(&mut self, now: Instant) -> Option<Step> {
        if self.due().is_none_or(|due| now < due) || self.stuck.len() >= STUCK_MAX {
            return None;
        }
        let (step, since) = self.current.take()?;
        match step {
            Step::Section(_) => self.hung_sections += 1,
            Step::Mount(_) => self.hung_mounts += 1,
            Step::Hypervisor => {}
        }
        self.stuck.insert(self.reader, (step.clone(), since));
        self.reader += 1;
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(name: &str) -> Step {
        Step::Mount(name.to_owned())
    }

    #[test]
    fn a_step_that_hangs_is_left_out_until_it_returns() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut progress = Progress::new(StepDeadlines::default());
        assert_eq!(progress.enter(0, Step::Section("cpu"), at(0)), Ok(()));
        assert_eq!(progress.enter(0, mount("/nfs"), at(10)), Ok(()));
        assert_eq!(progress.supersede_if_due(at(259)), None);
        assert_eq!(progress.supersede_if_due(at(260)), Some(mount("/nfs")));
        assert_eq!((progress.reader(), progress.due()), (1, None));
        assert_eq!(progress.enter(1, mount("/"), at(261)), Ok(()));
        assert_eq!(progress.enter(1, mount("/nfs"), at(1010)), Err(Barred::Stuck(Duration::from_secs(1))));
        assert_eq!(progress.due(), None, "nothing is read while it is left out");
        assert_eq!(
            progress.enter(0, Step::Section("load"), at(1500)),
            Err(Barred::Superseded),
            "it returned"
        );
        assert_eq!((progress.enter(1, mount("/nfs"), at(1600)), progress.stuck_count()), (Ok(()), 0));
        assert!(progress.rest(1) && !progress.rest(0) && progress.due().is_none());
    }

    #[test]
    fn many_dead_mounts_do_not_add_up() {
        let begin = Instant::now();
        let mut now = begin;
        let mut progress = Progress::new(StepDeadlines::default());
        for hung in 0..STUCK_MOUNTS_MAX {
            let reader = progress.reader();
            assert_eq!(progress.enter(reader, mount(&format!("/dead{hung}")), now), Ok(()));
            now = progress.due().expect("a deadline");
            assert!(progress.supersede_if_due(now).is_some());
        }
        assert!(now - begin < Duration::from_millis(700), "{:?}", now - begin);
        let reader = progress.reader();
        assert_eq!(progress.enter(reader, mount("/one-more"), now), Err(Barred::Crowded));
        assert_eq!(progress.enter(reader, Step::Section("cpu"), now), Ok(()), "sections have room left");
        progress.answered();
        progress.rest(reader);
        assert_eq!(progress.enter(0, mount("/"), now), Err(Barred::Superseded));
        assert_eq!(progress.enter(reader, mount("/later"), now), Ok(()));
        assert_eq!(progress.due(), Some(now + MOUNT_DEADLINE), "the next answer has its time again");
    }

    #[test]
    fn readers_that_hang_are_limited() {
        let mut now = Instant::now();
        let mut progress = Progress::new(StepDeadlines::default());
        let sections: [&'static str; STUCK_MAX + 1] =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"];
        for section in sections {
            let reader = progress.reader();
            assert_eq!(progress.enter(reader, Step::Section(section), now), Ok(()));
            now = progress.due().expect("a deadline");
            let superseded = progress.supersede_if_due(now).is_some();
            assert_eq!(superseded, section != "q");
        }
        assert_eq!(progress.stuck_count(), STUCK_MAX);
    }
}
