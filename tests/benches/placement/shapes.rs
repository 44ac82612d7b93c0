//! Volcano's ten shapes: the same 10,000 instances as so many gangs of so many.

use std::{sync::Arc, time::Duration};

use vmuster_coordinator::placement::{Batch, Group, Then};

use crate::{clusters, percentile, row, timed};

const HOSTS: usize = 5_000;
const ROUNDS: usize = 7;
/// Jobs, and instances of each.
const SHAPES: [(u32, u32); 10] = [
    (10_000, 1),
    (5_000, 2),
    (2_000, 5),
    (1_000, 10),
    (500, 20),
    (200, 50),
    (100, 100),
    (20, 500),
    (2, 5_000),
    (1, 10_000),
];
/// How much worse the worst shape may be than the best.
const WORST_TO_BEST_MAX: f64 = 2.0;

/// Every job is a gang and a call of its own, kept before the next is asked.
pub(crate) fn measure() -> bool {
    let (hosts, pools) = clusters::hosts(HOSTS);
    let demands = clusters::demands(1);
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); SHAPES.len()];
    for _ in 0..ROUNDS {
        for ((jobs, pods), times) in SHAPES.iter().zip(&mut times) {
            let mut solver = clusters::solver(&hosts, &pools);
            solver.decide(&Batch::new(Vec::new()), Then::Undo);
            let batch = Batch::new(vec![Group::new(Arc::clone(&demands[0]), *pods)]);
            let (time, granted) =
                timed(|| (0..*jobs).filter(|_| solver.decide(&batch, Then::Keep).is_granted).count());
            assert_eq!(granted, *jobs as usize);
            times.push(time);
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(|times| percentile(times, 50)).collect();
    for ((jobs, pods), median) in SHAPES.iter().zip(&medians) {
        row(&format!("{jobs} jobs x {pods} instances, {HOSTS} hosts"), *median, None, "");
    }
    let seconds = || medians.iter().map(Duration::as_secs_f64);
    let ratio = seconds().fold(0.0, f64::max) / seconds().fold(f64::INFINITY, f64::min);
    let is_met = ratio <= WORST_TO_BEST_MAX;
    println!("the worst shape takes {ratio:.2} x the best's time{}", if is_met { "" } else { ": MISSED" });
    is_met
}
