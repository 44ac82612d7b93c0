//! The whole system: real agents, coordinators and commands over real sockets.

mod admission;
mod cache_damage;
mod cache_rules;
mod cli;
mod cli_answers;
mod discovery;
mod exit_codes;
mod freshness;
mod house_rules;
mod json_schema;
mod mutation;
mod questions;
mod reload;
