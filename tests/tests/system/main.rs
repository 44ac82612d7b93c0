//! The whole system: real agents, coordinators and commands over real sockets.

mod admission;
mod cache_damage;
mod cli;
mod discovery;
mod exit_codes;
mod freshness;
mod house_rules;
mod reload;
