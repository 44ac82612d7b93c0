//! Claims in pages.

use std::sync::Arc;

use super::{
    book::ClaimBook,
    claim::{Claim, ClaimId, ClaimState, InstanceId},
};

/// Which claims; what is None does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimFilter {
    /// On this host.
    pub host: Option<String>,
    /// Of this instance.
    pub instance: Option<InstanceId>,
    /// In this state.
    pub state: Option<ClaimState>,
}

/// Some claims, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimPage {
    /// These.
    pub claims: Vec<Arc<Claim>>,
    /// The next page begins after this one; None if this is the last page.
    pub next_after: Option<ClaimId>,
}

impl ClaimFilter {
    fn takes(&self, claim: &Claim) -> bool {
        self.host.as_ref().is_none_or(|host| *host == claim.host)
            && self.instance.is_none_or(|instance| instance == claim.instance)
            && self.state.is_none_or(|state| state == claim.state)
    }
}

impl ClaimBook {
    /// At most `limit` of these claims after this one, by name. Claims that come and go between two pages do not shift the
    /// others.
    #[must_use]
    pub fn page(&self, filter: &ClaimFilter, after: Option<ClaimId>, limit: usize) -> ClaimPage {
        let mut claims: Vec<_> = match (filter.instance, &filter.host) {
            (Some(instance), _) => first(self.of(instance), filter, after, limit),
            (None, Some(host)) => first(self.on(host), filter, after, limit),
            (None, None) => first(self.after(after), filter, after, limit),
        };
        let is_last = claims.len() <= limit;
        claims.truncate(limit);
        let next_after = claims.last().filter(|_| !is_last).map(|claim| claim.id);
        ClaimPage { claims, next_after }
    }
}

/// One more than asked for, which tells that there is another page.
fn first<'a>(
    claims: impl Iterator<Item = &'a Arc<Claim>>,
    filter: &ClaimFilter,
    after: Option<ClaimId>,
    limit: usize,
) -> Vec<Arc<Claim>> {
    let after = claims.filter(|claim| after.is_none_or(|after| claim.id > after));
    after.filter(|claim| filter.takes(claim)).take(limit.saturating_add(1)).cloned().collect()
}
