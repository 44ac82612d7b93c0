//! Storage of one host as it counts: which pools are one, whom a disk is charged to.
//!
//! Pools on one file system share its space, so they are one; a pool that several hosts name alike is one for all of them.

use std::collections::{BTreeMap, BTreeSet};

use vmuster_proto::model::{Bytes, Domain, DomainDisk, Filesystem, StoragePool};

/// A disk that is asked for without a pool goes here: libvirt's tools make it first.
const DEFAULT_POOL: &str = "default";

/// Where libvirt's default pool is made, and where images are without one.
const IMAGES_DIRECTORY: &str = "/var/lib/libvirt/images/";

/// What cannot be grown into: media are changed, not promised.
const REMOVABLE: [&str; 2] = ["cdrom", "floppy"];

/// Space that is promised as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStorage {
    /// Unique in the cluster: the storage's own name where several hosts have it, else the host's name and what it calls it.
    pub key: String,
    /// Its pools' names on this host.
    pub names: BTreeSet<String>,
    /// Whether disks go here that are asked for without a pool.
    pub is_default: bool,
    /// Whether other hosts may have it as well.
    pub is_shared: bool,
    /// Whether disks can be made there now.
    pub is_usable: bool,
    /// Size; None: not known.
    pub capacity_bytes: Option<Bytes>,
}

/// What one guest's disks may grow to, by storage key; None: of one of them it is not known.
pub type DiskCharges = BTreeMap<String, Option<Bytes>>;

/// Storage of a host by key.
///
/// # Errors
/// What is not known, for a human.
pub fn storage_of(
    host: &str,
    pools: Option<&[StoragePool]>,
    filesystems: Option<&[Filesystem]>,
) -> Result<BTreeMap<String, HostStorage>, String> {
    let Some(pools) = pools else { return Err("its storage pools are not known".to_owned()) };
    let mut storage = BTreeMap::<String, HostStorage>::new();
    for pool in pools {
        let key = key_of_pool(host, pool);
        let unit = storage.entry(key.clone()).or_insert_with(|| HostStorage {
            key,
            names: BTreeSet::new(),
            is_default: false,
            is_shared: pool.identity.is_some(),
            is_usable: false,
            capacity_bytes: None,
        });
        unit.names.insert(pool.name.clone());
        unit.is_usable |= is_usable(pool);
        unit.capacity_bytes = unit.capacity_bytes.max(pool.capacity_bytes);
    }
    let default = default_pool(pools).map(|pool| key_of_pool(host, pool));
    match default.and_then(|key| storage.get_mut(&key)) {
        Some(unit) => unit.is_default = true,
        None if pools.is_empty() => storage.extend(images_filesystem(host, filesystems)),
        None => {}
    }
    Ok(storage)
}

fn is_usable(pool: &StoragePool) -> bool {
    // "building", "degraded" and what libvirt does not say are no place for a new disk.
    pool.state.as_deref() == Some("running")
}

/// The one called so, else the only one there is.
fn default_pool(pools: &[StoragePool]) -> Option<&StoragePool> {
    let only = || pools.first().filter(|_| pools.len() == 1);
    pools.iter().find(|pool| pool.name == DEFAULT_POOL).or_else(only)
}

/// A host without pools keeps its images in a directory.
fn images_filesystem(host: &str, filesystems: Option<&[Filesystem]>) -> Option<(String, HostStorage)> {
    let filesystem = holder(IMAGES_DIRECTORY, filesystems?)?;
    let key = key_of_mount(host, &filesystem.mount_point);
    let unit = HostStorage {
        key: key.clone(),
        names: BTreeSet::new(),
        is_default: true,
        is_shared: false,
        is_usable: filesystem.read_only != Some(true),
        capacity_bytes: filesystem.size_bytes,
    };
    Some((key, unit))
}

fn key_of_pool(host: &str, pool: &StoragePool) -> String {
    match (&pool.identity, &pool.mount_point) {
        (Some(identity), _) => identity.clone(),
        (None, Some(mount_point)) => key_of_mount(host, mount_point),
        (None, None) => format!("{host} pool {}", pool.name),
    }
}

fn key_of_mount(host: &str, mount_point: &str) -> String {
    format!("{host} {mount_point}")
}

/// What is mounted at a path's longest beginning.
#[must_use]
pub fn holder<'a>(path: &str, filesystems: &'a [Filesystem]) -> Option<&'a Filesystem> {
    let within = |filesystem: &&Filesystem| {
        let rest = path.strip_prefix(filesystem.mount_point.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    filesystems.iter().filter(within).max_by_key(|filesystem| filesystem.mount_point.len())
}

/// Whether its media come and go, so that nothing is promised for it.
#[must_use]
pub fn is_removable(disk: &DomainDisk) -> bool {
    REMOVABLE.contains(&disk.device.as_deref().unwrap_or_default())
}

/// Whom the disks of a host's guests are charged to.
#[derive(Debug)]
pub struct Charging<'a> {
    host: &'a str,
    pools: &'a [StoragePool],
    filesystems: &'a [Filesystem],
    /// Disks of several guests that were charged: they count once.
    charged: BTreeSet<(String, &'a str)>,
}

impl<'a> Charging<'a> {
    /// Nobody yet.
    #[must_use]
    pub fn new(host: &'a str, pools: &'a [StoragePool], filesystems: &'a [Filesystem]) -> Self {
        Self { host, pools, filesystems, charged: BTreeSet::new() }
    }

    /// What a guest's disks are charged with. Block devices and network disks that are in no pool take nothing of what is
    /// placed into.
    pub fn of(&mut self, domain: &'a Domain) -> DiskCharges {
        let mut charges = DiskCharges::new();
        for disk in &domain.disks {
            if is_removable(disk) {
                continue;
            }
            let Some(key) = self.key_of(disk) else { continue };
            let source = disk.source.as_deref().filter(|_| disk.shareable == Some(true));
            if source.is_some_and(|source| !self.charged.insert((key.clone(), source))) {
                continue;
            }
            let sum = charges.entry(key).or_insert(Some(Bytes(0)));
            *sum = sum.zip(disk.virtual_bytes).map(|(sum, size)| Bytes(sum.0.saturating_add(size.0)));
        }
        charges
    }

    /// The storage a disk is in; None: in none that anything is placed into, or that is known.
    #[must_use]
    pub fn key_of(&self, disk: &DomainDisk) -> Option<String> {
        let named = disk.pool.as_ref().and_then(|name| self.pools.iter().find(|pool| pool.name == *name));
        if let Some(pool) = named {
            return Some(key_of_pool(self.host, pool));
        }
        let is_file = disk.r#type.as_deref() != Some("block");
        let path = disk.source.as_deref().filter(|path| is_file && path.starts_with('/'))?;
        let mount_point = &holder(path, self.filesystems)?.mount_point;
        let there = self.pools.iter().find(|pool| pool.mount_point.as_ref() == Some(mount_point));
        Some(there.map_or_else(|| key_of_mount(self.host, mount_point), |pool| key_of_pool(self.host, pool)))
    }
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
