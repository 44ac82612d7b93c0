//! What recorded hosts have alike is kept once by a coordinator, and nothing of it is lost or stays too long.

use std::{sync::Arc, time::Duration};

use tempfile::tempdir;
use vmuster_agent::{
    snapshot::{Collector, Host, HostSource},
    watch::Unwatched,
};
use vmuster_coordinator::{
    cache::{
        FileStore, GuestNames, HostCache, HostRecord, Outcome, Parts, Sharing, decode_entry, encode_entry,
    },
    cluster::read_within,
    config::{DEFAULT_FAILURE_TTL, DEFAULT_TTL},
    fetch::Fetcher,
    hosts::HostEntry,
};
use vmuster_proto::{
    clock::{Clock as _, SystemClock},
    model::Inventory,
};
use vmuster_tests::{
    agents::TestAgent,
    fixtures::{host, host_names},
};

const PATIENT: Duration = Duration::from_secs(10);

/// As an agent would say it today.
fn record(recorded: &str, name: &str) -> HostRecord {
    let source = HostSource::recorded(&host(recorded)).expect("a recorded host");
    let agent = Host::new(source, None, Arc::new(SystemClock));
    let collected = Collector::new(Arc::new(agent)).collect_inventory(&Unwatched);
    let now = Some(SystemClock.now());
    HostRecord {
        host: name.to_owned(),
        address: format!("unix:/run/{name}.sock"),
        reported_name: collected.name,
        fetched_at: now,
        validated_at: now,
        inventory: collected.inventory,
        issues: collected.issues.into(),
        superseded: false,
        saved_usage: None,
        guest_names: GuestNames::default(),
    }
}

/// Sections that hosts can have alike are the same in memory wherever they are there at all.
fn assert_shared(a: &Inventory, b: &Inventory, what: &str) {
    fn same<T: ?Sized>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
    assert!(a.cpu.is_some(), "{what}");
    assert!(same(a.cpu.as_ref(), b.cpu.as_ref()), "{what}: CPU");
    assert!(same(a.numa.as_ref(), b.numa.as_ref()), "{what}: nodes");
    assert!(same(a.pci.as_ref(), b.pci.as_ref()), "{what}: PCI");
    assert!(same(a.hypervisor.as_ref(), b.hypervisor.as_ref()), "{what}: hypervisor");
}

#[test]
fn every_recorded_host_is_the_same_when_it_is_shared() {
    let parts = Parts::default();
    let mut kept = Vec::new();
    for recorded in host_names() {
        let plain = record(&recorded, "a");
        let mut fetched = record(&recorded, "b");
        let loaded = decode_entry("a", encode_entry(&plain), &parts).expect("an entry");
        fetched.inventory = parts.share(fetched.inventory);
        assert_eq!(loaded, plain, "{recorded}");
        let json = |record: &HostRecord| serde_json::to_value(&*record.inventory).expect("JSON");
        assert_eq!(json(&loaded), json(&plain), "{recorded}");
        assert_eq!(encode_entry(&loaded), encode_entry(&plain), "{recorded}");
        assert_shared(&loaded.inventory, &fetched.inventory, &recorded);
        kept.push((loaded, fetched));
    }
    assert!(parts.len() > kept.len(), "hosts that are not alike have parts of their own");
    kept.clear();
    parts.sweep();
    assert!(parts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_loaded_and_one_that_is_fetched_share() {
    let directory = tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let store = FileStore::open(&at("cache"), Sharing::Exclusive, false).expect("a cache");
    let store = Arc::new(store);
    let mut entries = Vec::new();
    let mut agents = Vec::new();
    for name in ["kvm-01", "kvm-02"] {
        let agent = TestAgent::start(&host("nehalem-old"), at(name)).await;
        entries.push(Arc::new(HostEntry::new(name, Some(agent.address.parse().expect("an address")))));
        agents.push(agent);
    }
    let restarted = || {
        let fetcher = Arc::new(Fetcher::new(4, PATIENT));
        let store = Arc::clone(&store) as _;
        let clock = Arc::new(SystemClock);
        Arc::new(HostCache::new(Some(store), fetcher, clock, DEFAULT_TTL, DEFAULT_FAILURE_TTL))
    };
    let options = || read_within(None, PATIENT);
    assert_eq!(restarted().read(&entries[0], options()).await.outcome, Outcome::Fetched);
    let cache = restarted();
    let views = cache.read_all(&entries, options()).await;
    let outcomes: Vec<_> = views.iter().map(|view| view.outcome).collect();
    assert_eq!(outcomes, [Outcome::StillFresh, Outcome::Fetched]);
    let [loaded, fetched] = [0, 1].map(|i| views[i].record.clone().expect("known"));
    assert_shared(&loaded.inventory, &fetched.inventory, "loaded and fetched");
    drop((views, loaded, fetched));
    assert!(!cache.parts().is_empty());
    cache.forget(vec!["kvm-01".to_owned(), "kvm-02".to_owned()]).await;
    assert!(cache.parts().is_empty());
}
