//! One instance at a time.

use std::{sync::Arc, time::Duration};

use vmuster_coordinator::placement::{Batch, Group, Taken, Then};

use crate::{clusters, percentile, row, timed};

const DECISIONS: usize = 20_000;
const CLASSES: usize = 16;
const ROUNDS: usize = 25;

/// Each is kept, and an older one is released: the cluster stays as full as it was.
fn warm(host_count: usize) {
    let (hosts, pools) = clusters::hosts(host_count);
    let mut solver = clusters::solver(&hosts, &pools);
    let demands = clusters::demands(CLASSES);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut held = Vec::new();
    let mut times = Vec::with_capacity(DECISIONS);
    for number in 0..DECISIONS {
        let demand = &demands[rng.usize(0..demands.len())];
        let batch = Batch::new(vec![Group::new(Arc::clone(demand), 1)]);
        let (time, decision) = timed(|| solver.decide(&batch, Then::Keep));
        let placed = decision.placements[0].as_ref().expect("placed");
        held.push((Arc::clone(&placed.host), Taken::of(demand, placed)));
        if held.len() > 200 {
            let (host, taken) = held.swap_remove(rng.usize(0..held.len()));
            assert!(solver.release(&host, &taken));
        }
        // The first of each class make it.
        if number > 1000 {
            times.push(time);
        }
    }
    let beside = format!("p99 {:.1?}", percentile(times.clone(), 99));
    row(
        &format!("one instance, {host_count} hosts, {CLASSES} classes, warm, p50"),
        percentile(times, 50),
        None,
        &beside,
    );
}

/// A class that nobody asked for before.
fn cold(host_count: usize) {
    let (hosts, pools) = clusters::hosts(host_count);
    let mut solver = clusters::solver(&hosts, &pools);
    solver.decide(&Batch::new(Vec::new()), Then::Undo);
    let times = clusters::demands(200)
        .into_iter()
        .map(|demand| timed(|| solver.decide(&Batch::new(vec![Group::new(demand, 1)]), Then::Undo)).0);
    let times: Vec<Duration> = times.collect();
    let beside = format!("p99 {:.1?}", percentile(times.clone(), 99));
    row(&format!("one instance, {host_count} hosts, a new class, p50"), percentile(times, 50), None, &beside);
}

/// Nobody can take it: what the explanation costs.
fn refused(host_count: usize) {
    let (hosts, pools) = clusters::hosts(host_count);
    let mut solver = clusters::solver(&hosts, &pools);
    let mut demand = (*clusters::demands(1)[0]).clone();
    demand.vcpus = 1000;
    let batch = Batch::new(vec![Group::new(Arc::new(demand), 1)]);
    let times: Vec<Duration> = (0..200).map(|_| timed(|| solver.decide(&batch, Then::Undo)).0).collect();
    row(
        &format!("one instance refused and explained, {host_count} hosts, p50"),
        percentile(times, 50),
        None,
        "",
    );
}

/// Cloudpods' case: 200 creates, one call each, on 70 hosts; building the columns is part of it.
fn two_hundred() -> bool {
    let (hosts, pools) = clusters::hosts(70);
    let demands = clusters::demands(CLASSES);
    let once = || {
        let mut solver = clusters::solver(&hosts, &pools);
        let placed = (0..200).filter(|number| {
            let demand = Arc::clone(&demands[number % CLASSES]);
            solver.decide(&Batch::new(vec![Group::new(demand, 1)]), Then::Keep).is_granted
        });
        assert_eq!(placed.count(), 200);
    };
    let times = (0..ROUNDS).map(|_| timed(once).0).collect();
    row(
        "200 single placements, 70 hosts, from nothing",
        percentile(times, 50),
        Some(Duration::from_millis(50)),
        "",
    )
}

pub(crate) fn measure() -> bool {
    for host_count in [1_000, 5_000] {
        warm(host_count);
        cold(host_count);
        refused(host_count);
    }
    two_hundred()
}
