//! The one thread that reads the host.
//!
//! A read may hang for ever (a dead disk, a stuck driver). On a thread of its own it costs that thread and nothing else:
//! askers wait with a deadline, and those who come while one collection runs share the next instead of piling up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::snapshot::{Collected, CollectedUsage, Collector};

/// Askers waiting at once; a coordinator asks one thing at a time. Beyond it the thread hangs, or we are flooded.
const QUEUE_MAX: usize = 256;

/// No answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// The collection is still running, and may be for ever.
    #[error("reading this host did not end within {} s; a device or file system may hang", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Too many are waiting already.
    #[error("{QUEUE_MAX} questions are waiting already; a device or file system may hang")]
    Busy,
    /// The thread is gone: a bug.
    #[error("internal error while reading this host; see the agent's log")]
    Ended,
}

enum Question {
    Inventory(oneshot::Sender<Arc<Collected>>),
    Usage(oneshot::Sender<Arc<CollectedUsage>>),
}

/// How often the host was read; for tests and, later, metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Collections of the inventory.
    pub inventories: AtomicU64,
    /// Readings of usage.
    pub usages: AtomicU64,
}

/// Asks the thread.
#[derive(Debug, Clone)]
pub struct CollectorThread {
    questions: mpsc::SyncSender<Question>,
    deadline: Duration,
    counters: Arc<Counters>,
}

impl CollectorThread {
    /// Starts the thread; it ends when every handle is gone.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub fn start(collector: Collector, deadline: Duration) -> std::io::Result<Self> {
        let (questions, receiver) = mpsc::sync_channel(QUEUE_MAX);
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || run(collector, &receiver, &counted))?;
        Ok(Self { questions, deadline, counters })
    }

    /// How often the host was read.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The inventory as it is after this call began.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub async fn inventory(&self) -> Result<Arc<Collected>, CollectError> {
        self.ask(Question::Inventory).await
    }

    /// Usage as it is after this call began.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub async fn usage(&self) -> Result<Arc<CollectedUsage>, CollectError> {
        self.ask(Question::Usage).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, CollectError> {
        let (sender, receiver) = oneshot::channel();
        self.questions.try_send(question(sender)).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => CollectError::Busy,
            mpsc::TrySendError::Disconnected(_) => CollectError::Ended,
        })?;
        match timeout(self.deadline, receiver).await {
            Ok(answer) => answer.map_err(|_| CollectError::Ended),
            Err(_) => Err(CollectError::TimedOut(self.deadline)),
        }
    }
}

/// Answers everybody who waits with one collection each of inventory and usage, until nobody can ask any more.
fn run(mut collector: Collector, questions: &mpsc::Receiver<Question>, counters: &Counters) {
    let _guard = AbortOnPanic;
    while let Ok(first) = questions.recv() {
        let (mut inventory, mut usage) = (Vec::new(), Vec::new());
        for question in std::iter::once(first).chain(questions.try_iter()) {
            match question {
                // Somebody who gave up needs no collection.
                Question::Inventory(asker) if !asker.is_closed() => inventory.push(asker),
                Question::Usage(asker) if !asker.is_closed() => usage.push(asker),
                Question::Inventory(_) | Question::Usage(_) => {}
            }
        }
        if !inventory.is_empty() {
            counters.inventories.fetch_add(1, Ordering::Relaxed);
            answer(inventory, &Arc::new(collector.collect_inventory()));
        }
        if !usage.is_empty() {
            counters.usages.fetch_add(1, Ordering::Relaxed);
            answer(usage, &Arc::new(collector.collect_usage()));
        }
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
