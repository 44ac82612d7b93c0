//! Many hosts.
//!
//! Knows who is in the cluster, how to ask an agent, how long an answer holds, and how to decide from what is known. Must
//! not know how a host is read, nor how an answer is shown.

pub mod accounting;
pub mod baseline;
pub mod cache;
pub mod claims;
pub mod cluster;
pub mod config;
pub mod cpu_map;
pub mod fetch;
pub mod flags;
pub mod hosts;
pub mod metrics;
pub mod migration;
pub mod placement;
pub mod scheduler;
pub mod server;
pub mod service;
pub mod snapshots;
pub mod statistics;
mod status;
mod text_file;

pub use status::{
    CLAIM_NOT_FOUND, DOMAIN_NOT_FOUND, EMPTY_SCOPE, HOST_EXISTS, HOST_NOT_REGISTERED, HOST_READ_ONLY,
    INSTANCE_CLAIMED, INSTANCE_EXISTS, INVALID_FIELD, LIVE_CLAIMS, REQUEST_ID_REUSED, STATE_NOT_WRITABLE,
    reason_of,
};
