//! A host's accounts as placement wants them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use vmuster_proto::model::HostSettings;

use crate::{
    accounting::{Figures, HostAccount, PoolAccount, Profile},
    cache::HostRecord,
    placement::{GuestCpu, HostPool, PoolKey, Resource},
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

/// The pools a disk can be made in now, those of storage classes in their order first.
pub(super) fn host_pools(account: &HostAccount, classes: &StorageClasses) -> Option<Vec<HostPool>> {
    let pools = account.pools.as_ref().ok()?;
    let mut ranked: Vec<_> = pools
        .values()
        .filter(|pool| pool.storage.is_usable)
        .map(|pool| (rank(pool, classes), host_pool(pool, classes)))
        .collect();
    ranked.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.pool.cmp(&y.pool)));
    Some(ranked.into_iter().map(|(_, pool)| pool).collect())
}

fn host_pool(pool: &PoolAccount, classes: &StorageClasses) -> HostPool {
    let mut names: BTreeSet<_> = pool.storage.names.clone();
    let of_class = |pools: &Vec<String>| pools.iter().any(|name| pool.storage.names.contains(name));
    names.extend(classes.iter().filter(|(_, pools)| of_class(pools)).map(|(class, _)| class.clone()));
    HostPool { names, is_default: pool.storage.is_default, pool: PoolKey::new(pool.storage.key.as_str()) }
}

/// Its place in the storage classes that it is in.
fn rank(pool: &PoolAccount, classes: &StorageClasses) -> usize {
    let place = |pools: &Vec<String>| pools.iter().position(|name| pool.storage.names.contains(name));
    classes.values().filter_map(place).min().unwrap_or(usize::MAX)
}

/// Figures of a pool that only this host has. None: not known.
pub(super) fn own_pool(pool: &PoolAccount, settings: &HostSettings, profile: Profile) -> Option<Resource> {
    pool.figures(settings).ok().map(|figures| resource(&figures, profile))
}
