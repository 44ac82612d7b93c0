//! A host as a read found it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use vmuster_proto::model::{Freshness, HostFailure, HostStanding, Problem};

use super::{Failure, HostRecord};
use crate::hosts::HostEntry;

/// How fresh a read must be and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Records at least this old are asked for again; None: the TTL. Never loosens the TTL.
    pub max_age: Option<Duration>,
    /// When the caller must have its answer.
    pub deadline: Instant,
}

/// What a read had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    StillFresh,
    /// Received a new inventory.
    Fetched,
    /// Heard that the old one holds.
    Unchanged,
    /// Asked in vain, or could not ask.
    Failed,
}

/// One host as a read found it.
#[derive(Debug, Clone)]
pub struct HostView {
    /// From the registry.
    pub entry: Arc<HostEntry>,
    /// The last known facts.
    pub record: Option<Arc<HostRecord>>,
    /// Whether they are good.
    pub freshness: Freshness,
    /// Why not.
    pub problem: Option<Problem>,
    /// What the read had to do.
    pub outcome: Outcome,
}

impl HostView {
    /// A good one.
    #[must_use]
    pub fn fresh(entry: &Arc<HostEntry>, record: Arc<HostRecord>, outcome: Outcome) -> Self {
        let entry = Arc::clone(entry);
        Self { entry, record: Some(record), freshness: Freshness::Fresh, problem: None, outcome }
    }

    /// Without the facts.
    #[must_use]
    pub fn standing(&self) -> HostStanding {
        let record = self.record.as_deref();
        HostStanding {
            name: self.entry.name.clone(),
            address: self.entry.address.as_ref().map(ToString::to_string).unwrap_or_default(),
            reported_name: record.map(|record| record.reported_name.clone()).unwrap_or_default(),
            freshness: self.freshness,
            fetched_at: record.and_then(|record| record.fetched_at),
            validated_at: record.and_then(|record| record.validated_at),
            collected_at: record.and_then(|record| record.inventory.collected_at),
            problem: self.problem.clone(),
        }
    }
}

impl From<Failure> for HostFailure {
    fn from(failure: Failure) -> Self {
        let Failure { when, problem, consecutive_count, .. } = failure;
        Self { problem, failed_at: when, consecutive_count }
    }
}
