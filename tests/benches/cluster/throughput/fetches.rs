//! Hosts that nothing is known of, fetched by more and more workers, beside two clients that connect to the same hosts and
//! call the same: a plain one takes the answer apart as well, an idle one does not look into it.
//!
//! The plain one is what counts. Taking answers apart is work for this machine's CPUs: where hosts take their time and few
//! are asked at once nobody notices, and with many it is what limits. So the ratio to the idle one falls with any client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use prost::bytes::Bytes;
use tokio::task::JoinSet;
use tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery};
use vmuster_coordinator::fetch::{Bounds, DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE, Fetched, Fetcher};
use vmuster_proto::{
    model::Inventory,
    pb::{self, agent_service_client::AgentServiceClient, get_inventory_response::Outcome},
    transport::{AGENT_REPLY_MAX_BYTES, CONNECT_DEADLINE, PeerAddress, connect},
};
use vmuster_tests::{
    fleet::{Fleet, Source},
    raw::Raw,
};

use super::{Row, judge};

const HOSTS: usize = 1000;
const WORKERS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// A burst of a third of a second meets what else the machine does: many are needed for a median that holds.
const ROUNDS: usize = 15;
/// With latency a round takes longer, and mostly waits.
const LATENCY_ROUNDS: usize = 5;

/// What a network within a data centre and an agent that looks at its files take together, generously.
const LATENCY: Duration = Duration::from_millis(10);

/// Hosts that a worker fetches one after another, at most: one worker with latency would be 12 s at it.
const HOSTS_PER_WORKER: usize = 100;

const METHOD: &str = "/vmuster.v1.AgentService/GetInventory";

async fn fetch(fetcher: Fetcher, addresses: Vec<PeerAddress>) {
    let fetcher = Arc::new(fetcher);
    let mut tasks = JoinSet::new();
    for address in addresses {
        let (fetcher, address) = (Arc::clone(&fetcher), address.clone());
        tasks.spawn(async move {
            let fetched = fetcher.inventory(&address, "").await.expect("an answer");
            assert!(matches!(fetched, Fetched::Inventory { .. }), "{fetched:?}");
        });
    }
    tasks.join_all().await;
}

/// How long the work takes as one of the runtime's own tasks, as calls are: from outside, the end of each fetch would wake a
/// third thread on two CPUs.
async fn timed(work: impl Future<Output = ()> + Send + 'static) -> Duration {
    let start = Instant::now();
    tokio::spawn(work).await.expect("no panic");
    start.elapsed()
}

/// Whether answers are taken apart.
#[derive(Clone, Copy)]
enum Client {
    Plain,
    Idle,
}

async fn call(client: Client, address: &PeerAddress) {
    let channel = connect(address, CONNECT_DEADLINE).await.expect("connects");
    match client {
        Client::Plain => {
            let mut client =
                AgentServiceClient::new(channel).max_decoding_message_size(AGENT_REPLY_MAX_BYTES);
            let answer = client.get_inventory(pb::GetInventoryRequest::default()).await.expect("an answer");
            let Some(Outcome::Collected(collected)) = answer.into_inner().outcome else { panic!("no facts") };
            let inventory: Inventory = collected.inventory.expect("facts").try_into().expect("sense");
            assert!(inventory.cpu.is_some());
        }
        Client::Idle => {
            let mut client = Grpc::new(channel);
            client.ready().await.expect("ready");
            let path = PathAndQuery::from_static(METHOD);
            let answer = client.unary(Request::new(Bytes::new()), path, Raw).await.expect("an answer");
            assert!(!answer.get_ref().is_empty());
        }
    }
}

async fn call_all(client: Client, workers: usize, addresses: Arc<Vec<PeerAddress>>, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (next, addresses) = (Arc::clone(&next), Arc::clone(&addresses));
        tasks.spawn(async move {
            while let Some(address) = addresses[..count].get(next.fetch_add(1, Ordering::Relaxed)) {
                call(client, address).await;
            }
        });
    }
    tasks.join_all().await;
}

/// How many at once, and by what rule.
fn settings() -> Vec<(String, usize, Bounds)> {
    let fixed = WORKERS.iter().map(|workers| (workers.to_string(), *workers, Bounds::fixed(*workers)));
    // Last: it must be as good as the best of those that were chosen by hand.
    let around = ("as it adapts".to_owned(), DEFAULT_CONCURRENCY, Bounds::around(DEFAULT_CONCURRENCY));
    fixed.chain([around]).collect()
}

async fn table(
    title: &str,
    addresses: &Arc<Vec<PeerAddress>>,
    hosts_per_worker: usize,
    rounds: usize,
) -> bool {
    let count = |workers: usize| HOSTS.min(workers * hosts_per_worker);
    let rows = || settings().into_iter().map(|(what, workers, _)| Row::new(what, count(workers)));
    let (mut beside_plain, mut beside_idle): (Vec<_>, Vec<_>) = (rows().collect(), rows().collect());
    for round in 0..rounds {
        for (at, (_, workers, bounds)) in settings().into_iter().enumerate() {
            let count = count(workers);
            let ours = async || {
                let fetcher = Fetcher::bounded_by(bounds, DEFAULT_HOST_DEADLINE);
                timed(fetch(fetcher, addresses[..count].to_vec())).await
            };
            let called = async |client| timed(call_all(client, workers, Arc::clone(addresses), count)).await;
            let plain = async || called(Client::Plain).await;
            let (ours, plain) = if round.is_multiple_of(2) {
                let ours = ours().await;
                (ours, plain().await)
            } else {
                let plain = plain().await;
                (ours().await, plain)
            };
            let idle = called(Client::Idle).await;
            beside_plain[at].pairs.push((ours, plain));
            beside_idle[at].pairs.push((ours, idle));
        }
    }
    let is_met = judge(&format!("{title}; least: a plain client"), &beside_plain);
    // Told, and not a failure: see the beginning of this file.
    judge(&format!("{title}; least: a client that does not look into answers"), &beside_idle);
    is_met
}

pub(super) async fn measure() -> bool {
    let fleet = Fleet::start(HOSTS, 1, Source::all_x86()).await;
    let addresses = (0..HOSTS).map(|host| fleet.address(host).parse().expect("an address"));
    let addresses = Arc::new(addresses.collect());
    let title = format!("fetches of {HOSTS} cold hosts that answer at once");
    let at_once = table(&title, &addresses, HOSTS, ROUNDS).await;
    (0..HOSTS).for_each(|host| fleet.set_latency(host, LATENCY));
    let title = format!("the same of hosts that answer after {LATENCY:?}");
    table(&title, &addresses, HOSTS_PER_WORKER, LATENCY_ROUNDS).await && at_once
}
