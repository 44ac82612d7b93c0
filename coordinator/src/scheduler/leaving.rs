//! Instances that are leaving, and where others would go once they are gone.
//!
//! Pure. Knows what they hold, and gives it back for the time of one decision. Must not know what becomes of a nomination:
//! nothing is held by it and nothing remembered.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use vmuster_proto::model::{Bytes, LeavingInstances, Nomination, PlaceAnswer, Purpose, Timestamp, Usage};

use super::{
    asked::Asked,
    fingerprint,
    known::Known,
    planner::{Planner, accounted},
};
use crate::{
    accounting::{AccountedHost, Figures, HostAccount},
    claims::{ClaimBook, InstanceId},
    placement::{CellsTaken, Decision, PoolKey, Taken, Then},
};

/// How long a nomination is worth handing back: as long as a claim is held unless somebody says otherwise. What takes longer
/// to leave is asked for again.
pub(super) const NOMINATED_FOR: Duration = Duration::from_secs(600);

/// By host.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    by_host: BTreeMap<String, BTreeSet<InstanceId>>,
}

impl Leaving {
    /// Where these are. One that moves leaves the hosts that it does not move to; one that is nowhere frees nothing.
    pub(super) fn new(releasing: &[InstanceId], planner: &Planner, book: &ClaimBook) -> Self {
        let mut by_host = BTreeMap::<String, BTreeSet<InstanceId>>::new();
        for instance in releasing {
            let mut hosts: BTreeSet<&str> = planner.hosts_of(*instance).iter().map(String::as_str).collect();
            hosts.extend(book.of(*instance).map(|claim| claim.host.as_str()));
            let moves = book.of(*instance).filter(|claim| claim.purpose == Purpose::Move);
            let targets: BTreeSet<&str> = moves.map(|claim| claim.host.as_str()).collect();
            // One that has moved is only where it moved to.
            let is_there = hosts.is_subset(&targets);
            for host in hosts.into_iter().filter(|host| is_there || !targets.contains(host)) {
                by_host.entry(host.to_owned()).or_default().insert(*instance);
            }
        }
        Self { by_host }
    }

    /// Whether this one leaves this host.
    pub(super) fn has(&self, host: &str, instance: InstanceId) -> bool {
        self.by_host.get(host).is_some_and(|leaving| leaving.contains(&instance))
    }

    /// What they hold. In storage that other hosts see as well they may go on holding it, from there.
    fn held(&self, planner: &Planner, book: &ClaimBook) -> Vec<(String, Taken)> {
        let hosts = self.by_host.iter();
        hosts
            .filter_map(|(host, leaving)| {
                let known = planner.host(host)?;
                // Both anew: what is kept of the host does not have what was promised there since it was last asked.
                let now = account_without(host, known, &BTreeSet::new(), book)?;
                let then = account_without(host, known, leaving, book)?;
                let taken = difference(planner, (host, known), &now, &then)?;
                Some((host.clone(), taken))
            })
            .collect()
    }
}

/// The host's account as if these were not there.
fn account_without(
    host: &str,
    known: &Known,
    leaving: &BTreeSet<InstanceId>,
    book: &ClaimBook,
) -> Option<HostAccount> {
    let record = known.view.as_ref()?.record.as_ref()?;
    let stays = |uuid: &str| uuid.parse().map_or(true, |instance| !leaving.contains(&instance));
    let usage = known.last_usage().map(|usage| {
        let domains = usage
            .domains
            .as_ref()
            .map(|domains| domains.iter().filter(|domain| stays(&domain.uuid)).cloned().collect());
        Usage { domains, ..usage.clone() }
    });
    let host = AccountedHost {
        name: host,
        settings: known.settings(),
        inventory: &record.inventory,
        usage: usage.as_ref(),
    };
    Some(accounted(host, book.on(host.name).filter(|claim| !leaving.contains(&claim.instance))))
}

/// What is held of the host now and would not be then; never more than counts there now, so that it can be taken back.
fn difference(
    planner: &Planner,
    (host, known): (&str, &Known),
    account: &HostAccount,
    without: &HostAccount,
) -> Option<Taken> {
    let row = planner.solver.host(host)?;
    let freed = |now: &Result<Figures, String>, then: &Result<Figures, String>| match (now, then) {
        (Ok(now), Ok(then)) => now.promised.saturating_sub(then.promised),
        // What is not known is not given back.
        _ => 0,
    };
    let counted = |resource: &Option<crate::placement::Resource>| {
        resource.as_ref().map_or(0, |resource| resource.promised)
    };
    let mut disks = Vec::new();
    for (key, pool) in account.pools.iter().flatten().filter(|(_, pool)| !pool.storage.is_shared) {
        let then = without.pools.as_ref().ok().and_then(|pools| pools.get(key));
        let Some(then) = then.map(|pool| pool.figures(known.settings())) else { continue };
        let key = PoolKey::new(key.as_str());
        let counts = planner.solver.pool(&key).map_or(0, |pool| pool.resource.promised);
        let size = freed(&pool.figures(known.settings()), &then).min(counts);
        disks.push((key, Bytes(size)));
    }
    Some(Taken {
        vcpus: freed(&account.vcpus, &without.vcpus).min(counted(&row.vcpus)),
        memory: Bytes(freed(&account.memory, &without.memory).min(counted(&row.memory))),
        disks,
        // Not given back: what they leave of cells is seen once they are gone.
        cells: CellsTaken::Unchanged,
        is_starting: false,
    })
}

/// Where a request that was not granted would go once those that leave are gone, if there is such a place. All is as before
/// then.
pub(super) fn nominate(
    asked: &Asked<'_>,
    planner: &mut Planner,
    book: &ClaimBook,
    now: Timestamp,
    answer: &mut PlaceAnswer,
) {
    if answer.granted || asked.releasing.is_empty() {
        return;
    }
    let leaving = Leaving::new(&asked.releasing, planner, book);
    let decision = decide_without(asked, planner, book, &leaving);
    if !decision.is_granted {
        let are_cells_asked = asked.batch().groups.iter().any(|group| group.demand.numa.is_some());
        let why = if are_cells_asked {
            "; nor would all fit once those that leave are gone, without what they have of NUMA cells"
        } else {
            "; nor would all fit once those that leave are gone"
        };
        for refusal in &mut answer.refusals {
            refusal.summary.push_str(why);
        }
        return;
    }
    answer.nominations = nominations(asked, planner, &decision, now.saturating_add(NOMINATED_FOR));
    let nominated: BTreeSet<&str> =
        answer.nominations.iter().map(|nomination| nomination.host.as_str()).collect();
    let waited_for = leaving.by_host.iter().filter(|(host, _)| nominated.contains(host.as_str()));
    answer.leaving = waited_for
        .map(|(host, instances)| LeavingInstances {
            host: host.clone(),
            uuids: instances.iter().map(ToString::to_string).collect(),
        })
        .collect();
}

fn decide_without(asked: &Asked<'_>, planner: &mut Planner, book: &ClaimBook, leaving: &Leaving) -> Decision {
    let batch = asked.batch_for(planner, book, leaving);
    let held = leaving.held(planner, book);
    for (host, taken) in &held {
        planner.solver.release(host, taken);
    }
    let decision = planner.solver.decide(&batch, Then::Undo);
    for (host, taken) in &held {
        planner.solver.consume(host, taken);
    }
    decision
}

fn nominations(
    asked: &Asked<'_>,
    planner: &Planner,
    decision: &Decision,
    expires_at: Timestamp,
) -> Vec<Nomination> {
    let signatures = asked.signatures();
    let mut fingerprints = HashMap::<&str, String>::new();
    let instances = asked.uuids().zip(&decision.placements);
    let nominated = instances.filter_map(|((group, uuid), placed)| {
        let host = &*placed.as_ref()?.host;
        let fingerprint = fingerprints
            .entry(host)
            .or_insert_with(|| fingerprint::of_host(planner, host).unwrap_or_default());
        Some(Nomination {
            uuid: uuid.clone(),
            group,
            host: host.to_owned(),
            host_fingerprint: fingerprint.clone(),
            request_signature: signatures[group as usize].clone(),
            expires_at,
        })
    });
    nominated.collect()
}
