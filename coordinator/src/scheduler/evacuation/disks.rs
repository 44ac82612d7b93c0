//! Where the disks of a host's instances are, and where they must be on another.
//!
//! Storage that other hosts have keeps what is in it, and takes no room anew. What is on the host's own storage needs room
//! where its like would be made: in the default pool if it was in the default pool or in none, else in the pool of that name.

use std::collections::{BTreeMap, BTreeSet};

use vmuster_proto::model::{Bytes, DiskDemand, DiskPlace, Domain, DomainDisk};

use super::Source;
use crate::{
    accounting::{Charging, HostStorage, is_removable, storage_of},
    claims::{Claim, ClaimedDisk},
};

/// What a disk that stays where it is asks of its pool: that it is there.
pub(in crate::scheduler) const STAYS: Bytes = Bytes(0);

/// Of one instance.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// In the order of `targets`.
    pub(super) demands: Vec<DiskDemand>,
    /// "vda"; empty for what is only promised.
    pub(super) targets: Vec<String>,
    /// Sizes of those that stay.
    pub(super) staying: Vec<Bytes>,
    /// Whether one is on storage of the host alone.
    pub(super) is_stranded: bool,
    /// For a human.
    pub(super) doubts: Vec<String>,
}

impl Wanted {
    fn new_room(&mut self, target: &str, size: Bytes, on: DiskPlace) {
        // Also an empty one is made.
        let size_bytes = Bytes(size.0.max(1));
        self.demands.push(DiskDemand { size_bytes, on });
        self.targets.push(target.to_owned());
    }

    fn stay(&mut self, target: &str, size: Bytes, key: &str) {
        self.demands.push(DiskDemand { size_bytes: STAYS, on: DiskPlace::Pool(key.to_owned()) });
        self.targets.push(target.to_owned());
        self.staying.push(size);
    }
}

/// Storage of the host.
pub(super) struct Disks<'a> {
    charging: Charging<'a>,
    storage: Result<BTreeMap<String, HostStorage>, String>,
    own_keys: String,
    /// Disks of several instances that were seen: they count once.
    shareable: BTreeSet<(String, &'a str)>,
}

impl<'a> Disks<'a> {
    pub(super) fn of(source: Source<'a>) -> Self {
        let (pools, filesystems) = (source.usage.pools.as_deref(), source.usage.filesystems.as_deref());
        Self {
            charging: Charging::new(source.name, pools.unwrap_or_default(), filesystems.unwrap_or_default()),
            storage: storage_of(source.name, pools, filesystems),
            own_keys: format!("{} ", source.name),
            shareable: BTreeSet::new(),
        }
    }

    /// Of a guest, but for media.
    ///
    /// # Errors
    /// What is not known, for a human.
    pub(super) fn of_domain(&mut self, domain: &'a Domain) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for disk in &domain.disks {
            if is_removable(disk) {
                wanted.doubts.extend(medium(disk));
                continue;
            }
            self.add(disk, &mut wanted)?;
        }
        Ok(wanted)
    }

    fn add(&mut self, disk: &'a DomainDisk, wanted: &mut Wanted) -> Result<(), String> {
        let storage = self.storage.as_ref().map_err(|_| "the storage pools of its host are not known")?;
        let key = self.charging.key_of(disk);
        let unit = key.as_ref().and_then(|key| storage.get(key));
        let target = &disk.target;
        if let Some(unit) = unit.filter(|unit| unit.is_shared) {
            let source = disk.source.as_deref().filter(|_| disk.shareable == Some(true));
            let is_new = source.is_none_or(|source| self.shareable.insert((unit.key.clone(), source)));
            wanted.stay(target, disk.virtual_bytes.filter(|_| is_new).unwrap_or_default(), &unit.key);
            return Ok(());
        }
        if key.is_none() || (unit.is_none() && disk.shared_storage == Some(true)) {
            let what = disk.source.as_deref().map(|source| format!(" ({source})")).unwrap_or_default();
            wanted.doubts.push(format!(
                "{target}{what} is in no storage pool: whether its new host reaches it was not looked at"
            ));
            return Ok(());
        }
        let size =
            disk.virtual_bytes.ok_or_else(|| format!("how large its disk {target} is is not known"))?;
        wanted.is_stranded = true;
        wanted.new_room(target, size, own_place(unit, disk.pool.as_deref()));
        Ok(())
    }

    /// Of what is promised.
    pub(super) fn of_claim(&self, claim: &Claim) -> Wanted {
        let mut wanted = Wanted::default();
        for ClaimedDisk { pool, size_bytes } in &claim.resources.disks {
            if !pool.starts_with(&self.own_keys) {
                wanted.stay("", *size_bytes, pool);
                continue;
            }
            if self.storage.is_err() {
                wanted
                    .doubts
                    .push(format!("which pool '{pool}' is is not known: a disk goes to the default pool"));
            }
            wanted.is_stranded = true;
            let unit = self.storage.as_ref().ok().and_then(|storage| storage.get(pool));
            wanted.new_room("", *size_bytes, own_place(unit, None));
        }
        wanted
    }
}

/// Where the like of a disk goes that is on storage of its host alone.
fn own_place(unit: Option<&HostStorage>, pool: Option<&str>) -> DiskPlace {
    let named = unit.filter(|unit| !unit.is_default);
    let name = named.and_then(|unit| pool.or_else(|| unit.names.first().map(String::as_str)));
    name.map_or(DiskPlace::Default, |name| DiskPlace::Pool(name.to_owned()))
}

fn medium(disk: &DomainDisk) -> Option<String> {
    let source = disk.source.as_deref()?;
    Some(format!("{} has the medium {source}: eject it, or have it on the new host", disk.target))
}
