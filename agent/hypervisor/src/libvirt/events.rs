//! libvirt's event loop, and which domains it says have changed.

use std::{
    collections::BTreeSet,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use virt::{
    error::Error,
    event::{EventTimeoutWatch, event_add_timeout, event_register_default_impl, event_run_default_impl},
};

use super::raw::Changes;

/// Events that came before an answer are handed on within microseconds; a loop that does not turn must not hold an answer.
const SETTLE_MAX: Duration = Duration::from_millis(100);

/// virEventUpdateTimeout: never.
const NEVER: i32 = -1;

/// UUIDs of domains that changed since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Changed(Mutex<BTreeSet<String>>);

impl Changes for Changed {
    fn changed(&self, uuid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uuid.to_owned());
    }
}

impl Changed {
    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The thread that reads what daemons send of their own accord. One for the process.
pub(crate) struct EventLoop {
    turns: Arc<(Mutex<u64>, Condvar)>,
    turn: EventTimeoutWatch,
}

impl EventLoop {
    /// Starts it; before any connection is opened.
    ///
    /// # Errors
    /// libvirt cannot set it up.
    pub(crate) fn start() -> Result<Self, Error> {
        event_register_default_impl()?;
        let turns: Arc<(Mutex<u64>, Condvar)> = Arc::default();
        let counted = Arc::clone(&turns);
        let turn = event_add_timeout(
            NEVER,
            move |_, _| {
                *counted.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                counted.1.notify_all();
            },
            std::ptr::null_mut(),
        )?;
        thread::spawn(|| {
            while let Ok(()) = event_run_default_impl() {}
            tracing::error!("libvirt's event loop ended: changes are seen by their age");
        });
        Ok(Self { turns, turn })
    }

    /// Waits until events that have arrived were handed on: the loop serves its timers in one turn.
    pub(crate) fn settle(&self) {
        let turns = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *turns;
        self.turn.event_update_timeout(0);
        let turned = self.turns.1.wait_timeout_while(turns, SETTLE_MAX, |turns| *turns < before + 2);
        drop(turned);
        self.turn.event_update_timeout(NEVER);
    }
}
