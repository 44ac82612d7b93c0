//! The same question by more and more clients, each with a connection of its own, beside a service that has the answer's
//! bytes ready.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prost::{Message as _, bytes::Bytes};
use tempfile::tempdir;
use tokio::task::JoinSet;
use vmuster_proto::{
    model::{Inventory, Layer},
    pb,
};

use super::{Row, judge};
use crate::{
    fleet::cluster_of,
    ready::{self, RawClient},
};

const HOSTS: usize = 1000;
const CLIENTS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const ROUNDS: usize = 41;

/// Of all clients together: a burst is a tenth of a second, which is long beside what starting and ending 64 tasks takes.
const CALLS: usize = 1024;

async fn burst(clients: &[RawClient], request: &Bytes, size: usize) -> Duration {
    let calls = CALLS / clients.len();
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for client in clients {
        let (mut client, request) = (client.clone(), request.clone());
        tasks.spawn(async move {
            for _ in 0..calls {
                assert_eq!(client.ask(request.clone()).await.len(), size);
            }
        });
    }
    tasks.join_all().await;
    start.elapsed()
}

pub(super) async fn measure(inventories: &[Arc<Inventory>]) -> bool {
    let (cluster, _) = cluster_of(inventories, HOSTS);
    let directory = tempdir().expect("a directory");
    let [ours, ready] = ["ours.sock", "ready.sock"].map(|name| directory.path().join(name));
    let layer = pb::CpuFeatureLayer::from(Layer::Host).into();
    let request = pb::ComputeCommonCpuFlagsRequest { layer, ..Default::default() };
    let request = Bytes::from(request.encode_to_vec());
    let answer = ready::serve_cluster(Arc::new(cluster), &ours).await.ask(request.clone()).await;
    let size = answer.len();
    ready::serve_ready(answer, &ready).await;
    let (mut our_clients, mut ready_clients) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS[CLIENTS.len() - 1] {
        our_clients.push(ready::client(&ours).await);
        ready_clients.push(ready::client(&ready).await);
    }
    let mut rows: Vec<_> = CLIENTS.iter().map(|count| Row::new(count.to_string(), CALLS)).collect();
    for round in 0..ROUNDS {
        for (row, count) in rows.iter_mut().zip(CLIENTS) {
            let ours = async || burst(&our_clients[..count], &request, size).await;
            let least = async || burst(&ready_clients[..count], &request, size).await;
            // By turns first: whoever comes second finds the caches warm.
            row.pairs.push(if round.is_multiple_of(2) {
                let ours = ours().await;
                (ours, least().await)
            } else {
                let least = least().await;
                (ours().await, least)
            });
        }
    }
    let title = format!("common flags, host layer, {HOSTS} warm hosts; least: {size} bytes that are ready");
    judge(&title, &rows)
}
