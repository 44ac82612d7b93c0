//! Text of host files to types.
//!
//! Knows formats. Must not know where a text comes from: no paths, no files, no machine. Every error names its line.

pub mod cpuid_dump;
pub mod cpuinfo;
mod cpuinfo_identity;
pub mod distance;
pub mod libvirt_arch;
pub mod loadavg;
pub mod meminfo;
pub mod mountinfo;
pub mod os_release;
pub mod pci_ids;
pub mod pci_path;
pub mod pressure;
mod riscv_isa;
pub mod statvfs_json;
pub mod sysinfo;
pub mod uevent;
