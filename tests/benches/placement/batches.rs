//! Ten thousand instances at once.

use std::{sync::Arc, time::Duration};

use vmuster_coordinator::placement::{
    Batch, Decision, Profile, Then,
    reference::{Found, Reference},
};

use crate::{clusters, percentile, row, timed};

const INSTANCES: usize = 10_000;
const ROUNDS: usize = 7;

struct Case {
    host_count: usize,
    class_count: usize,
    limit: Option<Duration>,
    is_scanned: bool,
}

fn found(decision: &Decision) -> Vec<Option<Found>> {
    let found = |placed: &vmuster_coordinator::placement::Placed| Found {
        host: Arc::clone(&placed.host),
        score_bits: placed.score.to_bits(),
        cells: placed.cells.as_deref().cloned(),
        disks: placed.disks.iter().flatten().cloned().collect(),
    };
    decision.placements.iter().map(|placed| placed.as_ref().map(found)).collect()
}

/// Cold: the solver has never seen the classes. Warm: it decided the same before.
fn decide(case: &Case, what: &str, batch: &Batch) -> bool {
    let (hosts, pools) = clusters::hosts(case.host_count);
    let (mut cold, mut warm, mut scan) = (Vec::new(), Vec::new(), Vec::new());
    let mut reference = Reference::new(hosts.clone(), pools.clone());
    batch.groups.iter().for_each(|group| reference.prepare(&group.demand));
    for round in 0..ROUNDS {
        let mut solver = clusters::solver(&hosts, &pools);
        // Settles the hosts, with no class.
        solver.decide(&Batch::new(Vec::new()), Then::Undo);
        let (time, decision) = timed(|| solver.decide(batch, Then::Undo));
        cold.push(time);
        warm.push(timed(|| solver.decide(batch, Then::Undo)).0);
        if round == 0 && case.is_scanned {
            let (time, expected) = timed(|| reference.decide(batch, Then::Undo));
            scan.push(time);
            assert!(found(&decision) == expected, "not what the scan finds");
            assert_eq!(
                decision.placed_count as usize, INSTANCES,
                "a cluster that is too small measures refusals"
            );
        }
    }
    let (cold, warm) = (percentile(cold, 50), percentile(warm, 50));
    let name = format!("{INSTANCES} x {} hosts, {} classes, {what}", case.host_count, case.class_count);
    let beside = scan.first().map(|scan| {
        format!("{:.4} x the scan's {scan:.0?}; warm {warm:.1?}", cold.as_secs_f64() / scan.as_secs_f64())
    });
    row(&name, cold, case.limit, &beside.unwrap_or_else(|| format!("warm {warm:.1?}")))
}

pub(crate) fn measure() -> bool {
    let case = |host_count, class_count, limit_ms: Option<u64>, is_scanned| Case {
        host_count,
        class_count,
        limit: limit_ms.map(Duration::from_millis),
        is_scanned,
    };
    let cases = [
        case(5_000, 1, Some(10), true),
        case(5_000, 16, Some(10), true),
        case(5_000, 150, Some(25), true),
        case(100_000, 16, Some(50), false),
    ];
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let mut is_met = true;
    for case in cases.into_iter().filter(|case| numbers.is_empty() || numbers.contains(&case.class_count)) {
        let demands = clusters::demands(case.class_count);
        is_met &= decide(&case, "mixed", &clusters::mixed(&demands, INSTANCES));
        if case.class_count > 1 {
            is_met &= decide(&case, "in groups", &clusters::grouped(&demands, INSTANCES));
        }
        let mut spread = clusters::mixed(&demands, INSTANCES);
        spread.profile = Profile::SPREAD;
        decide(&Case { limit: None, ..case }, "mixed, spread", &spread);
    }
    is_met
}
