//! Decides where instances go, and promises it.
//!
//! Effects around pure parts: asks hosts for what is not known, decides under one lock that nobody holds while waiting, hands
//! claims to the [`Ledger`], and answers when they are durable. Must not know the wire.

mod answer;
mod asked;
mod capacity;
mod cell_promises;
mod cells;
mod claims;
mod decide;
mod error;
mod evacuate;
mod evacuation;
mod fingerprint;
mod hints;
mod instances;
mod known;
mod leaving;
mod planner;
mod promised;
mod rows;
mod topology;
mod usage;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use vmuster_proto::model::{PlaceAnswer, PlaceRequest};

pub use error::{ClaimsError, PlaceError};
pub use instances::Whose;

use crate::{
    cache::Flights,
    claims::{ClaimBook, Ledger},
    cluster::Cluster,
    hosts::Scope,
    statistics::{PlaceMode, Statistics},
};
use asked::Asked;
use planner::Planner;

/// How often hosts are asked because a decision chose them, and it is made anew. The last time only hosts that were asked
/// just now are chosen from.
const VERIFICATIONS_MAX: u32 = 3;

/// Room for a million changes a millisecond.
const GENERATIONS_PER_MILLISECOND_BITS: u32 = 20;

/// How answers are kept that must be given again.
#[derive(Debug, Clone, Copy)]
pub struct AnswerCodec {
    /// To bytes.
    pub encode: fn(&PlaceAnswer) -> Vec<u8>,
    /// And back; None: they make no sense.
    pub decode: fn(&[u8]) -> Option<PlaceAnswer>,
}

/// Places instances of a cluster.
pub struct Scheduler {
    cluster: Arc<Cluster>,
    planner: Mutex<Planner>,
    /// None: nothing can be promised.
    ledger: Option<Ledger>,
    /// Nothing was ever claimed.
    no_claims: ClaimBook,
    usage_max_age: Duration,
    flights: Flights<String, ()>,
    codec: AnswerCodec,
    statistics: Arc<Statistics>,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A scheduler that promises by this ledger; without one it only tells.
    #[must_use]
    pub fn new(
        cluster: Arc<Cluster>,
        ledger: Option<Ledger>,
        usage_max_age: Duration,
        storage_classes: BTreeMap<String, Vec<String>>,
        codec: AnswerCodec,
    ) -> Self {
        // No coordinator decides so often that the next would begin where it ended.
        let generation = cluster.cache().now().unix_millis() << GENERATIONS_PER_MILLISECOND_BITS;
        let flights = Flights::on(cluster.cache().runtime().cloned());
        Self {
            cluster,
            planner: Mutex::new(Planner::new(storage_classes, generation)),
            ledger,
            no_claims: ClaimBook::default(),
            usage_max_age,
            flights,
            codec,
            statistics: Arc::default(),
        }
    }

    /// Counts there.
    #[must_use]
    pub fn with_statistics(self, statistics: Arc<Statistics>) -> Self {
        Self { statistics, ..self }
    }

    /// Finds hosts for instances, and promises them if asked to. `digest` is of the request as it was sent.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub async fn place(
        self: &Arc<Self>,
        request: &PlaceRequest,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<PlaceAnswer, PlaceError> {
        // First: hosts that it names may have gone since it was answered.
        if request.claim
            && let Some(known) = self.answered_before(request, digest, deadline).await?
        {
            return Ok(known);
        }
        if let Some(host) = &request.evacuate_host {
            return self.evacuate(request, host, digest, deadline).await;
        }
        let asked = Asked::new(request, &self.cluster.registry())?;
        // Guests of any host may be those that are asked for, and its disks be in a pool that others share.
        let everywhere = Scope::default();
        let scope = if request.claim || asked.has_disks() { &everywhere } else { asked.scope() };
        self.learn_unknown(scope, deadline).await;
        self.answered(&asked, digest, deadline).await
    }

    async fn answered(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<PlaceAnswer, PlaceError> {
        let (mode, answer) = if asked.request.claim {
            (PlaceMode::Claim, self.claim(asked, digest, deadline).await?)
        } else {
            (PlaceMode::DryRun, self.dry_run(asked))
        };
        let placed = if answer.granted { answer.placements.len() } else { 0 };
        let used = if answer.hints_used { asked.request.hints.len() } else { 0 };
        self.statistics.hinted(used, answer.stale_hints.len());
        let unknown = asked.evacuation().map_or(0, |evacuation| evacuation.unknown.len());
        let refused = asked.instances.len().saturating_sub(placed).saturating_add(unknown);
        self.statistics.placed(mode, placed, refused);
        Ok(answer)
    }

    fn planner(&self) -> MutexGuard<'_, Planner> {
        // Nothing in it is ever left half-changed by a panic of a caller: its functions do not call back.
        self.planner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all claims.
    fn with_book<T>(&self, look: impl FnOnce(&ClaimBook) -> T) -> T {
        match &self.ledger {
            Some(ledger) => ledger.read(|holdings| look(&holdings.book)),
            None => look(&self.no_claims),
        }
    }

    /// Takes no more claims, and waits until all are written; false if that takes longer.
    pub async fn close(&self, patience: Duration) -> bool {
        match &self.ledger {
            Some(ledger) => ledger.close(patience).await,
            None => true,
        }
    }
}
