//! A request in the words of placement.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use vmuster_proto::model::{
    AffinityRule, Bytes, Completeness, DiskPlace, InstanceTemplate, PlaceRequest, Purpose,
};

use super::{
    PlaceError,
    evacuation::{Evacuation, STAYS},
    fingerprint,
    leaving::Leaving,
    planner::Planner,
    topology,
};
use crate::{
    claims::{Claim, ClaimBook, InstanceId, ParseInstanceIdError},
    hosts::{Registry, Scope, registered},
    placement::{self, Batch, Demand, DiskDemand, ForcedHost, Group, Member, Profile, WeigherName},
};

/// A request with the registry's names.
pub(super) struct Asked<'a> {
    pub(super) request: &'a PlaceRequest,
    pub(super) instances: Vec<InstanceId>,
    /// Those that are leaving.
    pub(super) releasing: Vec<InstanceId>,
    scope: Scope,
    batch: Batch,
    /// Of the instances of a host that is evacuated; they are `instances`.
    evacuation: Option<&'a Evacuation>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(request: &'a PlaceRequest, registry: &Registry) -> Result<Self, PlaceError> {
        let names = request.forced_host.iter().chain(&request.hosts).cloned().collect::<BTreeSet<_>>();
        let scope = Scope {
            names: registered(&names, registry),
            exclude: registered(&request.exclude_hosts.iter().cloned().collect(), registry),
            ..Scope::default()
        };
        scope.check(registry)?;
        let name = |host: &String| Arc::<str>::from(host.as_str());
        let forced = request.forced_host.as_ref().map(|forced| {
            let named = registered(&BTreeSet::from([forced.clone()]), registry);
            ForcedHost {
                name: named.iter().next().map_or_else(|| name(forced), name),
                ignore_capacity: request.ignore_capacity,
            }
        });
        if request.ignore_capacity && forced.is_none() {
            let problem = "only goes with forced_host".to_owned();
            return Err(PlaceError::Invalid { field: "ignore_capacity", problem });
        }
        if forced.is_some() && !(request.hosts.is_empty() && request.exclude_hosts.is_empty()) {
            let problem = "does not go with hosts or exclude_hosts".to_owned();
            return Err(PlaceError::Invalid { field: "forced_host", problem });
        }
        let has_hard_rules =
            request.groups.iter().any(|group| group.rules.iter().any(|rule| rule.policy.is_required()));
        let is_moved = request.purpose == Purpose::Move && request.evacuate_host.is_none();
        if is_moved && has_hard_rules && request.completeness != Completeness::All {
            // Those that stay where they are would be where the rules were not asked; on a host that is evacuated nobody
            // counts.
            let problem = "must be all where instances with rules that are not soft move".to_owned();
            return Err(PlaceError::Invalid { field: "completeness", problem });
        }
        let admitted = (!request.hosts.is_empty()).then(|| scope.names.iter().map(name).collect());
        let uuids = request.groups.iter().flat_map(|group| &group.uuids);
        let instances = uuids.map(|uuid| instance("uuids", uuid));
        let releasing = request.releasing.iter().map(|uuid| instance("releasing", uuid));
        let batch = Batch {
            groups: groups(request),
            members: Vec::new(),
            admitted,
            excluded: scope.exclude.iter().map(name).collect(),
            forced,
            completeness: match request.completeness {
                Completeness::All => placement::Completeness::All,
                Completeness::AtLeast(count) => placement::Completeness::AtLeast(count),
                Completeness::BestEffort => placement::Completeness::BestEffort,
            },
            profile: profile(request)?,
        };
        Ok(Self {
            request,
            instances: instances.collect::<Result<_, _>>()?,
            releasing: releasing.collect::<Result<_, _>>()?,
            scope,
            batch,
            evacuation: None,
        })
    }

    /// The same, for these instances of a host; the request has their groups. Where some are not known not all can be
    /// placed.
    pub(super) fn evacuating(mut self, evacuation: &'a Evacuation) -> Self {
        let unknown = evacuation.unknown.len();
        if unknown > 0 && self.batch.completeness == placement::Completeness::All {
            let all = self.instances.len().saturating_add(unknown);
            self.batch.completeness =
                placement::Completeness::AtLeast(u32::try_from(all).unwrap_or(u32::MAX));
        }
        self.evacuation = Some(evacuation);
        self
    }

    pub(super) fn evacuation(&self) -> Option<&'a Evacuation> {
        self.evacuation
    }

    /// What each disk of an instance may grow to, in the order of its demand: of one that stays where it is more than the
    /// room that it asks for.
    pub(super) fn disk_sizes<'d>(
        &'d self,
        instance: InstanceId,
        demand: &'d Demand,
    ) -> impl Iterator<Item = Bytes> + use<'d> {
        let staying = self.evacuation.and_then(|evacuation| evacuation.staying.get(&instance));
        let mut staying = staying.into_iter().flatten();
        let size = move |disk: &DiskDemand| {
            if disk.size == STAYS { staying.next().copied().unwrap_or(disk.size) } else { disk.size }
        };
        demand.disks.iter().map(size)
    }

    /// The hosts it may be about.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Its instances and their groups, in their order.
    pub(super) fn uuids(&self) -> impl Iterator<Item = (u32, &'a String)> + use<'a> {
        let groups = (0_u32..).zip(&self.request.groups);
        groups.flat_map(|(number, group)| group.uuids.iter().map(move |uuid| (number, uuid)))
    }

    /// What instances of each group ask for, in few letters.
    pub(super) fn signatures(&self) -> Vec<String> {
        let purpose = self.request.purpose;
        self.batch.groups.iter().map(|group| fingerprint::of_group(&self.batch, group, purpose)).collect()
    }

    /// With the members its groups have already, but for those that are leaving. What moves does not move to where it is;
    /// where instances come from several hosts, none goes to any of them. A host that is evacuated has no members any more,
    /// whether they find another or not.
    pub(super) fn batch_for<'b>(
        &'b self,
        planner: &Planner,
        book: &ClaimBook,
        leaving: &Leaving,
    ) -> Cow<'b, Batch> {
        let evacuated = self.request.evacuate_host.as_deref();
        let moves =
            self.request.purpose == Purpose::Move && self.batch.forced.is_none() && evacuated.is_none();
        let groups: BTreeSet<&Arc<str>> =
            self.batch.groups.iter().flat_map(|group| &group.rules).map(|rule| &rule.group).collect();
        if !moves && groups.is_empty() {
            return Cow::Borrowed(&self.batch);
        }
        let mut batch = self.batch.clone();
        let own: HashSet<InstanceId> = self.instances.iter().copied().collect();
        for group in groups {
            // Where it is now is nothing to an instance that is placed anew.
            let others = book.in_group(group).filter(|claim| !own.contains(&claim.instance));
            let members = others.flat_map(|claim| members(claim, group, planner, leaving));
            batch.members.extend(members.filter(|member| evacuated != Some(&*member.host)));
        }
        for instance in self.instances.iter().filter(|_| moves) {
            let claimed = book.of(*instance).map(|claim| claim.host.as_str());
            let there = planner.hosts_of(*instance).iter().map(String::as_str);
            batch.excluded.extend(claimed.chain(there).map(Arc::from));
        }
        Cow::Owned(batch)
    }

    pub(super) fn has_disks(&self) -> bool {
        self.request.groups.iter().any(|group| !group.template.disks.is_empty())
    }

    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }
}

fn instance(field: &'static str, uuid: &str) -> Result<InstanceId, PlaceError> {
    uuid.parse().map_err(|error: ParseInstanceIdError| {
        let problem = error.to_string();
        PlaceError::Invalid { field, problem }
    })
}

/// Where it was promised, and where it was seen: it may have been moved without a claim.
fn members(claim: &Claim, group: &Arc<str>, planner: &Planner, leaving: &Leaving) -> Vec<Member> {
    let Some(membership) = claim.groups.iter().find(|membership| membership.group == **group) else {
        return Vec::new();
    };
    let mut hosts: Vec<&str> = planner.hosts_of(claim.instance).iter().map(String::as_str).collect();
    if !hosts.contains(&claim.host.as_str()) {
        hosts.push(&claim.host);
    }
    let member = |host: &str| Member {
        group: Arc::clone(group),
        partition: membership.partition.as_deref().map(Arc::from),
        host: host.into(),
    };
    hosts.into_iter().filter(|host| !leaving.has(host, claim.instance)).map(member).collect()
}

fn rule(rule: &AffinityRule) -> placement::AffinityRule {
    let AffinityRule { group, policy, topology_key, partition } = rule;
    placement::AffinityRule {
        group: group.as_str().into(),
        policy: *policy,
        topology_key: topology_key.as_deref().map(Arc::from),
        partition: partition.as_deref().map(Arc::from),
    }
}

/// Groups with equal templates share one demand.
fn groups(request: &PlaceRequest) -> Vec<Group> {
    let mut demands = HashMap::<Demand, Arc<Demand>>::new();
    let groups = request.groups.iter().map(|group| {
        let demand = demand(&group.template);
        let shared = demands.entry(demand.clone()).or_insert_with(|| Arc::new(demand));
        let count = u32::try_from(group.uuids.len()).unwrap_or(u32::MAX);
        Group { rules: group.rules.iter().map(rule).collect(), ..Group::new(Arc::clone(shared), count) }
    });
    groups.collect()
}

/// A template as placement wants it.
pub(super) fn demand(template: &InstanceTemplate) -> Demand {
    let InstanceTemplate {
        vcpus,
        memory_bytes,
        disks,
        required_features,
        forbidden_features,
        cpu_model,
        arch,
        labels,
        numa,
    } = template.clone();
    let disks = disks.into_iter().map(|disk| DiskDemand {
        size: disk.size_bytes,
        on: match disk.on {
            DiskPlace::Default => placement::DiskPlace::Default,
            DiskPlace::Pool(name) => placement::DiskPlace::Pool(name),
            DiskPlace::StorageClass(name) => placement::DiskPlace::Class(name),
        },
    });
    Demand {
        vcpus,
        memory: memory_bytes,
        disks: disks.collect(),
        required: required_features,
        forbidden: forbidden_features,
        cpu_model,
        arch,
        labels,
        numa: numa.as_ref().map(topology::asked),
    }
}

fn profile(request: &PlaceRequest) -> Result<Profile, PlaceError> {
    let mut profile = match request.profile.name.as_str() {
        "" | "spread" => Profile::SPREAD,
        "pack" => Profile::PACK,
        other => {
            let problem = format!("'{other}' is none: pack or spread");
            return Err(PlaceError::Invalid { field: "profile.name", problem });
        }
    };
    let wrong = |problem: String| PlaceError::Invalid { field: "profile.multipliers", problem };
    for (name, multiplier) in &request.profile.multipliers {
        let weigher = WeigherName::ALL.into_iter().find(|weigher| weigher.as_str() == name);
        let weigher = weigher.ok_or_else(|| {
            let names: Vec<_> = WeigherName::ALL.iter().map(|weigher| weigher.as_str()).collect();
            wrong(format!("'{name}' is no weigher: {}", names.join(", ")))
        })?;
        profile = profile.with(weigher, *multiplier).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(profile)
}
