//! The same files, directories, links and mounts, read in the plainest way and thrown away.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Dir, Mode, OFlags, openat, readlinkat, statvfs},
    io::{pread, read},
};
use vmuster_agent::host_root::Access;

/// As large as the largest file, so that nothing grows.
const BUFFER_BYTES: usize = 4 << 20;

/// What a collection asked of its root.
pub(crate) struct Accesses {
    list: Vec<(PathBuf, Access)>,
    buffer: RefCell<Vec<u8>>,
}

impl Accesses {
    pub(crate) fn new(root: &Path, noted: BTreeSet<(String, Access)>) -> Self {
        let whole = |path: String| root.join(path.trim_start_matches('/'));
        let list = noted.into_iter().map(|(path, access)| (whole(path), access)).collect();
        Self { list, buffer: RefCell::new(vec![0; BUFFER_BYTES]) }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// More files, which are opened each time.
    pub(crate) fn add(&mut self, files: &[&str]) {
        self.list.extend(files.iter().map(|path| (PathBuf::from(path), Access::File)));
    }

    /// Everything by its path; of this machine also the CPUID leaves.
    pub(crate) fn read_by_path(&self, with_cpuid: bool) -> usize {
        let buffer = &mut *self.buffer.borrow_mut();
        let mut bytes = 0;
        if with_cpuid {
            bytes += usize::from(vmuster_agent::live_cpuid().is_some());
        }
        for (path, access) in &self.list {
            bytes += self::access(path, *access, buffer);
        }
        bytes
    }

    /// The files among them, open.
    pub(crate) fn open(&self) -> BTreeMap<PathBuf, OwnedFd> {
        let files = self.list.iter().filter(|(_, access)| *access == Access::File);
        files
            .filter_map(|(path, _)| {
                let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
                Some((path.clone(), file))
            })
            .collect()
    }

    /// Files from their descriptors, everything else by its path.
    pub(crate) fn read_kept(&self, kept: &BTreeMap<PathBuf, OwnedFd>) -> usize {
        let buffer = &mut *self.buffer.borrow_mut();
        let mut bytes = 0;
        for (path, access) in &self.list {
            if *access != Access::File {
                bytes += self::access(path, *access, buffer);
                continue;
            }
            let Some(file) = kept.get(path) else {
                bytes += self::access(path, *access, buffer);
                continue;
            };
            let mut offset = 0;
            while let Ok(count @ 1..) = pread(file, &mut buffer[..], offset as u64) {
                offset += count;
            }
            bytes += offset;
        }
        bytes
    }
}

fn access(path: &Path, access: Access, buffer: &mut [u8]) -> usize {
    let open = |flags| openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty());
    match access {
        Access::File => {
            let Ok(file) = open(OFlags::RDONLY) else { return 0 };
            let mut bytes = 0;
            while let Ok(count @ 1..) = read(&file, &mut *buffer) {
                bytes += count;
            }
            bytes
        }
        Access::Directory => {
            let Ok(directory) = open(OFlags::RDONLY | OFlags::DIRECTORY) else { return 0 };
            Dir::new(directory).map_or(0, Iterator::count)
        }
        Access::Link => {
            readlinkat(CWD, path, Vec::with_capacity(256)).map_or(0, |target| target.to_bytes().len())
        }
        Access::Exists => usize::from(open(OFlags::PATH).is_ok()),
        Access::Statvfs => statvfs(path).map_or(0, |_| 1),
    }
}
