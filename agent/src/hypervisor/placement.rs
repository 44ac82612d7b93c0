//! Directories of guests' disks and pools → file systems.
//!
//! Knows how to ask this machine where a directory is, and which must not be asked; a recorded host has only paths. Must
//! not know what follows from it: that is storage.rs.

use std::collections::BTreeMap;

use vmuster_proto::model::{Filesystem, Usage};

use super::storage::{self, Place};
use crate::{
    collect::Origin,
    host_root::HostRoot,
    watch::{Step, Watch},
};

/// Asked for one usage, those of pools first. One on a network's file system takes up to a millisecond, and the whole
/// answer must not take a second.
const DIRECTORIES_MAX: usize = 1000;

/// Finds the file systems of pools and disks.
pub(crate) fn place(root: &HostRoot, origin: Origin, watch: &dyn Watch, usage: &mut Usage) {
    let Usage { domains, pools, filesystems, .. } = usage;
    let filesystems = filesystems.as_deref().unwrap_or_default();
    if origin == Origin::Recorded {
        let by_path = |directory: &str| storage::by_path(directory, filesystems);
        return storage::place(domains.as_mut(), pools.as_mut(), &by_path);
    }
    let directories =
        storage::directories(domains.as_deref().unwrap_or_default(), pools.as_deref().unwrap_or_default());
    let asked = ask(root, watch, &directories, filesystems);
    // The last directory was found: what follows has the time of a section again.
    if watch.enter(Step::Section("usage.pools")).is_ok() {
        storage::place(domains.as_mut(), pools.as_mut(), &|directory| asked.get(directory).cloned());
    }
}

/// Each that could be found. By device, for links and binds lead from one file system to another; a device that is not
/// among the file systems is none of theirs, or a part with a number of its own, as btrfs has: not known.
fn ask<'f>(
    root: &HostRoot,
    watch: &dyn Watch,
    directories: &[&str],
    filesystems: &'f [Filesystem],
) -> BTreeMap<String, Place<'f>> {
    let by_device: BTreeMap<&str, &Filesystem> = filesystems
        .iter()
        .filter_map(|filesystem| Some((filesystem.device.as_deref()?, filesystem)))
        .collect();
    let find = |directory: &str| {
        // What did not tell its size in time would not answer this either.
        storage::by_path(directory, filesystems)?.filesystem.size_bytes?;
        // By its own name: a link may lead to a dead server, and then it is not the mount it begins on that hangs.
        watch.enter(Step::Mount(directory.to_owned())).ok()?;
        let location = root.location(directory).ok()?;
        let filesystem = *by_device.get(location.device.as_str())?;
        let below = location.path.and_then(|path| storage::below(&path, filesystem));
        Some((directory.to_owned(), Place { filesystem, below }))
    };
    directories.iter().take(DIRECTORIES_MAX).filter_map(|directory| find(directory)).collect()
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
