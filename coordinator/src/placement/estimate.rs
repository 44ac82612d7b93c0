//! How many instances of one demand fit, and where one fits best.
//!
//! Knows one class, and divides instead of placing. Must not change anything.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use super::{
    cells::{CellUse, HostCells},
    classes::Classes,
    columns::{Columns, Direction},
    decision::{Candidate, Estimate},
    disks::{Choice, DiskPlan},
    explain,
    host::{PlacementHost, Resource},
    need::{Lists, Need},
    numa::GuestTopology,
    related::Related,
    request::Question,
    weighers,
};

/// Instances on one host at most, for demands that ask for next to nothing. libvirt itself ends far below.
const PER_HOST_MAX: u64 = 100_000;

/// What is taken of pools while counting, by number.
type Used = HashMap<u32, u64>;

/// How many the cells of a host take, by cells, headroom of memory and the most that are asked for. Hosts are often alike, and
/// each instance is laid on its own.
type Laid<'c> = HashMap<(&'c HostCells, u64, u64), u64>;

/// On each host alone, and in all: there hosts take what they can in the order of their names, so that what they share
/// counts once. With disks that may go to one of several shared pools, more may fit in all.
pub(super) fn estimate(
    question: &Question,
    lists: &Lists,
    columns: &Columns,
    classes: &mut Classes,
) -> Estimate {
    let place = classes.place(&question.demand, question.profile, lists, columns);
    let class = classes.current(place, columns);
    let mut estimate = Estimate { rejected: explain::rejected(class.need(), columns), ..Estimate::default() };
    let (mut shared, mut laid) = (Used::new(), Laid::new());
    for (host, _) in class.fitting() {
        let alone = fitting(class.need(), columns, host, &mut Used::new(), &mut laid);
        let beside = fitting(class.need(), columns, host, &mut shared, &mut laid);
        estimate.total = estimate.total.saturating_add(beside);
        estimate.hosts.push((Arc::clone(&columns.host(host).name), alone));
    }
    estimate
}

fn times(resource: Option<&Resource>, each: u64) -> u64 {
    match resource {
        _ if each == 0 => PER_HOST_MAX,
        Some(resource) if each <= resource.room() => resource.headroom() / each,
        Some(_) | None => 0,
    }
}

/// How many fit on this host, on what is left of its pools beside what is used; adds what they use.
fn fitting<'c>(need: &Need, columns: &'c Columns, host: usize, used: &mut Used, laid: &mut Laid<'c>) -> u64 {
    let most = times(columns.host(host).vcpus.as_ref(), need.vcpus)
        .min(times(columns.host(host).memory.as_ref(), need.memory_bytes))
        .min(PER_HOST_MAX);
    let most = match &need.demand.numa {
        None => {
            let cells = columns.host(host).cells.as_deref();
            most.min(cells.map_or(u64::MAX, |cells| cells.floating_most(need.demand.memory.0)))
        }
        Some(guest) => {
            let PlacementHost { cells, memory, .. } = columns.host(host);
            let memory_left = memory.as_ref().map_or(0, Resource::headroom);
            cells.as_deref().map_or(0, |cells| {
                *laid
                    .entry((cells, memory_left, most))
                    .or_insert_with(|| in_cells(guest, cells, memory_left, most))
            })
        }
    };
    let row = columns.row(host);
    if need.demand.disks.is_empty() {
        return most;
    }
    match need.disk_plan(row.shape) {
        None | Some(DiskPlan::NoDisks | DiskPlan::NoPool(_)) => 0,
        Some(DiskPlan::One { position, size_bytes }) => {
            fill(columns, columns.pool_at(row, *position), *size_bytes, most, used)
        }
        Some(DiskPlan::Search(choices)) => match &choices[..] {
            [only] => only.positions.iter().fold(0, |sum, position| {
                sum + fill(columns, columns.pool_at(row, *position), only.size_bytes, most - sum, used)
            }),
            _ => {
                let pools_of = |choice: &Choice| {
                    choice.positions.iter().map(|position| columns.pool_at(row, *position)).collect()
                };
                let disks: Vec<(u64, Vec<u32>)> =
                    choices.iter().map(|choice| (choice.size_bytes, pools_of(choice))).collect();
                (0..most).take_while(|_| lay(columns, &disks, used)).fold(0, |count, _| count + 1)
            }
        },
    }
}

/// One after the other: what a cell has left for the next depends on where the one before went.
fn in_cells(guest: &GuestTopology, cells: &HostCells, mut memory_left: u64, most: u64) -> u64 {
    let mut cells = cells.clone();
    let next = |_: &u64| {
        let Ok(placed) = cells.place(guest) else { return false };
        let memory_bytes = placed.taken.ordinary_memory_bytes();
        let fits = memory_bytes <= memory_left;
        memory_left = memory_left.saturating_sub(memory_bytes);
        cells.hold(CellUse::Bound(&placed.taken), Direction::Take);
        fits
    };
    (0..most).take_while(next).fold(0, |count, _| count + 1)
}

/// Disks of one size in one pool.
fn fill(columns: &Columns, pool: u32, size_bytes: u64, most: u64, used: &mut Used) -> u64 {
    let Some(resource) = columns.pools.row(pool).resource else { return 0 };
    let used = used.entry(pool).or_default();
    let left = Resource { promised: resource.promised.saturating_add(*used), ..resource };
    let count = times(Some(&left), size_bytes).min(most);
    *used = used.saturating_add(count.saturating_mul(size_bytes));
    count
}

/// The disks of one instance, each in the first pool with room.
fn lay(columns: &Columns, disks: &[(u64, Vec<u32>)], used: &mut Used) -> bool {
    let mut laid: Vec<(u32, u64)> = Vec::with_capacity(disks.len());
    for (size_bytes, pools) in disks {
        let has_room = |pool: &&u32| {
            let Some(resource) = columns.pools.row(**pool).resource else { return false };
            let own: u64 = laid.iter().filter(|(at, _)| at == *pool).map(|(_, bytes)| bytes).sum();
            let others = used.get(*pool).copied().unwrap_or(0);
            let asked = own.saturating_add(*size_bytes);
            asked <= resource.physical && asked <= resource.headroom().saturating_sub(others)
        };
        match pools.iter().find(has_room) {
            Some(pool) => laid.push((*pool, *size_bytes)),
            None => return false,
        }
    }
    for (pool, bytes) in laid {
        *used.entry(pool).or_default() += bytes;
    }
    true
}

/// The best hosts for one instance, best first: those that break fewest of the rules that should hold, then by score.
pub(super) fn candidates(
    question: &Question,
    lists: &Lists,
    columns: &Columns,
    classes: &mut Classes,
    candidates_max: usize,
) -> Vec<Candidate> {
    let place = classes.place(&question.demand, question.profile, lists, columns);
    let class = classes.current(place, columns);
    let related = Related::of(question, columns);
    let ranked = class.fitting().filter_map(|(host, score)| {
        let broken = related.as_ref().map(|related| related.violations(0, &question.rules, columns, host));
        Some((host, score, broken.unwrap_or(Some(0))?))
    });
    let mut hosts: Vec<(usize, f64, u32)> = ranked.collect();
    let better = |a: &(usize, f64, u32), b: &(usize, f64, u32)| {
        let by_score = b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal);
        a.2.cmp(&b.2).then(by_score).then(a.0.cmp(&b.0))
    };
    if candidates_max < hosts.len() {
        hosts.select_nth_unstable_by(candidates_max, better);
        hosts.truncate(candidates_max);
    }
    hosts.sort_unstable_by(better);
    let candidate = |(host, score, _): (usize, f64, u32)| {
        let weights = weighers::weights(class.need().added, &columns.row(host).load);
        Candidate { host: Arc::clone(&columns.host(host).name), score, weights }
    };
    hosts.into_iter().map(candidate).collect()
}
