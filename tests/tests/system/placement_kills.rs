//! A coordinator that is killed while many place until the cluster is full: what it promised is kept, and nothing twice.
//! Looked at from outside: by what callers were answered, and what is listed in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};
use vmuster_proto::{
    pb::{self, placement_service_client::PlacementServiceClient},
    transport::{CONNECT_DEADLINE, connect},
};
use vmuster_tests::{
    fleet::{Fleet, Source},
    programs::Signal,
};

use crate::registry::{House, stop};

const SEEDS: usize = 20;
const CALLERS: usize = 64;
const HOSTS: usize = 4;

/// 64 CPUs for 4 vCPUs each, in instances of 5.
const PER_HOST: usize = 51;
const VCPUS: u32 = 5;

/// What a call ends with whose coordinator is killed.
const GONE: [Code; 4] = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];

/// Kills before the cluster is let fill up.
const KILLS: usize = 3;

fn place(request_id: &str, hosts: &[String]) -> pb::PlaceRequest {
    let template = pb::InstanceTemplate { vcpus: VCPUS, memory_bytes: 1 << 30, ..Default::default() };
    let group = pb::InstanceGroup { template: Some(template), count: 1, ..Default::default() };
    pb::PlaceRequest {
        request_id: request_id.to_owned(),
        mode: pb::PlaceMode::Claim.into(),
        groups: vec![group],
        hosts: hosts.to_vec(),
        ..Default::default()
    }
}

/// A caller, who asks the same again until it is answered.
struct Caller {
    name: String,
    count: usize,
    answered: Vec<pb::Placement>,
    is_done: bool,
}

impl Caller {
    /// Until it is refused, or the coordinator is gone.
    async fn run(&mut self, mut client: PlacementServiceClient<Channel>, all: &AtomicUsize) {
        while !self.is_done {
            let request = place(&format!("{}-{}", self.name, self.count), &[]);
            let answer = match client.place(request).await {
                Ok(answer) => answer.into_inner(),
                Err(status) => {
                    assert!(GONE.contains(&status.code()), "{status:?}");
                    return;
                }
            };
            self.count += 1;
            self.is_done = !answer.granted;
            if answer.granted {
                self.answered.extend(answer.placements);
                all.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

async fn client(address: &str) -> PlacementServiceClient<Channel> {
    let address = address.parse().expect("an address");
    PlacementServiceClient::new(connect(&address, CONNECT_DEADLINE).await.expect("connects"))
}

async fn run_all(callers: Vec<Caller>, address: &str, all: &Arc<AtomicUsize>) -> JoinSet<Caller> {
    let mut running = JoinSet::new();
    for mut caller in callers {
        let (client, all) = (client(address).await, Arc::clone(all));
        running.spawn(async move {
            caller.run(client, &all).await;
            caller
        });
    }
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_fills_through_kills_has_every_promise_once() {
    let fleet = Fleet::start(HOSTS, 3, vec![Source::with_hypervisor("rome-2s")]).await;
    for seed in 0..SEEDS {
        let house = House::new(&[]);
        fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
        let all = Arc::new(AtomicUsize::new(0));
        let caller = |number| Caller {
            name: format!("s{seed}-c{number}"),
            count: 0,
            answered: Vec::new(),
            is_done: false,
        };
        let mut callers: Vec<_> = (0..CALLERS).map(caller).collect();
        for kill in 0..KILLS {
            let mut daemon = house.start();
            let running = run_all(callers, &daemon.address, &all).await;
            // No moment is like another: after so many more answers, with the next commits under way.
            let enough = all.load(Ordering::SeqCst) + (seed * 7 + kill * 13) % 47;
            while all.load(Ordering::SeqCst) < enough.min(HOSTS * PER_HOST) {
                tokio::task::yield_now().await;
            }
            daemon.signal(Signal::KILL);
            daemon.wait();
            callers = running.join_all().await;
        }
        let daemon = house.start();
        callers = run_all(callers, &daemon.address, &all).await.join_all().await;
        assert!(callers.iter().all(|caller| caller.is_done), "seed {seed}: someone had no answer");
        judge(&house, &callers, seed);
        stop(daemon);
    }
}

fn judge(house: &House, callers: &[Caller], seed: usize) {
    let listed = house.json("claims list");
    let claims = listed["claims"].as_array().expect("claims");
    let text = |claim: &serde_json::Value, key: &str| claim[key].as_str().expect("text").to_owned();
    let by_id: BTreeMap<_, _> = claims.iter().map(|claim| (text(claim, "id"), claim)).collect();
    let uuids: BTreeSet<_> = claims.iter().map(|claim| text(claim, "uuid")).collect();
    assert_eq!(uuids.len(), claims.len(), "seed {seed}: an instance on two hosts");
    let mut per_host = BTreeMap::<String, usize>::new();
    for claim in claims {
        *per_host.entry(text(claim, "host")).or_default() += 1;
    }
    assert!(
        per_host.values().all(|count| *count <= PER_HOST),
        "seed {seed}: too many on a host: {per_host:?}"
    );
    assert_eq!(claims.len(), HOSTS * PER_HOST, "seed {seed}: full, and not a place lost: {per_host:?}");
    let mut answered = BTreeSet::new();
    for placement in callers.iter().flat_map(|caller| &caller.answered) {
        let claim = by_id.get(&placement.claim_id);
        let claim =
            claim.unwrap_or_else(|| panic!("seed {seed}: {} was answered and is gone", placement.claim_id));
        assert_eq!(
            (text(claim, "uuid"), text(claim, "host")),
            (placement.uuid.clone(), placement.host.clone())
        );
        assert!(
            answered.insert(&placement.claim_id),
            "seed {seed}: {} was answered twice",
            placement.claim_id
        );
    }
    // All were asked again until they were answered.
    assert_eq!(answered.len(), claims.len(), "seed {seed}: a claim that nobody was told of");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_race_for_fifty_places_and_fifty_get_one() {
    const RACERS: usize = 8;
    const TRIES: usize = 20;
    let fleet = Fleet::start(1, 3, vec![Source::with_hypervisor("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    let daemon = house.start();
    let full = house.json(&format!("place --vcpus {VCPUS} --memory 1GiB --claim --request-id first"));
    assert_eq!(full["granted"], true, "which leaves fifty");
    let granted = Arc::new(Mutex::new(0));
    let mut racers = JoinSet::new();
    for racer in 0..RACERS {
        let mut client = client(&daemon.address).await;
        let granted = Arc::clone(&granted);
        racers.spawn(async move {
            for number in 0..TRIES {
                let request = place(&format!("r{racer}-{number}"), &["kvm-0000".to_owned()]);
                let answer = client.place(request).await.expect("an answer").into_inner();
                *granted.lock().expect("nobody panics") += usize::from(answer.granted);
            }
        });
    }
    racers.join_all().await;
    assert_eq!(*granted.lock().expect("nobody panics"), PER_HOST - 1);
    assert_eq!(house.done("claims list -o plain").lines().count(), PER_HOST);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_asked_by_many_at_once_is_promised_once() {
    let fleet = Fleet::start(2, 3, vec![Source::with_hypervisor("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    let daemon = house.start();
    let mut asking = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = client(&daemon.address).await;
        asking.spawn(
            async move { client.place(place("the-same", &[])).await.expect("an answer").into_inner() },
        );
    }
    let answers: Vec<_> = asking.join_all().await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!(house.done("claims list -o plain"), format!("{}\n", answers[0].placements[0].claim_id));
    stop(daemon);
}
