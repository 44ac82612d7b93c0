//! The contract between vmuster's parts.
//!
//! Knows: the gRPC schema ([`pb`]), what the words mean ([`model`]), how the two map onto each other ([`convert`]), what
//! CPU features are called ([`features`]), what libvirt's documents say ([`libvirt`]), how peers reach and admit each other ([`transport`]) and how both daemons meet
//! their operator ([`daemon`]). Must not know: how facts are read, kept or decided upon.

pub mod clock;
pub mod convert;
pub mod daemon;
pub mod features;
pub mod libvirt;
pub mod model;
pub mod pb;
pub mod transport;
