//! The hypervisor's answers: asked of the reader process, or recorded.
//!
//! Knows whom to ask, how long to wait, and what was answered last. Must not know how anything else of a host is read.

pub mod domains;
pub mod figures;
pub mod guest;
mod house;
pub(crate) mod placement;
pub mod protocol;
pub mod reader;
mod recorded;
pub mod storage;
mod weight;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use vmuster_proto::model::{Issue, IssueKind, Timestamp};

use self::{
    guest::{GUEST, Guests, HYPERVISOR},
    protocol::{Answer, Guesthouse, Question},
    reader::{Asked, ReaderError, Waits, ask},
};
use crate::host_root::HostRoot;

/// For libvirt to say anything at all: to start a reader and open a connection takes some 60 ms, and a host whose libvirt
/// hangs must still answer everything else within a second.
const STANDING_WAIT: Duration = Duration::from_millis(500);

/// The same, if it hung moments ago.
const HUNG_WAIT: Duration = Duration::from_millis(50);

/// For how long it is taken to hang still: somebody who asks later waits the full time again.
const HUNG_MEMORY: Duration = Duration::from_secs(10);

/// For an answer from a libvirt that works: a cold one may take 4 s for what guests can be given, and somebody waits for
/// the rest of the inventory. What comes later is there at the next question.
const ANSWER_WAIT: Duration = Duration::from_millis(2500);

/// Where the reader listens by default.
pub const DEFAULT_SOCKET: &str = "/run/vmuster/hypervisor.sock";

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderSettings {
    /// Its socket.
    pub socket: PathBuf,
    /// Pools whose volumes are images.
    pub image_pools: Vec<String>,
    /// Directories whose files are images; the agent reads them itself.
    pub image_directories: Vec<PathBuf>,
}

impl Default for ReaderSettings {
    fn default() -> Self {
        Self { socket: PathBuf::from(DEFAULT_SOCKET), image_pools: Vec::new(), image_directories: Vec::new() }
    }
}

/// What guests can be given, and what that depends on; None where libvirt did not say.
#[derive(Debug, Clone, Default)]
pub(crate) struct GuestsRead {
    pub(crate) guests: Guests,
    pub(crate) standing: Option<String>,
}

/// Guests and storage, and when they were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct HouseRead {
    pub(crate) house: Guesthouse,
    pub(crate) collected_at: Option<Timestamp>,
    pub(crate) standing: Option<String>,
}

/// One host's hypervisor.
#[derive(Debug)]
pub(crate) enum Link {
    /// This machine's, by its reader.
    Live(Box<(ReaderSettings, Mutex<Memory>)>),
    /// A recorded host's files.
    Recorded(Mutex<recorded::Definitions>),
}

/// What was answered last.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What it depended on, by libvirt's account and the host's, and when.
    guests: Option<(String, String, Guests, Timestamp)>,
    house: house::Kept,
    hung: Option<Instant>,
    /// What was wrong with the last answer; the log tells of changes only.
    trouble: Option<IssueKind>,
}

impl Link {
    pub(crate) fn recorded() -> Self {
        Self::Recorded(Mutex::default())
    }

    pub(crate) fn live(settings: ReaderSettings) -> Self {
        Self::Live(Box::new((settings, Mutex::default())))
    }

    /// None of a recorded host.
    pub(crate) fn settings(&self) -> Option<&ReaderSettings> {
        match self {
            Self::Live(live) => Some(&live.0),
            Self::Recorded(_) => None,
        }
    }

    /// What guests can be given. `dependencies`: what that depends on beside libvirt and QEMU.
    pub(crate) fn guests(&self, root: &HostRoot, dependencies: &str, now: Timestamp) -> GuestsRead {
        match self {
            Self::Recorded(_) => GuestsRead { guests: recorded::guests(root), standing: None },
            Self::Live(live) => live_guests(&live.0, &live.1, dependencies, now),
        }
    }

    /// Guests and storage. `mounts_hang`: whether a mount of this host does not answer. libvirt would then open images on it
    /// and answer nobody any more.
    pub(crate) fn house(&self, root: &HostRoot, now: Timestamp, mounts_hang: bool) -> HouseRead {
        match self {
            Self::Recorded(kept) => recorded::house(root, &mut locked(kept)),
            Self::Live(live) => house::read(&live.0, &live.1, now, mounts_hang),
        }
    }
}

/// A panic of a reader ends the process, so a poisoned lock is seen by nobody.
fn locked<T>(memory: &Mutex<T>) -> MutexGuard<'_, T> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put(settings: &ReaderSettings, memory: &Mutex<Memory>, question: &Question) -> Result<Asked, ReaderError> {
    let hung = locked(memory).hung;
    let is_hung = hung.is_some_and(|since| since.elapsed() < HUNG_MEMORY);
    let standing = if is_hung { HUNG_WAIT } else { STANDING_WAIT };
    let asked = ask(&settings.socket, question, Waits { standing, answer: ANSWER_WAIT });
    let hangs = matches!(asked, Err(ReaderError::Silent(_)));
    let mut memory = locked(memory);
    memory.hung = hangs.then(Instant::now);
    let trouble = asked.as_ref().err().map(ReaderError::kind);
    let before = std::mem::replace(&mut memory.trouble, trouble);
    drop(memory);
    match &asked {
        Err(error) if trouble != before => tracing::warn!(%error, "libvirt gives no answer"),
        Ok(_) if before.is_some() => tracing::info!("libvirt answers again"),
        _ => {}
    }
    asked
}

fn live_guests(
    settings: &ReaderSettings,
    memory: &Mutex<Memory>,
    dependencies: &str,
    now: Timestamp,
) -> GuestsRead {
    let fresh = || -> Result<GuestsRead, ReaderError> {
        let standing = put(settings, memory, &Question::Standing)?.standing;
        if let Some((key, host, guests, _)) = &locked(memory).guests
            && *key == standing
            && host == dependencies
        {
            return Ok(GuestsRead { guests: guests.clone(), standing: Some(standing) });
        }
        let asked = put(settings, memory, &Question::Guest { dependencies: dependencies.to_owned() })?;
        let Some(Answer::Guest(guests)) = asked.answer else { return Err(ReaderError::Unexpected) };
        // KVM may come back, and nothing else changes; the reader keeps such an answer for a while.
        let is_emulated =
            guests.guest.as_ref().is_some_and(|guest| guest.virt_type.as_deref() == Some("qemu"));
        // What is missing now may be there at the next question.
        let is_whole = guests.issues.iter().all(|issue| issue.kind == IssueKind::Unsupported);
        locked(memory).guests = (is_whole && !is_emulated)
            .then(|| (asked.standing.clone(), dependencies.to_owned(), (*guests).clone(), now));
        Ok(GuestsRead { guests: *guests, standing: Some(asked.standing) })
    };
    fresh().unwrap_or_else(|error| {
        let memory = locked(memory);
        let kept = memory.guests.as_ref().filter(|(_, host, ..)| host == dependencies);
        let since = kept.map(|(.., since)| *since);
        let mut guests = kept.map(|(_, _, guests, _)| guests.clone()).unwrap_or_default();
        for section in [GUEST, HYPERVISOR] {
            guests.issues.push(absence(section, &error, settings, since));
        }
        // It still holds as far as anybody knows.
        GuestsRead { guests, standing: kept.map(|(key, ..)| key.clone()) }
    })
}

fn absence(section: &str, error: &ReaderError, settings: &ReaderSettings, since: Option<Timestamp>) -> Issue {
    let failure = error.told();
    let kept = since.map(|since| format!("; shown as it was at {since}")).unwrap_or_default();
    let detail = format!("{}{kept}", failure.detail);
    Issue::new(section, error.source(&settings.socket), failure.kind, detail)
}
