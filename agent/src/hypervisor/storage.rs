//! Which file systems guests' disks and pools are on, and who else can reach them. Pure.

use std::collections::BTreeSet;

use vmuster_proto::model::{Domain, DomainDisk, Filesystem, StoragePool};

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

/// Where a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'f> {
    /// The file system it is on.
    pub filesystem: &'f Filesystem,
    /// Its path below the mount point, empty for that itself; None: not known.
    pub below: Option<String>,
}

/// Finds the pool of each disk, and what follows from where `find` says that directories are; None: not known.
pub fn place<'f>(
    domains: Option<&mut Vec<Domain>>,
    pools: Option<&mut Vec<StoragePool>>,
    find: &dyn Fn(&str) -> Option<Place<'f>>,
) {
    let mut known: &mut [StoragePool] = &mut [];
    if let Some(pools) = pools {
        for pool in pools.iter_mut() {
            place_pool(pool, find);
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
            disk.shared_storage = by_pool.or_else(|| is_shared(disk, pool, find));
        }
    }
}

/// What [`place`] asks for: each directory once, those of pools first.
#[must_use]
pub fn directories<'a>(domains: &'a [Domain], pools: &'a [StoragePool]) -> Vec<&'a str> {
    let disks = domains.iter().flat_map(|domain| &domain.disks);
    let all = pools.iter().filter_map(pool_directory).chain(disks.filter_map(disk_directory));
    let mut seen = BTreeSet::new();
    all.filter(|directory| seen.insert(*directory)).collect()
}

/// Where a directory is by its path alone: on what is mounted at its longest beginning.
#[must_use]
pub fn by_path<'f>(directory: &str, filesystems: &'f [Filesystem]) -> Option<Place<'f>> {
    let on = filesystems.iter().filter(|filesystem| within(directory, &filesystem.mount_point).is_some());
    let filesystem = on.max_by_key(|filesystem| filesystem.mount_point.len())?;
    Some(Place { filesystem, below: below(directory, filesystem) })
}

/// A path below the mount point, if it is there.
#[must_use]
pub fn below(path: &str, filesystem: &Filesystem) -> Option<String> {
    within(path, &filesystem.mount_point).map(str::to_owned)
}

/// The file that a pool's volume is, if the pool has a directory; None: not known, or no volume.
#[must_use]
pub fn volume_path(disk: &DomainDisk, pools: &[StoragePool]) -> Option<String> {
    let (name, volume) = (disk.pool.as_ref()?, disk.volume.as_ref()?);
    let pool = pools.iter().find(|pool| pool.name == *name)?;
    let directory = pool.target_path.as_deref()?.trim_end_matches('/');
    (!directory.is_empty()).then(|| format!("{directory}/{volume}"))
}

fn place_pool<'f>(pool: &mut StoragePool, find: &dyn Fn(&str) -> Option<Place<'f>>) {
    let Some(place) = pool_directory(pool).and_then(find) else { return };
    pool.mount_point = Some(place.filesystem.mount_point.clone());
    if pool.identity.is_none() {
        pool.identity = identity(&place);
    }
}

/// None: not known.
fn is_shared<'f>(
    disk: &DomainDisk,
    pool: Option<&StoragePool>,
    find: &dyn Fn(&str) -> Option<Place<'f>>,
) -> Option<bool> {
    let is_path = disk.source.as_ref().is_some_and(|source| source.starts_with('/'));
    let directory = if is_path { disk_directory(disk) } else { pool.and_then(pool_directory) };
    let kind = find(directory?)?.filesystem.r#type.as_deref()?;
    Some(SHARED_TYPES.iter().any(|(shared, _)| *shared == kind))
}

/// Of a pool that has one.
fn pool_directory(pool: &StoragePool) -> Option<&str> {
    pool.target_path.as_deref().and_then(directory)
}

/// That a disk's file is in.
fn disk_directory(disk: &DomainDisk) -> Option<&str> {
    let source = disk.source.as_deref()?;
    let is_directory = disk.r#type.as_deref() == Some("dir");
    directory(if is_directory { source } else { source.get(..=source.rfind('/')?)? })
}

/// A path without a slash at its end, if it is absolute and no device's.
fn directory(path: &str) -> Option<&str> {
    let is_local = path.starts_with('/') && !path.starts_with(DEVICES);
    let trimmed = path.trim_end_matches('/');
    is_local.then_some(if trimmed.is_empty() { "/" } else { trimmed })
}

/// The only pool whose directory a file is in, or whose name in its storage a network disk has. Two clusters may have
/// pools of one name, and which is the disk's its name does not tell.
fn pool_of<'a>(source: &str, kind: Option<&str>, pools: &'a [StoragePool]) -> Option<&'a StoragePool> {
    if kind == Some("network") {
        let (protocol, name) = source.split_once(':')?;
        let (within, _) = name.rsplit_once('/')?;
        let (begin, end) = (format!("{protocol}://"), format!("/{within}"));
        return only(pools, |pool| {
            let identity = pool.identity.as_deref().unwrap_or_default();
            identity.starts_with(&begin) && identity.ends_with(&end)
        });
    }
    let (directory, _) = source.rsplit_once('/')?;
    only(pools, |pool| {
        let target = pool.target_path.as_deref().map(|path| path.trim_end_matches('/'));
        target.is_some_and(|target| !target.is_empty() && target == directory)
    })
}

fn only(pools: &[StoragePool], is_it: impl Fn(&StoragePool) -> bool) -> Option<&StoragePool> {
    let mut alike = pools.iter().filter(|pool| is_it(pool));
    alike.next().filter(|_| alike.next().is_none())
}

/// The rest of `path` below `directory`.
fn within<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(directory.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
}

/// "nfs://server/export/below": what the same directory is called on every host that mounts it.
fn identity(place: &Place<'_>) -> Option<String> {
    let Place { filesystem, below } = place;
    let below = below.as_deref()?;
    let kind = filesystem.r#type.as_deref()?;
    let (_, scheme) = SHARED_TYPES.iter().find(|(shared, _)| *shared == kind)?;
    let source = filesystem.source.as_deref()?;
    // "server:/export", "mon1,mon2:/dir", "//server/share"; a cluster file system's is its device, named alike nowhere.
    let (server, export) = match source.strip_prefix("//") {
        Some(share) => share.split_once('/').unwrap_or((share, "")),
        None => source.rsplit_once(":/")?,
    };
    let whole = [export.trim_matches('/'), below].map(str::to_owned);
    let directory = whole.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let mut servers: Vec<String> = server.split(',').map(str::to_ascii_lowercase).collect();
    servers.sort_unstable();
    Some(format!("{scheme}://{}/{directory}", servers.join(",")))
}

#[cfg(test)]
mod tests {
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

    fn disk(kind: &str, source: &str) -> DomainDisk {
        DomainDisk {
            r#type: Some(kind.to_owned()),
            source: Some(source.to_owned()),
            shared_storage: (kind == "network").then_some(true),
            ..DomainDisk::default()
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
        let filesystems = filesystems();
        let mut pools = vec![
            pool("local", "/var/lib/libvirt/images", None),
            pool("nfs", "/srv/nfs/vms/", None),
            pool("near", "/srv/nfs2", None),
            pool("ceph", "/mnt/ceph", None),
            pool("vg", "/dev/vg0", None),
        ];
        place(None, Some(&mut pools), &|directory| by_path(directory, &filesystems));
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
        let filesystems = filesystems();
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
        place(Some(&mut domains), Some(&mut pools), &|directory| by_path(directory, &filesystems));
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
    #[test]
    fn a_disk_of_one_of_two_clusters_is_in_no_pool() {
        let found = |identities: &[&str]| {
            let rbd = |identity: &&str| StoragePool { target_path: None, ..pool("rbd", "", Some(identity)) };
            let mut pools: Vec<_> = identities.iter().map(rbd).collect();
            let disks = vec![disk("network", "rbd:vms/a")];
            let mut domains = vec![Domain { disks, ..Domain::default() }];
            place(Some(&mut domains), Some(&mut pools), &|_| None);
            let disk = domains[0].disks.remove(0);
            (disk.pool, disk.volume, disk.shared_storage)
        };
        let here = (Some("rbd".to_owned()), Some("a".to_owned()), Some(true));
        assert_eq!(found(&["rbd://a/vms", "rbd://b/images"]), here);
        assert_eq!(found(&["rbd://a/vms", "rbd://b/vms"]), (None, None, Some(true)));
    }

    #[test]
    fn each_directory_is_asked_for_once() {
        let disks = vec![
            disk("file", "/img/a"),
            disk("file", "/img/b"),
            disk("file", "/c"),
            disk("dir", "/share/"),
            disk("block", "/dev/sdb"),
            disk("network", "rbd:vms/c"),
            disk("file", "/other/d"),
        ];
        let domains = [Domain { disks, ..Domain::default() }];
        let pools = [pool("p", "/zz/", None), pool("q", "/img", None), pool("vg", "/dev/vg", None)];
        assert_eq!(directories(&domains, &pools), ["/zz", "/img", "/", "/share", "/other"]);
    }
}
