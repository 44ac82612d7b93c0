//! How long a call of libvirt's may take. It cannot be taken back: one that takes longer ends the process, and the next
//! question starts another.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// For what a daemon answers from memory. On a busy host a list of 500 running guests takes 3 s.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);

/// For what looks at storage, which may hang: the rest was told before, and the next question should not wait long.
pub(crate) const STORAGE_LIMIT: Duration = Duration::from_secs(2);

/// For what may start an emulator to ask it: 4 s when cold, 16 s seen on a slow host.
pub(crate) const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// The call that is running.
#[derive(Debug, Default)]
struct Running {
    call: Option<(&'static str, Instant)>,
}

/// Looks after the calls of one thread.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    shared: Arc<(Mutex<Running>, Condvar)>,
}

/// Clears the call when it returns, or panics.
struct Cleared<'a>(&'a Limits);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.running().call = None;
    }
}

impl Limits {
    /// Starts the thread that looks. `end` is called with what hung, and should not return.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub(crate) fn start(end: impl Fn(&str) + Send + 'static) -> std::io::Result<Self> {
        let limits = Self { shared: Arc::default() };
        let watched = limits.clone();
        thread::Builder::new().name("limits".to_owned()).spawn(move || watched.watch(&end))?;
        Ok(limits)
    }

    /// Runs a call that must return within `limit`.
    pub(crate) fn call<T>(&self, name: &'static str, limit: Duration, call: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        self.running().call = Some((name, begin + limit));
        self.shared.1.notify_one();
        let _cleared = Cleared(self);
        let result = call();
        tracing::debug!(call = name, microseconds = begin.elapsed().as_micros(), "returned");
        result
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, end: &dyn Fn(&str)) {
        let mut running = self.running();
        loop {
            running = match running.call {
                None => self.shared.1.wait(running).unwrap_or_else(PoisonError::into_inner),
                Some((name, due)) => {
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        end(name);
                        return;
                    }
                    let waited = self.shared.1.wait_timeout(running, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_call_that_does_not_return_is_named() {
        let (ended, hears) = mpsc::channel();
        let limits = Limits::start(move |name| ended.send(name.to_owned()).expect("the test waits"))
            .expect("a thread");
        assert_eq!(limits.call("quick", CALL_LIMIT, || 1), 1);
        // Longer than any deadline of the test: the call ends when the limit has.
        let heard = limits.call("slow", Duration::from_millis(5), || hears.recv_timeout(CALL_LIMIT));
        assert_eq!(heard.as_deref(), Ok("slow"));
    }
}
