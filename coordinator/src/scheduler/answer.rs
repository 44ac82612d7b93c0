//! A decision in the words of the API.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use vmuster_proto::model::{
    Candidate, FilterCount, GroupExplanation, JudgedHost, NearMiss, PlaceAnswer, Placement, Refusal, Shortage,
};

use super::{asked::Asked, evacuation::Unknown, planner::Planner, topology};
use crate::placement::{
    self, Batch, Decision, Explanation, FilterName, Group, Lack, Miss, PoolKey, Question, Rejected,
};

/// Groups explained, and whose candidates are told; each costs a look at all hosts.
const EXPLAINED_MAX: usize = 32;

/// Nearest misses told.
const NEAREST_MAX: usize = 3;

pub(super) fn answer(
    asked: &Asked<'_>,
    decision: &Decision,
    planner: &Planner,
    Before { candidates, explanations }: Before,
) -> PlaceAnswer {
    let groups = asked.batch().groups.iter().zip(0_u32..);
    let group_of = groups.flat_map(|(group, index)| std::iter::repeat_n(index, group.count as usize));
    let instances = asked.instances.iter().zip(group_of).zip(&decision.placements);
    let placements = instances.filter_map(|((instance, group), placed)| {
        let placed = placed.as_ref()?;
        let pools = placed.disks.iter();
        Some(Placement {
            uuid: instance.to_string(),
            group,
            host: placed.host.to_string(),
            claim_id: String::new(),
            pools: pools.map(|pool| pool_name(planner, &placed.host, pool.as_ref())).collect(),
            score: placed.score,
            cells: placed.cells.as_deref().map(topology::placed_cells).unwrap_or_default(),
            emulator_cpus: placed
                .cells
                .as_deref()
                .map(|cells| cells.emulator_cpus.clone())
                .unwrap_or_default(),
        })
    });
    let placements: Vec<_> = placements.collect();
    let mut refusals: Vec<_> =
        decision.refusals.iter().map(|refused| refusal(asked, decision, refused)).collect();
    refusals.extend(unknown(asked));
    let over_committed = decision.placements.iter().flatten().any(|placed| placed.is_over_committed);
    let skipped: BTreeSet<FilterName> = decision.skipped.iter().map(|miss| miss.filter).collect();
    PlaceAnswer {
        granted: decision.is_granted,
        placed_count: decision.placed_count,
        hosts: judged(asked, planner, &placements),
        placements,
        refusals,
        expires_at: None,
        candidates,
        explanations,
        notes: asked.evacuation().map(|evacuation| evacuation.notes.clone()).unwrap_or_default(),
        evacuated: asked.evacuation().map(|evacuation| evacuation.instances.clone()).unwrap_or_default(),
        skipped_filters: skipped.iter().map(ToString::to_string).collect(),
        over_committed,
        cluster_generation: format!("{:x}", planner.generation),
        ..PlaceAnswer::default()
    }
}

/// What a caller gives to libvirt: the pool's name on that host.
fn pool_name(planner: &Planner, host: &str, key: Option<&PoolKey>) -> String {
    let names = || {
        let account = planner.host(host)?.account.as_ref()?;
        account.pools.as_ref().ok()?.get(key?.as_str())?.storage.names.first().cloned()
    };
    names().unwrap_or_default()
}

fn refusal(asked: &Asked<'_>, decision: &Decision, refused: &placement::Refusal) -> Refusal {
    let start: usize = asked.batch().groups[..refused.group].iter().map(|group| group.count as usize).sum();
    let end = start + asked.batch().groups[refused.group].count as usize;
    let without = (start..end).filter(|at| {
        let is_tried = decision.is_granted || *at >= refused.instance;
        is_tried && decision.placements.get(*at).is_none_or(Option::is_none)
    });
    let explanation = refused.explanation.as_deref();
    Refusal {
        group: u32::try_from(refused.group).unwrap_or(u32::MAX),
        uuids: without.map(|at| asked.instances[at].to_string()).collect(),
        filters: explanation.map(|explanation| counts(&explanation.rejected)).unwrap_or_default(),
        nearest: explanation.map(nearest).unwrap_or_default(),
        summary: explanation.map(summary).unwrap_or_default(),
    }
}

/// Instances of which nobody knows what they need: groups of their own, after the batch's.
fn unknown(asked: &Asked<'_>) -> Vec<Refusal> {
    let unknown = asked.evacuation().map(|evacuation| evacuation.unknown.as_slice()).unwrap_or_default();
    let first = asked.batch().groups.len();
    let refusal = |(place, unknown): (usize, &Unknown)| Refusal {
        group: u32::try_from(first + place).unwrap_or(u32::MAX),
        uuids: unknown.instance.iter().map(ToString::to_string).collect(),
        filters: Vec::new(),
        nearest: Vec::new(),
        summary: unknown.why.clone(),
    };
    unknown.iter().enumerate().map(refusal).collect()
}

pub(super) fn counts(rejected: &[Rejected]) -> Vec<FilterCount> {
    let count = |rejected: &Rejected| FilterCount {
        filter: rejected.filter.to_string(),
        rejected_host_count: rejected.host_count,
        unknown_host_count: rejected.unknown_count,
    };
    rejected.iter().map(count).collect()
}

fn nearest(explanation: &Explanation) -> Vec<NearMiss> {
    let misses = explanation.nearest.iter().take(NEAREST_MAX);
    let misses = misses.map(|miss| NearMiss {
        host: miss.host.to_string(),
        shortages: miss.misses.iter().map(shortage).collect(),
    });
    misses.collect()
}

fn shortage(miss: &Miss) -> Shortage {
    let (lacking, unit) = match miss.lack {
        Lack::Vcpus(count) => (count, "vcpus"),
        Lack::Bytes(count) => (count, "bytes"),
        Lack::Features(count) => (count, "features"),
        Lack::Unknown | Lack::Other => (0, ""),
    };
    let (filter, unit) = (miss.filter.to_string(), unit.to_owned());
    Shortage { filter, lacking, unit, detail: miss.text.clone() }
}

/// "0 of 70 hosts: 3 known, 12 labels, 55 memory".
fn summary(explanation: &Explanation) -> String {
    let rejected = explanation.rejected.iter();
    let part = |one: &Rejected| match one.unknown_count {
        0 => format!("{} {}", one.host_count, one.filter),
        unknown => format!("{} {} ({unknown} not known)", one.host_count, one.filter),
    };
    let parts: Vec<_> = rejected.map(part).collect();
    let (count, s) = (explanation.host_count, if explanation.host_count == 1 { "" } else { "s" });
    let rejected: u32 = explanation.rejected.iter().map(|one| one.host_count).sum();
    let why =
        if parts.is_empty() { String::new() } else { format!("; rejected by filter: {}", parts.join(", ")) };
    format!("{} of {count} host{s} can take it{why}", count.saturating_sub(rejected))
}

/// Hosts that were judged by what is not of now; those that were taken as well, where somebody wants to know.
fn judged(asked: &Asked<'_>, planner: &Planner, placements: &[Placement]) -> Vec<JudgedHost> {
    let taken: BTreeSet<&str> = if asked.request.explain || !asked.request.claim {
        placements.iter().map(|placement| placement.host.as_str()).collect()
    } else {
        BTreeSet::new()
    };
    let scope = asked.scope();
    let is_asked =
        |name: &str| (scope.names.is_empty() || scope.names.contains(name)) && !scope.exclude.contains(name);
    let told = planner.doubtful().filter(|name| is_asked(name) && !taken.contains(name));
    let mut told: Vec<&str> = told.chain(taken.iter().copied()).collect();
    told.sort_unstable();
    told.into_iter().filter_map(|name| Some(planner.host(name)?.judged())).collect()
}

/// What is told of how all was before the decision.
#[derive(Default)]
pub(super) struct Before {
    candidates: BTreeMap<u32, Vec<Candidate>>,
    explanations: Vec<GroupExplanation>,
}

/// Whether the caller wants any of it.
pub(super) fn wants_before(asked: &Asked<'_>) -> bool {
    asked.request.explain || asked.request.max_candidates > 0
}

/// To be asked before the decision takes anything.
pub(super) fn before(asked: &Asked<'_>, batch: &Batch, planner: &mut Planner) -> Before {
    Before {
        candidates: candidates(asked, batch, planner),
        explanations: explanations(asked, batch, planner),
    }
}

/// The best hosts for an instance of each group, as all is now.
fn candidates(asked: &Asked<'_>, batch: &Batch, planner: &mut Planner) -> BTreeMap<u32, Vec<Candidate>> {
    let max = asked.request.max_candidates as usize;
    // Where one host is forced there is nothing to choose.
    if max == 0 || batch.forced.is_some() {
        return BTreeMap::new();
    }
    let groups = batch.groups.iter().zip(0_u32..).take(EXPLAINED_MAX);
    let ranked = groups.map(|(group, index)| {
        let found = planner.solver.candidates(&question(batch, group), max);
        let told = found.into_iter().map(|candidate| Candidate {
            host: candidate.host.to_string(),
            score: candidate.score,
            weights: candidate
                .weights
                .iter()
                .map(|(name, weight)| (name.as_str().to_owned(), *weight))
                .collect(),
        });
        (index, told.collect())
    });
    ranked.collect()
}

/// What stands in the way of an instance of each group, as all is now.
fn explanations(asked: &Asked<'_>, batch: &Batch, planner: &mut Planner) -> Vec<GroupExplanation> {
    if !asked.request.explain {
        return Vec::new();
    }
    let groups = batch.groups.iter().zip(0_u32..).take(EXPLAINED_MAX);
    let explained = groups.map(|(group, index)| {
        let explanation = planner.solver.explain(&question(batch, group), batch.forced.as_ref());
        GroupExplanation {
            group: index,
            filters: counts(&explanation.rejected),
            nearest: nearest(&explanation),
            summary: summary(&explanation),
        }
    });
    explained.collect()
}

/// About a further instance of a group, of the hosts of its batch.
pub(super) fn question(batch: &Batch, group: &Group) -> Question {
    let has_rules = !group.rules.is_empty();
    Question {
        demand: Arc::clone(&group.demand),
        rules: group.rules.clone(),
        members: if has_rules { batch.members.clone() } else { Vec::new() },
        admitted: batch.admitted.clone(),
        excluded: batch.excluded.clone(),
        profile: batch.profile,
    }
}
