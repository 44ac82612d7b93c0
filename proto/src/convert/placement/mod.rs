//! Placement and claims on the wire.

mod affinity;
mod answer;
mod claims;
mod nomination;
mod request;
mod topology;

pub use claims::claims;
pub use request::{instance_uuid, place_request};
