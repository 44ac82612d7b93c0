//! Nominated hosts that a caller hands back.
//!
//! Pure. Knows whether they still hold, and looks at their hosts alone if so. Must not search: where one of them does not
//! hold, none is used, and they are not looked at again in that call. Nothing in a hint is trusted beyond which host is
//! looked at first; so hints are not signed. One that is made up puts an instance on a host that passes all filters anyway.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use vmuster_proto::model::{HintProblem, Nomination, PlaceAnswer, StaleHint, Timestamp};

use super::{asked::Asked, fingerprint, planner::Planner};
use crate::placement::{Batch, Decision, Miss, NotThere, Then};

/// Why a hint does not hold, and in words.
type Reason = (HintProblem, String);

/// How the hints of one call stand.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Not empty: they do not hold.
    stale: Vec<StaleHint>,
    /// Their hosts were asked whether anything has left.
    were_asked: bool,
    /// The last decision is what they said.
    are_used: bool,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Hinted {
    /// Nothing: this is it.
    Decided(Decision),
    /// There are none that hold.
    Search,
    /// Their hosts had no room when they were asked last; that was before the caller came.
    Ask(Vec<String>),
}

impl Hints {
    /// Decides by the hints if all hold. Hosts are to be asked, once, that were not since `ask_since`; never without it.
    pub(super) fn decide(
        &mut self,
        asked: &Asked<'_>,
        batch: &Batch,
        planner: &mut Planner,
        then: Then,
        (now, ask_since): (Timestamp, Option<Timestamp>),
    ) -> Hinted {
        self.are_used = false;
        if asked.request.hints.is_empty() || !self.stale.is_empty() {
            return Hinted::Search;
        }
        let hosts = match standing(asked, batch, planner, now) {
            Ok(hosts) => hosts,
            Err(reasons) => {
                self.stale = stale(asked, &reasons);
                return Hinted::Search;
            }
        };
        if batch.forced.is_some() {
            // No other host is looked at anyway.
            let decision = planner.solver.decide(batch, then);
            self.are_used = decision.refusals.is_empty();
            if !self.are_used {
                let text = "the forced host has too little left for all of them";
                let hints = asked.request.hints.iter();
                let reasons = hints.map(|hint| (hint.uuid.as_str(), (HintProblem::NoRoom, text.to_owned())));
                self.stale = stale(asked, &reasons.collect());
            }
            return Hinted::Decided(decision);
        }
        match planner.solver.decide_at(batch, &hosts, then) {
            Ok(decision) => {
                self.are_used = true;
                Hinted::Decided(decision)
            }
            Err(not_there) => self.not_there(asked, planner, &hosts, &not_there, ask_since),
        }
    }

    /// The same, and a search where it is needed; nobody is asked.
    pub(super) fn decide_now(
        &mut self,
        asked: &Asked<'_>,
        batch: &Batch,
        planner: &mut Planner,
        then: Then,
        now: Timestamp,
    ) -> Decision {
        match self.decide(asked, batch, planner, then, (now, None)) {
            Hinted::Decided(decision) => decision,
            Hinted::Search | Hinted::Ask(_) => planner.solver.decide(batch, then),
        }
    }

    /// What was leaving may have left since its host was asked last: who hands a hint back says so.
    fn not_there(
        &mut self,
        asked: &Asked<'_>,
        planner: &Planner,
        hosts: &[Arc<str>],
        not_there: &NotThere,
        ask_since: Option<Timestamp>,
    ) -> Hinted {
        if let Some(since) = ask_since.filter(|_| not_there.is_for_want_of_room && !self.were_asked) {
            self.were_asked = true;
            let is_old = |host: &str| {
                let usage = planner.host(host).and_then(|known| known.usage.as_ref());
                usage.is_none_or(|usage| usage.asked_at < since)
            };
            let hosts: BTreeSet<&str> =
                hosts.iter().map(|host| &**host).filter(|host| is_old(host)).collect();
            if !hosts.is_empty() {
                return Hinted::Ask(hosts.into_iter().map(str::to_owned).collect());
            }
        }
        let problem = if not_there.is_for_want_of_room { HintProblem::NoRoom } else { HintProblem::Refused };
        let detail: Vec<&str> = not_there.misses.iter().map(|miss: &Miss| miss.text.as_str()).collect();
        let uuid = asked.uuids().nth(not_there.instance).map(|(_, uuid)| uuid.as_str());
        let reasons = uuid.map(|uuid| (uuid, (problem, detail.join("; "))));
        self.stale = stale(asked, &reasons.into_iter().collect());
        Hinted::Search
    }

    /// Says in an answer what became of them.
    pub(super) fn tell(self, answer: &mut PlaceAnswer) {
        answer.hints_used = self.are_used;
        answer.stale_hints = self.stale;
    }
}

/// The host of each instance, if there is a hint for each and all may hold.
fn standing<'a>(
    asked: &'a Asked<'_>,
    batch: &Batch,
    planner: &Planner,
    now: Timestamp,
) -> Result<Vec<Arc<str>>, BTreeMap<&'a str, Reason>> {
    let groups: HashMap<&str, u32> = asked.uuids().map(|(group, uuid)| (uuid.as_str(), group)).collect();
    let signatures = asked.signatures();
    let mut fingerprints = HashMap::<&str, Option<String>>::new();
    let mut hosts = HashMap::<&str, Arc<str>>::new();
    let mut reasons = BTreeMap::new();
    for hint in &asked.request.hints {
        let group = groups.get(hint.uuid.as_str()).copied();
        let fingerprint =
            fingerprints.entry(&hint.host).or_insert_with(|| fingerprint::of_host(planner, &hint.host));
        let signature = group.map(|group| signatures[group as usize].as_str());
        match reason(hint, (fingerprint.as_deref(), signature), batch, now) {
            Some(reason) => drop(reasons.insert(hint.uuid.as_str(), reason)),
            None => drop(hosts.insert(&hint.uuid, hint.host.as_str().into())),
        }
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    // Without a hint of each, those that have one only wait for the others.
    asked.uuids().map(|(_, uuid)| hosts.get(uuid.as_str()).cloned()).collect::<Option<_>>().ok_or(reasons)
}

/// Why a hint does not hold, whatever its host has left.
fn reason(
    hint: &Nomination,
    (fingerprint, signature): (Option<&str>, Option<&str>),
    batch: &Batch,
    now: Timestamp,
) -> Option<Reason> {
    let Some(signature) = signature else {
        return Some((HintProblem::RequestChanged, "the request does not have this instance".to_owned()));
    };
    if hint.expires_at <= now {
        return Some((HintProblem::Expired, format!("it expired at {}", hint.expires_at)));
    }
    let Some(fingerprint) = fingerprint else {
        return Some((HintProblem::HostGone, "its host is not registered".to_owned()));
    };
    if fingerprint != hint.host_fingerprint {
        let detail = "its host was started again, or is not what it was";
        return Some((HintProblem::HostChanged, detail.to_owned()));
    }
    if signature != hint.request_signature {
        return Some((HintProblem::RequestChanged, "the instance asks for something else".to_owned()));
    }
    let forced = batch.forced.as_ref().filter(|forced| *forced.name != *hint.host)?;
    Some((HintProblem::Refused, format!("'{}' is forced", forced.name)))
}

/// All hints of a request; those of which nothing is said fell with the others.
fn stale(asked: &Asked<'_>, reasons: &BTreeMap<&str, Reason>) -> Vec<StaleHint> {
    let hints = asked.request.hints.iter().map(|hint| {
        let gang = || (HintProblem::Gang, "not all instances have a hint that holds".to_owned());
        let (problem, detail) = reasons.get(hint.uuid.as_str()).cloned().unwrap_or_else(gang);
        StaleHint { uuid: hint.uuid.clone(), host: hint.host.clone(), problem, detail }
    });
    hints.collect()
}

#[cfg(test)]
#[path = "hints_tests.rs"]
mod tests;
