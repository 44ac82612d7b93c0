//! Tests of NUMA placement.

mod against_brute_force;
mod examples;
mod oracle;
mod world;
