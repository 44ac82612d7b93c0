//! Which host takes which instance? Pure: figures and demands in, decisions out.
//!
//! Knows filters, weighers and how to find the best host without looking at all of them. Must not know claims, clocks,
//! usage answers or the wire: figures are summed by others, and what was decided is written down by others.
//!
//! The answer is that of an exhaustive search, bit for bit: what is kept between decisions only saves work.

mod batch;
mod cells;
mod changes;
mod class;
mod classes;
mod columns;
mod decision;
mod disks;
mod distinct;
mod estimate;
mod explain;
mod filters;
mod forced;
mod hinted;
mod host;
mod need;
pub mod numa;
mod pools;
pub mod reference;
mod related;
mod relations;
mod request;
mod scores;
mod solver;
mod weighers;

pub use cells::HostCells;
pub use decision::{
    Candidate, Decision, Estimate, Explanation, FilterName, Lack, Miss, NearMiss, Placed, Refusal, Rejected,
};
pub use hinted::NotThere;
pub use host::{AnswersTo, GuestCpu, HostPool, PlacementHost, Pool, PoolKey, Resource};
pub use request::{
    AffinityPolicy, AffinityRule, Batch, Completeness, Demand, DiskDemand, DiskPlace, ForcedHost, Group,
    InvalidMultiplier, MULTIPLIER_MAX, Member, Profile, Question, WeigherName,
};
pub use solver::{CellsTaken, Solver, Taken, Then, Work};

#[cfg(test)]
mod tests;
