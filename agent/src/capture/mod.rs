//! Makes a recorded host of this machine: what the collectors read, and nothing else.
//!
//! Knows how a recorded host is laid out (BLUEPRINT "Recorded host"). Must not know what the files mean: it writes what
//! a collection was seen to read.

mod disguise;
mod libvirt;
mod redact;
mod replica;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use serde::Serialize;
use vmuster_proto::model::{Filesystem, Inventory, Snapshot};

use self::{libvirt::Recording, replica::Replica};
pub use self::{
    libvirt::{Words, words},
    redact::Redactor,
    replica::WriteError,
};
use crate::{
    collect::cpuid,
    host_root::{Access, HostRoot, ReadFailure},
    hypervisor::figures::FIGURES_JSON,
    parse::statvfs_json::{self, FsStats},
    recorded::{CAPTURED_BY, HOST_JSON},
};

/// Files of which only some lines are of use: a megabyte of names of devices that this host does not have.
const PCI_IDS: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

/// Why there is no capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Something is there already.
    #[error("{} is there already and not empty: name a directory that is new", .0.display())]
    NotEmpty(PathBuf),
    /// The directory cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An account of the host could not be written as JSON: a bug.
    #[error("cannot write {file} as JSON")]
    Json {
        /// Which.
        file: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// DIR/host.json.
#[derive(Serialize)]
struct HostDocument {
    name: String,
    arch: Option<String>,
    kernel_release: Option<String>,
    hostname: Option<String>,
    captured_at: Option<String>,
    booted_at: Option<String>,
    captured_by: &'static str,
    denied: Vec<String>,
}

/// What a capture is made of.
#[derive(Debug)]
pub struct Captured<'a> {
    /// This machine.
    pub root: &'a HostRoot,
    /// What a collection was seen to read of it.
    pub accesses: &'a BTreeSet<(String, Access)>,
    /// What that collection gave.
    pub snapshot: &'a Snapshot,
    /// What libvirt says in its own words; None: nothing of libvirt is captured.
    pub libvirt: Option<&'a Words>,
    /// None: everything as it is.
    pub redactor: Option<&'a Redactor>,
}

/// Makes sure that a capture can go there and overwrites nothing.
///
/// # Errors
/// It is there and not empty, or cannot be made.
pub fn prepare(directory: &Path) -> Result<(), CaptureError> {
    let failed = |source| CaptureError::Directory { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    #[expect(clippy::disallowed_methods, reason = "a directory of our own")]
    let mut entries = fs::read_dir(directory).map_err(failed)?;
    match entries.next() {
        Some(_) => Err(CaptureError::NotEmpty(directory.to_owned())),
        None => Ok(()),
    }
}

/// Writes the capture.
///
/// # Errors
/// Something could not be written; what was written so far stays.
pub fn write(captured: &Captured<'_>, directory: &Path) -> Result<(), CaptureError> {
    let mut replica = Replica::new(captured.root, directory);
    let mut denied = Vec::new();
    for (path, access) in captured.accesses {
        match access {
            Access::File => match captured.root.read(path) {
                Ok(bytes) => replica.file(path, &captured.content(path, &bytes))?,
                Err(error) if error.kind() == vmuster_proto::model::IssueKind::Denied => {
                    denied.push(path.clone());
                }
                // Refused while there is nothing to tell, as the speed of an interface without a link.
                Err(error) if error.source == ReadFailure::Os(Errno::INVAL) => replica.file(path, b"")?,
                Err(_) => {}
            },
            Access::Directory => {
                let Ok(names) = captured.root.read_dir(path) else { continue };
                replica.directory(path)?;
                for name in names {
                    let entry = format!("{path}/{name}");
                    replica.link(&entry)?;
                    if captured.root.directory(&entry).is_ok() {
                        replica.directory(&entry)?;
                    }
                }
            }
            Access::Link => replica.link(path)?,
            Access::Exists if captured.root.directory(path).is_ok() => replica.directory(path)?,
            Access::Exists if captured.root.exists(path) => replica.file(path, b"")?,
            Access::Exists | Access::Statvfs => {}
        }
    }
    captured.accounts(&mut replica, denied)
}

impl Captured<'_> {
    fn content(&self, path: &str, bytes: &[u8]) -> Vec<u8> {
        let bytes = if PCI_IDS.contains(&path) {
            used_names(&String::from_utf8_lossy(bytes), &self.snapshot.inventory).into_bytes()
        } else {
            bytes.to_vec()
        };
        self.redactor.map_or_else(|| bytes.clone(), |redactor| redactor.content(path, &bytes))
    }

    fn named(&self, name: &str) -> String {
        self.redactor.map_or_else(|| name.to_owned(), |redactor| redactor.name(name))
    }

    /// What the files do not say: host.json, cpuid.txt, statvfs.json, libvirt.
    fn accounts(&self, replica: &mut Replica<'_>, denied: Vec<String>) -> Result<(), CaptureError> {
        let system = self.snapshot.inventory.system.clone().unwrap_or_default();
        let document = HostDocument {
            name: self.named(&self.snapshot.name),
            arch: system.arch,
            kernel_release: system.kernel_release,
            hostname: system.hostname.map(|name| self.named(&name)),
            captured_at: self.snapshot.inventory.collected_at.map(|time| time.to_string()),
            booted_at: system.booted_at.map(|time| time.to_string()),
            captured_by: CAPTURED_BY,
            denied,
        };
        let json = |file, result: serde_json::Result<Vec<u8>>| {
            result.map_err(|source| CaptureError::Json { file, source })
        };
        replica.file(HOST_JSON, &json(HOST_JSON, serde_json::to_vec_pretty(&document))?)?;
        if let Some(leaves) = cpuid::live() {
            replica.file(cpuid::RECORDED, leaves.dump().as_bytes())?;
        }
        let statvfs =
            json(statvfs_json::RECORDED, statvfs_json::write(&self.answers()).map(String::into_bytes))?;
        // Mount points may hold a UUID, as those of containers do.
        let statvfs = match self.redactor {
            Some(redactor) => redactor.content(statvfs_json::RECORDED, &statvfs),
            None => statvfs,
        };
        replica.file(statvfs_json::RECORDED, &statvfs)?;
        let Some(words) = self.libvirt else { return Ok(()) };
        let recording = Recording::new(self.snapshot, words, self.redactor)
            .map_err(|source| CaptureError::Json { file: FIGURES_JSON, source })?;
        for directory in recording.directories {
            replica.own_directory(directory)?;
        }
        recording.files.iter().try_for_each(|(path, content)| replica.own_file(path, content))?;
        Ok(())
    }
}

impl Captured<'_> {
    /// What each file system answered, in bytes; asking again could hang.
    fn answers(&self) -> BTreeMap<String, FsStats> {
        let usage = self.snapshot.usage.as_ref();
        let filesystems = usage.and_then(|usage| usage.filesystems.as_deref()).unwrap_or_default();
        let answer = |it: &Filesystem| {
            let stats = FsStats {
                block_size_bytes: 1,
                blocks: it.size_bytes?.0,
                blocks_free: it.free_bytes?.0,
                blocks_available: it.available_bytes?.0,
                inodes: it.inodes.unwrap_or(0),
                inodes_free: it.inodes_free.unwrap_or(0),
            };
            Some((it.mount_point.clone(), stats))
        };
        let mut answers: BTreeMap<_, _> = filesystems.iter().filter_map(answer).collect();
        // One that has no blocks is in no list, and has no issue either.
        let asked = self.accesses.iter().filter(|(_, access)| *access == Access::Statvfs);
        for (path, _) in asked.filter(|(path, _)| filesystems.iter().all(|it| it.mount_point != *path)) {
            let none = FsStats {
                block_size_bytes: 1,
                blocks: 0,
                blocks_free: 0,
                blocks_available: 0,
                inodes: 0,
                inodes_free: 0,
            };
            answers.insert(path.clone(), none);
        }
        answers
    }
}

/// The lines of pci.ids that name this host's devices: vendors, devices and classes.
fn used_names(text: &str, inventory: &Inventory) -> String {
    let devices = inventory.pci.as_deref().unwrap_or_default();
    let vendors: BTreeSet<&str> = devices.iter().filter_map(|device| device.vendor_id.as_deref()).collect();
    let ids: BTreeSet<(&str, &str)> = devices
        .iter()
        .filter_map(|device| Some((device.vendor_id.as_deref()?, device.device_id.as_deref()?)))
        .collect();
    let mut vendor = "";
    let mut in_classes = false;
    let mut used = String::new();
    for line in text.lines() {
        in_classes |= line.starts_with("C ");
        let is_used = in_classes
            || match line.strip_prefix('\t') {
                Some(device) => device.get(..4).is_some_and(|device| ids.contains(&(vendor, device))),
                None => {
                    vendor = line.get(..4).unwrap_or_default();
                    vendors.contains(vendor)
                }
            };
        if is_used {
            used.push_str(line);
            used.push('\n');
        }
    }
    used
}
