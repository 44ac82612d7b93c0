//! Damaged cache files are set aside and fetched again, whatever the damage.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use tempfile::{TempDir, tempdir};
use vmuster_coordinator::{
    cache::{FileStore, HostCache, HostView, Outcome, Parts, Sharing, Store},
    cluster::read_within,
    config::{DEFAULT_FAILURE_TTL, DEFAULT_TTL},
    fetch::Fetcher,
    hosts::HostEntry,
};
use vmuster_proto::{
    clock::{Clock, SystemClock},
    model::{Freshness, Timestamp},
};
use vmuster_tests::{agents::TestAgent, fixtures::host};

/// A clock that is off by so much.
#[derive(Debug)]
struct ShiftedClock {
    ahead: Duration,
    behind: Duration,
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(self.ahead).saturating_sub(self.behind)
    }
}

struct Setup {
    agent: TestAgent,
    entry: Arc<HostEntry>,
    store: Arc<FileStore>,
    file: PathBuf,
    aside: PathBuf,
    _directory: TempDir,
}

impl Setup {
    async fn start() -> Self {
        let directory = tempdir().expect("a directory");
        let agent = TestAgent::start(&host("nehalem-old"), directory.path().join("a.sock")).await;
        let address = agent.address.parse().expect("an address");
        let entry = Arc::new(HostEntry::new("kvm-01", Some(address)));
        let store =
            FileStore::open(&directory.path().join("cache"), Sharing::Exclusive, false).expect("a cache");
        let file = store.path_of("kvm-01");
        let aside = file.with_extension("inventory.set-aside");
        Self { agent, entry, store: Arc::new(store), file, aside, _directory: directory }
    }

    /// As a freshly started coordinator reads the host.
    async fn read_with(&self, clock: impl Clock) -> HostView {
        let store: Arc<dyn Store> = Arc::clone(&self.store) as _;
        let fetcher = Arc::new(Fetcher::new(4, Duration::from_secs(5)));
        let cache = HostCache::new(Some(store), fetcher, Arc::new(clock), DEFAULT_TTL, DEFAULT_FAILURE_TTL);
        Arc::new(cache).read(&self.entry, read_within(None, Duration::from_secs(10))).await
    }

    async fn read(&self) -> HostView {
        self.read_with(SystemClock).await
    }

    async fn assert_fetched_again(&self, damaged: &[u8], what: &str) {
        fs::write(&self.file, damaged).expect("damage");
        let view = self.read().await;
        assert_eq!((view.outcome, view.freshness), (Outcome::Fetched, Freshness::Fresh), "{what}");
        assert_eq!(fs::read(&self.aside).expect("it was set aside"), damaged, "{what}");
        fs::remove_file(&self.aside).expect("removed");
    }
}

/// xorshift64*, so that the damage is the same in every run.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_at_every_length() {
    let setup = Setup::start().await;
    assert_eq!(setup.read().await.outcome, Outcome::Fetched);
    let good = fs::read(&setup.file).expect("an entry");
    assert_eq!(setup.read().await.outcome, Outcome::StillFresh, "an undamaged entry is used");
    for length in 0..good.len() {
        setup.assert_fetched_again(&good[..length], &format!("cut at {length} of {}", good.len())).await;
    }
    setup.assert_fetched_again(&[&good[..], b"x"].concat(), "a byte too many").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_flipped_bytes() {
    let setup = Setup::start().await;
    setup.read().await;
    let good = fs::read(&setup.file).expect("an entry");
    let mut state = 0x5EED;
    for round in 0..1000usize {
        // Each byte of the header for certain, then anywhere.
        let random = usize::try_from(next_random(&mut state) >> 1).expect("64 bits");
        let at = if round < 20 { round } else { random % good.len() };
        let mut damaged = good.clone();
        damaged[at] ^= u8::try_from(next_random(&mut state) % 255 + 1).expect("a byte");
        setup.assert_fetched_again(&damaged, &format!("byte {at}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_entry_and_one_from_the_future_are_not_trusted() {
    let setup = Setup::start().await;
    setup.read().await;
    let other = setup.store.path_of("kvm-02");
    fs::copy(&setup.file, &other).expect("a copy");
    assert!(setup.store.load("kvm-02", &Parts::default()).is_err());
    assert!(!other.exists(), "it was set aside");

    let day = Duration::from_secs(86_400);
    let future = setup.read_with(ShiftedClock { ahead: Duration::ZERO, behind: 2 * day }).await;
    assert_eq!((future.outcome, future.freshness), (Outcome::Fetched, Freshness::Fresh));
    assert!(setup.aside.exists(), "two days in the future: set aside");

    let later = setup.read_with(ShiftedClock { ahead: day, behind: Duration::ZERO }).await;
    assert_eq!(later.outcome, Outcome::Unchanged, "an old one is only asked about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_cannot_be_written_costs_no_answer() {
    let mut setup = Setup::start().await;
    // The tests may run as root, whom modes do not stop: a directory in the entry's place does.
    fs::create_dir(&setup.file).expect("a directory");
    fs::create_dir(setup.file.join("full")).expect("a directory");
    fs::create_dir(&setup.aside).expect("a directory");
    let store: Arc<dyn Store> = Arc::clone(&setup.store) as _;
    let fetcher = Arc::new(Fetcher::new(4, Duration::from_secs(5)));
    let cache = Arc::new(HostCache::new(
        Some(store),
        fetcher,
        Arc::new(SystemClock),
        DEFAULT_TTL,
        DEFAULT_FAILURE_TTL,
    ));
    fs::remove_dir_all(setup.file.parent().expect("a parent")).expect("the cache is gone");
    let options = read_within(None, Duration::from_secs(10));
    assert_eq!(cache.read(&setup.entry, options).await.freshness, Freshness::Fresh);
    assert!(cache.take_store_problem().expect("it is reported").contains("cannot write"));
    setup.agent.stop().await;
    assert_eq!(cache.read(&setup.entry, options).await.outcome, Outcome::StillFresh, "served from memory");
}
