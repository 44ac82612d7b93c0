//! When the cache asks, joins, falls back, remembers and forgets.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tempfile::{TempDir, tempdir};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, UnixListener},
};
use vmuster_coordinator::{
    cache::{FileStore, HostCache, HostRecord, HostView, Outcome, Parts, Sharing, Store, StoreError},
    cluster::{Cluster, read_within},
    fetch::Fetcher,
    hosts::{HostEntry, Registry},
};
use vmuster_proto::{
    clock::Clock,
    model::{Freshness, ProblemKind, Timestamp},
};
use vmuster_tests::{
    agents::{Calls, TestAgent},
    fixtures::host,
};

/// For real agents, also on a busy machine.
const PATIENT: Duration = Duration::from_secs(10);

/// For peers that never answer.
const HASTY: Duration = Duration::from_millis(200);

const HOUR: Duration = Duration::from_secs(3600);

/// A clock that stands until it is set.
#[derive(Debug, Clone)]
struct SetClock(Arc<Mutex<Timestamp>>);

impl SetClock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new("2026-11-22T00:00:00Z".parse().expect("a time"))))
    }

    fn advance(&self, by: Duration) {
        let mut now = self.0.lock().expect("not poisoned");
        *now = now.saturating_add(by);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("not poisoned")
    }
}

struct Setup {
    directory: TempDir,
    clock: SetClock,
}

impl Setup {
    fn new() -> Self {
        Self { directory: tempdir().expect("a directory"), clock: SetClock::new() }
    }

    async fn agent(&self, recorded: &str) -> TestAgent {
        TestAgent::start(&host(recorded), self.directory.path().join(format!("{recorded}.sock"))).await
    }

    fn store(&self) -> Arc<FileStore> {
        let directory = self.directory.path().join("cache");
        Arc::new(FileStore::open(&directory, Sharing::Shared, false).expect("a cache"))
    }

    /// A freshly started coordinator's cache: TTL one hour, failures remembered for an hour.
    fn cache(&self) -> Arc<HostCache> {
        self.cache_with(self.store(), HOUR, PATIENT)
    }

    fn cache_with(&self, store: Arc<dyn Store>, failure_ttl: Duration, deadline: Duration) -> Arc<HostCache> {
        let fetcher = Arc::new(Fetcher::new(2, deadline));
        Arc::new(HostCache::new(Some(store), fetcher, Arc::new(self.clock.clone()), HOUR, failure_ttl))
    }
}

fn entry(address: &str) -> Arc<HostEntry> {
    Arc::new(HostEntry::new("kvm-01", Some(address.parse().expect("an address"))))
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + PATIENT
}

async fn read(cache: &Arc<HostCache>, entry: &Arc<HostEntry>, max_age: Option<Duration>) -> HostView {
    cache.read(entry, read_within(max_age, PATIENT)).await
}

fn reported(view: &HostView) -> &str {
    view.record.as_ref().map_or("nobody", |record| &record.reported_name)
}

#[tokio::test]
async fn what_one_address_said_is_never_taken_for_anothers() {
    let setup = Setup::new();
    let (old, mut new) = (setup.agent("rome-2s").await, setup.agent("nehalem-old").await);
    let cache = setup.cache();
    assert_eq!(reported(&read(&cache, &entry(&old.address), None).await), "rome-2s");
    let moved = read(&cache, &entry(&new.address), None).await;
    assert_eq!((moved.outcome, reported(&moved)), (Outcome::Fetched, "nehalem-old"));

    // The same facts at another address are still asked for whole.
    let twin_socket = setup.directory.path().join("twin.sock");
    let twin = TestAgent::start(&host("nehalem-old"), twin_socket).await;
    assert_eq!(read(&cache, &entry(&twin.address), None).await.outcome, Outcome::Fetched);
    assert_eq!(twin.calls(), Calls { inventories: 1, ..Calls::default() });

    new.stop().await;
    let gone = read(&cache, &entry(&new.address), None).await;
    assert_eq!((gone.freshness, gone.record), (Freshness::Missing, None), "not the twin's facts");
    // Nor is the dead address's failure the living one's.
    assert_eq!(read(&cache, &entry(&old.address), None).await.freshness, Freshness::Fresh);
}

#[tokio::test]
async fn a_question_to_a_new_address_does_not_join_the_flight_to_the_old_one() {
    let setup = Setup::new();
    let silent = UnixListener::bind(setup.directory.path().join("silent.sock")).expect("a socket");
    let agent = setup.agent("rome-2s").await;
    let cache = setup.cache_with(setup.store(), HOUR, Duration::from_secs(2));
    let hanging = {
        let cache = Arc::clone(&cache);
        let old = entry(&format!("unix:{}", setup.directory.path().join("silent.sock").display()));
        tokio::spawn(async move { read(&cache, &old, None).await })
    };
    let _connection = silent.accept().await.expect("the first flight is under way");
    let moved = read(&cache, &entry(&agent.address), None).await;
    assert_eq!((moved.outcome, reported(&moved)), (Outcome::Fetched, "rome-2s"));
    assert_eq!(hanging.await.expect("ends").freshness, Freshness::Missing);
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_while_but_not_against_the_callers_will() {
    let setup = Setup::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dead = entry(&listener.local_addr().expect("bound").to_string());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    let cache = setup.cache();
    let first = read(&cache, &dead, None).await.problem.expect("nobody speaks");
    let asked = connections.load(Ordering::SeqCst);
    assert_eq!(read(&cache, &dead, None).await.problem, Some(first));
    assert_eq!(connections.load(Ordering::SeqCst), asked, "remembered");
    read(&cache, &dead, Some(Duration::ZERO)).await;
    assert!(connections.load(Ordering::SeqCst) > asked, "max_age 0 always asks");

    let forgetful = setup.cache_with(setup.store(), Duration::ZERO, PATIENT);
    read(&forgetful, &dead, None).await;
    let asked = connections.load(Ordering::SeqCst);
    read(&forgetful, &dead, None).await;
    assert!(connections.load(Ordering::SeqCst) > asked, "after the while it is asked again");
}

#[tokio::test]
async fn max_age_never_loosens_the_ttl_and_unchanged_renews_it() {
    let setup = Setup::new();
    let agent = setup.agent("nehalem-old").await;
    let (cache, host) = (setup.cache(), entry(&agent.address));
    assert_eq!(read(&cache, &host, None).await.outcome, Outcome::Fetched);
    setup.clock.advance(HOUR - Duration::from_secs(1));
    assert_eq!(read(&cache, &host, Some(24 * HOUR)).await.outcome, Outcome::StillFresh);
    setup.clock.advance(Duration::from_secs(1));
    let renewed = read(&cache, &host, Some(24 * HOUR)).await;
    assert_eq!(renewed.outcome, Outcome::Unchanged, "a TTL of an hour is over after an hour");

    let record = renewed.record.expect("a record");
    assert_eq!(record.validated_at, Some(setup.clock.now()));
    assert_eq!(record.fetched_at, Some(setup.clock.now().saturating_sub(HOUR)));
    setup.clock.advance(HOUR / 2);
    let restarted = read(&setup.cache(), &host, None).await;
    assert_eq!((restarted.outcome, restarted.record), (Outcome::StillFresh, Some(record)), "it was kept");
}

#[tokio::test]
async fn a_superseded_record_is_stale_even_after_a_restart_until_the_host_is_heard_again() {
    let setup = Setup::new();
    let mut agent = setup.agent("nehalem-old").await;
    let (cache, host) = (setup.cache(), entry(&agent.address));
    read(&cache, &host, None).await;
    cache.supersede("kvm-01", soon()).await;
    agent.stop().await;
    for cache in [cache, setup.cache()] {
        let view = read(&cache, &host, None).await;
        assert_eq!((view.freshness, reported(&view)), (Freshness::Stale, "nehalem-old"));
    }
    let agent = setup.agent("nehalem-old").await;
    let cache = setup.cache();
    assert_eq!(read(&cache, &entry(&agent.address), None).await.outcome, Outcome::Unchanged);
    assert_eq!(read(&cache, &entry(&agent.address), None).await.outcome, Outcome::StillFresh);
}

#[tokio::test]
async fn a_host_that_left_is_forgotten() {
    let setup = Setup::new();
    let mut agent = setup.agent("nehalem-old").await;
    let (cache, host) = (setup.cache(), entry(&agent.address));
    read(&cache, &host, None).await;
    let file = setup.store().path_of("kvm-01");
    assert!(file.exists());
    cache.forget(vec!["kvm-01".to_owned(), "never-there".to_owned()]).await;
    assert!(!file.exists());
    agent.stop().await;
    assert_eq!(read(&cache, &host, None).await.freshness, Freshness::Missing);
}

#[tokio::test]
async fn so_many_hosts_are_asked_at_once_and_no_more() {
    let setup = Setup::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&open), Arc::clone(&most));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                // Says nothing, and reads until the coordinator gives up.
                while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    // Over before a host that says nothing would leave its place to another.
    let cache = setup.cache_with(setup.store(), HOUR, HASTY);
    let hosts: Vec<_> = (0..10)
        .map(|i| Arc::new(HostEntry::new(format!("kvm-{i}"), Some(address.parse().expect("an address")))))
        .collect();
    let mut reads = tokio::task::JoinSet::new();
    for host in hosts {
        let cache = Arc::clone(&cache);
        reads.spawn(async move { read(&cache, &host, None).await });
    }
    for view in reads.join_all().await {
        assert_eq!(view.problem.expect("nobody speaks").kind, ProblemKind::Timeout);
    }
    // The ends of the last two may be seen after the starts of the next two.
    assert!((2..=4).contains(&most.load(Ordering::SeqCst)), "{most:?} at once, not 2");
}

/// A disk that hangs until the test ends.
#[derive(Debug)]
struct HangingStore(Mutex<mpsc::Receiver<()>>);

impl HangingStore {
    fn hang(&self) {
        let _ = self.0.lock().expect("not poisoned").recv();
    }
}

impl Store for HangingStore {
    fn load(&self, _: &str, _: &Parts) -> Result<Option<HostRecord>, StoreError> {
        self.hang();
        Ok(None)
    }
    fn save(&self, _: &HostRecord) -> Result<(), StoreError> {
        self.hang();
        Ok(())
    }
    fn remove(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    fn set_aside(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_disk_that_hangs_costs_no_answer() {
    let setup = Setup::new();
    let agent = setup.agent("nehalem-old").await;
    let (end, hanging) = mpsc::channel();
    let cache = setup.cache_with(Arc::new(HangingStore(Mutex::new(hanging))), HOUR, PATIENT);
    let registry = Registry::new([HostEntry::clone(&entry(&agent.address))]).expect("one");
    let cluster = Cluster::new(registry, Arc::clone(&cache));
    let start = Instant::now();
    let options = read_within(None, PATIENT);
    let report = cluster.show("kvm-01", options, true).await.expect("it is there");
    assert_eq!((report.view.freshness, report.view.outcome), (Freshness::Fresh, Outcome::Fetched));
    assert!(report.usage.is_some());
    assert!(start.elapsed() < PATIENT, "{:?}", start.elapsed());
    assert_eq!(cache.read(&entry(&agent.address), options).await.outcome, Outcome::StillFresh);
    assert!(!cache.settle(Duration::from_millis(1)).await, "it is not on disk");
    // Lets the blocked threads go, or the runtime would wait for them.
    drop(end);
}

/// A disk whose first write waits for the test's word.
#[derive(Debug)]
struct LateStore {
    inner: Arc<FileStore>,
    first: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Store for LateStore {
    fn load(&self, host: &str, parts: &Parts) -> Result<Option<HostRecord>, StoreError> {
        self.inner.load(host, parts)
    }
    fn save(&self, record: &HostRecord) -> Result<(), StoreError> {
        let first = self.first.lock().expect("not poisoned").take();
        // The sender goes without a word when the test is done.
        let _ = first.map(|word| word.recv());
        self.inner.save(record)
    }
    fn remove(&self, host: &str) -> Result<(), StoreError> {
        self.inner.remove(host)
    }
    fn set_aside(&self, host: &str) -> Result<(), StoreError> {
        self.inner.set_aside(host)
    }
}

#[tokio::test]
async fn a_write_that_is_late_undoes_nothing() {
    for forgotten in [false, true] {
        let setup = Setup::new();
        let agent = setup.agent("nehalem-old").await;
        let (word, first) = mpsc::channel();
        let inner = setup.store();
        let late = LateStore { inner: Arc::clone(&inner), first: Mutex::new(Some(first)) };
        let cache = setup.cache_with(Arc::new(late), HOUR, PATIENT);
        read(&cache, &entry(&agent.address), None).await;
        if forgotten {
            cache.forget(vec!["kvm-01".to_owned()]).await;
        } else {
            cache.supersede("kvm-01", soon()).await;
        }
        drop(word);
        assert!(cache.settle(PATIENT).await);
        let kept = inner.load("kvm-01", &Parts::default()).expect("readable").map(|record| record.superseded);
        assert_eq!(kept, (!forgotten).then_some(true), "forgotten: {forgotten}");
    }
}
