//! libvirt's XML → types.
//!
//! Knows the elements that decide what guests can have and what they were promised. Must not know where the text comes
//! from, nor libvirt's library.

pub mod capabilities;
pub mod cpu;
pub mod cpu_map;
pub mod domain;
pub mod domain_capabilities;
mod domain_devices;
mod host_bound;
pub mod pool;
pub mod render;
pub mod xml;

pub use xml::XmlError;
