//! Whether a guest fits, by trying everything: all subsets of CPUs, all orders of cells, all sources of devices.

use vmuster_proto::model::Bytes;

use super::{super::*, world::PAGE};

/// Whether vCPUs may be on just these CPUs, and the emulator on that one.
pub(super) fn are_pins_right(
    cell: &HostCell,
    policy: ThreadPolicy,
    pins: &[u32],
    emulator: Option<u32>,
) -> bool {
    let is_free = |cpu: u32| cell.dedicated_cpus.contains(cpu) && !cell.pinned.contains(cpu);
    let all_free = pins.iter().chain(&emulator).all(|cpu| is_free(*cpu));
    if !all_free || emulator.is_some_and(|cpu| pins.contains(&cpu)) {
        return false;
    }
    let core_of = |cpu: u32| -> Vec<u32> {
        let core = cell.siblings.iter().find(|core| core.contains(cpu));
        core.map_or_else(|| vec![cpu], |core| core.iter().collect())
    };
    let on = |core: &[u32]| core.iter().filter(|cpu| pins.contains(cpu)).count();
    let free = |core: &[u32]| core.iter().filter(|cpu| is_free(**cpu)).count();
    match policy {
        ThreadPolicy::Prefer => true,
        ThreadPolicy::Isolate => pins.iter().all(|cpu| {
            let core = core_of(*cpu);
            free(&core) == core.len() && on(&core) == 1 && emulator.is_none_or(|cpu| !core.contains(&cpu))
        }),
        ThreadPolicy::Require => {
            let mut cores: Vec<Vec<u32>> = pins.iter().map(|cpu| core_of(*cpu)).collect();
            cores.sort();
            cores.dedup();
            let unfilled = cores.iter().filter(|core| on(core) < free(core)).count();
            cores.iter().all(|core| free(core) >= 2) && unfilled <= 1
        }
    }
}

fn cpus_fit(cell: &HostCell, guest: &GuestTopology, place: usize) -> bool {
    let asked = &guest.cells[place];
    let cpus: Vec<u32> = cell.dedicated_cpus.iter().collect();
    let has_emulator = guest.emulator == EmulatorThreads::Isolate && place == 0;
    (0..1_u32 << cpus.len()).filter(|bits| bits.count_ones() == asked.dedicated_vcpus).any(|bits| {
        let pins: Vec<u32> =
            cpus.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, cpu)| *cpu).collect();
        if has_emulator {
            cpus.iter().any(|cpu| are_pins_right(cell, guest.threads, &pins, Some(*cpu)))
        } else {
            are_pins_right(cell, guest.threads, &pins, None)
        }
    })
}

fn memory_fits(cell: &HostCell, guest: &GuestTopology, bytes: u64) -> bool {
    let memory = &cell.memory;
    let sum = memory.promised_bytes + bytes;
    let dedicated = guest.cells.iter().any(|cell| cell.dedicated_vcpus > 0);
    let strict = bytes == 0 || (sum <= memory.total_bytes && sum <= memory.promisable_bytes);
    let loose = bytes == 0 || (bytes <= memory.total_bytes && sum <= memory.promisable_bytes);
    let small = strict && bytes.is_multiple_of(PAGE);
    let huge = |size: Option<Bytes>| {
        cell.hugepages.iter().any(|pool| {
            size.is_none_or(|size| size == pool.size)
                && bytes.is_multiple_of(pool.size.0)
                && pool.used + bytes / pool.size.0 <= pool.total.max(pool.used)
        })
    };
    match guest.pages {
        PageRequest::Ordinary => {
            if dedicated {
                strict
            } else {
                loose
            }
        }
        PageRequest::Small => small,
        PageRequest::Large => huge(None),
        PageRequest::Any => small || huge(None),
        PageRequest::Exact(Bytes(PAGE)) => small,
        PageRequest::Exact(size) => huge(Some(size)),
    }
}

pub(super) fn may_use(
    host: &HostTopology,
    chosen: &[usize],
    policy: DevicePolicy,
    from: Option<usize>,
) -> bool {
    let socket = |cell: usize| host.cells[cell].socket;
    match policy {
        DevicePolicy::Preferred => true,
        DevicePolicy::Required => from.is_some_and(|cell| chosen.contains(&cell)),
        DevicePolicy::Legacy => from.is_none_or(|cell| chosen.contains(&cell)),
        DevicePolicy::Socket => {
            chosen.iter().all(|cell| socket(*cell).is_some())
                && from.is_some_and(|cell| chosen.iter().any(|near| socket(*near) == socket(cell)))
        }
    }
}

/// Each wanted device by itself, from anywhere it may come.
fn devices_fit(host: &mut HostTopology, chosen: &[usize], wanted: &[(DeviceKey, DevicePolicy)]) -> bool {
    let Some(((key, policy), rest)) = wanted.split_first() else { return true };
    for from in (0..host.cells.len()).map(Some).chain([None]) {
        if !may_use(host, chosen, *policy, from) {
            continue;
        }
        let pool = |host: &mut HostTopology, by: i64| {
            let pools = match from {
                Some(cell) => &mut host.cells[cell].devices,
                None => &mut host.unplaced_devices,
            };
            let pool = pools.iter_mut().find(|pool| pool.key == *key)?;
            pool.free = u32::try_from(i64::from(pool.free) + by).ok()?;
            Some(())
        };
        if pool(host, -1).is_some() {
            let is_enough = devices_fit(host, chosen, rest);
            pool(host, 1).expect("was taken");
            if is_enough {
                return true;
            }
        }
    }
    false
}

fn cells_fit(
    host: &HostTopology,
    fit: &[Vec<bool>],
    wanted: &[(DeviceKey, DevicePolicy)],
    chosen: &mut Vec<usize>,
) -> bool {
    let Some(row) = fit.get(chosen.len()) else { return devices_fit(&mut host.clone(), chosen, wanted) };
    (0..host.cells.len()).any(|cell| {
        if chosen.contains(&cell) || !row[cell] {
            return false;
        }
        chosen.push(cell);
        let found = cells_fit(host, fit, wanted, chosen);
        chosen.pop();
        found
    })
}

pub(super) fn fits(host: &HostTopology, guest: &GuestTopology) -> bool {
    let one = |place: usize, cell: &HostCell| {
        let asked = &guest.cells[place];
        let shared = u64::from(asked.shared_vcpus);
        let vcpus = &cell.shared_vcpus;
        cpus_fit(cell, guest, place)
            && asked.shared_vcpus <= cell.shared_cpus.len()
            && (shared == 0 || vcpus.promised + shared <= vcpus.promisable)
            && memory_fits(cell, guest, asked.memory.0)
    };
    let places = 0..guest.cells.len();
    let fit: Vec<Vec<bool>> =
        places.map(|place| host.cells.iter().map(|cell| one(place, cell)).collect()).collect();
    let wanted: Vec<(DeviceKey, DevicePolicy)> = guest
        .devices
        .iter()
        .flat_map(|request| vec![(request.key, request.policy); request.count as usize])
        .collect();
    guest.cells.len() <= host.cells.len() && cells_fit(host, &fit, &wanted, &mut Vec::new())
}
