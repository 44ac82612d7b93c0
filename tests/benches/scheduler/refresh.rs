//! Whether placing goes on while all hosts are asked again, for what they have and for what they use.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, join};
use vmuster_coordinator::{cluster::read_within, hosts::Scope};
use vmuster_proto::pb;
use vmuster_tests::ready::RawClient;

use crate::{Burst, Served, dry_run, granted_count, group, middle, request, verdict};

const HOSTS: usize = 1000;
const ROUNDS: usize = 7;
const CALLS: usize = 400;

/// Of the 99th percentile when nothing else is done.
const P99_MAX: f64 = 2.0;

/// One call after another while there is reason to go on.
async fn calls(client: &RawClient, go_on: impl Fn(usize) -> bool + Send + 'static) -> Burst {
    let mut client = client.clone();
    let running = tokio::spawn(async move {
        let (start, mut calls) = (Instant::now(), Vec::new());
        while go_on(calls.len()) {
            let start = Instant::now();
            std::hint::black_box(client.ask(dry_run(1)).await);
            calls.push(start.elapsed());
        }
        Burst { calls, all: start.elapsed() }
    });
    running.await.expect("no panic")
}

pub async fn measure() -> bool {
    // Usage never holds, so whoever promises asks anew.
    let served = Served::with(HOSTS, Duration::ZERO).await;
    let (client, mut other) = (served.client("ours").await, served.client("ours").await);
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        let idle = calls(&client, |done| done < CALLS).await.percentile(99);
        let cluster = Arc::clone(&served.cluster);
        let options = read_within(Some(Duration::ZERO), Duration::from_secs(60));
        let (_, views) = cluster.refresh(&Scope::default(), options).expect("hosts");
        // No host has so many: before that is said, all are asked what they use.
        let too_much = request(pb::PlaceMode::Claim, format!("too-much-{round}"), vec![group(100_000, 1)]);
        let start = Instant::now();
        let refreshing = tokio::spawn(async move {
            let (views, refused) = join!(views.count(), other.ask(too_much));
            (views, refused, start.elapsed(), other)
        });
        let is_over = refreshing.abort_handle();
        let busy = calls(&client, move |done| done < 10 || !is_over.is_finished()).await;
        let (views, refused, took, back) = refreshing.await.expect("no panic");
        other = back;
        assert_eq!((views, granted_count(refused)), (HOSTS, 0));
        found.push((busy.percentile(99).as_secs_f64(), idle.as_secs_f64(), busy.calls.len(), took));
    }
    let (busy, idle, count, took) = middle(&found, |found| found.0 / found.1);
    let is_met = busy / idle <= P99_MAX;
    println!(
        "p99 of a dry run while {HOSTS} hosts are asked twice in {took:.0?} ({count} calls): {:.2} x that of an idle coordinator ({:.2} ms), limit {P99_MAX}  {}",
        busy / idle,
        idle * 1000.0,
        verdict(is_met)
    );
    is_met
}
