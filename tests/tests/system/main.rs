//! The whole system: real agents, coordinators and commands over real sockets.

mod admission;
mod cache_damage;
mod cache_rules;
mod captures;
mod captures_of_guests;
mod cli;
mod cli_answers;
mod discovery;
mod exit_codes;
mod feature_names;
mod freshness;
mod house_rules;
mod hung_mount;
mod json_schema;
mod libvirt;
mod live_cpu_tools;
mod live_tools;
mod migration;
mod mutation;
mod questions;
mod recorded_cpus;
mod recorded_guests;
mod reload;
mod systemd_hardening;
mod systemd_units;
