//! Are there enough devices near enough to a set of host cells, and which are given?
//!
//! Knows free devices by class and cell, and requests. Must not know vCPUs or memory.
//!
//! For a set of chosen cells, devices of a class are of four kinds: on the set (`near`), on other cells of its sockets
//! (`beside`), of unknown node (`unplaced`), elsewhere (`far`). Required takes near; socket near and beside; legacy near and
//! unplaced; preferred all. Beside and unplaced have one such taker each, so by Hall's theorem all get theirs exactly
//! if near holds the required and what socket and legacy cannot get there, and all devices hold all requests.

use std::collections::BTreeSet;

use super::{
    answer::DeviceSource,
    guest::{DevicePolicy, GuestTopology},
    host::{DeviceKey, HostTopology, free_of},
};

/// What is asked and free of one class.
#[derive(Debug)]
struct Class {
    key: DeviceKey,
    required: u64,
    socket: u64,
    legacy: u64,
    total: u64,
    /// By place of the host cell.
    free: Vec<u64>,
    unplaced: u64,
    all: u64,
}

/// See above.
#[derive(Debug)]
pub(super) struct Devices {
    classes: Vec<Class>,
    sockets: Vec<Option<u32>>,
}

impl Devices {
    pub(super) fn new(host: &HostTopology, guest: &GuestTopology) -> Self {
        let keys: BTreeSet<DeviceKey> =
            guest.devices.iter().filter(|request| request.count > 0).map(|request| request.key).collect();
        let class = |key| {
            let asked = |policy: Option<DevicePolicy>| {
                let of_policy = guest.devices.iter().filter(|request| {
                    request.key == key && policy.is_none_or(|policy| request.policy == policy)
                });
                of_policy.fold(0_u64, |sum, request| sum.saturating_add(u64::from(request.count)))
            };
            let free: Vec<u64> = host.cells.iter().map(|cell| free_of(&cell.devices, key)).collect();
            let unplaced = free_of(&host.unplaced_devices, key);
            Class {
                key,
                required: asked(Some(DevicePolicy::Required)),
                socket: asked(Some(DevicePolicy::Socket)),
                legacy: asked(Some(DevicePolicy::Legacy)),
                total: asked(None),
                all: free.iter().sum::<u64>().saturating_add(unplaced),
                free,
                unplaced,
            }
        };
        let classes = keys.into_iter().map(class).collect();
        Self { classes, sockets: host.cells.iter().map(|cell| cell.socket).collect() }
    }

    /// How many devices asked for are on this cell.
    pub(super) fn wanted_on(&self, cell: usize) -> u64 {
        let on = |class: &Class| class.free.get(cell).copied().unwrap_or(0).min(class.total);
        self.classes.iter().map(on).sum()
    }

    pub(super) fn asks(&self, key: DeviceKey) -> bool {
        self.classes.iter().any(|class| class.key == key)
    }

    /// Whether the two are alike to all requests.
    pub(super) fn are_twins(&self, a: usize, b: usize) -> bool {
        self.sockets.get(a) == self.sockets.get(b)
            && self.classes.iter().all(|class| class.free.get(a) == class.free.get(b))
    }

    /// The first class that lacks with this set, and how many.
    pub(super) fn lack(&self, chosen: &[usize]) -> Option<(DeviceKey, u64)> {
        self.classes.iter().find_map(|class| {
            let near = on(class, chosen.iter());
            let lacking = class.lacking(near, self.beside(class, chosen));
            (lacking > 0).then_some((class.key, lacking))
        })
    }

    /// Whether a set with so many more of these cells might do; true too often, false never wrongly.
    pub(super) fn could_suit(&self, chosen: &[usize], more: usize, candidates: &[usize]) -> bool {
        self.classes.iter().all(|class| {
            let mut free: Vec<u64> =
                candidates.iter().filter_map(|cell| class.free.get(*cell)).copied().collect();
            free.sort_unstable_by(|a, b| b.cmp(a));
            let near = on(class, chosen.iter()) + free.iter().take(more).sum::<u64>();
            // With a socket request, all cells that can still count have a known socket.
            let known = class.free.iter().zip(&self.sockets).filter(|(_, socket)| socket.is_some());
            let beside = known.map(|(free, _)| free).sum();
            class.lacking(near, beside) == 0
        })
    }

    fn beside(&self, class: &Class, chosen: &[usize]) -> u64 {
        on(class, self.cells_beside(chosen).iter())
    }

    fn cells_beside(&self, chosen: &[usize]) -> Vec<usize> {
        let socket = |cell: usize| self.sockets.get(cell).copied().flatten();
        let is_beside = |cell: &usize| {
            !chosen.contains(cell)
                && socket(*cell).is_some()
                && chosen.iter().any(|near| socket(*near) == socket(*cell))
        };
        (0..self.sockets.len()).filter(is_beside).collect()
    }

    /// Gives devices, on a set for which nothing lacks: (place of the cell or None, how many) for each request. Strict
    /// policies first; each takes the nearest that others do not need, then the host's order.
    pub(super) fn allot(&self, guest: &GuestTopology, chosen: &[usize]) -> Vec<Vec<(Option<usize>, u32)>> {
        let mut given = vec![Vec::new(); guest.devices.len()];
        let beside = self.cells_beside(chosen);
        let mut near = chosen.to_vec();
        near.sort_unstable();
        let far: Vec<usize> =
            (0..self.sockets.len()).filter(|cell| !near.contains(cell) && !beside.contains(cell)).collect();
        let places = |cells: &[usize]| cells.iter().copied().map(Some).collect::<Vec<_>>();
        let (near, beside, far) = (places(&near), places(&beside), places(&far));
        let mut requests: Vec<_> = guest.devices.iter().enumerate().collect();
        requests.sort_by_key(|(_, request)| request.policy);
        for class in &self.classes {
            let mut free = class.free.clone();
            let mut unplaced = class.unplaced;
            // Near devices nobody needs for want of others.
            let count_near = on(class, chosen.iter());
            let from_near = class.needs_near(self.beside(class, chosen));
            let mut slack = count_near.saturating_sub(from_near);
            for (place, request) in requests.iter().filter(|(_, request)| request.key == class.key) {
                let mut rest = u64::from(request.count);
                let mut take = |from: &[Option<usize>], rest: &mut u64, limit: u64| {
                    let mut limit = limit;
                    let before = limit;
                    for source in from {
                        let left = match source {
                            Some(cell) => free.get_mut(*cell),
                            None => Some(&mut unplaced),
                        };
                        let Some(left) = left else { continue };
                        let count = (*rest).min(*left).min(limit);
                        *left -= count;
                        *rest -= count;
                        limit -= count;
                        if let (Some(given), true) = (given.get_mut(*place), count > 0) {
                            given.push((*source, u32::try_from(count).unwrap_or(u32::MAX)));
                        }
                    }
                    before - limit
                };
                match request.policy {
                    DevicePolicy::Required => {
                        take(&near, &mut rest, u64::MAX);
                    }
                    DevicePolicy::Socket | DevicePolicy::Legacy => {
                        let others =
                            if request.policy == DevicePolicy::Socket { &beside[..] } else { &[None] };
                        slack -= take(&near, &mut rest, slack);
                        take(others, &mut rest, u64::MAX);
                        take(&near, &mut rest, u64::MAX);
                    }
                    DevicePolicy::Preferred => {
                        for from in [&near[..], &beside, &[None], &far] {
                            take(from, &mut rest, u64::MAX);
                        }
                    }
                }
            }
        }
        given
    }

    /// As the answer says it.
    pub(super) fn sources(host: &HostTopology, given: &[(Option<usize>, u32)]) -> Vec<DeviceSource> {
        let id = |place: Option<usize>| place.and_then(|place| host.cells.get(place)).map(|cell| cell.id);
        // A request may have drawn on one place twice.
        let mut sources: Vec<DeviceSource> = Vec::new();
        for (place, count) in given {
            let host_cell = id(*place);
            match sources.iter_mut().find(|source| source.host_cell == host_cell) {
                Some(source) => source.count += count,
                None => sources.push(DeviceSource { host_cell, count: *count }),
            }
        }
        sources
    }
}

impl Class {
    /// Near devices that the requests cannot do without.
    fn needs_near(&self, beside: u64) -> u64 {
        let (socket, legacy) =
            (self.socket.saturating_sub(beside), self.legacy.saturating_sub(self.unplaced));
        self.required.saturating_add(socket).saturating_add(legacy)
    }

    fn lacking(&self, near: u64, beside: u64) -> u64 {
        self.needs_near(beside).saturating_sub(near).max(self.total.saturating_sub(self.all))
    }
}

fn on<'a>(class: &Class, cells: impl Iterator<Item = &'a usize>) -> u64 {
    cells.filter_map(|cell| class.free.get(*cell)).sum()
}
