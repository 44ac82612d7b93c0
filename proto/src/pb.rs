//! Generated protobuf types. Only conversions, services, fetch and the CLI's client may name them.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated; documented in the schema"
)]
#![allow(rustdoc::all, reason = "comments of the schema are not rustdoc")]
#![allow(clippy::all, clippy::restriction, clippy::pedantic, reason = "generated")]

tonic::include_proto!("vmuster.v1");

/// The compiled schema (a `google.protobuf.FileDescriptorSet`), as reflection serves it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vmuster.v1.descriptors.bin"));
