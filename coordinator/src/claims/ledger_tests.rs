//! Memory and disk as one, with a disk that does what the test says.

use std::{convert::Infallible, sync::mpsc};

use super::*;
use crate::claims::{
    ClaimId, NewClaim,
    testing::{TestStore, new_claim, replayed},
};

const LONG: Duration = Duration::from_secs(20);

/// A store that waits for a word in each commit.
struct Stepped {
    store: Arc<TestStore>,
    begun: mpsc::Receiver<()>,
    word: mpsc::Sender<bool>,
}

impl Stepped {
    fn new() -> (Self, Ledger) {
        let (tell_begun, begun) = mpsc::channel();
        let (word, hear) = mpsc::channel();
        let steps = Some((tell_begun, Mutex::new(hear)));
        let store = Arc::new(TestStore { steps, ..TestStore::default() });
        let ledger = Ledger::open(Arc::clone(&store) as _).expect("opens");
        (Self { store, begun, word }, ledger)
    }

    fn sizes(&self) -> Vec<usize> {
        self.store.commits.lock().expect("nobody panics").iter().map(Vec::len).collect()
    }
}

fn admit(ledger: &Ledger, asked: Vec<NewClaim>) -> Pending {
    ledger.change(|kept| kept.book.admit(asked).map(|changes| ((), changes))).expect("no conflict").1
}

fn nothing(ledger: &Ledger) -> Pending {
    ledger.change(|_| Ok::<_, Infallible>(((), Vec::new()))).expect("taken").1
}

#[tokio::test]
async fn what_comes_during_a_commit_is_the_next_one() {
    let (disk, ledger) = Stepped::new();
    nothing(&ledger).done(LONG).await.expect("there is nothing to wait for");
    let first = admit(&ledger, vec![new_claim(0, "a")]);
    disk.begun.recv().expect("begun");
    let others: Vec<_> = (1..100).map(|instance| admit(&ledger, vec![new_claim(instance, "a")])).collect();
    assert_eq!(ledger.read(|kept| kept.book.len()), 100, "counted at once");
    let behind = nothing(&ledger);
    disk.word.send(true).expect("heard");
    first.done(LONG).await.expect("kept");
    disk.begun.recv().expect("begun");
    assert_eq!(disk.sizes(), [1]);
    disk.word.send(true).expect("heard");
    for other in others {
        other.done(LONG).await.expect("kept");
    }
    behind.done(LONG).await.expect("after all of them");
    assert_eq!(disk.sizes(), [1, 99]);
}

#[tokio::test]
async fn what_rests_on_a_failed_commit_fails_with_it() {
    let (disk, ledger) = Stepped::new();
    let kept = admit(&ledger, vec![new_claim(0, "a")]);
    disk.begun.recv().expect("begun");
    disk.word.send(true).expect("heard");
    kept.done(LONG).await.expect("kept");

    let ids = std::collections::BTreeSet::from([ClaimId(0)]);
    let released = ledger.change(|kept| Ok::<_, Infallible>(((), kept.book.release(&ids).changes)));
    let released = released.expect("taken").1;
    disk.begun.recv().expect("begun");
    // It has its place only because the first is released.
    let again = admit(&ledger, vec![new_claim(0, "b")]);
    let behind = nothing(&ledger);
    disk.word.send(false).expect("heard");
    for failed in [released, again, behind] {
        let error = failed.done(LONG).await.expect_err("not kept");
        assert!(matches!(&error, CommitError::Failed(cause) if cause.is_certain()), "{error}");
    }
    let hosts = ledger.read(|kept| kept.book.all().map(|claim| claim.host.clone()).collect::<Vec<_>>());
    assert_eq!(hosts, ["a"]);
    let later = admit(&ledger, vec![new_claim(7, "b")]);
    disk.begun.recv().expect("begun");
    disk.word.send(true).expect("heard");
    later.done(LONG).await.expect("it works again");
    let known = ledger.read(|kept| kept.book.all().map(|claim| claim.as_ref().clone()).collect::<Vec<_>>());
    assert_eq!(disk.store.load().expect("loads").claims, known);
    assert_eq!(known.last().map(|claim| claim.id), Some(ClaimId(2)), "a name is not given twice");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_makes_the_outcome_unknown_and_the_queue_finite() {
    let (disk, ledger) = Stepped::new();
    let first = admit(&ledger, vec![new_claim(0, "a")]);
    disk.begun.recv().expect("begun");
    assert!(matches!(first.done(LONG).await, Err(CommitError::Unknown)));
    let waiting: Vec<_> = (0..WAITING_MAX).map(|_| nothing(&ledger)).collect();
    let busy = ledger.change(|_| Ok::<_, Infallible>(((), Vec::new())));
    assert!(matches!(busy, Err(ChangeError::Busy)));
    assert!(!ledger.close(LONG).await, "it cannot end");
    assert!(matches!(ledger.change(|_| Ok::<_, Infallible>(((), Vec::new()))), Err(ChangeError::Closed)));
    tokio::time::resume();
    disk.word.send(true).expect("heard");
    disk.begun.recv().expect("what waited is one commit");
    disk.word.send(true).expect("heard");
    for batch in waiting {
        batch.done(LONG).await.expect("after the first");
    }
    assert_eq!(disk.sizes(), [1, 0], "kept although nobody waited");
    assert!(ledger.close(LONG).await, "now it can");
}

#[tokio::test]
async fn stopping_writes_what_waits() {
    let (disk, ledger) = Stepped::new();
    let first = admit(&ledger, vec![new_claim(0, "a")]);
    disk.begun.recv().expect("begun");
    let second = admit(&ledger, vec![new_claim(1, "a")]);
    disk.word.send(true).expect("heard");
    disk.word.send(true).expect("heard");
    assert!(ledger.close(LONG).await);
    first.done(LONG).await.expect("kept");
    second.done(LONG).await.expect("kept");
    assert_eq!(disk.sizes(), [1, 1]);
}

#[tokio::test]
async fn a_store_that_panics_is_told_of() {
    let (disk, ledger) = Stepped::new();
    let first = admit(&ledger, vec![new_claim(0, "a")]);
    disk.begun.recv().expect("begun");
    let second = admit(&ledger, vec![new_claim(1, "a")]);
    drop(disk.word);
    assert!(matches!(first.done(LONG).await, Err(CommitError::Unknown)));
    assert!(matches!(second.done(LONG).await, Err(CommitError::Unknown)));
    assert!(ledger.close(LONG).await, "it has ended");
    assert!(matches!(ledger.change(|_| Ok::<_, Infallible>(((), Vec::new()))), Err(ChangeError::Closed)));
}

/// Many at once on a disk that fails now and then: memory is what the disk has, and each was told the truth.
#[tokio::test(flavor = "multi_thread")]
async fn memory_and_disk_agree_after_any_failures() {
    let (disk, ledger) = Stepped::new();
    let ledger = Arc::new(ledger);
    let callers: Vec<_> = (0..8u128)
        .map(|caller| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for number in 0..50 {
                    let instance = caller * 1_000 + number;
                    let pending = admit(&ledger, vec![new_claim(instance, &format!("h{number}"))]);
                    if pending.done(LONG).await.is_ok() {
                        kept.push(instance);
                    }
                }
                kept
            })
        })
        .collect();
    let Stepped { store, begun, word } = disk;
    let stepping = std::thread::spawn(move || {
        let mut seed = 7u32;
        while begun.recv().is_ok() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let _ = word.send(!(seed >> 16).is_multiple_of(4));
        }
    });
    let mut kept = Vec::new();
    for caller in callers {
        kept.extend(caller.await.expect("no panic"));
    }
    kept.sort_unstable();
    let known = ledger.read(|kept| kept.book.all().map(|claim| claim.as_ref().clone()).collect::<Vec<_>>());
    let on_disk = replayed(&store.commits.lock().expect("nobody panics")).claims;
    assert_eq!(on_disk, known);
    let mut told: Vec<_> = known.iter().map(|claim| claim.instance.0).collect();
    told.sort_unstable();
    assert_eq!(told, kept);
    assert!((1..400).contains(&kept.len()), "{} kept", kept.len());
    assert!(ledger.close(LONG).await);
    drop((ledger, store));
    drop(stepping);
}
