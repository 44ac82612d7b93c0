//! A host's files to the model, one file per section.
//!
//! Knows which file holds what, and what it means that one is missing. Every section is read as far as it can be:
//! `(Option<Section>, Vec<Issue>)`, never an error, never a zero for what was not read. Must not know how a file is
//! opened, how its text is parsed, or who asks.

pub(crate) mod cpu;
mod cpu_sets;
pub(crate) mod cpuid;
mod cpuid_features;
mod device;
#[cfg_attr(not(test), expect(dead_code, reason = "the snapshot reads it next"))]
pub(crate) mod disks;
mod flags;
mod hugepages;
pub(crate) mod memory;
#[cfg_attr(not(test), expect(dead_code, reason = "the snapshot reads it next"))]
pub(crate) mod nics;
pub(crate) mod numa;
pub(crate) mod own_process;
#[cfg_attr(not(test), expect(dead_code, reason = "the snapshot reads it next"))]
pub(crate) mod pci;
mod reading;
pub(crate) mod system;
mod topology;
pub(crate) mod usage;

/// Whether a root is this machine's: only then may anything but its files be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This machine.
    Live,
    /// A recorded host.
    Recorded,
}
