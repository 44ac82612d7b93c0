//! Each entry is read once, in batches, whatever the disk does.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, AtomicUsize},
        mpsc,
    },
};

use vmuster_proto::clock::SystemClock;

use super::*;
use crate::{
    cache::testing::{are_shared, record},
    fetch::Fetcher,
};

const DAY: Duration = Duration::from_secs(86_400);
const LONG: Duration = Duration::from_secs(60);

/// A disk with every host, which says what was read of it.
#[derive(Debug, Default)]
struct TestStore {
    reads: Mutex<BTreeMap<String, usize>>,
    /// A read waits until the sender is gone.
    hangs: Option<Mutex<mpsc::Receiver<()>>>,
    begun: AtomicUsize,
    panics: AtomicBool,
}

impl Store for TestStore {
    fn load(&self, host: &str, _: &super::super::Parts) -> Result<Option<HostRecord>, StoreError> {
        *self.reads.lock().expect("nobody panics").entry(host.to_owned()).or_default() += 1;
        self.begun.fetch_add(1, Ordering::SeqCst);
        if let Some(hangs) = &self.hangs {
            let _ = hangs.lock().expect("nobody panics").recv();
        }
        assert!(!self.panics.load(Ordering::SeqCst), "as meant by this test");
        Ok(Some(record(host, 1)))
    }
    fn save(&self, _: &HostRecord) -> Result<(), StoreError> {
        Ok(())
    }
    fn remove(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    fn set_aside(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

fn cache(store: &Arc<TestStore>) -> Arc<HostCache> {
    let store: Arc<dyn Store> = Arc::clone(store) as _;
    let fetcher = Arc::new(Fetcher::new(4, LONG));
    Arc::new(HostCache::new(Some(store), fetcher, Arc::new(SystemClock), DAY, Duration::ZERO))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("kvm-{number:04}")).collect()
}

fn all(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().map(String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_each_entry_is_read_once_and_few_changes_are_seen() {
    const HOSTS: usize = 1000;
    let store = Arc::new(TestStore::default());
    let (cache, names) = (cache(&store), names(HOSTS));
    cache.load_ahead(all(&names[..HOSTS / 2]));
    let deadline = Instant::now() + LONG;
    let halves = [&names[..], &names[HOSTS / 3..], &names[..7]];
    futures::future::join_all(halves.map(|some| cache.load_once(all(some), deadline))).await;
    assert!(!cache.load_once(all(&names), deadline).await, "nothing is left to read");
    let reads = store.reads.lock().expect("nobody panics").clone();
    assert_eq!(reads, names.iter().map(|name| (name.clone(), 1)).collect());
    let batches = HOSTS.div_ceil(BATCH_MAX) as u64 + 2;
    assert!(cache.version() <= batches, "{} changes", cache.version());
    assert!(names.iter().all(|name| cache.known(name).as_deref() == Some(&record(name, 1))));
    assert!(cache.loads.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_holds_few_threads_and_no_question() {
    let (end, hangs) = mpsc::channel();
    let store = Arc::new(TestStore { hangs: Some(Mutex::new(hangs)), ..TestStore::default() });
    let (cache, names) = (cache(&store), names(2000));
    cache.load_ahead(all(&names));
    for _ in 0..3 {
        let start = Instant::now();
        // Half of the time that is left is for asking the host.
        assert!(cache.load_once(all(&names), start + Duration::from_millis(20)).await);
        assert!(start.elapsed() < LOAD_PATIENCE, "{:?}", start.elapsed());
    }
    assert!(store.begun.load(Ordering::SeqCst) <= LOADERS);
    assert!(cache.disk.available_permits() > 0, "what is fetched can be written");
    // When it works again, what was begun goes on.
    drop(end);
    cache.load_once(all(&names), Instant::now() + LONG).await;
    assert!(names.iter().all(|name| cache.known(name).is_some()));
    assert_eq!(store.begun.load(Ordering::SeqCst), names.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_forgotten_while_it_is_read_does_not_come_back() {
    for registered_again in [false, true] {
        let (end, hangs) = mpsc::channel();
        let store = Arc::new(TestStore { hangs: Some(Mutex::new(hangs)), ..TestStore::default() });
        let (cache, names) = (cache(&store), names(2));
        cache.load_ahead(all(&names));
        let before = cache.begin_loading(all(&names));
        cache.forget(vec![names[0].clone()]).await;
        if registered_again {
            // A new host of that name, whose agent is asked at once.
            cache.make_room(&names[0]);
        }
        drop(end);
        for mut end in before {
            let _ = end.changed().await;
        }
        assert!(cache.known(&names[0]).is_none(), "registered again: {registered_again}");
        assert!(cache.known(&names[1]).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_flight_brought_meanwhile_counts_more() {
    let (end, hangs) = mpsc::channel();
    let store = Arc::new(TestStore { hangs: Some(Mutex::new(hangs)), ..TestStore::default() });
    let (cache, names) = (cache(&store), names(1));
    cache.load_ahead(all(&names));
    let before = cache.begin_loading(all(&names));
    let fetched = Arc::new(record(&names[0], 7));
    cache.change_known(&names[0], |slot| {
        *slot = Slot { loaded: true, record: Some(Arc::clone(&fetched)), failure: None };
    });
    drop(end);
    for mut end in before {
        let _ = end.changed().await;
    }
    assert!(Arc::ptr_eq(&cache.known(&names[0]).expect("known"), &fetched));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_the_batch_and_the_next_question_tries_again() {
    let store = Arc::new(TestStore { panics: AtomicBool::new(true), ..TestStore::default() });
    let (cache, names) = (cache(&store), names(3));
    let deadline = Instant::now() + LONG;
    assert!(cache.load_once(all(&names), deadline).await);
    assert!(names.iter().all(|name| cache.known(name).is_none()));
    store.panics.store(false, Ordering::SeqCst);
    assert!(cache.load_once(all(&names), deadline).await);
    assert!(names.iter().all(|name| cache.known(name).is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_files_and_what_is_fetched_share_until_the_hosts_are_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = super::super::FileStore::open(directory.path(), super::super::Sharing::Exclusive, false);
    let store = Arc::new(store.expect("a cache"));
    let names = names(100);
    for name in &names {
        store.save(&record(name, 1)).expect("saved");
    }
    let fetcher = Arc::new(Fetcher::new(4, LONG));
    let cache = HostCache::new(Some(store), fetcher, Arc::new(SystemClock), DAY, Duration::ZERO);
    let cache = Arc::new(cache);
    cache.load_once(all(&names), Instant::now() + LONG).await;
    let first = cache.known(&names[0]).expect("known");
    for name in &names {
        let known = cache.known(name).expect("known");
        assert_eq!((&*known, are_shared(&known, &first)), (&record(name, 1), [true; 4]));
    }
    // As a flight does with what an agent says.
    let fetched = HostRecord { inventory: cache.parts.share(record("new", 1).inventory), ..record("new", 1) };
    assert_eq!(are_shared(&fetched, &first), [true; 4]);
    assert_eq!(cache.parts.len(), 4);
    drop((first, fetched));
    cache.forget(names).await;
    assert!(cache.parts.is_empty());
}
