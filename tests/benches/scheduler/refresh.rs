//! Whether placing goes on while all hosts are asked again.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use vmuster_coordinator::{cluster::read_within, hosts::Scope};

use crate::{Burst, Served, burst, dry_run, middle, verdict};

const HOSTS: usize = 1000;
const ROUNDS: usize = 7;
const CALLS: usize = 400;

/// Of the 99th percentile when nothing else is done.
const P99_MAX: f64 = 2.0;

pub async fn measure() -> bool {
    let served = Served::new(HOSTS).await;
    let clients = served.clients("ours", 1).await;
    let mut pairs = Vec::new();
    for _ in 0..ROUNDS {
        let idle = burst(&clients, CALLS, |_, _| dry_run(1)).await.percentile(99);
        let cluster = Arc::clone(&served.cluster);
        let options = read_within(Some(Duration::ZERO), Duration::from_secs(60));
        let (_, views) = cluster.refresh(&Scope::default(), options).expect("hosts");
        let refreshing = tokio::spawn(views.count());
        let mut calls = Vec::new();
        while !refreshing.is_finished() {
            calls.extend(burst(&clients, 1, |_, _| dry_run(1)).await.calls);
        }
        assert_eq!(refreshing.await.expect("no panic"), HOSTS);
        let count = calls.len();
        let busy = Burst { calls, all: Duration::ZERO }.percentile(99);
        pairs.push((busy.as_secs_f64(), idle.as_secs_f64(), count));
    }
    let (busy, idle, count) = middle(&pairs, |pair| pair.0 / pair.1);
    let is_met = busy / idle <= P99_MAX;
    println!(
        "p99 of a dry run while {HOSTS} hosts are asked again ({count} calls): {:.2} x that of an idle coordinator ({:.2} ms), limit {P99_MAX}  {}",
        busy / idle,
        idle * 1000.0,
        verdict(is_met)
    );
    is_met
}
