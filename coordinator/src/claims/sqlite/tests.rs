//! What is committed is there again; who else wants the file is refused.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use proptest::prelude::*;

use super::*;
use crate::claims::{
    ClaimBook, ClaimId, Holdings, Remembered,
    testing::{admit, at, instances, new_claim, replayed},
};

fn remembered(seconds: u64, bytes: usize) -> Arc<Remembered> {
    Arc::new(Remembered { body_digest: [3; 32], answer: vec![9; bytes], when: at(seconds) })
}

#[test]
fn what_was_committed_is_there_again_and_private() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteClaims::open(directory.path()).expect("opens");
    assert_eq!(store.load().expect("loads"), Loaded::default());
    let mut book = ClaimBook::default();
    let mut batches = vec![admit(&mut book, (0..50).map(|number| new_claim(number, "a")).collect())];
    batches.push(book.observe("a", at(50), &instances(&[1, 2, 3])));
    batches.push(book.release(&[ClaimId(4), ClaimId(5)].into()).changes);
    batches.push(vec![
        Change::Remember("x".into(), remembered(1, 5)),
        Change::Remember("y".into(), remembered(2, 0)),
    ]);
    batches.push(vec![Change::Remember("x".into(), remembered(3, 6)), Change::Forget("y".into())]);
    batches.push(vec![Change::Remove(ClaimId(77)), Change::Forget("nobody".into())]);
    for batch in &batches {
        store.commit(batch).expect("kept");
        let known = store.kept().known.totals.clone();
        assert_eq!(store.load().expect("whole"), store.load().expect("whole"), "{known:?}");
    }
    assert_eq!(store.load().expect("loads"), Loaded { next_id: 78, ..replayed(&batches) });
    assert!(matches!(SqliteClaims::open(directory.path()), Err(ClaimStoreError::InUse(_))));
    drop(store);
    let store = SqliteClaims::open(directory.path()).expect("opens");
    assert_eq!(store.load().expect("loads"), Loaded { next_id: 78, ..replayed(&batches) });
    for entry in directory.path().read_dir().expect("a directory") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn other_files_and_versions_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("claims.db");
    let open = || SqliteClaims::open(directory.path());
    let store = open().expect("opens");
    let mut book = ClaimBook::default();
    store.commit(&admit(&mut book, vec![new_claim(1, "a")])).expect("kept");
    drop(store);
    let sql = |text: &str| Connection::open(&path).expect("opens").execute_batch(text).expect("runs");
    sql("PRAGMA user_version = 2");
    let error = open().expect_err("refused");
    assert!(matches!(&error, ClaimStoreError::OtherVersion { found: 2, .. }), "{error}");
    sql("PRAGMA user_version = 1; UPDATE claims SET id = 7");
    assert!(open().expect_err("refused").to_string().contains("claim c7: its checksum does not match"));
    sql("DELETE FROM claims");
    assert!(open().expect_err("refused").to_string().contains("other rows than were written"));
    std::fs::remove_file(&path).expect("removed");
    let error = open().expect_err("refused");
    assert!(matches!(&error, ClaimStoreError::LostCommits { found: 0, promised: 1, .. }), "{error}");
    assert!(error.to_string().contains("may then be promised twice"), "{error}");
    let missing = SqliteClaims::open(Path::new("/nonexistent"));
    assert!(matches!(missing, Err(ClaimStoreError::Other { action: "open", .. })), "{missing:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Admit(u128),
    Remove(u64),
    Remember(u8, usize),
    Forget(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..30u128).prop_map(Step::Admit),
        2 => (0..60u64).prop_map(Step::Remove),
        2 => (0..6u8, 0..9_000usize).prop_map(|(id, bytes)| Step::Remember(id, bytes)),
        1 => (0..6u8).prop_map(Step::Forget),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_file_is_what_was_committed(steps in proptest::collection::vec(step(), 1..25)) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut store = SqliteClaims::open(directory.path()).expect("opens");
        let mut holdings = Holdings::default();
        let mut batches = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let batch = match step {
                Step::Admit(count) => {
                    let first = number as u128 * 100;
                    holdings.book.admit((first..first + count).map(|i| new_claim(i, "a")).collect()).expect("new")
                }
                Step::Remove(id) => vec![Change::Remove(ClaimId(id))],
                Step::Remember(id, bytes) => {
                    vec![Change::Remember(format!("r{id}").into(), remembered(number as u64, bytes))]
                }
                Step::Forget(id) => vec![Change::Forget(format!("r{id}").into())],
                Step::Reopen => {
                    drop(store);
                    store = SqliteClaims::open(directory.path()).expect("opens");
                    continue;
                }
            };
            let batch: Vec<_> = batch.into_iter().filter(|change| holdings.apply(change).is_some()).collect();
            store.commit(&batch).expect("kept");
            batches.push(batch);
        }
        prop_assert_eq!(store.load().expect("loads"), replayed(&batches));
    }
}
