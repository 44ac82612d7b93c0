//! Charges a host's cells with what a guest takes, and gives it back.
//!
//! Knows figures. Must not know guests, nor whether what is taken was a good choice: a host may be over-promised.

use super::{
    answer::{Taken, TakenOfCell},
    host::{DeviceKey, DevicePool, HostCell, HostTopology},
};

impl HostTopology {
    /// Charges it, for the next guest of a batch. False, and no change, if it is not there to be had: a cell is gone, a
    /// CPU is pinned or not dedicated, a page or a device is not free.
    #[must_use]
    pub fn apply(&mut self, taken: &Taken) -> bool {
        self.change(taken, charge, take)
    }

    /// Gives it back: after any order of [`HostTopology::apply`] and this, the host is what it was, bit for bit. False,
    /// and no change, if it was not taken.
    #[must_use]
    pub fn undo(&mut self, taken: &Taken) -> bool {
        self.change(taken, release, put_back)
    }

    /// All or nothing: a copy is changed. A host has a handful of cells.
    fn change(
        &mut self,
        taken: &Taken,
        of_cell: fn(&mut HostCell, &TakenOfCell) -> Option<()>,
        of_pools: fn(&mut [DevicePool], DeviceKey, u32) -> Option<()>,
    ) -> bool {
        let mut next = self.clone();
        let mut change = || {
            for part in &taken.cells {
                let cell = next.cells.iter_mut().find(|cell| cell.id == part.host_cell)?;
                of_cell(cell, part)?;
                part.devices.iter().try_for_each(|(key, count)| of_pools(&mut cell.devices, *key, *count))?;
            }
            let mut unplaced = taken.unplaced_devices.iter();
            unplaced.try_for_each(|(key, count)| of_pools(&mut next.unplaced_devices, *key, *count))
        };
        let is_changed = change().is_some();
        if is_changed {
            *self = next;
        }
        is_changed
    }
}

fn charge(cell: &mut HostCell, part: &TakenOfCell) -> Option<()> {
    let free = cell.dedicated_cpus.difference(&cell.pinned);
    if !part.pinned.difference(&free).is_empty() {
        return None;
    }
    cell.pinned.extend(&part.pinned);
    cell.shared_vcpus.promised = cell.shared_vcpus.promised.checked_add(part.shared_vcpus)?;
    cell.memory.promised_bytes = cell.memory.promised_bytes.checked_add(part.memory_bytes)?;
    if let Some((size, count)) = part.hugepages {
        let pool = cell.hugepages.iter_mut().find(|pool| pool.size == size)?;
        pool.used = pool.used.checked_add(count).filter(|used| *used <= pool.total)?;
    }
    Some(())
}

fn release(cell: &mut HostCell, part: &TakenOfCell) -> Option<()> {
    if !part.pinned.difference(&cell.pinned).is_empty() {
        return None;
    }
    cell.pinned = cell.pinned.difference(&part.pinned);
    cell.shared_vcpus.promised = cell.shared_vcpus.promised.checked_sub(part.shared_vcpus)?;
    cell.memory.promised_bytes = cell.memory.promised_bytes.checked_sub(part.memory_bytes)?;
    if let Some((size, count)) = part.hugepages {
        let pool = cell.hugepages.iter_mut().find(|pool| pool.size == size)?;
        pool.used = pool.used.checked_sub(count)?;
    }
    Some(())
}

fn take(pools: &mut [DevicePool], key: DeviceKey, count: u32) -> Option<()> {
    let pool = pools.iter_mut().find(|pool| pool.key == key)?;
    pool.free = pool.free.checked_sub(count)?;
    Some(())
}

fn put_back(pools: &mut [DevicePool], key: DeviceKey, count: u32) -> Option<()> {
    let pool = pools.iter_mut().find(|pool| pool.key == key)?;
    pool.free = pool.free.checked_add(count)?;
    Some(())
}
