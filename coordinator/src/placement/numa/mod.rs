//! Does this guest NUMA topology fit on this host's cells; on which, and with which pins?
//!
//! Knows one guest and one host. Must not know other hosts, claims, nor where figures come from; nothing here changes a
//! host but [`HostTopology::apply`] and its inverse.
//!
//! Each guest cell goes on a host cell of its own (libvirt's strict binding). Every pair is looked at once, changing
//! nothing: a pair's answer cannot depend on the other pairs, since no two guest cells share a host cell. What is left is
//! a matching, and devices, which depend on the set of cells chosen. Both are exact.
//!
//! Of the sets that do, the first is taken in this order of host cells: most devices asked for, fewest others, fewest free
//! dedicated CPUs, least free memory, least room for floating vCPUs, lowest id. So guests are packed, and cells with rare
//! devices are kept for those that ask.

mod answer;
mod cell_fit;
mod cores;
mod devices;
mod guest;
mod host;
mod matching;
mod taken;

use std::cmp::Reverse;

use vmuster_proto::model::{Bytes, CpuSet};

pub use answer::{CellLack, DeviceSource, NumaPlacement, NumaRefusal, PlacedCell, Taken, TakenOfCell};
pub use guest::{
    DevicePolicy, DeviceRequest, EmulatorThreads, GuestCell, GuestTopology, PageRequest, ThreadPolicy,
};
pub use host::{CellMemory, DeviceKey, DevicePool, HostCell, HostTopology, PagePool, SharedVcpus};

use cell_fit::{CellNeed, CellRoom, Pages, distance};
use cores::Cores;
use devices::Devices;
use matching::{Outcome, Search};

/// Where the guest goes on this host, and what that takes; or what lacks.
///
/// # Errors
/// It does not fit.
pub fn place(host: &HostTopology, guest: &GuestTopology) -> Result<NumaPlacement, NumaRefusal> {
    let devices = Devices::new(host, guest);
    let choice = choose(host, guest, &devices)?;
    Ok(write_down(host, guest, &devices, &choice.cells))
}

/// Whether it fits: what [`place`] says, without pins being chosen.
#[must_use]
pub fn fits(host: &HostTopology, guest: &GuestTopology) -> bool {
    choose(host, guest, &Devices::new(host, guest)).is_ok()
}

#[derive(Debug)]
struct Choice {
    /// For each guest cell: its need, the place of its host cell, its pages.
    cells: Vec<(CellNeed, usize, Pages)>,
    /// Sets of host cells tried.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests hold the search to it"))]
    steps: u32,
}

fn choose(host: &HostTopology, guest: &GuestTopology, devices: &Devices) -> Result<Choice, NumaRefusal> {
    if guest.cells.is_empty() {
        return Err(NumaRefusal::NoCells);
    }
    if guest.cells.len() > host.cells.len() {
        return Err(NumaRefusal::TooFewCells { asked: guest.cells.len(), present: host.cells.len() });
    }
    let needs = CellNeed::all(guest);
    let rooms = CellRoom::all(host);
    let rows = fit_all(&needs, &rooms)?;
    let mut candidates: Vec<usize> = (0..rooms.len()).collect();
    candidates.sort_by_cached_key(|place| rooms.get(*place).map(|room| preference(room, *place, devices)));
    let fits_at = |place: usize, row: &[Option<Pages>]| row.get(place).is_some_and(Option::is_some);
    let admits = |place: &usize| {
        let guests = rows.iter().enumerate().filter(|(_, row)| fits_at(*place, row));
        guests.map(|(guest, _)| guest).collect::<Vec<usize>>()
    };
    let admits: Vec<Vec<usize>> = candidates.iter().map(admits).collect();
    let ids = |places: &[usize]| {
        places.iter().filter_map(|place| host.cells.get(*place)).map(|cell| cell.id).collect::<Vec<u32>>()
    };
    let mut search = Search::new(&candidates, &admits, needs.len(), devices);
    let found = match search.run() {
        Outcome::Found(found) => found,
        Outcome::Together { guests, hosts } => {
            return Err(NumaRefusal::Together { guest_cells: guests, host_cells: ids(&hosts) });
        }
        Outcome::Devices(chosen) => {
            let (key, lacking) = devices.lack(&chosen).unwrap_or((DeviceKey(0), 0));
            return Err(NumaRefusal::Devices { key, lacking, host_cells: ids(&chosen) });
        }
        Outcome::GaveUp => return Err(NumaRefusal::TooManyToTry),
    };
    let found = order_alike(&needs, found);
    let with_pages = needs.iter().zip(found).zip(&rows);
    let cells = with_pages.filter_map(|((need, place), row)| Some((*need, place, (*row.get(place)?)?)));
    Ok(Choice { cells: cells.collect(), steps: search.steps })
}

/// For each guest cell, for each host cell, the pages it would get there; None: it does not fit.
fn fit_all(needs: &[CellNeed], rooms: &[CellRoom]) -> Result<Vec<Vec<Option<Pages>>>, NumaRefusal> {
    let mut rows: Vec<Vec<Option<Pages>>> = Vec::with_capacity(needs.len());
    for (place, need) in needs.iter().enumerate() {
        let same = needs.iter().position(|other| other == need).and_then(|first| rows.get(first)).cloned();
        if let Some(row) = same {
            rows.push(row);
            continue;
        }
        let fits: Vec<_> = rooms.iter().map(|room| (room, room.fit(need))).collect();
        if fits.iter().all(|(_, fit)| fit.is_err()) {
            let lacks = fits.iter().filter_map(|(room, fit)| Some((room.cell.id, fit.err()?)));
            let Some((nearest, lack)) = lacks.min_by_key(|(_, lack)| distance(lack)) else {
                return Err(NumaRefusal::TooFewCells { asked: needs.len(), present: 0 });
            };
            return Err(NumaRefusal::Cell { guest_cell: place, nearest, lack });
        }
        rows.push(fits.into_iter().map(|(_, fit)| fit.ok()).collect());
    }
    Ok(rows)
}

/// See the head of this file.
fn preference(room: &CellRoom, place: usize, devices: &Devices) -> impl Ord + use<> {
    let cell = room.cell;
    let others = cell.devices.iter().filter(|pool| !devices.asks(pool.key));
    let others: u64 = others.map(|pool| u64::from(pool.free)).sum();
    let pages = cell.hugepages.iter().map(|pool| pool.free().saturating_mul(pool.size.0));
    let memory_bytes = pages.fold(cell.memory.room_bytes(false), u64::saturating_add);
    (
        Reverse(devices.wanted_on(place)),
        others,
        room.counts.threads,
        memory_bytes,
        room.shared_vcpus(),
        cell.id,
    )
}

/// Guest cells that ask for the same get their host cells in the host's order.
fn order_alike(needs: &[CellNeed], mut found: Vec<usize>) -> Vec<usize> {
    for (first, need) in needs.iter().enumerate() {
        for (later, _) in needs.iter().enumerate().skip(first + 1).filter(|(_, other)| *other == need) {
            if found.get(later) < found.get(first) {
                found.swap(first, later);
            }
        }
    }
    found
}

fn write_down(
    host: &HostTopology,
    guest: &GuestTopology,
    devices: &Devices,
    choice: &[(CellNeed, usize, Pages)],
) -> NumaPlacement {
    let mut parts: Vec<TakenOfCell> =
        host.cells.iter().map(|cell| TakenOfCell { host_cell: cell.id, ..TakenOfCell::default() }).collect();
    let mut cells = Vec::with_capacity(choice.len());
    let (mut own_cpus, mut shared_cpus) = (CpuSet::new(), CpuSet::new());
    let mut emulator_cpu = None;
    let mut next_vcpu = 0_u32;
    for ((need, place, pages), asked) in choice.iter().zip(&guest.cells) {
        let (Some(cell), Some(part)) = (host.cells.get(*place), parts.get_mut(*place)) else { continue };
        let cpus = Cores::new(cell).take(need.dedicated_vcpus, need.threads, need.has_emulator);
        emulator_cpu = emulator_cpu.or(cpus.emulator);
        own_cpus.extend(&cpus.pins.iter().copied().collect());
        shared_cpus.extend(&cell.shared_cpus);
        let floats_over = if need.shared_vcpus > 0 { cell.shared_cpus.clone() } else { CpuSet::new() };
        own_cpus.extend(&floats_over);
        let vcpus = asked.dedicated_vcpus.saturating_add(asked.shared_vcpus);
        cells.push(PlacedCell {
            host_cell: cell.id,
            vcpu_count: vcpus,
            pins: (next_vcpu..).zip(cpus.pins).collect(),
            shared_cpus: floats_over,
            page_size: Bytes(pages.size_bytes),
            page_count: pages.count,
            memory: asked.memory,
        });
        next_vcpu = next_vcpu.saturating_add(vcpus);
        part.pinned = cpus.gone;
        part.shared_vcpus = need.shared_vcpus;
        if pages.is_huge {
            part.hugepages = Some((Bytes(pages.size_bytes), pages.count));
        } else {
            part.memory_bytes = need.memory_bytes;
        }
    }
    let emulator_cpus = match (guest.emulator, emulator_cpu) {
        (EmulatorThreads::Isolate, Some(cpu)) => [cpu].into_iter().collect(),
        (EmulatorThreads::Share, _) if !shared_cpus.is_empty() => shared_cpus,
        _ => own_cpus,
    };
    let chosen: Vec<usize> = choice.iter().map(|(_, place, _)| *place).collect();
    let given = devices.allot(guest, &chosen);
    let mut unplaced_devices = Vec::new();
    for (request, given) in guest.devices.iter().zip(&given) {
        for (place, count) in given {
            let part = place.and_then(|place| parts.get_mut(place));
            add(part.map_or(&mut unplaced_devices, |part| &mut part.devices), request.key, *count);
        }
    }
    parts.retain(|part| *part != TakenOfCell { host_cell: part.host_cell, ..TakenOfCell::default() });
    let devices = given.iter().map(|given| Devices::sources(host, given)).collect();
    NumaPlacement { cells, emulator_cpus, devices, taken: Taken { cells: parts, unplaced_devices } }
}

fn add(devices: &mut Vec<(DeviceKey, u32)>, key: DeviceKey, count: u32) {
    match devices.iter_mut().find(|(other, _)| *other == key) {
        Some((_, sum)) => *sum = sum.saturating_add(count),
        None => devices.push((key, count)),
    }
}

#[cfg(test)]
mod tests;
