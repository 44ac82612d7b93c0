//! Claims that are listed, confirmed, renewed and released.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use vmuster_proto::model::{Bytes, ClaimReport};

use super::{ClaimsError, Scheduler, decide::Anew, topology};
use crate::claims::{
    Change, ChangeError, Claim, ClaimBook, ClaimCounts, ClaimFilter, ClaimId, ClaimPage, ClaimState,
    InstanceId, Outcome, hold_until,
};

impl Scheduler {
    /// A page of claims after this one, by id.
    ///
    /// # Errors
    /// There are none here.
    pub fn list_claims(
        &self,
        filter: &ClaimFilter,
        after: Option<ClaimId>,
        page_size: usize,
    ) -> Result<(Vec<ClaimReport>, Option<ClaimId>), ClaimsError> {
        let ledger = self.ledger.as_ref().ok_or(ClaimsError::Offline)?;
        Ok(ledger.read(|holdings| {
            let ClaimPage { claims, next_after } = holdings.book.page(filter, after, page_size);
            (claims.iter().map(|claim| report(claim)).collect(), next_after)
        }))
    }

    /// Hosts that have claims and are not registered, and how many: nobody asks them, so those do not end by themselves.
    #[must_use]
    pub fn strays(&self) -> Vec<(String, usize)> {
        let registry = self.cluster.registry();
        self.with_book(|book| {
            let left = book.hosts().into_iter().filter(|host| registry.get(host).is_none());
            left.map(|host| (host.to_owned(), book.on(host).count())).collect()
        })
    }

    /// How many claims there are, and how many changes of claims were undone since the start because the disk did not keep
    /// them.
    #[must_use]
    pub fn claim_counts(&self) -> (ClaimCounts, u64) {
        let ledger = self.ledger.as_ref();
        ledger
            .map(|ledger| ledger.read(|holdings| (holdings.book.counts(), holdings.undone)))
            .unwrap_or_default()
    }

    /// Claims of a host.
    #[must_use]
    pub fn claims_on(&self, host: &str) -> Vec<ClaimReport> {
        self.with_book(|book| book.on(host).map(|claim| report(claim)).collect())
    }

    /// Takes the end from claims.
    ///
    /// # Errors
    /// See [`ClaimsError`]; then nothing has changed.
    pub async fn confirm(&self, ids: &[ClaimId], deadline: Instant) -> Result<Vec<ClaimReport>, ClaimsError> {
        self.change_all(ids, deadline, ClaimBook::confirm).await
    }

    /// Holds claims longer.
    ///
    /// # Errors
    /// As above.
    pub async fn renew(
        &self,
        ids: &[ClaimId],
        hold: Option<Duration>,
        deadline: Instant,
    ) -> Result<Vec<ClaimReport>, ClaimsError> {
        let until = hold_until(self.cluster.cache().now(), hold)?;
        self.change_all(ids, deadline, |book, ids| book.renew(ids, until)).await
    }

    /// Releases claims by id and by instance; gives those that were there.
    ///
    /// # Errors
    /// As above.
    pub async fn release(
        self: &Arc<Self>,
        ids: &[ClaimId],
        instances: &[InstanceId],
        deadline: Instant,
    ) -> Result<Vec<ClaimId>, ClaimsError> {
        let ledger = self.ledger.as_ref().ok_or(ClaimsError::Offline)?;
        let changed = ledger.change(|holdings| {
            let of = instances.iter().flat_map(|instance| holdings.book.of(*instance).map(|claim| claim.id));
            let ids: BTreeSet<ClaimId> = ids.iter().copied().chain(of).collect();
            let released: Vec<_> =
                ids.iter().filter_map(|id| holdings.book.get(*id)).map(Arc::clone).collect();
            Ok::<_, ClaimsError>((released, holdings.book.release(&ids).changes))
        });
        let (released, pending) = changed.map_err(not_begun)?;
        let hosts: BTreeSet<String> = released.iter().map(|claim| claim.host.clone()).collect();
        let unseen = released.iter().filter(|claim| claim.state != ClaimState::Observed);
        // Before the room counts as free, which is when this is durable.
        self.planner().doubt(&unseen.map(|claim| claim.host.clone()).collect());
        self.end(pending, Anew::Always, hosts, deadline).await?;
        Ok(released.iter().map(|claim| claim.id).collect())
    }

    /// Releases all claims of a host that is removed; gives how many there were.
    ///
    /// # Errors
    /// As above.
    pub async fn release_host(self: &Arc<Self>, host: &str, deadline: Instant) -> Result<usize, ClaimsError> {
        let ids = self.with_book(|book| book.on(host).map(|claim| claim.id).collect::<Vec<_>>());
        if ids.is_empty() { Ok(0) } else { Ok(self.release(&ids, &[], deadline).await?.len()) }
    }

    async fn change_all(
        &self,
        ids: &[ClaimId],
        deadline: Instant,
        change: impl FnOnce(&ClaimBook, &BTreeSet<ClaimId>) -> Outcome,
    ) -> Result<Vec<ClaimReport>, ClaimsError> {
        let ledger = self.ledger.as_ref().ok_or(ClaimsError::Offline)?;
        let changed = ledger.change(|holdings| {
            let Outcome { changes, unknown } = change(&holdings.book, &ids.iter().copied().collect());
            if !unknown.is_empty() {
                return Err(ClaimsError::NotFound(unknown.iter().map(ToString::to_string).collect()));
            }
            let now: BTreeMap<ClaimId, Arc<Claim>> = changes.iter().filter_map(put).collect();
            let claims = ids.iter().filter_map(|id| now.get(id).or_else(|| holdings.book.get(*id)));
            Ok((claims.map(|claim| report(claim)).collect::<Vec<_>>(), changes))
        });
        let (claims, pending) = changed.map_err(not_begun)?;
        pending.done(deadline.saturating_duration_since(Instant::now())).await?;
        Ok(claims)
    }
}

fn put(change: &Change) -> Option<(ClaimId, Arc<Claim>)> {
    match change {
        Change::Put(claim) => Some((claim.id, Arc::clone(claim))),
        Change::Remove(_) | Change::Remember(..) | Change::Forget(_) => None,
    }
}

fn not_begun(error: ChangeError<ClaimsError>) -> ClaimsError {
    match error {
        ChangeError::Refused(error) => error,
        busy @ (ChangeError::Busy | ChangeError::Closed) => ClaimsError::Busy(busy.to_string()),
    }
}

/// A claim in the words of the API.
pub(super) fn report(claim: &Claim) -> ClaimReport {
    let mut disk_bytes = BTreeMap::<String, Bytes>::new();
    for disk in &claim.resources.disks {
        let sum = disk_bytes.entry(disk.pool.clone()).or_default();
        sum.0 = sum.0.saturating_add(disk.size_bytes.0);
    }
    ClaimReport {
        id: claim.id.to_string(),
        uuid: claim.instance.to_string(),
        host: claim.host.clone(),
        state: claim.state,
        vcpus: claim.resources.vcpus,
        memory_bytes: claim.resources.memory_bytes,
        disk_bytes,
        purpose: claim.purpose,
        request_id: claim.request_id.clone(),
        over_committed: claim.over_committed,
        created_at: claim.created_at,
        expires_at: claim.expires_at,
        observed_at: claim.observed_at,
        first_missing_at: claim.first_missing_at,
        groups: claim.groups.iter().map(ToString::to_string).collect(),
        cells: claim.resources.cells.iter().map(topology::claimed_cell).collect(),
    }
}
