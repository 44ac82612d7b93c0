//! The thread that reads the host.
//!
//! A read may hang for ever (a dead NFS server, a stuck driver). On a thread of its own it costs that thread and its
//! section, nothing else: whoever waits for an answer sees that a step takes too long, has another thread take over
//! without that step, and those who come while one collection runs share the next instead of piling up.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time::timeout_at};
use vmuster_proto::model::{SNAPSHOT_SCHEMA, Snapshot, sort_issues};

use crate::{
    snapshot::{Collected, CollectedUsage, Collector, Host},
    watch::{Barred, Progress, Step, StepDeadlines, Watch},
};

/// Askers waiting at once; a coordinator asks one thing at a time. Beyond it the thread hangs, or we are flooded.
const QUEUE_MAX: usize = 256;

/// How often an asker looks for a step that takes too long: the next step may have less time than the one that runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// No answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// The collection is still running, and may be for ever.
    #[error("reading this host did not end within {} s; a device or file system may hang", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Too many are waiting already.
    #[error("{QUEUE_MAX} questions are waiting already; a device or file system may hang")]
    Busy,
    /// The thread is gone: a bug, or the system has no thread for us.
    #[error("internal error while reading this host; see the agent's log")]
    Ended,
}

/// How often the host was read; for tests and, later, metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Collections of the inventory.
    pub inventories: AtomicU64,
    /// Readings of usage.
    pub usages: AtomicU64,
    /// Threads given up because a read did not return.
    pub superseded: AtomicU64,
}

/// Who waits for what.
#[derive(Debug, Default)]
struct Askers {
    inventory: Vec<oneshot::Sender<Arc<Collected>>>,
    usage: Vec<oneshot::Sender<Arc<CollectedUsage>>>,
}

impl Askers {
    fn len(&self) -> usize {
        self.inventory.len() + self.usage.len()
    }

    /// Somebody who gave up needs no collection.
    fn forget_closed(&mut self) {
        self.inventory.retain(|asker| !asker.is_closed());
        self.usage.retain(|asker| !asker.is_closed());
    }

    fn append(&mut self, mut more: Self) {
        self.inventory.append(&mut more.inventory);
        self.usage.append(&mut more.usage);
    }
}

#[derive(Debug)]
struct State {
    progress: Progress,
    waiting: Askers,
    /// Those whose collection runs.
    running: Askers,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    host: Arc<Host>,
    state: Mutex<State>,
    wake: Condvar,
    counters: Counters,
}

impl Shared {
    /// A panic of a reader ends the process, so a poisoned lock is seen by nobody.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the thread. The thread ends when every handle is gone.
#[derive(Debug, Clone)]
pub struct CollectorThread {
    handle: Arc<Handle>,
    deadline: Duration,
}

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.wake.notify_all();
    }
}

impl CollectorThread {
    /// Starts the thread. `deadline`: for a whole answer.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub fn start(host: Arc<Host>, deadline: Duration, steps: StepDeadlines) -> std::io::Result<Self> {
        let state = State {
            progress: Progress::new(steps),
            waiting: Askers::default(),
            running: Askers::default(),
            closed: false,
        };
        let shared = Arc::new(Shared {
            host,
            state: Mutex::new(state),
            wake: Condvar::new(),
            counters: Counters::default(),
        });
        spawn_reader(&shared, 0)?;
        Ok(Self { handle: Arc::new(Handle(shared)), deadline })
    }

    /// How often the host was read.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.handle.0.counters
    }

    /// The inventory as it is after this call began.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub async fn inventory(&self) -> Result<Arc<Collected>, CollectError> {
        self.ask(|askers, sender| askers.inventory.push(sender)).await
    }

    /// Usage as it is after this call began.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub async fn usage(&self) -> Result<Arc<CollectedUsage>, CollectError> {
        self.ask(|askers, sender| askers.usage.push(sender)).await
    }

    /// Inventory and usage in one document.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub async fn snapshot(&self) -> Result<Snapshot, CollectError> {
        let collected = self.inventory().await?;
        let usage = self.usage().await?;
        let mut issues = [collected.issues.as_slice(), usage.issues.as_slice()].concat();
        sort_issues(&mut issues);
        Ok(Snapshot {
            schema: SNAPSHOT_SCHEMA.to_owned(),
            name: collected.name.clone(),
            inventory: (*collected.inventory).clone(),
            usage: Some(usage.usage.clone()),
            issues,
        })
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(&mut Askers, oneshot::Sender<T>),
    ) -> Result<T, CollectError> {
        let shared = &self.handle.0;
        let (sender, mut receiver) = oneshot::channel();
        {
            let mut state = shared.state();
            // A reader that hangs does not look for those who gave up.
            state.waiting.forget_closed();
            state.running.forget_closed();
            if state.waiting.len() + state.running.len() >= QUEUE_MAX {
                drop(state);
                supersede_if_due(shared);
                return Err(CollectError::Busy);
            }
            question(&mut state.waiting, sender);
        }
        shared.wake.notify_one();
        let end = tokio::time::Instant::now() + self.deadline;
        loop {
            let look = look_again(shared).min(end);
            match timeout_at(look, &mut receiver).await {
                Ok(answer) => return answer.map_err(|_| CollectError::Ended),
                Err(_) if tokio::time::Instant::now() >= end => {
                    return Err(CollectError::TimedOut(self.deadline));
                }
                Err(_) => supersede_if_due(shared),
            }
        }
    }
}

fn look_again(shared: &Shared) -> tokio::time::Instant {
    let next = tokio::time::Instant::now() + LOOK_INTERVAL;
    let due = shared.state().progress.due();
    // A step that is due already and could not be given up, for too many hang, is looked at again later.
    let due = due.filter(|due| *due > Instant::now()).map(tokio::time::Instant::from_std);
    due.map_or(next, |due| next.min(due))
}

/// Has another thread take over if the one that reads hangs.
fn supersede_if_due(shared: &Arc<Shared>) {
    let mut state = shared.state();
    let Some(step) = state.progress.supersede_if_due(Instant::now()) else { return };
    // Nobody waits twice: their collection begins anew without the step that hangs.
    let mut running = std::mem::take(&mut state.running);
    running.append(std::mem::take(&mut state.waiting));
    state.waiting = running;
    let (reader, stuck) = (state.progress.reader(), state.progress.stuck_count());
    drop(state);
    shared.counters.superseded.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(%step, stuck, "a read does not return; it is left out until it does");
    if let Err(error) = spawn_reader(shared, reader) {
        // As with a panic: an agent without a reader looks alive and answers nothing; one that ends is started again.
        tracing::error!(%error, "cannot start a thread that reads on");
        std::process::abort();
    }
}

fn spawn_reader(shared: &Arc<Shared>, reader: u64) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("collector".to_owned()).spawn(move || run(&shared, reader)).map(drop)
}

/// Answers everybody who waits with one collection each of inventory and usage, until nobody can ask any more or another
/// thread has taken over.
fn run(shared: &Arc<Shared>, reader: u64) {
    let _guard = AbortOnPanic;
    let mut collector = Collector::new(Arc::clone(&shared.host));
    let watch = Reader { shared, reader };
    while let Some((inventory, usage)) = next_questions(shared, reader) {
        if inventory {
            shared.counters.inventories.fetch_add(1, Ordering::Relaxed);
            let collected = Arc::new(collector.collect_inventory(&watch));
            let Some(askers) = watch.finish(|running| std::mem::take(&mut running.inventory)) else { return };
            answer(askers, &collected);
        }
        if usage {
            shared.counters.usages.fetch_add(1, Ordering::Relaxed);
            let collected = Arc::new(collector.collect_usage(&watch));
            let Some(askers) = watch.finish(|running| std::mem::take(&mut running.usage)) else { return };
            answer(askers, &collected);
        }
    }
}

/// Waits for questions: whether any is of the inventory, and of usage. None: this thread is to end.
fn next_questions(shared: &Shared, reader: u64) -> Option<(bool, bool)> {
    let mut state = shared.state();
    loop {
        if state.closed || state.progress.reader() != reader {
            return None;
        }
        state.waiting.forget_closed();
        if state.waiting.len() > 0 {
            let waiting = std::mem::take(&mut state.waiting);
            state.running = waiting;
            return Some((!state.running.inventory.is_empty(), !state.running.usage.is_empty()));
        }
        state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// One reading thread, as its collector sees it.
struct Reader<'a> {
    shared: &'a Shared,
    reader: u64,
}

impl Reader<'_> {
    /// Ends a collection: those who wait for it, or None if another thread has taken over.
    fn finish<T>(&self, take: impl FnOnce(&mut Askers) -> T) -> Option<T> {
        let mut state = self.shared.state();
        if !state.progress.rest(self.reader) {
            return None;
        }
        state.progress.answered();
        Some(take(&mut state.running))
    }
}

impl Watch for Reader<'_> {
    fn enter(&self, step: Step) -> Result<(), Barred> {
        self.shared.state().progress.enter(self.reader, step, Instant::now())
    }
}

/// A server whose reader died would refuse everything and still look alive; one that ends is started again.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

fn answer<T>(askers: Vec<oneshot::Sender<Arc<T>>>, answer: &Arc<T>) {
    for asker in askers {
        // An asker that gave up meanwhile does not mind.
        let _ = asker.send(Arc::clone(answer));
    }
}

#[cfg(test)]
#[path = "collector_thread_tests.rs"]
mod tests;
