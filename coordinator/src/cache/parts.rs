//! Parts of inventories that many hosts have alike, each kept once: 10,000 hosts of a few sorts have a few CPUs.
//!
//! Knows which parts are shared and by what they are known: a digest of their bytes on the wire, so that a part that was
//! seen before need not even be decoded. Holds none of them: a part lives as long as a record has it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use sha2::{Digest as _, Sha256};
use vmuster_proto::model::{Cpu, Hypervisor, Inventory, Numa, PciDevice};

use super::guest_names::{GuestNames, SharedNames};

/// Below this nobody looks for parts that are gone: 64 of them are some kilobytes.
const SWEEP_MIN: usize = 64;

/// Not a faster hash: agents may lie, and what they say must never be taken for another host's part.
type Digest = [u8; 32];

/// Parts of one kind, by digest.
#[derive(Debug)]
pub(super) struct Table<T: ?Sized>(Mutex<Known<Digest, T>>);

#[derive(Debug)]
struct Known<K, T: ?Sized> {
    by_key: HashMap<K, Weak<T>>,
    /// At so many entries those are removed whose part is gone.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Table<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: ?Sized> Table<T> {
    fn lock(&self) -> MutexGuard<'_, Known<Digest, T>> {
        // The map is never left half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, digest: &Digest) -> Option<Arc<T>> {
        self.lock().get(digest)
    }
}

impl<T: Part + ?Sized> Table<T> {
    /// The part with these bytes: the one that is there, or what `decode` makes of them.
    ///
    /// # Errors
    /// Those of `decode`. Nothing is kept then.
    pub(super) fn decoded<E>(
        &self,
        bytes: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        if let Some(there) = self.get(&Sha256::digest(bytes).into()) {
            return Ok(there);
        }
        // Two threads may decode the same at once; the second then takes what the first has put there. And others may have
        // written the same part in other bytes.
        Ok(self.shared(decode(bytes)?))
    }

    /// The part that is there, if it is equal, else this one.
    fn shared(&self, part: Arc<T>) -> Arc<T> {
        let digest = Sha256::digest(part.wire_bytes()).into();
        let mut known = self.lock();
        if let Some(there) = known.get(&digest) {
            return there;
        }
        known.insert(digest, &part);
        part
    }
}

impl<K, T: ?Sized> Default for Known<K, T> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), sweep_at: SWEEP_MIN }
    }
}

impl<K: Eq + Hash, T: ?Sized> Known<K, T> {
    fn get(&self, key: &K) -> Option<Arc<T>> {
        self.by_key.get(key)?.upgrade()
    }

    fn insert(&mut self, key: K, part: &Arc<T>) {
        if self.by_key.len() >= self.sweep_at {
            self.sweep();
        }
        self.by_key.insert(key, Arc::downgrade(part));
    }

    /// At most half of the entries are of parts that are gone: hosts that say something new each time cost no more.
    fn sweep(&mut self) {
        self.by_key.retain(|_, part| part.strong_count() > 0);
        self.by_key.shrink_to(SWEEP_MIN);
        self.sweep_at = SWEEP_MIN.max(2 * self.by_key.len());
    }
}

/// A part that hosts can have alike: what it is on the wire.
pub(super) trait Part {
    /// Its bytes on the wire; equal parts have equal bytes.
    fn wire_bytes(&self) -> Vec<u8>;
}

/// The parts of all records of one cache.
///
/// What is left out differs from host to host: names, serial numbers, MAC addresses.
#[derive(Debug, Default)]
pub struct Parts {
    /// With what guests can be given: it follows from the processor, kernel and QEMU.
    pub(super) cpus: Table<Cpu>,
    pub(super) numas: Table<Numa>,
    pub(super) pcis: Table<[PciDevice]>,
    pub(super) hypervisors: Table<Hypervisor>,
    /// What follows from a CPU and a hypervisor, by where they are in memory. It holds them, so that nothing else can be
    /// there while it is known.
    names: Mutex<Known<[usize; 2], SharedNames>>,
}

impl Parts {
    /// The same inventory, with the parts that are there already in place of its own.
    #[must_use]
    pub fn share(&self, inventory: Arc<Inventory>) -> Arc<Inventory> {
        fn share<T: Part + ?Sized>(table: &Table<T>, part: &mut Option<Arc<T>>) {
            if let Some(own) = part.take() {
                *part = Some(table.shared(own));
            }
        }
        let mut inventory = Arc::unwrap_or_clone(inventory);
        share(&self.cpus, &mut inventory.cpu);
        share(&self.numas, &mut inventory.numa);
        share(&self.pcis, &mut inventory.pci);
        share(&self.hypervisors, &mut inventory.hypervisor);
        Arc::new(inventory)
    }

    /// For a record of this inventory: those of other records with the same CPU and hypervisor.
    #[must_use]
    pub fn guest_names(&self, inventory: &Inventory) -> GuestNames {
        let place = |part: Option<*const ()>| part.map_or(0, <*const ()>::addr);
        let cpu = inventory.cpu.as_ref().map(|cpu| Arc::as_ptr(cpu).cast());
        let hypervisor = inventory.hypervisor.as_ref().map(|hypervisor| Arc::as_ptr(hypervisor).cast());
        let key = [place(cpu), place(hypervisor)];
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let there = known.get(&key);
        GuestNames::shared(there.unwrap_or_else(|| {
            let names = Arc::new(SharedNames::of(inventory));
            known.insert(key, &names);
            names
        }))
    }

    /// Lets go of what no record has any more.
    pub fn sweep(&self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).sweep();
        self.cpus.lock().sweep();
        self.numas.lock().sweep();
        self.pcis.lock().sweep();
        self.hypervisors.lock().sweep();
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        let Self { cpus, numas, pcis, hypervisors, names: _ } = self;
        let [cpus, numas] = [cpus.lock().by_key.len(), numas.lock().by_key.len()];
        cpus + numas + pcis.lock().by_key.len() + hypervisors.lock().by_key.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
