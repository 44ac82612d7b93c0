//! Tests of decisions as a whole.

mod against_brute_force;
mod against_the_scan;
mod examples;
mod hinted;
mod refusals;
mod world;
