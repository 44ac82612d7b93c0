//! Storage that several hosts have, by what it is called on each.

use vmuster_proto::model::{DomainDisk, Filesystem, StoragePool};

use super::{HostFacts, Said, no, unknown};

/// File systems whose source is the same on every host that mounts them; a cluster file system's is a device, and
/// devices are named alike nowhere.
const NAMED_BY_SERVER: [&str; 13] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "glusterfs",
    "fuse.glusterfs",
    "lustre",
    "gpfs",
    "beegfs",
    "fuse.juicefs",
];

/// Where a disk is on its own host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pool: Option<&'a StoragePool>,
    filesystem: Option<&'a Filesystem>,
}

impl<'a> Place<'a> {
    /// None: nothing is known of it.
    pub(super) fn of(source: Option<&HostFacts<'a>>, disk: &DomainDisk) -> Option<Self> {
        let usage = source?.usage?;
        let pools = usage.pools.as_deref().unwrap_or_default();
        let pool = disk.pool.as_ref().and_then(|name| pools.iter().find(|pool| pool.name == *name));
        let pool = pool.filter(|pool| pool.identity.is_some());
        let path = disk.source.as_deref().filter(|path| path.starts_with('/'));
        let filesystems = usage.filesystems.as_deref().unwrap_or_default();
        let filesystem = path.and_then(|path| holder(path, filesystems));
        (pool.is_some() || filesystem.is_some()).then_some(Self { pool, filesystem })
    }

    /// The same pool on another host.
    pub(super) fn pool_of(&self, target: &HostFacts<'a>) -> Option<&'a StoragePool> {
        let identity = self.pool?.identity.as_deref()?;
        let pools = target.usage?.pools.as_deref()?;
        pools.iter().find(|pool| pool.identity.as_deref() == Some(identity))
    }

    /// The definition names a file or a volume, and must find it there under that name.
    pub(super) fn same_path(&self, disk: &DomainDisk, theirs: &StoragePool, what: &str) -> Said {
        let Some(ours) = self.pool else { return Said::new() };
        if disk.r#type.as_deref() == Some("volume") {
            return if ours.name == theirs.name {
                Said::new()
            } else {
                no(format!("{what}: the pool '{}' is called '{}' there", ours.name, theirs.name))
            };
        }
        let trimmed =
            |pool: &StoragePool| pool.target_path.as_ref().map(|path| path.trim_end_matches('/').to_owned());
        match (trimmed(ours), trimmed(theirs)) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                no(format!("{what}: its pool's directory is {theirs} there, not {ours}"))
            }
            _ => Said::new(),
        }
    }

    /// Without such a pool: is the file system mounted there, at the same place?
    pub(super) fn mounted(&self, target: &HostFacts<'_>, disk: &DomainDisk, what: &str) -> Said {
        let Some(ours) = self.filesystem else {
            return self.no_pool(target, what);
        };
        let kind = ours.r#type.as_deref().unwrap_or_default();
        let Some(source) = ours.source.as_deref().filter(|_| NAMED_BY_SERVER.contains(&kind)) else {
            return unknown(format!("{what} is on {kind}, which has no name that two hosts share"));
        };
        let Some(there) = target.usage.and_then(|usage| usage.filesystems.as_deref()) else {
            return target.silent("usage.filesystems", &format!("whether it has {source} of {what}"));
        };
        let mut alike = there.iter().filter(|one| one.source.as_deref() == Some(source)).peekable();
        if alike.peek().is_none() {
            return no(format!("{what} is on {source}, which is not mounted there"));
        }
        let path = disk.source.as_deref().unwrap_or_default();
        match alike.find(|one| one.mount_point == ours.mount_point) {
            // Something else may be mounted further down.
            Some(one) if holder(path, there).is_some_and(|last| last.mount_point != one.mount_point) => {
                no(format!("{what} is on {source}, and something else is mounted over it there"))
            }
            Some(one) if one.read_only == Some(true) => {
                no(format!("{what} is on {source}, which is mounted read-only there"))
            }
            Some(_) => Said::new(),
            None => no(format!("{what} is on {source}, which is not mounted at {} there", ours.mount_point)),
        }
    }

    fn no_pool(&self, target: &HostFacts<'_>, what: &str) -> Said {
        let identity = self.pool.and_then(|pool| pool.identity.as_deref()).unwrap_or_default();
        match target.usage.and_then(|usage| usage.pools.as_deref()) {
            Some(_) => no(format!("{what} is in {identity}, of which there is no pool there")),
            None => target.silent("usage.pools", &format!("whether it has {identity} of {what}")),
        }
    }
}

/// What is mounted at a path's longest beginning.
fn holder<'a>(path: &str, filesystems: &'a [Filesystem]) -> Option<&'a Filesystem> {
    let within = |filesystem: &&Filesystem| {
        let rest = path.strip_prefix(filesystem.mount_point.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    filesystems.iter().filter(within).max_by_key(|filesystem| filesystem.mount_point.len())
}
