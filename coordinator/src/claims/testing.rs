//! Claims for tests.

use std::{
    collections::BTreeSet,
    sync::{Mutex, mpsc},
    time::Duration,
};

use vmuster_proto::model::{Bytes, Timestamp};

use super::{
    Change, ClaimBook, ClaimStore, ClaimStoreError, ClaimedCell, ClaimedDisk, ClaimedPages, ClaimedResources,
    Holdings, InstanceId, Loaded, NewClaim, Purpose,
};

/// Seconds after an hour when all tests begin.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_800_000_000_000)
        .expect("in range")
        .saturating_add(Duration::from_secs(seconds))
}

pub(super) fn new_claim(instance: u128, host: &str) -> NewClaim {
    NewClaim {
        instance: InstanceId(instance),
        host: host.to_owned(),
        resources: ClaimedResources {
            vcpus: 4,
            memory_bytes: Bytes(8 << 30),
            disks: vec![ClaimedDisk { pool: "fs:default".to_owned(), size_bytes: Bytes(20 << 30) }],
            cells: vec![
                ClaimedCell {
                    host_cell: 1,
                    pinned_cpus: "4-7,20".parse().expect("CPUs"),
                    shared_vcpus: 2,
                    memory_bytes: Bytes(1 << 30),
                    pages: None,
                },
                ClaimedCell {
                    host_cell: 2,
                    pages: Some(ClaimedPages { size_bytes: Bytes(2 << 20), count: 512 }),
                    ..ClaimedCell::default()
                },
            ],
        },
        purpose: Purpose::New,
        request_id: "r".to_owned(),
        signature: "0123456789abcdef".to_owned(),
        groups: vec!["g".into()],
        rules: Vec::new(),
        over_committed: false,
        created_at: at(0),
        expires_at: at(600),
    }
}

/// As [`new_claim`], coming from another host.
pub(super) fn new_move(instance: u128, host: &str) -> NewClaim {
    NewClaim { purpose: Purpose::Move, ..new_claim(instance, host) }
}

/// Admits, and makes the changes.
pub(super) fn admit(book: &mut ClaimBook, asked: Vec<NewClaim>) -> Vec<Change> {
    let changes = book.admit(asked).expect("no conflict");
    for change in &changes {
        book.apply(change);
    }
    changes
}

pub(super) fn instances(numbers: &[u128]) -> BTreeSet<InstanceId> {
    numbers.iter().copied().map(InstanceId).collect()
}

/// What a store has that was given these batches.
pub(super) fn replayed(batches: &[Vec<Change>]) -> Loaded {
    let mut holdings = Holdings::default();
    let mut requests: Vec<(String, super::Remembered)> = Vec::new();
    for change in batches.iter().flatten() {
        holdings.apply(change);
        if let Change::Remember(id, _) | Change::Forget(id) = change {
            requests.retain(|(other, _)| **other != **id);
        }
        if let Change::Remember(id, remembered) = change {
            requests.push((id.to_string(), remembered.as_ref().clone()));
        }
    }
    let claims = holdings.book.all().map(|claim| claim.as_ref().clone()).collect();
    Loaded { claims, requests, next_id: holdings.book.next_id() }
}

/// A store in memory that does what a test says.
#[derive(Debug, Default)]
pub(super) struct TestStore {
    pub(super) commits: Mutex<Vec<Vec<Change>>>,
    /// Each commit says that it began, and waits for a word: whether it works.
    pub(super) steps: Option<(mpsc::Sender<()>, Mutex<mpsc::Receiver<bool>>)>,
}

impl ClaimStore for TestStore {
    fn load(&self) -> Result<Loaded, ClaimStoreError> {
        Ok(replayed(&self.commits.lock().expect("nobody panics")))
    }

    fn commit(&self, batch: &[Change]) -> Result<(), ClaimStoreError> {
        if let Some((begun, word)) = &self.steps {
            let _ = begun.send(());
            let works = word.lock().expect("nobody panics").recv().expect("the test goes on");
            if !works {
                return Err(ClaimStoreError::Full { path: "test".into(), source: "as meant".into() });
            }
        }
        self.commits.lock().expect("nobody panics").push(batch.to_vec());
        Ok(())
    }
}
