//! Writes that wait for a disk that hangs are made when it works again.

use std::{
    collections::BTreeSet,
    sync::{Mutex, mpsc},
    time::Duration,
};

use vmuster_proto::clock::SystemClock;

use super::*;
use crate::{
    cache::{HostRecord, Parts, StoreError, slot::Slot, testing::record},
    fetch::Fetcher,
};

const LONG: Duration = Duration::from_secs(60);
const HOSTS: usize = 100;

/// Its first write waits until the sender is gone, or fails if there is something to receive.
#[derive(Debug)]
struct HungStore {
    hangs: Mutex<mpsc::Receiver<()>>,
    files: Mutex<BTreeSet<String>>,
    is_read_only: bool,
}

impl Store for HungStore {
    fn load(&self, host: &str, _: &Parts) -> Result<Option<HostRecord>, StoreError> {
        let is_there = self.files.lock().expect("nobody panics").contains(host);
        Ok(is_there.then(|| record(host, 1)))
    }
    fn save(&self, record: &HostRecord) -> Result<(), StoreError> {
        if self.hangs.lock().expect("nobody panics").recv().is_ok() {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(StoreError::Io { action: "write", path: (&record.host).into(), source });
        }
        self.files.lock().expect("nobody panics").insert(record.host.clone());
        Ok(())
    }
    fn remove(&self, host: &str) -> Result<(), StoreError> {
        if self.is_read_only {
            let source = std::io::ErrorKind::ReadOnlyFilesystem.into();
            return Err(StoreError::Io { action: "remove", path: host.into(), source });
        }
        self.files.lock().expect("nobody panics").remove(host);
        Ok(())
    }
    fn set_aside(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

fn house(is_read_only: bool) -> (Arc<HostCache>, Arc<HungStore>, mpsc::Sender<()>) {
    let (hang, hangs) = mpsc::channel();
    let store = HungStore { hangs: Mutex::new(hangs), files: Mutex::default(), is_read_only };
    let store = Arc::new(store);
    let shared: Arc<dyn Store> = Arc::<HungStore>::clone(&store);
    let fetcher = Arc::new(Fetcher::new(4, LONG));
    let cache = HostCache::new(Some(shared), fetcher, Arc::new(SystemClock), LONG, Duration::ZERO);
    (Arc::new(cache), store, hang)
}

fn learn(cache: &HostCache, host: &str) {
    let slot = Slot { loaded: true, record: Some(Arc::new(record(host, 1))), failure: None };
    cache.slots.write().expect("nobody panics").insert(host.to_owned(), slot);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_nobody_waits_for_any_more_is_made_all_the_same() {
    let (cache, store, hang) = house(false);
    let hosts: Vec<_> = (0..HOSTS).map(|host| format!("kvm-{host:03}")).collect();
    hosts.iter().for_each(|host| learn(&cache, host));
    futures::future::join_all(hosts.iter().map(|host| cache.save(host.clone()))).await;
    assert!(
        store.files.lock().expect("nobody panics").is_empty(),
        "the disk hangs, and nobody waited for it"
    );
    drop(hang);
    assert!(cache.settle(LONG).await);
    assert_eq!(store.files.lock().expect("nobody panics").len(), HOSTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_caught_up_with_also_after_a_write_that_nobody_waited_for() {
    let (cache, store, hang) = house(false);
    learn(&cache, "a");
    learn(&cache, "b");
    hang.send(()).expect("it listens");
    cache.save("a".to_owned()).await;
    assert_eq!(cache.store_problem().expect("the disk was full").unsaved_count, 1);
    cache.save("b".to_owned()).await;
    assert!(store.files.lock().expect("nobody panics").is_empty(), "the disk hangs");
    drop(hang);
    let caught_up = async {
        while cache.store_problem().is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, caught_up).await.expect("the write that worked begins to catch up");
    assert_eq!(store.files.lock().expect("nobody panics").len(), 2);
}

#[tokio::test]
async fn an_entry_that_cannot_be_removed_is_not_there_for_who_comes_under_that_name() {
    let (cache, store, hang) = house(true);
    drop(hang);
    learn(&cache, "a");
    cache.save("a".to_owned()).await;
    cache.forget(vec!["a".to_owned()]).await;
    assert!(store.files.lock().expect("nobody panics").contains("a"), "the disk is read-only");
    let deadline = tokio::time::Instant::now() + LONG;
    assert!(cache.last_known("a", deadline).await.is_none(), "it may be another machine");
    learn(&cache, "a");
    cache.save("a".to_owned()).await;
    assert!(cache.removing().is_empty(), "what was written since is its own");
}
