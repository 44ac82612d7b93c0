//! All claims, in memory: by name, by instance, by host and by affinity group.
//!
//! Pure. What is asked of it gives [`Change`]s and changes nothing; [`ClaimBook::apply`] does, and gives what undoes it.
//! Must not know where claims are kept.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use vmuster_proto::model::Timestamp;

use super::{
    change::Change,
    claim::{Claim, ClaimId, ClaimState, InstanceId, NewClaim, Purpose},
    life::{self, Next, Observation},
};

/// Hosts an instance may have claims on: where it is, and where it goes.
pub(super) const HOSTS_MAX: usize = 2;

/// The instance has a claim already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("instance {instance} has a claim on host '{host}'{}", self.what_to_do())]
pub struct Conflict {
    /// Whose.
    pub instance: InstanceId,
    /// Where.
    pub host: String,
    /// Which; None if it is asked for in the same call.
    pub id: Option<ClaimId>,
    /// Whether it is on the very host that was asked for.
    pub same_host: bool,
    /// How many hosts it has claims on.
    pub hosts: usize,
}

impl Conflict {
    fn what_to_do(&self) -> &'static str {
        if self.same_host {
            ": release it, or place it elsewhere"
        } else if self.hosts >= HOSTS_MAX {
            " and on another: release the one it does not need"
        } else {
            ": release it, or ask with purpose MOVE"
        }
    }
}

/// What was asked of several claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What is to be done; nothing for claims that are so already.
    pub changes: Vec<Change>,
    /// Claims there are none of, sorted.
    pub unknown: Vec<ClaimId>,
}

/// How many claims there are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimCounts {
    /// Until they expire.
    pub held: usize,
    /// Until they are released.
    pub confirmed: usize,
    /// Whose guests were seen.
    pub observed: usize,
}

impl ClaimCounts {
    fn of(&mut self, state: ClaimState) -> &mut usize {
        match state {
            ClaimState::Held => &mut self.held,
            ClaimState::Confirmed => &mut self.confirmed,
            ClaimState::Observed => &mut self.observed,
        }
    }
}

/// All claims.
#[derive(Debug, Clone, Default)]
pub struct ClaimBook {
    claims: BTreeMap<ClaimId, Arc<Claim>>,
    by_instance: HashMap<InstanceId, Vec<ClaimId>>,
    by_host: HashMap<String, BTreeSet<ClaimId>>,
    /// Of affinity groups, without their partitions.
    by_group: HashMap<String, BTreeSet<ClaimId>>,
    next_id: u64,
    /// Kept as claims change: who asks must not hold everybody up for a walk over all of them.
    counts: ClaimCounts,
    /// The latest question each host answered.
    asked_at: BTreeMap<String, Timestamp>,
}

impl ClaimBook {
    /// These claims; the next one made gets `next_id`, or a higher number if that is taken.
    #[must_use]
    pub fn new(claims: Vec<Claim>, next_id: u64) -> Self {
        let mut book = Self { next_id, ..Self::default() };
        for claim in claims {
            book.put(Arc::new(claim));
        }
        book
    }

    /// Makes claims: all of these or none.
    ///
    /// # Errors
    /// An instance has one on that host, or one on another and this is no move.
    pub fn admit(&self, asked: Vec<NewClaim>) -> Result<Vec<Change>, Conflict> {
        let mut new: HashMap<InstanceId, [Option<usize>; HOSTS_MAX]> = HashMap::with_capacity(asked.len());
        for (at, claim) in asked.iter().enumerate() {
            let there = self.of(claim.instance).map(|there| (Some(there.id), there.host.as_str()));
            let before = new.entry(claim.instance).or_default();
            let here = before.iter().flatten().map(|at| (None, asked[*at].host.as_str()));
            let taken: Vec<_> = there.chain(here).collect();
            let same = taken.iter().find(|(_, host)| *host == claim.host);
            let refused = claim.purpose == Purpose::New || taken.len() >= HOSTS_MAX;
            if let Some((id, host)) = same.or_else(|| taken.first().filter(|_| refused)) {
                return Err(Conflict {
                    instance: claim.instance,
                    host: (*host).to_owned(),
                    id: *id,
                    same_host: same.is_some(),
                    hosts: taken.len(),
                });
            }
            // There is a free place: else there were so many before, and it was refused.
            before.iter_mut().find(|place| place.is_none()).into_iter().for_each(|place| *place = Some(at));
        }
        let ids = (self.next_id..).map(ClaimId);
        Ok(ids.zip(asked).map(|(id, claim)| Change::Put(Arc::new(claim.with_id(id)))).collect())
    }

    /// Ends claims. One that is not there needs no more ending.
    #[must_use]
    pub fn release(&self, ids: &BTreeSet<ClaimId>) -> Outcome {
        self.each(ids, |_| Next::Released)
    }

    /// Takes the end from claims that are held.
    #[must_use]
    pub fn confirm(&self, ids: &BTreeSet<ClaimId>) -> Outcome {
        self.each(ids, life::confirm)
    }

    /// Holds those longer that are held; see [`life::renew`].
    #[must_use]
    pub fn renew(&self, ids: &BTreeSet<ClaimId>, until: Timestamp) -> Outcome {
        self.each(ids, |claim| life::renew(claim, until))
    }

    fn each(&self, ids: &BTreeSet<ClaimId>, event: impl Fn(&Claim) -> Next) -> Outcome {
        let mut outcome = Outcome::default();
        for id in ids {
            match self.claims.get(id) {
                Some(claim) => outcome.changes.extend(change(*id, event(claim))),
                None => outcome.unknown.push(*id),
            }
        }
        outcome
    }

    /// What a host's list of guests makes of the claims on it. See [`Observation::asked_at`] for the time. An answer to an
    /// older question than one that was heard of already says nothing, so that one that is late cannot end a claim.
    pub fn observe(
        &mut self,
        host: &str,
        asked_at: Timestamp,
        present: &BTreeSet<InstanceId>,
    ) -> Vec<Change> {
        let Some(ids) = self.by_host.get(host) else { return Vec::new() };
        let last = self.asked_at.entry(host.to_owned()).or_insert(asked_at);
        if asked_at < *last {
            return Vec::new();
        }
        *last = asked_at;
        let claims = ids.iter().filter_map(|id| self.claims.get(id));
        let next = claims.filter_map(|claim| {
            let present = present.contains(&claim.instance);
            change(claim.id, life::seen(claim, Observation { asked_at, present }))
        });
        next.collect()
    }

    /// Makes the change; gives the one that undoes it. Numbers of claims that were undone are not given again.
    pub fn apply(&mut self, change: &Change) -> Option<Change> {
        match change {
            Change::Put(claim) => Some(match self.put(Arc::clone(claim)) {
                Some(before) => Change::Put(before),
                None => Change::Remove(claim.id),
            }),
            Change::Remove(id) => self.remove(*id).map(Change::Put),
            Change::Remember(..) | Change::Forget(_) => None,
        }
    }

    fn put(&mut self, claim: Arc<Claim>) -> Option<Arc<Claim>> {
        let before = self.remove(claim.id);
        self.next_id = self.next_id.max(claim.id.0.saturating_add(1));
        let of_instance = self.by_instance.entry(claim.instance).or_default();
        let at = of_instance.partition_point(|id| *id < claim.id);
        of_instance.insert(at, claim.id);
        match self.by_host.get_mut(&claim.host) {
            Some(ids) => {
                ids.insert(claim.id);
            }
            None => {
                self.by_host.insert(claim.host.clone(), BTreeSet::from([claim.id]));
            }
        }
        for membership in &claim.groups {
            self.by_group.entry(membership.group.clone()).or_default().insert(claim.id);
        }
        *self.counts.of(claim.state) += 1;
        self.claims.insert(claim.id, claim);
        before
    }

    fn remove(&mut self, id: ClaimId) -> Option<Arc<Claim>> {
        let claim = self.claims.remove(&id)?;
        *self.counts.of(claim.state) -= 1;
        if let Some(ids) = self.by_instance.get_mut(&claim.instance) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_instance.remove(&claim.instance);
            }
        }
        if let Some(ids) = self.by_host.get_mut(&claim.host) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_host.remove(&claim.host);
            }
        }
        for membership in &claim.groups {
            if let Some(ids) = self.by_group.get_mut(&membership.group) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_group.remove(&membership.group);
                }
            }
        }
        Some(claim)
    }

    /// The claim of this name.
    #[must_use]
    pub fn get(&self, id: ClaimId) -> Option<&Arc<Claim>> {
        self.claims.get(&id)
    }

    /// All claims, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Claim>> {
        self.claims.values()
    }

    /// All claims after this one, by name.
    pub(super) fn after(&self, after: Option<ClaimId>) -> impl Iterator<Item = &Arc<Claim>> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.claims.range((after.map_or(Unbounded, Excluded), Unbounded)).map(|(_, claim)| claim)
    }

    /// The claims of an instance, by name: at most two.
    pub fn of(&self, instance: InstanceId) -> impl Iterator<Item = &Arc<Claim>> {
        self.by_instance.get(&instance).into_iter().flatten().filter_map(|id| self.claims.get(id))
    }

    /// The claims on a host, by name.
    pub fn on(&self, host: &str) -> impl Iterator<Item = &Arc<Claim>> {
        self.by_host.get(host).into_iter().flatten().filter_map(|id| self.claims.get(id))
    }

    /// The claims of an affinity group's members, by name.
    pub fn in_group(&self, group: &str) -> impl Iterator<Item = &Arc<Claim>> {
        self.by_group.get(group).into_iter().flatten().filter_map(|id| self.claims.get(id))
    }

    /// The hosts that have claims.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<&str> {
        self.by_host.keys().map(String::as_str).collect()
    }

    /// How many claims there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// The same by state.
    #[must_use]
    pub fn counts(&self) -> ClaimCounts {
        self.counts
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The number the next claim gets.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id
    }
}

fn change(id: ClaimId, next: Next) -> Option<Change> {
    match next {
        Next::Same => None,
        Next::Changed(claim) => Some(Change::Put(Arc::new(*claim))),
        Next::Released => Some(Change::Remove(id)),
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
