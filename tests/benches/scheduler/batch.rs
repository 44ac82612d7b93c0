//! Many at once: 10,000 instances on 5,000 hosts in one call, and 200 single ones on 70 hosts by as many callers.

use std::time::{Duration, Instant};

use vmuster_proto::pb;

use crate::{Served, burst, granted, group, middle, request, verdict};

const ROUNDS: usize = 5;

const INSTANCES: u32 = 10_000;
const CLASSES: u32 = 16;
const BATCH_LIMIT: Duration = Duration::from_millis(100);

const SINGLES: usize = 200;
const SINGLES_LIMIT: Duration = Duration::from_millis(50);

fn told(what: &str, took: Duration, limit: Duration) -> bool {
    let is_met = took <= limit;
    println!("{what:62} {took:>10.1?}  limit {limit:?}  {}", verdict(is_met));
    is_met
}

async fn large() -> bool {
    let served = Served::new(5000).await;
    let mut client = served.client("ours").await;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let groups = (1..=CLASSES).map(|class| group(class, INSTANCES / CLASSES)).collect();
        let request = request(pb::PlaceMode::Claim, format!("batch-{round}"), groups);
        let start = Instant::now();
        let answer = client.ask(request).await;
        times.push(start.elapsed());
        assert_eq!(granted(answer), (INSTANCES / CLASSES * CLASSES) as usize);
    }
    let (first, took) = (times[0], middle(&times, Duration::as_secs_f64));
    println!("  the first of them, which makes the classes: {first:.1?}");
    told("10,000 instances of 16 classes on 5,000 hosts, promised", took, BATCH_LIMIT)
}

async fn singles() -> bool {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let served = Served::new(70).await;
        let clients = served.clients("ours", SINGLES).await;
        let burst = burst(&clients, 1, |caller, _| {
            request(pb::PlaceMode::Claim, format!("single-{caller}"), vec![group(1, 1)])
        });
        times.push(burst.await.all);
    }
    let took = middle(&times, Duration::as_secs_f64);
    told("200 single instances on 70 hosts at once, promised", took, SINGLES_LIMIT)
}

pub async fn measure() -> bool {
    let singles = singles().await;
    large().await && singles
}
