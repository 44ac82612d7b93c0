//! One host, read-only.
//!
//! Knows how one machine's files and CPU are read, parsed and put together. Must not know other hosts, or change anything.

mod collect;
pub use collect::cpuid::live as live_cpuid;

pub mod capture;
pub mod collector_thread;
pub mod config;
pub mod cpu_questions;
pub mod fingerprint;
mod host;
pub mod host_root;
pub mod hypervisor;
pub mod parse;
pub mod recorded;
pub mod server;
pub mod service;
pub mod snapshot;
#[cfg(test)]
mod testing;
pub mod watch;
