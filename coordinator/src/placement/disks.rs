//! Where an instance's disks go on one host.
//!
//! Knows the disks asked for, the host's list of pools, and what is left in them. Must not know other hosts. The answer is
//! the first that works when pools are tried in the order of
//! the class, or as listed, for the first disk first: where any works, one is found.

use super::{
    columns::{Columns, Row, Shape},
    host::AnswersTo,
    request::{DiskDemand, DiskPlace},
};

/// Tries to lay several disks over several pools. Twelve disks over two pools are 4,096 at most; what asks for more
/// than can be tried is refused.
const STEPS_MAX: usize = 8192;

/// One disk, and the places in a host's list where it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) size_bytes: u64,
    pub(super) positions: Vec<u32>,
}

/// Where disks may be on hosts with one list of pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiskPlan {
    /// There are no disks.
    NoDisks,
    /// No pool answers for the disk at this place of the demand.
    NoPool(usize),
    /// All in one pool.
    One { position: u32, size_bytes: u64 },
    /// To be tried.
    Search(Vec<Choice>),
}

/// For hosts with this list of pools.
pub(super) fn plan(disks: &[DiskDemand], shape: &Shape) -> DiskPlan {
    let mut choices = Vec::with_capacity(disks.len());
    for (place, disk) in disks.iter().enumerate() {
        let rank = |answers: &AnswersTo| match &disk.on {
            DiskPlace::Default => answers.is_default.then_some(0),
            DiskPlace::Pool(name) => answers.names.contains(name).then_some(0),
            DiskPlace::Class(class) => answers.classes.get(class).copied(),
        };
        let ranked = (0_u32..).zip(shape).filter_map(|(position, answers)| Some((rank(answers)?, position)));
        let mut ranked: Vec<(usize, u32)> = ranked.collect();
        ranked.sort_unstable();
        let mut positions: Vec<u32> = ranked.into_iter().map(|(_, position)| position).collect();
        if !matches!(disk.on, DiskPlace::Class(_)) {
            positions.truncate(1);
        }
        if positions.is_empty() {
            return DiskPlan::NoPool(place);
        }
        choices.push(Choice { size_bytes: disk.size.0, positions });
    }
    let Some(first) = choices.first() else { return DiskPlan::NoDisks };
    match first.positions[..] {
        [position] if choices.iter().all(|choice| choice.positions == first.positions) => {
            let size_bytes = choices.iter().fold(0_u64, |sum, choice| sum.saturating_add(choice.size_bytes));
            DiskPlan::One { position, size_bytes }
        }
        _ => DiskPlan::Search(choices),
    }
}

/// Whether the disks have room on this host.
#[inline]
pub(super) fn fit(plan: &DiskPlan, columns: &Columns, row: &Row) -> bool {
    let room = |position: u32| columns.pools.room(columns.pool_at(row, position));
    match plan {
        DiskPlan::NoDisks => true,
        DiskPlan::NoPool(_) => false,
        DiskPlan::One { position, size_bytes } => room(*position).is_some_and(|room| *size_bytes <= room),
        DiskPlan::Search(choices) => fit_somewhere(choices, columns, row),
    }
}

/// Apart, so that the usual case stays short where it is asked.
#[inline(never)]
fn fit_somewhere(choices: &[Choice], columns: &Columns, row: &Row) -> bool {
    let room = |position: u32| columns.pools.room(columns.pool_at(row, position));
    match choices {
        [only] => {
            let has_room = |position: &u32| room(*position).is_some_and(|room| only.size_bytes <= room);
            only.positions.iter().any(has_room)
        }
        _ => search(choices, columns, row).is_some(),
    }
}

/// Writes the pool of each disk and its size, of disks that fit.
pub(super) fn assign(
    plan: &DiskPlan,
    disks: &[DiskDemand],
    columns: &Columns,
    row: &Row,
    into: &mut Vec<(u32, u64)>,
) {
    match plan {
        DiskPlan::NoDisks | DiskPlan::NoPool(_) => {}
        DiskPlan::One { position, .. } => {
            let pool = columns.pool_at(row, *position);
            into.extend(disks.iter().map(|disk| (pool, disk.size.0)));
        }
        DiskPlan::Search(choices) => into.extend(search(choices, columns, row).unwrap_or_default()),
    }
}

/// For each disk its first pool, whether or not it has room there.
pub(super) fn first_pools(
    plan: &DiskPlan,
    disks: &[DiskDemand],
    columns: &Columns,
    row: &Row,
) -> Vec<Option<u32>> {
    match plan {
        DiskPlan::NoDisks | DiskPlan::NoPool(_) => vec![None; disks.len()],
        DiskPlan::One { position, .. } => vec![Some(columns.pool_at(row, *position)); disks.len()],
        DiskPlan::Search(choices) => {
            choices.iter().map(|choice| Some(columns.pool_at(row, *choice.positions.first()?))).collect()
        }
    }
}

/// Every disk in the first pool where it and all after it have room.
fn search(choices: &[Choice], columns: &Columns, row: &Row) -> Option<Vec<(u32, u64)>> {
    let mut chosen: Vec<(u32, u64)> = Vec::with_capacity(choices.len());
    // The next position to try, for each disk up to the one in hand.
    let mut next = vec![0_usize];
    for _ in 0..STEPS_MAX {
        let Some(choice) = choices.get(chosen.len()) else { return Some(chosen) };
        let from = *next.last()?;
        let has_room = |position: &u32| {
            let pool = columns.pool_at(row, *position);
            columns
                .pools
                .room(pool)
                .is_some_and(|room| held(&chosen, pool).saturating_add(choice.size_bytes) <= room)
        };
        match choice.positions[from..].iter().position(has_room) {
            Some(offset) => {
                chosen.push((columns.pool_at(row, choice.positions[from + offset]), choice.size_bytes));
                *next.last_mut()? = from + offset + 1;
                next.push(0);
            }
            None => {
                // Nothing before it can be moved: it does not fit.
                chosen.pop()?;
                next.pop();
            }
        }
    }
    None
}

fn held(chosen: &[(u32, u64)], pool: u32) -> u64 {
    chosen.iter().filter(|(at, _)| *at == pool).fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
}

/// What is missing of room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiskLack {
    /// The host's pools are not known, or not what is left in this one.
    Unknown(Option<u32>),
    /// No pool answers for the disk at this place of the demand.
    NoPool(usize),
    /// So much; this is left for it, at best.
    Bytes { lacking: u64, asked: u64, left: u64 },
}

/// Why there is no room on this host; None: there is.
pub(super) fn lack(plan: Option<&DiskPlan>, columns: &Columns, row: &Row) -> Option<DiskLack> {
    let plan = match plan {
        None => return Some(DiskLack::Unknown(None)),
        Some(plan) if fit(plan, columns, row) => return None,
        Some(plan) => plan,
    };
    let whole;
    let choices = match plan {
        DiskPlan::NoDisks => return None,
        DiskPlan::NoPool(place) => return Some(DiskLack::NoPool(*place)),
        DiskPlan::One { position, size_bytes } => {
            whole = [Choice { size_bytes: *size_bytes, positions: vec![*position] }];
            &whole[..]
        }
        DiskPlan::Search(choices) => choices,
    };
    // Each in the first pool with room; of the first disk that finds none, how much is missing.
    let mut chosen: Vec<(u32, u64)> = Vec::new();
    let mut unknown = None;
    for choice in choices {
        let mut most = None;
        let mut taken = None;
        for pool in choice.positions.iter().map(|position| columns.pool_at(row, *position)) {
            let Some(room) = columns.pools.room(pool) else {
                unknown = unknown.or(Some(pool));
                continue;
            };
            let left = room.saturating_sub(held(&chosen, pool));
            most = most.max(Some(left));
            if choice.size_bytes <= left {
                taken = Some(pool);
                break;
            }
        }
        match (taken, most) {
            (Some(pool), _) => chosen.push((pool, choice.size_bytes)),
            // A pool of which nothing is known might have had room.
            (None, _) if unknown.is_some() => return Some(DiskLack::Unknown(unknown)),
            (None, most) => {
                let left = most.unwrap_or(0);
                let lacking = choice.size_bytes.saturating_sub(left);
                return Some(DiskLack::Bytes { lacking, asked: choice.size_bytes, left });
            }
        }
    }
    // Each alone finds room, but not all together: the search gave up.
    Some(DiskLack::Bytes { lacking: 0, asked: 0, left: 0 })
}
