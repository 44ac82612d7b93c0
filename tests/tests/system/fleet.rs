//! Many hosts at once: what they are asked, and what is said of those that misbehave (BLUEPRINT §7).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};
use vmuster_coordinator::{
    cache::HostCache,
    cluster::{Cluster, FlagsQuestion, read_within},
    config::{DEFAULT_FAILURE_TTL, DEFAULT_TTL},
    fetch::{DEFAULT_CONCURRENCY, Fetcher},
    flags::Detail,
    hosts::{HostEntry, Registry, Scope},
};
use vmuster_proto::{
    clock::{Clock, SystemClock},
    model::{FlagsAnswer, Freshness, HostOrigin, Inventory, Layer, ProblemKind, Timestamp},
    pb::{self, agent_service_client::AgentServiceClient, get_inventory_response::Outcome},
    transport::{CONNECT_DEADLINE, connect},
};
use vmuster_tests::{
    fleet::{Asked, Fleet, Manner, Source},
    waiting::until,
};

const HOSTS: usize = 200;
/// Longer than a healthy host takes on a busy machine; hosts that hang take all of it.
const HOST_DEADLINE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct SetClock(Mutex<Timestamp>);

impl SetClock {
    fn advance(&self, by: Duration) {
        let mut now = self.0.lock().expect("no panic");
        *now = now.saturating_add(by);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no panic")
    }
}

struct Setup {
    fleet: Fleet,
    cluster: Arc<Cluster>,
    clock: Arc<SetClock>,
}

async fn start(count: usize) -> Setup {
    start_with(count, DEFAULT_FAILURE_TTL).await
}

async fn start_with(count: usize, failure_ttl: Duration) -> Setup {
    let fleet =
        Fleet::start(count, 7, vec![Source::recorded("rome-2s"), Source::recorded("skylake-smt")]).await;
    let registry = Registry::new((0..count).map(|host| registered(&fleet, host))).expect("distinct");
    let fetcher = Arc::new(Fetcher::new(DEFAULT_CONCURRENCY, HOST_DEADLINE));
    let clock = Arc::new(SetClock(Mutex::new(SystemClock.now())));
    let shared: Arc<SetClock> = Arc::clone(&clock);
    let cache = HostCache::new(None, fetcher, shared, DEFAULT_TTL, failure_ttl);
    Setup { fleet, cluster: Arc::new(Cluster::new(registry, Arc::new(cache))), clock }
}

/// As a hosts file would register it.
fn registered(fleet: &Fleet, host: usize) -> HostEntry {
    let address = fleet.address(host).parse().expect("an address");
    HostEntry { origin: Some(HostOrigin::File), ..HostEntry::new(fleet.name(host), Some(address)) }
}

impl Setup {
    async fn flags(&self, max_age: Option<Duration>) -> FlagsAnswer {
        ask(&self.cluster, max_age).await
    }

    fn asked(&self) -> BTreeSet<(u64, u64, u64)> {
        let asked = (0..self.fleet.count()).map(|host| self.fleet.asked(host));
        asked.map(|Asked { calls, inventories, unchanged, .. }| (calls, inventories, unchanged)).collect()
    }

    async fn client(&self, host: usize) -> AgentServiceClient<Channel> {
        let address = self.fleet.address(host).parse().expect("an address");
        AgentServiceClient::new(connect(&address, CONNECT_DEADLINE).await.expect("connects"))
    }

    async fn inventory(&self, host: usize) -> (String, Inventory) {
        let request = pb::GetInventoryRequest::default();
        let answer = self.client(host).await.get_inventory(request).await.expect("an answer").into_inner();
        let Some(Outcome::Collected(collected)) = answer.outcome else { panic!("no inventory") };
        (answer.name, collected.inventory.expect("facts").try_into().expect("they make sense"))
    }
}

async fn ask(cluster: &Cluster, max_age: Option<Duration>) -> FlagsAnswer {
    let question = FlagsQuestion { layer: Layer::Host, scope: Scope::default(), detail: Detail::default() };
    cluster.common_flags(&question, read_within(max_age, PATIENCE)).await.expect("an answer").0.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_a_fleet_differ_by_what_is_their_own_and_are_the_same_each_time() {
    let (setup, again) = (start(12).await, start(12).await);
    let mut seen: [BTreeSet<String>; 4] = Default::default();
    for host in 0..12 {
        let (name, inventory) = setup.inventory(host).await;
        let system = inventory.system.clone().expect("a system");
        assert_eq!((name.as_str(), system.hostname.as_deref()), (setup.fleet.name(host), Some(&*name)));
        assert_eq!(system.machine_id, Some(setup.fleet.machine_id(host)));
        assert_eq!(inventory.fingerprint, setup.fleet.fingerprint(host));
        assert!(
            inventory.cpu.and_then(|cpu| cpu.host_flags.clone()).expect("flags").len() > 20,
            "as recorded"
        );
        assert_eq!(again.fleet.machine_id(host), setup.fleet.machine_id(host), "the same seed");
        assert_eq!(again.fleet.fingerprint(host), inventory.fingerprint);
        let own = [name, inventory.fingerprint, setup.fleet.machine_id(host), setup.fleet.boot_id(host)];
        seen.iter_mut().zip(own).for_each(|(seen, own)| assert!(seen.insert(own)));
    }
    let address = setup.fleet.address(3).parse().expect("an address");
    drop(setup);
    until("nobody listens any more", async || connect(&address, CONNECT_DEADLINE).await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_questions_at_once_ask_each_stale_host_once() {
    const HOSTS: usize = 1000;
    let setup = start(HOSTS).await;
    for host in (0..HOSTS).step_by(10) {
        setup.fleet.set_latency(host, Duration::from_millis(50));
    }
    for expected in [(1, 1, 0), (2, 1, 1)] {
        let mut askers = JoinSet::new();
        for _ in 0..100 {
            let cluster = Arc::clone(&setup.cluster);
            askers.spawn(async move { ask(&cluster, None).await });
        }
        for answer in askers.join_all().await {
            assert!(answer.complete, "{:?}", answer.missing);
            assert_eq!(answer.fresh_host_count, 1000);
        }
        assert_eq!(setup.asked(), BTreeSet::from([expected]), "(calls, inventories, unchanged)");
        setup.clock.advance(DEFAULT_TTL + Duration::from_secs(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_ten_percent_of_hosts_down_the_answer_is_partial_and_names_them() {
    use ProblemKind::{Failed, Malformed, Timeout, Unreachable};
    // A host that failed may be asked again by the next question.
    let setup = start_with(HOSTS, Duration::ZERO).await;
    let manners = [
        (Manner::Gone, Unreachable),
        (Manner::Fails(Code::Unavailable), Unreachable),
        (Manner::Fails(Code::ResourceExhausted), Failed),
        (Manner::Hangs, Timeout),
        (Manner::Silent, Timeout),
        (Manner::Stalls, Timeout),
        (Manner::Malformed, Malformed),
        (Manner::Oversize, Malformed),
    ];
    let mut expected = BTreeMap::new();
    for (host, (manner, kind)) in (0..HOSTS).step_by(10).zip(manners.into_iter().cycle()) {
        setup.fleet.set(host, manner).await;
        expected.insert(setup.fleet.name(host).to_owned(), kind);
    }
    let answer = setup.flags(None).await;
    let missing: BTreeMap<_, _> =
        answer.missing.iter().map(|missing| (missing.name.clone(), missing.problem.kind)).collect();
    assert_eq!(missing, expected);
    assert!(!answer.complete);
    assert_eq!((answer.host_count, answer.fresh_host_count), (180, 180), "those that count");
    let calls = |host: usize| setup.fleet.asked(host).calls;
    for (host, (manner, _)) in (0..HOSTS).step_by(10).zip(manners.into_iter().cycle()) {
        let expected = match manner {
            // Never got as far as a call.
            Manner::Gone | Manner::Silent => 0,
            Manner::Fails(Code::Unavailable) => 3,
            _ => 1,
        };
        assert_eq!(calls(host), expected, "only who is unavailable is asked again: {manner:?}");
    }
    assert!((0..HOSTS).filter(|host| host % 10 != 0).all(|host| calls(host) == 1), "the others once");

    for host in (0..HOSTS).step_by(10) {
        setup.fleet.set(host, Manner::Answers).await;
    }
    let answer = setup.flags(None).await;
    assert!(answer.complete, "{:?}", answer.missing);
    assert_eq!(answer.fresh_host_count, 200);
    let healthy = (0..HOSTS).filter(|host| host % 10 != 0);
    let again: Vec<_> = healthy.filter(|host| setup.fleet.asked(*host).calls != 1).collect();
    assert!(again.is_empty(), "good answers are not asked for again: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_in_a_fleet_is_noticed_by_usage_and_by_age() {
    let setup = start(20).await;
    assert!(setup.flags(None).await.complete);
    let before = setup.fleet.boot_id(7);
    setup.fleet.reboot(7);
    assert_ne!(setup.fleet.boot_id(7), before);
    let shown = setup.cluster.show(setup.fleet.name(7), read_within(None, PATIENCE), true).await;
    let record = shown.expect("a report").view.record.expect("facts");
    let boot_id = record.inventory.system.as_ref().and_then(|system| system.boot_id.clone());
    assert_eq!(boot_id, Some(setup.fleet.boot_id(7)));

    setup.fleet.reboot(8);
    assert!(setup.flags(Some(Duration::ZERO)).await.complete);
    let bodies: Vec<_> = (0..20).filter(|host| setup.fleet.asked(*host).inventories == 2).collect();
    assert_eq!(bodies, [7, 8], "everybody else says that nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_another_machine_is_named_and_its_data_refused() {
    let setup = start(4).await;
    assert!(setup.flags(None).await.complete);
    let before = setup.inventory(1).await.1;
    setup.fleet.set(1, Manner::LiesAs(2)).await;
    let (name, inventory) = setup.inventory(1).await;
    assert_eq!(name, setup.fleet.name(2));
    assert_eq!(inventory.system.expect("a system").machine_id, Some(setup.fleet.machine_id(2)));

    let options = || read_within(Some(Duration::ZERO), PATIENCE);
    let report = setup.cluster.show(setup.fleet.name(1), options(), true).await.expect("a last record");
    let problem = report.view.problem.clone().expect("a problem");
    assert_eq!(problem.kind, ProblemKind::WrongIdentity);
    let names = [setup.fleet.name(1), setup.fleet.name(2)];
    assert!(names.iter().all(|name| problem.detail.contains(name)), "{}", problem.detail);
    assert_eq!(report.view.freshness, Freshness::Stale);
    assert_eq!(*report.view.record.expect("its own").inventory, before, "the last of its own");
    assert_eq!(report.usage, None, "another machine's figures");

    setup.fleet.set(1, Manner::Answers).await;
    let report = setup.cluster.show(setup.fleet.name(1), options(), true).await.expect("a report");
    assert_eq!((report.view.freshness, report.view.problem.clone()), (Freshness::Fresh, None));
    assert!(report.usage.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_replaced_is_refused_where_its_id_is_registered() {
    let setup = start(2).await;
    assert!(setup.flags(None).await.complete);
    let entries = |id: String| {
        let pinned = HostEntry { machine_id: Some(id), ..registered(&setup.fleet, 0) };
        Registry::new([pinned, registered(&setup.fleet, 1)]).expect("distinct")
    };
    setup.cluster.set_registry(entries("0".repeat(32))).await;
    let answer = setup.flags(None).await;
    assert_eq!(answer.missing.len(), 1, "what was known before is not the registered machine's either");
    assert_eq!(answer.missing[0].problem.kind, ProblemKind::WrongIdentity);
    assert!(answer.missing[0].problem.detail.contains(&setup.fleet.machine_id(0)));

    setup.cluster.set_registry(entries(setup.fleet.machine_id(0))).await;
    assert!(setup.flags(None).await.complete);

    setup.fleet.reboot(0);
    setup.cluster.set_registry(entries("1".repeat(32))).await;
    assert_eq!(setup.flags(Some(Duration::ZERO)).await.missing.len(), 1);
    setup.cluster.set_registry(entries(setup.fleet.machine_id(0))).await;
    assert!(setup.flags(None).await.complete, "what the wrong id refused is not held against the right one");
}
