//! Which mounts are file systems to measure. Pure: mounts in, candidates out.
//!
//! Each file system once, however often it is mounted, and none whose space is counted elsewhere.

use std::collections::{BTreeMap, HashMap};

use crate::parse::mountinfo::{Mount, MountIds};

/// Types that are left out, and why.
const LEFT_OUT: [(&str, &[&str]); 6] = [
    (
        "the kernel's own view of something; it stores nothing",
        &[
            "binder",
            "binfmt_misc",
            "bpf",
            "cgroup",
            "cgroup2",
            "configfs",
            "cpuset",
            "debugfs",
            "devpts",
            "efivarfs",
            "functionfs",
            "fusectl",
            "mqueue",
            "nfsd",
            "nsfs",
            "openpromfs",
            "proc",
            "pstore",
            "resctrl",
            "rpc_pipefs",
            "securityfs",
            "selinuxfs",
            "smackfs",
            "spufs",
            "sysfs",
            "tracefs",
            "usbfs",
            "xenfs",
        ],
    ),
    (
        "what it stores is memory, and counted there",
        &["devtmpfs", "hugetlbfs", "ramfs", "rootfs", "secretmem", "tmpfs"],
    ),
    ("to ask it for its space would mount what it waits for", &["autofs"]),
    (
        "an image that nobody can write to: always full, whatever its size",
        &[
            "cramfs",
            "erofs",
            "fuse.snapfuse",
            "fuse.squashfuse",
            "fuse.squashfuse_ll",
            "iso9660",
            "romfs",
            "squashfs",
        ],
    ),
    ("shows the space of mounts that are listed themselves", &["ecryptfs", "fuse.mergerfs"]),
    (
        "a desktop's or container's window onto other files",
        &["fuse.gvfs-fuse-daemon", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fuse.vmware-vmblock"],
    ),
];

/// Types whose space is that of their upper layer.
const UNIONS: [&str; 4] = ["aufs", "fuse.fuse-overlayfs", "overlay", "overlayfs"];

/// A file system to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Where: of several places the one that shows its root, then the shortest.
    pub(crate) mount_point: String,
    pub(crate) source: String,
    pub(crate) fs_type: String,
    /// Major and minor number.
    pub(crate) device: Option<String>,
    /// Of the file system itself; None if the mounts do not tell.
    pub(crate) read_only: Option<bool>,
    /// What shares its free space.
    pub(crate) pool: Option<String>,
}

/// Why file systems of a type are left out, if they are.
fn left_out(fs_type: &str) -> Option<&'static str> {
    LEFT_OUT.iter().find(|(_, types)| types.contains(&fs_type)).map(|(reason, _)| *reason)
}

/// The file systems, by mount point. One that is only mounted where other mounts hide it is not among them: no path
/// leads to it.
pub(crate) fn select(mounts: &[Mount]) -> Vec<Candidate> {
    let visible = visible(mounts);
    let at: HashMap<&str, &Mount> =
        visible.iter().map(|mount| (mount.mount_point.as_str(), *mount)).collect();
    let mut file_systems: BTreeMap<Key, Vec<&Mount>> = BTreeMap::new();
    for mount in visible {
        if left_out(&mount.fs_type).is_none() && !shows_another(mount, &at) {
            file_systems.entry(key(mount)).or_default().push(mount);
        }
    }
    let mut candidates: Vec<Candidate> =
        file_systems.into_values().filter_map(|group| candidate(&group)).collect();
    candidates.sort_unstable_by(|a, b| a.mount_point.cmp(&b.mount_point));
    candidates
}

/// What two mounts of one file system have in common: its number, else type and source. All overlays may be called
/// "overlay"; their upper layer tells them apart.
type Key = (Option<String>, String, String, Option<String>);

fn key(mount: &Mount) -> Key {
    match &mount.device {
        Some(device) => (Some(device.clone()), String::new(), String::new(), None),
        None => (None, mount.fs_type.clone(), mount.source.clone(), mount.option("upperdir")),
    }
}

fn candidate(group: &[&Mount]) -> Option<Candidate> {
    let place = |mount: &&&Mount| {
        let is_part = mount.root.as_deref().is_some_and(|root| root != "/");
        (is_part, mount.mount_point.len(), mount.mount_point.clone())
    };
    let mount = group.iter().min_by_key(place)?;
    Some(Candidate {
        mount_point: mount.mount_point.clone(),
        source: mount.source.clone(),
        fs_type: mount.fs_type.clone(),
        device: mount.device.clone(),
        // In /proc/mounts one mount that can be written through tells it of all.
        read_only: group.iter().find_map(|mount| mount.super_read_only),
        pool: zfs_pool(mount),
    })
}

/// "zfs tank" of the data set "tank/vm/disk" or the snapshot "tank@monday".
fn zfs_pool(mount: &Mount) -> Option<String> {
    let name = mount.source.split(['/', '@']).next().filter(|name| !name.is_empty())?;
    (mount.fs_type == "zfs").then(|| format!("zfs {name}"))
}

/// Whether its space is that of another visible mount: an overlay whose upper layer lies there. A container sees the path
/// of its root's layers, but not the mount they lie on: the root itself is the nearest then, and is kept.
fn shows_another(mount: &Mount, at: &HashMap<&str, &Mount>) -> bool {
    if !UNIONS.contains(&mount.fs_type.as_str()) {
        return false;
    }
    // Without an upper layer nothing can be written, and its space is that of the uppermost of the lower ones.
    let lower = || Some(mount.option("lowerdir")?.split(':').next()?.to_owned());
    let layer = mount.option("upperdir").or_else(lower).filter(|layer| layer.starts_with('/'));
    match layer {
        Some(layer) => std::iter::once(layer.as_str())
            .chain(ancestors(&layer))
            .find_map(|directory| at.get(directory))
            .is_some_and(|nearest| nearest.mount_point != mount.mount_point),
        // Layers that are not named, or relative to a directory of the container engine's.
        None => mount.mount_point != "/",
    }
}

/// The mounts that their mount point leads to, in their order.
fn visible(mounts: &[Mount]) -> Vec<&Mount> {
    let tree = Tree::new(mounts);
    mounts
        .iter()
        .enumerate()
        .filter(|(at, mount)| tree.is_visible(*at, mount))
        .map(|(_, mount)| mount)
        .collect()
}

/// What is mounted on what.
struct Tree<'a> {
    by_id: HashMap<u64, (usize, &'a Mount)>,
    /// The last mount at a place: by the mount it sits on, if that is known, and mount point.
    last_at: HashMap<(Option<u64>, &'a str), usize>,
}

impl<'a> Tree<'a> {
    fn new(mounts: &'a [Mount]) -> Self {
        let mut tree = Self { by_id: HashMap::new(), last_at: HashMap::new() };
        for (at, mount) in mounts.iter().enumerate() {
            if let Some(ids) = mount.ids {
                tree.by_id.insert(ids.mount, (at, mount));
            }
            // The root of all may be its own parent, and hides nothing.
            if mount.ids.is_none_or(|ids| ids.parent != ids.mount) {
                tree.last_at.insert((mount.ids.map(|ids| ids.parent), &mount.mount_point), at);
            }
        }
        tree
    }

    fn is_visible(&self, at: usize, mount: &Mount) -> bool {
        let Some(ids) = mount.ids else {
            // /proc/mounts lists what is at one place in the order it was mounted. It does not tell what hides a directory
            // above: "/" often comes after "/proc", which was moved onto it.
            return !self.is_covered(at, mount, None);
        };
        let is_topmost = self.at(Some(ids.mount), &mount.mount_point).is_none_or(|above| above == at);
        is_topmost && self.is_reachable(at, mount, ids)
    }

    /// Whether a path leads to where it is mounted, whatever is mounted on it again. What hides the mount it sits on at
    /// its root sits there too, and is seen to by the comparison with that.
    fn is_reachable(&self, at: usize, mount: &Mount, ids: MountIds) -> bool {
        let mut next = Some((at, mount, ids));
        // No chain is longer than the list; one that is goes round in a circle.
        for _ in 0..=self.by_id.len() {
            let Some((at, mount, ids)) = next else { return true };
            let is_root = ids.parent == ids.mount;
            if !is_root && self.is_covered(at, mount, Some(ids.parent)) {
                return false;
            }
            let parent = self.by_id.get(&ids.parent).filter(|_| !is_root);
            next = parent.and_then(|(at, parent)| Some((*at, *parent, parent.ids?)));
        }
        false
    }

    /// Whether a neighbour on the same mount came later to the same place, or to a directory above it.
    fn is_covered(&self, at: usize, mount: &Mount, parent: Option<u64>) -> bool {
        let same_place = self.at(parent, &mount.mount_point).is_some_and(|last| last != at);
        let above = |directory| parent.is_some() && self.at(parent, directory).is_some();
        same_place || ancestors(&mount.mount_point).any(above)
    }

    fn at(&self, parent: Option<u64>, mount_point: &str) -> Option<usize> {
        self.last_at.get(&(parent, mount_point)).copied()
    }
}

/// The directories above an absolute path, the nearest first: "/a", "/" of "/a/b".
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| above(path)).skip(1)
}

fn above(path: &str) -> Option<&str> {
    let (directory, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then_some(if directory.is_empty() { "/" } else { directory })
}

#[cfg(test)]
#[path = "mount_selection_tests.rs"]
mod tests;
