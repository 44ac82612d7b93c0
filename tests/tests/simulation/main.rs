//! Bad days of fetch and cache (BLUEPRINT §7) on a simulated network and clock: many hosts in one thread, hours in
//! milliseconds, and the same seed gives the same day.
//!
//! The coordinator's library and gRPC are real; the network is turmoil's, the agents say what they are told. Real agents,
//! sockets and processes have the same days in `system`.

mod cache_model;
mod crashes;
mod days;
mod network;
mod reference;
mod world;
