//! Which file systems guests' disks and pools are on, and who else can reach them. Pure.

use vmuster_proto::model::{Domain, Filesystem, StoragePool};

/// File systems that several hosts can mount at once, and by what scheme their identity goes.
const SHARED_TYPES: [(&str, &str); 15] = [
    ("nfs", "nfs"),
    ("nfs4", "nfs"),
    ("cifs", "cifs"),
    ("smb3", "cifs"),
    ("ceph", "ceph"),
    ("fuse.ceph", "ceph"),
    ("fuse.ceph-fuse", "ceph"),
    ("glusterfs", "gluster"),
    ("fuse.glusterfs", "gluster"),
    ("lustre", "lustre"),
    ("gpfs", "gpfs"),
    ("beegfs", "beegfs"),
    ("ocfs2", "ocfs2"),
    ("gfs2", "gfs2"),
    ("fuse.juicefs", "juicefs"),
];

/// Local paths whose storage may be anywhere: a device may be a disk, a LUN of a storage network or a network block device.
const DEVICES: &str = "/dev/";

/// Finds the file system of each pool and each disk's file. `filesystems`: None where they are not known.
pub fn place(
    domains: Option<&mut Vec<Domain>>,
    pools: Option<&mut Vec<StoragePool>>,
    filesystems: Option<&[Filesystem]>,
) {
    let mut known: &mut [StoragePool] = &mut [];
    if let Some(pools) = pools {
        for pool in pools.iter_mut() {
            place_pool(pool, filesystems.unwrap_or_default());
        }
        known = pools;
    }
    let disks = domains.into_iter().flatten().flat_map(|domain| &mut domain.disks);
    for disk in disks {
        let Some(source) = disk.source.clone() else { continue };
        if disk.pool.is_none() {
            let pool = pool_of(&source, disk.r#type.as_deref(), known);
            disk.pool = pool.map(|pool| pool.name.clone());
            let file = || Some(source.rsplit_once('/')?.1.to_owned());
            disk.volume = disk.pool.as_ref().and_then(|_| file());
        }
        if disk.shared_storage.is_none() {
            let pool = disk.pool.as_ref().and_then(|name| known.iter().find(|pool| pool.name == *name));
            let by_pool = pool.filter(|pool| pool.identity.is_some()).map(|_| true);
            disk.shared_storage =
                by_pool.or_else(|| is_shared(&source, pool, filesystems.unwrap_or_default()));
        }
    }
}

fn place_pool(pool: &mut StoragePool, filesystems: &[Filesystem]) {
    let Some(path) = pool.target_path.as_deref().filter(|path| !path.starts_with(DEVICES)) else { return };
    let Some(filesystem) = beneath(path, filesystems) else { return };
    pool.mount_point = Some(filesystem.mount_point.clone());
    if pool.identity.is_none() {
        pool.identity = identity(path, filesystem);
    }
}

/// None: not known.
fn is_shared(source: &str, pool: Option<&StoragePool>, filesystems: &[Filesystem]) -> Option<bool> {
    let path = match pool {
        Some(pool) if !source.starts_with('/') => pool.target_path.as_deref()?,
        _ => source,
    };
    if !path.starts_with('/') || path.starts_with(DEVICES) {
        return None;
    }
    let kind = beneath(path, filesystems)?.r#type.as_deref()?;
    Some(SHARED_TYPES.iter().any(|(shared, _)| *shared == kind))
}

/// The pool whose directory a file is in, or whose name in its storage a network disk has.
fn pool_of<'a>(source: &str, kind: Option<&str>, pools: &'a [StoragePool]) -> Option<&'a StoragePool> {
    if kind == Some("network") {
        let (protocol, name) = source.split_once(':')?;
        let (within, _) = name.rsplit_once('/')?;
        let end = format!("/{within}");
        return pools.iter().find(|pool| {
            let is_of_protocol = |identity: &String| identity.starts_with(&format!("{protocol}://"));
            pool.identity
                .as_ref()
                .is_some_and(|identity| is_of_protocol(identity) && identity.ends_with(&end))
        });
    }
    let (directory, _) = source.rsplit_once('/')?;
    pools.iter().find(|pool| {
        let target = pool.target_path.as_deref().map(|path| path.trim_end_matches('/'));
        target.is_some_and(|target| !target.is_empty() && target == directory)
    })
}

/// The file system that a path is on: the one mounted at its longest beginning.
fn beneath<'a>(path: &str, filesystems: &'a [Filesystem]) -> Option<&'a Filesystem> {
    filesystems
        .iter()
        .filter(|filesystem| within(path, &filesystem.mount_point).is_some())
        .max_by_key(|filesystem| filesystem.mount_point.len())
}

/// The rest of `path` below `directory`.
fn within<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(directory.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
}

/// "nfs://server/export/below": what the same directory is called on every host that mounts it.
fn identity(path: &str, filesystem: &Filesystem) -> Option<String> {
    let kind = filesystem.r#type.as_deref()?;
    let (_, scheme) = SHARED_TYPES.iter().find(|(shared, _)| *shared == kind)?;
    let source = filesystem.source.as_deref()?;
    // "server:/export", "mon1,mon2:/dir", "//server/share"; a cluster file system's is its device, named alike nowhere.
    let (server, export) = match source.strip_prefix("//") {
        Some(share) => share.split_once('/').unwrap_or((share, "")),
        None => source.rsplit_once(":/")?,
    };
    let below = within(path, &filesystem.mount_point).unwrap_or_default();
    let whole = [export.trim_matches('/'), below].map(str::to_owned);
    let directory = whole.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let mut servers: Vec<String> = server.split(',').map(str::to_ascii_lowercase).collect();
    servers.sort_unstable();
    Some(format!("{scheme}://{}/{directory}", servers.join(",")))
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::DomainDisk;

    use super::*;

    fn filesystem(mount_point: &str, kind: &str, source: &str) -> Filesystem {
        Filesystem {
            mount_point: mount_point.to_owned(),
            r#type: Some(kind.to_owned()),
            source: Some(source.to_owned()),
            ..Filesystem::default()
        }
    }

    fn pool(name: &str, path: &str, identity: Option<&str>) -> StoragePool {
        StoragePool {
            name: name.to_owned(),
            target_path: Some(path.to_owned()),
            identity: identity.map(str::to_owned),
            ..StoragePool::default()
        }
    }

    fn filesystems() -> [Filesystem; 4] {
        [
            filesystem("/", "ext4", "/dev/sda1"),
            filesystem("/srv/nfs", "nfs4", "NAS:/export"),
            filesystem("/srv/nfs2", "xfs", "/dev/sdb1"),
            filesystem("/mnt/ceph", "ceph", "b:6789,a:6789:/dir"),
        ]
    }

    #[test]
    fn pools_on_shared_file_systems_have_an_identity() {
        let mut pools = vec![
            pool("local", "/var/lib/libvirt/images", None),
            pool("nfs", "/srv/nfs/vms/", None),
            pool("near", "/srv/nfs2", None),
            pool("ceph", "/mnt/ceph", None),
            pool("vg", "/dev/vg0", None),
        ];
        place(None, Some(&mut pools), Some(&filesystems()));
        let told: Vec<_> =
            pools.iter().map(|pool| (pool.mount_point.as_deref(), pool.identity.as_deref())).collect();
        assert_eq!(
            told,
            [
                (Some("/"), None),
                (Some("/srv/nfs"), Some("nfs://nas/export/vms")),
                (Some("/srv/nfs2"), None),
                (Some("/mnt/ceph"), Some("ceph://a:6789,b:6789/dir")),
                (None, None),
            ]
        );
    }

    #[test]
    fn disks_are_found_in_their_pools() {
        let disk = |kind: &str, source: &str| DomainDisk {
            r#type: Some(kind.to_owned()),
            source: Some(source.to_owned()),
            shared_storage: (kind == "network").then_some(true),
            ..DomainDisk::default()
        };
        let disks = vec![
            disk("file", "/srv/nfs/vms/a.qcow2"),
            disk("file", "/var/lib/libvirt/images/b.qcow2"),
            disk("network", "rbd:vms/c"),
            disk("block", "/dev/vg0/d"),
            disk("file", "/elsewhere/e"),
        ];
        let mut domains = vec![Domain { disks, ..Domain::default() }];
        let mut pools = vec![
            pool("nfs", "/srv/nfs/vms", None),
            pool("default", "/var/lib/libvirt/images", None),
            StoragePool { target_path: None, ..pool("rbd", "", Some("rbd://a,b/vms")) },
            pool("vg0", "/dev/vg0", None),
        ];
        place(Some(&mut domains), Some(&mut pools), Some(&filesystems()));
        let told: Vec<_> = domains[0]
            .disks
            .iter()
            .map(|disk| (disk.pool.as_deref(), disk.volume.as_deref(), disk.shared_storage))
            .collect();
        assert_eq!(
            told,
            [
                (Some("nfs"), Some("a.qcow2"), Some(true)),
                (Some("default"), Some("b.qcow2"), Some(false)),
                (Some("rbd"), Some("c"), Some(true)),
                (Some("vg0"), Some("d"), None),
                (None, None, Some(false)),
            ]
        );
    }
}
