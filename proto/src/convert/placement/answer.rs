//! What placement answers.

use std::collections::BTreeMap;

use super::super::{DecodeError, list, section, text, time, time_to_pb};
use super::topology::cpus;
use crate::{
    model::{
        Candidate, CapacityAnswer, EvacuatedInstance, FilterCount, GroupExplanation, HostCapacity,
        HostStanding, JudgedHost, LeavingInstances, NearMiss, Nomination, PlaceAnswer, PlacedCell, Placement,
        Refusal, ResourceFigures, Shortage, StaleHint, StorageFigures,
    },
    pb,
};

impl From<PlaceAnswer> for pb::PlaceResponse {
    fn from(answer: PlaceAnswer) -> Self {
        let candidates = answer.candidates.iter().map(|(group, candidates)| pb::CandidateList {
            group: *group,
            candidates: candidates.iter().map(Into::into).collect(),
        });
        let candidates = candidates.collect();
        Self {
            granted: answer.granted,
            placements: answer.placements.into_iter().map(Into::into).collect(),
            refusals: answer.refusals.iter().map(Into::into).collect(),
            expires_at: answer.expires_at.map(time_to_pb),
            hosts: answer.hosts.iter().map(Into::into).collect(),
            candidates,
            skipped_filters: answer.skipped_filters,
            over_committed: answer.over_committed,
            cluster_generation: answer.cluster_generation,
            placed_count: answer.placed_count,
            explanations: answer.explanations.iter().map(Into::into).collect(),
            notes: answer.notes,
            evacuated: answer.evacuated.into_iter().map(Into::into).collect(),
            nominations: answer.nominations.iter().map(Into::into).collect(),
            leaving: answer.leaving.iter().map(Into::into).collect(),
            stale_hints: answer.stale_hints.iter().map(Into::into).collect(),
            hints_used: answer.hints_used,
        }
    }
}

impl TryFrom<pb::PlaceResponse> for PlaceAnswer {
    type Error = DecodeError;

    fn try_from(answer: pb::PlaceResponse) -> Result<Self, DecodeError> {
        let candidates = list("candidates", answer.candidates, |of_group| {
            Ok((of_group.group, list("candidates", of_group.candidates, Candidate::try_from)?))
        })?;
        Ok(Self {
            granted: answer.granted,
            placed_count: answer.placed_count,
            placements: list("placements", answer.placements, Placement::try_from)?,
            refusals: list("refusals", answer.refusals, Refusal::try_from)?,
            expires_at: time("expires_at", answer.expires_at)?,
            hosts: list("hosts", answer.hosts, JudgedHost::try_from)?,
            candidates: candidates.into_iter().collect(),
            skipped_filters: list("skipped_filters", answer.skipped_filters, |name| text("name", name))?,
            over_committed: answer.over_committed,
            explanations: list("explanations", answer.explanations, GroupExplanation::try_from)?,
            notes: list("notes", answer.notes, |note| text("note", note))?,
            evacuated: list("evacuated", answer.evacuated, EvacuatedInstance::try_from)?,
            nominations: list("nominations", answer.nominations, Nomination::try_from)?,
            leaving: list("leaving", answer.leaving, LeavingInstances::try_from)?,
            stale_hints: list("stale_hints", answer.stale_hints, StaleHint::try_from)?,
            hints_used: answer.hints_used,
            cluster_generation: text("cluster_generation", answer.cluster_generation)?,
        })
    }
}

impl From<Placement> for pb::Placement {
    fn from(placement: Placement) -> Self {
        let Placement { uuid, group, host, claim_id, pools, score, cells, emulator_cpus } = placement;
        let cells = cells.iter().map(Into::into).collect();
        let emulator_cpus = emulator_cpus.to_string();
        Self { uuid, group, host, claim_id, pools, score, cells, emulator_cpus }
    }
}

impl TryFrom<pb::Placement> for Placement {
    type Error = DecodeError;

    fn try_from(placement: pb::Placement) -> Result<Self, DecodeError> {
        let pb::Placement { uuid, group, host, claim_id, pools, score, cells, emulator_cpus } = placement;
        Ok(Self {
            uuid: text("uuid", uuid)?,
            group,
            host: text("host", host)?,
            claim_id: text("claim_id", claim_id)?,
            pools: list("pools", pools, |name| text("pool", name))?,
            cells: list("cells", cells, PlacedCell::try_from)?,
            emulator_cpus: cpus("emulator_cpus", emulator_cpus)?,
            score,
        })
    }
}

impl From<EvacuatedInstance> for pb::EvacuatedInstance {
    fn from(instance: EvacuatedInstance) -> Self {
        let EvacuatedInstance { uuid, name, state, group, elsewhere, disks, doubts } = instance;
        Self { uuid, name, state, group, elsewhere, disks, doubts }
    }
}

impl TryFrom<pb::EvacuatedInstance> for EvacuatedInstance {
    type Error = DecodeError;

    fn try_from(instance: pb::EvacuatedInstance) -> Result<Self, DecodeError> {
        let pb::EvacuatedInstance { uuid, name, state, group, elsewhere, disks, doubts } = instance;
        Ok(Self {
            uuid: text("uuid", uuid)?,
            name: text("name", name)?,
            state: text("state", state)?,
            group,
            elsewhere: text("elsewhere", elsewhere)?,
            disks: list("disks", disks, |target| text("disk", target))?,
            doubts: list("doubts", doubts, |doubt| text("doubt", doubt))?,
        })
    }
}

impl From<&NearMiss> for pb::NearMiss {
    fn from(miss: &NearMiss) -> Self {
        let shortage = |shortage: &Shortage| {
            let Shortage { filter, lacking, unit, detail } = shortage.clone();
            pb::Shortage { filter, lacking, unit, detail }
        };
        Self { host: miss.host.clone(), shortages: miss.shortages.iter().map(shortage).collect() }
    }
}

impl TryFrom<pb::NearMiss> for NearMiss {
    type Error = DecodeError;

    fn try_from(miss: pb::NearMiss) -> Result<Self, DecodeError> {
        let shortage = |shortage: pb::Shortage| {
            let pb::Shortage { filter, lacking, unit, detail } = shortage;
            Ok(Shortage {
                filter: text("filter", filter)?,
                lacking,
                unit: text("unit", unit)?,
                detail: text("detail", detail)?,
            })
        };
        Ok(Self { host: text("host", miss.host)?, shortages: list("shortages", miss.shortages, shortage)? })
    }
}

impl From<&GroupExplanation> for pb::GroupExplanation {
    fn from(explanation: &GroupExplanation) -> Self {
        let GroupExplanation { group, filters, nearest, summary } = explanation;
        Self {
            group: *group,
            filters: filters.iter().map(Into::into).collect(),
            nearest: nearest.iter().map(Into::into).collect(),
            summary: summary.clone(),
        }
    }
}

impl TryFrom<pb::GroupExplanation> for GroupExplanation {
    type Error = DecodeError;

    fn try_from(explanation: pb::GroupExplanation) -> Result<Self, DecodeError> {
        let pb::GroupExplanation { group, filters, nearest, summary } = explanation;
        Ok(Self {
            group,
            filters: list("filters", filters, FilterCount::try_from)?,
            nearest: list("nearest", nearest, NearMiss::try_from)?,
            summary: text("summary", summary)?,
        })
    }
}

impl From<&Refusal> for pb::Refusal {
    fn from(refusal: &Refusal) -> Self {
        Self {
            group: refusal.group,
            uuids: refusal.uuids.clone(),
            filters: refusal.filters.iter().map(Into::into).collect(),
            nearest: refusal.nearest.iter().map(Into::into).collect(),
            summary: refusal.summary.clone(),
        }
    }
}

impl TryFrom<pb::Refusal> for Refusal {
    type Error = DecodeError;

    fn try_from(refusal: pb::Refusal) -> Result<Self, DecodeError> {
        Ok(Self {
            group: refusal.group,
            uuids: list("uuids", refusal.uuids, |uuid| text("uuid", uuid))?,
            filters: list("filters", refusal.filters, FilterCount::try_from)?,
            nearest: list("nearest", refusal.nearest, NearMiss::try_from)?,
            summary: text("summary", refusal.summary)?,
        })
    }
}

impl From<&FilterCount> for pb::FilterCount {
    fn from(count: &FilterCount) -> Self {
        let FilterCount { filter, rejected_host_count, unknown_host_count } = count.clone();
        Self { filter, rejected_host_count, unknown_host_count }
    }
}

impl TryFrom<pb::FilterCount> for FilterCount {
    type Error = DecodeError;

    fn try_from(count: pb::FilterCount) -> Result<Self, DecodeError> {
        let pb::FilterCount { filter, rejected_host_count, unknown_host_count } = count;
        Ok(Self { filter: text("filter", filter)?, rejected_host_count, unknown_host_count })
    }
}

impl From<&JudgedHost> for pb::PlacementHost {
    fn from(host: &JudgedHost) -> Self {
        Self {
            standing: Some((&host.standing).into()),
            usage_asked_at: host.usage_asked_at.map(time_to_pb),
            usage_problem: host.usage_problem.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::PlacementHost> for JudgedHost {
    type Error = DecodeError;

    fn try_from(host: pb::PlacementHost) -> Result<Self, DecodeError> {
        let standing = host.standing.ok_or_else(|| DecodeError::new("standing", "not set"))?;
        Ok(Self {
            standing: HostStanding::try_from(standing).map_err(|error| error.within("standing"))?,
            usage_asked_at: time("usage_asked_at", host.usage_asked_at)?,
            usage_problem: section("usage_problem", host.usage_problem)?,
        })
    }
}

impl From<&Candidate> for pb::Candidate {
    fn from(candidate: &Candidate) -> Self {
        let Candidate { host, score, weights } = candidate.clone();
        Self { host, score, weights }
    }
}

impl TryFrom<pb::Candidate> for Candidate {
    type Error = DecodeError;

    fn try_from(candidate: pb::Candidate) -> Result<Self, DecodeError> {
        let weights =
            candidate.weights.into_iter().map(|(name, weight)| Ok((text("weigher", name)?, weight)));
        Ok(Self {
            host: text("host", candidate.host)?,
            score: candidate.score,
            weights: weights.collect::<Result<BTreeMap<_, _>, _>>()?,
        })
    }
}

impl From<&ResourceFigures> for pb::ResourceFigures {
    fn from(figures: &ResourceFigures) -> Self {
        let ResourceFigures { total, reserved, ratio, promised, free_physical, headroom } = *figures;
        Self { total, reserved, ratio, promised, free_physical, headroom }
    }
}

impl From<pb::ResourceFigures> for ResourceFigures {
    fn from(figures: pb::ResourceFigures) -> Self {
        let pb::ResourceFigures { total, reserved, ratio, promised, free_physical, headroom } = figures;
        Self { total, reserved, ratio, promised, free_physical, headroom }
    }
}

impl From<&StorageFigures> for pb::StorageFigures {
    fn from(storage: &StorageFigures) -> Self {
        let StorageFigures { key, names, shared, default, figures } = storage;
        Self {
            key: key.clone(),
            names: names.clone(),
            shared: *shared,
            default: *default,
            figures: figures.as_ref().map(Into::into),
        }
    }
}

impl From<&HostCapacity> for pb::HostCapacity {
    fn from(capacity: &HostCapacity) -> Self {
        let HostCapacity { host, count, vcpus, memory, storage, doubts } = capacity;
        Self {
            host: host.clone(),
            count: *count,
            vcpus: vcpus.as_ref().map(Into::into),
            memory: memory.as_ref().map(Into::into),
            storage: storage.iter().map(Into::into).collect(),
            doubts: doubts.clone(),
        }
    }
}

impl TryFrom<pb::HostCapacity> for HostCapacity {
    type Error = DecodeError;

    fn try_from(capacity: pb::HostCapacity) -> Result<Self, DecodeError> {
        let storage = |storage: pb::StorageFigures| {
            Ok(StorageFigures {
                key: text("key", storage.key)?,
                names: list("names", storage.names, |name| text("name", name))?,
                shared: storage.shared,
                default: storage.default,
                figures: storage.figures.map(Into::into),
            })
        };
        Ok(Self {
            host: text("host", capacity.host)?,
            count: capacity.count,
            vcpus: capacity.vcpus.map(Into::into),
            memory: capacity.memory.map(Into::into),
            storage: list("storage", capacity.storage, storage)?,
            doubts: list("doubts", capacity.doubts, |doubt| text("doubt", doubt))?,
        })
    }
}

impl From<&CapacityAnswer> for pb::EstimateCapacityResponse {
    fn from(answer: &CapacityAnswer) -> Self {
        Self {
            count: answer.count,
            hosts: answer.hosts.iter().map(Into::into).collect(),
            filters: answer.filters.iter().map(Into::into).collect(),
            missing: answer.missing.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::EstimateCapacityResponse> for CapacityAnswer {
    type Error = DecodeError;

    fn try_from(answer: pb::EstimateCapacityResponse) -> Result<Self, DecodeError> {
        Ok(Self {
            count: answer.count,
            hosts: list("hosts", answer.hosts, HostCapacity::try_from)?,
            filters: list("filters", answer.filters, FilterCount::try_from)?,
            missing: list("missing", answer.missing, JudgedHost::try_from)?,
        })
    }
}
