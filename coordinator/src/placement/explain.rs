//! Why no host can take an instance.
//!
//! Knows all filters and hosts as they are now. Asked only for what was refused, never while searching.

use std::sync::Arc;

use super::{
    columns::Columns,
    decision::{Explanation, FilterName, Lack, NearMiss, Rejected},
    filters::{FILTERS, Filter},
    need::Need,
};

/// Near misses that are named: enough to see a pattern, few enough to read.
const NEAREST_MAX: usize = 3;

/// How far a host is whose NUMA cells are not made for the guest, or not for guests of its sort: farther than any that only
/// lacks room, and yet of use to whoever can set `mixed_numa`, set pages aside or ask for fewer cells.
const CELLS_DISTANCE: f64 = 1e12;

/// For each filter, how many hosts it is the first to refuse; and the hosts that lack least.
pub(super) fn explain(need: &Need, columns: &Columns) -> Explanation {
    let mut nearest: Vec<(f64, usize)> = Vec::new();
    for host in 0..columns.len() {
        let Some(distance) = distance(need, columns, host) else { continue };
        let place = nearest.partition_point(|(nearer, _)| *nearer <= distance);
        if place < NEAREST_MAX {
            nearest.truncate(NEAREST_MAX - 1);
            nearest.insert(place, (distance, host));
        }
    }
    let named = |(_, host): (f64, usize)| NearMiss {
        host: Arc::clone(&columns.host(host).name),
        misses: FILTERS.iter().filter_map(|filter| filter.miss(need, columns, host)).collect(),
    };
    Explanation {
        host_count: count(columns.len()),
        rejected: rejected(need, columns),
        nearest: nearest.into_iter().map(named).collect(),
    }
}

/// For each filter that refuses any host that those before it let pass, how many.
pub(super) fn rejected(need: &Need, columns: &Columns) -> Vec<Rejected> {
    let none = |filter: FilterName| Rejected { filter, host_count: 0, unknown_count: 0 };
    let mut rejected = FilterName::ALL.map(none);
    for host in 0..columns.len() {
        let refuses = |(_, filter): &(usize, &&dyn Filter)| !filter.passes(need, columns, host);
        if let Some((place, filter)) = FILTERS.iter().enumerate().find(refuses) {
            rejected[place].host_count += 1;
            let is_unknown = filter.lack(need, columns, host) == Some(Lack::Unknown);
            rejected[place].unknown_count += u32::from(is_unknown);
        }
    }
    rejected.into_iter().filter(|rejected| rejected.host_count > 0).collect()
}

/// What the host lacks relative to what is asked, over all that is consumed; None: it lacks nothing, or something that
/// nobody could give back.
fn distance(need: &Need, columns: &Columns, host: usize) -> Option<f64> {
    let mut distance = 0.0;
    for filter in FILTERS {
        let Some(lack) = (!filter.passes(need, columns, host)).then(|| filter.lack(need, columns, host))
        else {
            continue;
        };
        let (lacking, asked) = match (lack?, filter.name()) {
            (Lack::Other, FilterName::Numa) => {
                distance += CELLS_DISTANCE;
                continue;
            }
            // Of a guest whose vCPUs or memory the host's own figures do not count.
            (Lack::Vcpus(lacking), FilterName::Numa) => (lacking, u64::from(need.demand.vcpus)),
            (Lack::Bytes(lacking), FilterName::Numa) => (lacking, need.demand.memory.0),
            (Lack::Vcpus(lacking), _) => (lacking, need.vcpus),
            (Lack::Bytes(lacking), FilterName::Memory) => (lacking, need.memory_bytes),
            (Lack::Bytes(lacking), _) => (lacking, need.disk_total_bytes),
            (Lack::Features(_) | Lack::Unknown | Lack::Other, _) => return None,
        };
        distance += lacking as f64 / asked.max(1) as f64;
    }
    (distance > 0.0).then_some(distance)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
