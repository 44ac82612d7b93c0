//! A host's accounts as placement wants them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use vmuster_proto::model::{Bytes, HostSettings};

use crate::{
    accounting::{Figures, HostAccount, HostStorage, PoolAccount, Profile},
    cache::HostRecord,
    claims::ClaimBook,
    placement::{AnswersTo, GuestCpu, HostPool, PoolKey, Resource},
};

/// Names of pools by storage class, in the order in which they are tried.
pub(super) type StorageClasses = BTreeMap<String, Vec<String>>;

pub(super) fn resource(figures: &Figures, profile: Profile) -> Resource {
    Resource { physical: figures.total, promisable: figures.promisable(profile), promised: figures.promised }
}

/// What the host's hypervisor gives guests. None: not known.
pub(super) fn guest_cpu(record: &HostRecord) -> Option<Arc<GuestCpu>> {
    let guest = record.inventory.cpu.as_ref()?.guest.as_ref()?;
    let models = record.usable_models().map(|models| models.names()).unwrap_or_default();
    Some(Arc::new(GuestCpu {
        features: guest.features.clone()?,
        usable_models: models.into_iter().map(str::to_owned).collect(),
        vendor: guest.vendor.clone(),
    }))
}

/// The pools a disk can be made in now.
pub(super) fn host_pools(account: &HostAccount, classes: &StorageClasses) -> Option<Vec<HostPool>> {
    let pools = account.pools.as_ref().ok()?;
    let usable = pools.values().filter(|pool| pool.storage.is_usable);
    Some(usable.map(|pool| host_pool(pool, classes)).collect())
}

fn host_pool(pool: &PoolAccount, classes: &StorageClasses) -> HostPool {
    let names = &pool.storage.names;
    let place = |pools: &Vec<String>| pools.iter().position(|name| names.contains(name));
    let classes = classes.iter().filter_map(|(class, pools)| Some((class.clone(), place(pools)?)));
    let classes = classes.collect();
    let mut names = names.clone();
    if pool.storage.is_shared {
        // Hosts may call it differently, and what is in it must be found in it.
        names.insert(pool.storage.key.clone());
    }
    let answers_to = AnswersTo { names, classes, is_default: pool.storage.is_default };
    HostPool { answers_to, pool: PoolKey::new(pool.storage.key.as_str()) }
}

/// Figures of a pool that only this host has. None: not known.
pub(super) fn own_pool(pool: &PoolAccount, settings: &HostSettings, profile: Profile) -> Option<Resource> {
    pool.figures(settings).ok().map(|figures| resource(&figures, profile))
}

/// What claims hold in storage that their host does not show (any more), or that was not read yet: others may have it as well,
/// and it is promised all the same.
pub(super) fn strays(
    host: &str,
    account: Option<&HostAccount>,
    book: &ClaimBook,
) -> BTreeMap<String, PoolAccount> {
    let shown = account.and_then(|account| account.pools.as_ref().ok());
    let own = format!("{host} ");
    let mut strays = BTreeMap::<String, PoolAccount>::new();
    for claim in book.on(host) {
        for disk in &claim.resources.disks {
            if disk.pool.starts_with(&own) || shown.is_some_and(|shown| shown.contains_key(&disk.pool)) {
                continue;
            }
            let stray = strays.entry(disk.pool.clone()).or_insert_with(|| PoolAccount {
                storage: HostStorage {
                    key: disk.pool.clone(),
                    names: BTreeSet::new(),
                    is_default: false,
                    is_shared: true,
                    is_usable: false,
                    capacity_bytes: None,
                },
                reserved_bytes: Bytes(0),
                charges: BTreeMap::new(),
            });
            let charge = stray.charges.entry(claim.instance.to_string()).or_insert(Some(Bytes(0)));
            *charge = charge.map(|charge| Bytes(charge.0.saturating_add(disk.size_bytes.0)));
        }
    }
    strays
}
