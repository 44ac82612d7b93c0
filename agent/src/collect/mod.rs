//! A host's files to the model, one file per section.
//!
//! Knows which file holds what, and what it means that one is missing. Every section is read as far as it can be:
//! `(Option<Section>, Vec<Issue>)`, never an error, never a zero for what was not read. Must not know how a file is
//! opened, how its text is parsed, or who asks.

mod caches;
mod core_types;
pub(crate) mod cpu;
mod cpu_sets;
pub(crate) mod cpuid;
mod cpuid_features;
mod device;
pub(crate) mod disks;
pub(crate) mod filesystems;
mod flags;
mod hugepages;
mod identity;
pub(crate) mod images;
pub(crate) mod kvm;
mod load;
pub(crate) mod memory;
mod mount_selection;
pub(crate) mod nics;
pub(crate) mod numa;
pub(crate) mod own_process;
pub(crate) mod pci;
mod pressure;
mod reading;
pub(crate) mod system;
mod topology;
pub(crate) mod usage;
pub(crate) mod virtualization;
mod vulnerabilities;

use crate::host_root::{HostRoot, KeptFiles};

/// A small file's text without white space around it; None where there is none, whatever the reason.
pub(crate) fn small_text(root: &HostRoot, kept: Option<&mut KeptFiles>, path: &str) -> Option<String> {
    let bytes = match kept {
        Some(kept) => kept.read(root, path),
        None => root.read(path),
    };
    bytes.ok().map(|bytes| reading::text_of(&bytes))
}

/// Whether a root is this machine's: only then may anything but its files be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This machine.
    Live,
    /// A recorded host.
    Recorded,
}
