//! Hosts that nothing is known of, fetched by more and more workers, beside a client that connects to the same hosts, calls
//! the same and does not look into the answer.

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
use vmuster_proto::transport::{CONNECT_DEADLINE, PeerAddress, connect};
use vmuster_tests::{
    fleet::{Fleet, Source},
    raw::Raw,
};

use super::{Row, judge};

const HOSTS: usize = 1000;
const WORKERS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// A burst of a third of a second meets what else the machine does: many are needed for a median that holds.
const ROUNDS: usize = 31;
/// With latency a round takes longer, and mostly waits.
const LATENCY_ROUNDS: usize = 11;

/// What a network within a data centre and an agent that looks at its files take together, generously.
const LATENCY: Duration = Duration::from_millis(10);

/// Hosts that a worker fetches one after another, at most: one worker with latency would be 12 s at it.
const HOSTS_PER_WORKER: usize = 100;

const METHOD: &str = "/vmuster.v1.AgentService/GetInventory";

async fn fetched(fetcher: Fetcher, addresses: &[PeerAddress]) -> Duration {
    let fetcher = Arc::new(fetcher);
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for address in addresses {
        let (fetcher, address) = (Arc::clone(&fetcher), address.clone());
        tasks.spawn(async move {
            let fetched = fetcher.inventory(&address, "").await.expect("an answer");
            assert!(matches!(fetched, Fetched::Inventory { .. }), "{fetched:?}");
        });
    }
    tasks.join_all().await;
    start.elapsed()
}

async fn called(workers: usize, addresses: &Arc<Vec<PeerAddress>>, count: usize) -> Duration {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..workers {
        let (next, addresses) = (Arc::clone(&next), Arc::clone(addresses));
        tasks.spawn(async move {
            while let Some(address) = addresses[..count].get(next.fetch_add(1, Ordering::Relaxed)) {
                let channel = connect(address, CONNECT_DEADLINE).await.expect("connects");
                let mut client = Grpc::new(channel);
                client.ready().await.expect("ready");
                let path = PathAndQuery::from_static(METHOD);
                let answer = client.unary(Request::new(Bytes::new()), path, Raw).await.expect("an answer");
                assert!(!answer.get_ref().is_empty());
            }
        });
    }
    tasks.join_all().await;
    start.elapsed()
}

async fn table(
    title: &str,
    addresses: &Arc<Vec<PeerAddress>>,
    hosts_per_worker: usize,
    rounds: usize,
) -> bool {
    let count = |workers: usize| HOSTS.min(workers * hosts_per_worker);
    let mut rows: Vec<_> =
        WORKERS.iter().map(|workers| Row::new(workers.to_string(), count(*workers))).collect();
    let mut adaptive = Row::new("as it adapts", HOSTS);
    for round in 0..rounds {
        let fixed = rows.iter_mut().zip(WORKERS).map(|(row, workers)| (row, workers, Bounds::fixed(workers)));
        let around = (&mut adaptive, DEFAULT_CONCURRENCY, Bounds::around(DEFAULT_CONCURRENCY));
        for (row, workers, bounds) in fixed.chain([around]) {
            let count = count(workers);
            let ours = async || {
                fetched(Fetcher::bounded_by(bounds, DEFAULT_HOST_DEADLINE), &addresses[..count]).await
            };
            let least = async || called(workers, addresses, count).await;
            row.pairs.push(if round % 2 == 0 {
                let ours = ours().await;
                (ours, least().await)
            } else {
                let least = least().await;
                (ours().await, least)
            });
        }
    }
    // Last: it must be as good as the best of those that were chosen by hand.
    rows.push(adaptive);
    judge(title, &rows)
}

pub(super) async fn measure() -> bool {
    let fleet = Fleet::start(HOSTS, 1, Source::all_x86()).await;
    let addresses = (0..HOSTS).map(|host| fleet.address(host).parse().expect("an address"));
    let addresses = Arc::new(addresses.collect());
    let title =
        format!("fetches of {HOSTS} cold hosts that answer at once; least: the answer is not looked into");
    let at_once = table(&title, &addresses, HOSTS, ROUNDS).await;
    (0..HOSTS).for_each(|host| fleet.set_latency(host, LATENCY));
    let title = format!("the same of hosts that answer after {LATENCY:?}");
    table(&title, &addresses, HOSTS_PER_WORKER, LATENCY_ROUNDS).await && at_once
}
