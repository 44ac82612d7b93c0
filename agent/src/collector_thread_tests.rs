//! What one mount that hangs costs those who ask: here it hangs on a channel, for as long as the test likes.

use std::sync::mpsc;

use tokio::{task::JoinSet, time::timeout};
use vmuster_proto::{
    clock::{Clock, SystemClock},
    model::{IssueKind, Timestamp},
};

use super::*;
use crate::{
    collect::filesystems::MountProbe, parse::statvfs_json::FsStats, snapshot::HostSource,
    testing::RecordedTree,
};

const HUNG: &str = "/hung";

const MOUNTS: &str = "1 0 259:1 / / rw,relatime - ext4 /dev/nvme0n1p1 rw
2 1 0:50 / /hung rw,relatime - nfs4 server:/export rw
";

const STATS: FsStats = FsStats {
    block_size_bytes: 4096,
    blocks: 100,
    blocks_free: 50,
    blocks_available: 40,
    inodes: 10,
    inodes_free: 5,
};

/// Longer than any test: nothing is given up.
const NEVER: Duration = Duration::from_secs(3600);

/// A mount that hangs is given up soon; nothing else is, on however slow a machine.
const SOON: StepDeadlines = StepDeadlines { section: NEVER, mount: Duration::from_millis(500) };

/// For what happens on another thread and must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A host that asks this machine's mounts, one of which hangs until the sender is dropped.
fn hung_host(tree: &RecordedTree) -> (Arc<Host>, mpsc::Sender<()>) {
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let probe = MountProbe::new(move |path| {
        if path == HUNG {
            // Fails when the sender is gone, which is what it waits for.
            let _ = gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        Ok(STATS)
    });
    let host = Host::new(HostSource::Live(tree.root()), None, Arc::new(SystemClock)).probing(probe);
    (Arc::new(host), release)
}

fn tree() -> RecordedTree {
    RecordedTree::whole_host().file("/proc/self/mountinfo", MOUNTS)
}

fn start(deadline: Duration, steps: StepDeadlines) -> (CollectorThread, mpsc::Sender<()>, RecordedTree) {
    let tree = tree();
    let (host, release) = hung_host(&tree);
    (CollectorThread::start(host, deadline, steps).expect("a thread"), release, tree)
}

/// Mount points that told their size.
fn measured(usage: &CollectedUsage) -> Vec<&str> {
    let filesystems = usage.usage.filesystems.as_deref().expect("a list");
    let measured = filesystems.iter().filter(|it| it.size_bytes.is_some());
    measured.map(|it| it.mount_point.as_str()).collect()
}

fn timeouts(usage: &CollectedUsage) -> Vec<(&str, &str)> {
    let timeouts = usage.issues.iter().filter(|issue| issue.kind == IssueKind::Timeout);
    timeouts.map(|issue| (issue.section.as_str(), issue.source.as_str())).collect()
}

/// Asks once without waiting for the answer.
async fn begin<T>(asked: &mut (impl Future<Output = T> + Unpin)) {
    assert!(timeout(Duration::ZERO, asked).await.is_err(), "the mount hangs");
}

#[tokio::test]
async fn a_mount_that_hangs_costs_its_own_numbers_only() {
    let (thread, release, _tree) = start(NEVER, SOON);
    let state = || thread.handle.0.state().progress.stuck_count();
    let superseded = || thread.counters().superseded.load(Ordering::Relaxed);
    for asked in 1..=3 {
        let usage = thread.usage().await.expect("an answer");
        assert_eq!(timeouts(&usage), [("usage.filesystems[/hung]", HUNG)], "question {asked}");
        assert_eq!(measured(&usage), ["/"]);
        assert_eq!(usage.usage.filesystems.as_ref().map(Vec::len), Some(2), "it is listed all the same");
        assert!(usage.usage.load.is_some() && usage.usage.memory.is_some());
        assert_eq!((superseded(), state()), (1, 1), "it is not asked again");
    }
    assert!(thread.inventory().await.expect("an answer").inventory.cpu.is_some());

    drop(release);
    let answers_again = async { while measured(&thread.usage().await.expect("an answer")) != ["/", HUNG] {} };
    timeout(PATIENCE, answers_again).await.expect("a mount that answers is asked again");
    assert_eq!(timeouts(&thread.usage().await.expect("an answer")), []);
    assert_eq!((superseded(), state()), (1, 0));
}

/// A clock that, asked for the first time, says so and waits: a section then runs, for the time is read at its end.
#[derive(Debug)]
struct SlowClock {
    asked: mpsc::Sender<()>,
    gate: Mutex<mpsc::Receiver<()>>,
}

impl Clock for SlowClock {
    fn now(&self) -> Timestamp {
        let _ = self.asked.send(());
        let _ = self.gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        SystemClock.now()
    }
}

#[tokio::test]
async fn a_mount_that_hangs_after_a_section_is_seen_at_once() {
    let tree = tree();
    let (mut host, _release) = hung_host(&tree);
    let (asked, section_runs) = mpsc::channel();
    let (go_on, gate) = mpsc::channel();
    Arc::get_mut(&mut host).expect("ours alone").clock =
        Arc::new(SlowClock { asked, gate: Mutex::new(gate) });
    let thread = CollectorThread::start(host, NEVER, SOON).expect("a thread");
    let (mut first, mut second) = (Box::pin(thread.usage()), Box::pin(thread.usage()));
    begin(&mut first).await;
    section_runs.recv_timeout(PATIENCE).expect("the time is asked for");
    begin(&mut second).await;
    drop((first, go_on));
    let usage = timeout(PATIENCE, second).await.expect("whoever waits for a section sees the mount hang");
    assert_eq!(timeouts(&usage.expect("an answer")), [("usage.filesystems[/hung]", HUNG)]);
}

#[tokio::test]
async fn those_who_ask_meanwhile_are_answered_by_the_thread_that_takes_over() {
    let (thread, _release, _tree) = start(NEVER, SOON);
    let mut asked = JoinSet::new();
    for _ in 0..20 {
        let thread = thread.clone();
        asked.spawn(async move { thread.snapshot().await });
    }
    for snapshot in asked.join_all().await {
        let snapshot = snapshot.expect("an answer");
        assert!(snapshot.issues.iter().any(|issue| issue.section == "usage.filesystems[/hung]"));
    }
    assert_eq!(thread.counters().superseded.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn too_many_at_once_are_turned_away() {
    let (thread, release, _tree) = start(NEVER, StepDeadlines { section: NEVER, mount: NEVER });
    let mut asked = JoinSet::new();
    for _ in 0..QUEUE_MAX {
        let thread = thread.clone();
        asked.spawn(async move { thread.usage().await.map(drop) });
    }
    let waiting = || {
        let state = thread.handle.0.state();
        state.waiting.len() + state.running.len()
    };
    let all_wait = async {
        while waiting() < QUEUE_MAX {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, all_wait).await.expect("nobody is answered");
    assert_eq!(thread.usage().await.map(drop), Err(CollectError::Busy));
    assert_eq!(thread.inventory().await.map(drop), Err(CollectError::Busy));
    drop(release);
    assert!(asked.join_all().await.iter().all(Result::is_ok));
    assert!(thread.counters().usages.load(Ordering::Relaxed) <= 2, "those who wait share a reading");
    assert!(thread.usage().await.is_ok(), "there is room again");
}

#[tokio::test]
async fn those_who_gave_up_leave_their_place() {
    let (thread, release, _tree) = start(NEVER, StepDeadlines { section: NEVER, mount: NEVER });
    for _ in 0..QUEUE_MAX {
        // Asked, and dropped at once, as when a client hangs up.
        begin(&mut Box::pin(thread.usage())).await;
    }
    let mut late = Box::pin(thread.usage());
    begin(&mut late).await;
    drop(release);
    assert!(timeout(PATIENCE, late).await.expect("in time").is_ok(), "the queue is not full of them");
}

#[tokio::test]
async fn who_gives_up_takes_nothing_from_others() {
    let (thread, release, _tree) = start(NEVER, StepDeadlines { section: NEVER, mount: NEVER });
    let (mut first, mut second, mut third) =
        (Box::pin(thread.usage()), Box::pin(thread.usage()), Box::pin(thread.usage()));
    begin(&mut first).await;
    begin(&mut second).await;
    begin(&mut third).await;
    drop(first);
    drop(third);
    drop(release);
    assert_eq!(measured(&second.await.expect("an answer")), ["/", HUNG]);
    assert!(thread.inventory().await.is_ok());
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_an_error_and_the_next_is_not() {
    let (thread, release, _tree) =
        start(Duration::from_millis(50), StepDeadlines { section: NEVER, mount: NEVER });
    let deadline = thread.deadline;
    assert_eq!(thread.usage().await.map(drop), Err(CollectError::TimedOut(deadline)));
    drop(release);
    let answered = async { while thread.usage().await.is_err() {} };
    timeout(PATIENCE, answered).await.expect("it is served again");
}
