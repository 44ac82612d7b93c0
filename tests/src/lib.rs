//! Support for whole-system tests: recorded hosts, real agents and coordinators on sockets of their own, real programs.

pub mod agents;
pub mod coordinators;
pub mod fixtures;
pub mod fleet;
pub mod libvirt_files;
pub mod metrics;
pub mod private_libvirt;
pub mod programs;
pub mod raw;
pub mod reader;
pub mod ready;
pub mod scripted;
pub mod soak;
pub mod synthetic;
pub mod synthetic_guests;
pub mod systemd_box;
pub mod tools;
pub mod waiting;
