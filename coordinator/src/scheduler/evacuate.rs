//! A host is evacuated: who is asked before it, what its instances are, what the caller must know.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::time::Instant;
use vmuster_proto::model::{Domain, PlaceAnswer, PlaceRequest, Usage};

use super::{
    PlaceError, Scheduler,
    asked::Asked,
    evacuation::{Evacuation, Source, leaving},
    known::Known,
    planner::Planner,
};
use crate::{
    claims::{ClaimBook, InstanceId},
    hosts::{Scope, registered},
    migration::is_running,
};

impl Scheduler {
    pub(super) async fn evacuate(
        self: &Arc<Self>,
        request: &PlaceRequest,
        host: &str,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<PlaceAnswer, PlaceError> {
        let registry = self.cluster.registry();
        let names = registered(&BTreeSet::from([host.to_owned()]), &registry);
        Scope { names: names.clone(), ..Scope::default() }.check(&registry)?;
        let host = names.first().map_or(host, String::as_str);
        self.learn_unknown(&Scope::default(), deadline).await;
        if request.claim && self.may_answer(host) {
            self.ask_all(vec![host.to_owned()], deadline).await;
        }
        let evacuation = {
            let planner = self.planner();
            self.with_book(|book| evacuation(&planner, book, host))?
        };
        let mut request = PlaceRequest {
            groups: evacuation.groups.clone(),
            evacuate_host: Some(host.to_owned()),
            ..request.clone()
        };
        request.exclude_hosts.push(host.to_owned());
        let asked = Asked::new(&request, &registry)?.evacuating(&evacuation);
        self.answered(&asked, digest, deadline).await
    }

    /// Whether a host is not known to be down: then it may have other guests than a moment ago.
    fn may_answer(&self, host: &str) -> bool {
        self.planner().host(host).is_some_and(|known| known.problem.is_none())
    }
}

/// What leaves, and what the caller must know.
pub(super) fn evacuation(planner: &Planner, book: &ClaimBook, host: &str) -> Result<Evacuation, PlaceError> {
    let known = planner.host(host).ok_or_else(|| PlaceError::NothingKnown(host.to_owned()))?;
    let nothing = Usage::default();
    let usage = known.last_usage().unwrap_or(&nothing);
    let record = known.view.as_ref().and_then(|view| view.record.as_ref());
    let arch = record.and_then(|record| record.inventory.arch());
    let saved = saved_guests(planner, host);
    let elsewhere = |instance, runs| elsewhere(planner, book, &saved, (host, instance, runs));
    let claims = book.on(host).map(|claim| &**claim);
    let mut evacuation = leaving(Source { name: host, usage, arch }, claims, elsewhere)?;
    evacuation.notes = notes(host, known, &evacuation);
    Ok(evacuation)
}

/// Guests of hosts that were not asked since the coordinator started, or cannot be: nobody looks for those by UUID.
type SavedGuests<'a> = HashMap<InstanceId, Vec<(&'a str, &'a Domain)>>;

fn saved_guests<'a>(planner: &'a Planner, but: &str) -> SavedGuests<'a> {
    let mut saved = SavedGuests::new();
    let unasked = planner.hosts().filter(|(name, known)| *name != but && known.usage.is_none());
    for (name, known) in unasked {
        for domain in domains(known) {
            if let Ok(instance) = domain.uuid.parse() {
                saved.entry(instance).or_default().push((name, domain));
            }
        }
    }
    saved
}

fn domains(known: &Known) -> &[Domain] {
    known.last_usage().and_then(|usage| usage.domains.as_deref()).unwrap_or_default()
}

/// Where it is promised, else where it is a guest. A definition that was left behind when it moved here is none, as long as
/// it runs here and not there.
fn elsewhere(
    planner: &Planner,
    book: &ClaimBook,
    saved: &SavedGuests<'_>,
    (but, instance, runs): (&str, InstanceId, bool),
) -> Option<String> {
    if let Some(claim) = book.of(instance).find(|claim| claim.host != but) {
        return Some(claim.host.clone());
    }
    let is_it = |domain: &&Domain| domain.uuid.parse() == Ok(instance);
    let asked = planner.hosts_of(instance).iter().map(String::as_str).filter(|host| *host != but);
    let asked = asked.filter_map(|host| Some((host, domains(planner.host(host)?).iter().find(is_it)?)));
    let mut there = asked.chain(saved.get(&instance).into_iter().flatten().copied());
    there.find(|(_, domain)| !runs || is_running(domain)).map(|(host, _)| host.to_owned())
}

fn notes(host: &str, known: &Known, evacuation: &Evacuation) -> Vec<String> {
    let mut notes = vec![format!(
        "vmuster does not stop the guests of {host}: before you start them elsewhere make sure that {host} is down \
         (fence it)"
    )];
    let last = known.usage.as_ref().map(|usage| usage.asked_at);
    let last = last.or_else(|| known.last_usage().and_then(|usage| usage.collected_at));
    if let Some(last) = last.filter(|_| known.problem.is_some() || known.usage.is_none()) {
        let why = known.problem.as_ref().map(|problem| format!(" ({})", problem.detail)).unwrap_or_default();
        notes.push(format!(
            "the instances are those that {host} had at {last}: it has not answered since{why}"
        ));
    }
    if evacuation.stranded_count > 0 {
        let count = evacuation.stranded_count;
        notes.push(format!(
            "{count} of the instances have disks on storage of {host} alone: there is room for these elsewhere, what is in \
             them is not there"
        ));
    }
    notes
}

#[cfg(test)]
#[path = "evacuate_tests.rs"]
mod tests;
