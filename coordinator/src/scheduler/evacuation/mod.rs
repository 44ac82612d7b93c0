//! What leaves a host that is evacuated: its instances as they were last known, as groups of a request.
//!
//! Pure: usage and claims in, groups out. Must not know other hosts, nor who stops what runs there: that is the caller's.

mod disks;
mod need;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use vmuster_proto::model::{
    AffinityRule, Bytes, Domain, EvacuatedInstance, INSTANCES_MAX, InstanceGroup, InstanceTemplate, Usage,
};

use super::{PlaceError, asked::demand};
use crate::{
    claims::{Claim, InstanceId},
    migration::is_running,
    placement::Demand,
};
pub(super) use disks::STAYS;

use disks::Disks;
use need::{Needed, needed};

/// What is known of the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// As registered.
    pub(super) name: &'a str,
    /// As it was last known; empty: it never was.
    pub(super) usage: &'a Usage,
    /// As uname -m prints it.
    pub(super) arch: Option<&'a str>,
}

/// Instances of which it is not known what they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unknown {
    /// None: not even which they are.
    pub(super) instance: Option<InstanceId>,
    /// For a human.
    pub(super) why: String,
}

/// What leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Evacuation {
    /// To be placed, in this order.
    pub(super) groups: Vec<InstanceGroup>,
    /// All instances, those of the groups first. Groups of those that are not known follow `groups`.
    pub(super) instances: Vec<EvacuatedInstance>,
    /// Not to be placed; each is a refusal.
    pub(super) unknown: Vec<Unknown>,
    /// Sizes of the disks that stay where they are, in their order.
    pub(super) staying: HashMap<InstanceId, Vec<Bytes>>,
    /// Instances to be placed with disks that no other host has.
    pub(super) stranded_count: usize,
    /// What the caller must know.
    pub(super) notes: Vec<String>,
}

/// What runs is to run again first; what is only promised comes before what was off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Urgency {
    Running,
    Promised,
    Off,
}

/// A guest, a claim, or both.
#[derive(Debug, Clone, Copy, Default)]
struct Known<'a> {
    domain: Option<&'a Domain>,
    claim: Option<&'a Claim>,
}

impl Known<'_> {
    fn urgency(&self) -> Urgency {
        match self.domain {
            Some(domain) if is_running(domain) => Urgency::Running,
            Some(_) => Urgency::Off,
            None => Urgency::Promised,
        }
    }

    fn told(&self, instance: InstanceId) -> EvacuatedInstance {
        EvacuatedInstance {
            uuid: instance.to_string(),
            name: self.domain.map(|domain| domain.name.clone()).unwrap_or_default(),
            state: self.domain.and_then(|domain| domain.state.clone()).unwrap_or_default(),
            ..EvacuatedInstance::default()
        }
    }

    fn rules(&self) -> Vec<AffinityRule> {
        self.claim.map(|claim| claim.rules.clone()).unwrap_or_default()
    }
}

/// Instances that need and want the same.
struct Class {
    urgency: Urgency,
    template: InstanceTemplate,
    rules: Vec<AffinityRule>,
    members: Vec<EvacuatedInstance>,
}

impl Class {
    /// The urgent first; of these what finds a host with difficulty: what is bound to others, then what is large.
    fn order(&self) -> impl Ord + use<> {
        let is_bound = self.rules.iter().any(|rule| rule.policy.is_required());
        let disks: u64 =
            self.template.disks.iter().fold(0, |sum, disk| sum.saturating_add(disk.size_bytes.0));
        let size = (self.template.memory_bytes.0, self.template.vcpus, disks);
        let first = self.members.first().map(|member| member.uuid.clone());
        (self.urgency, Reverse(is_bound), Reverse(size), first)
    }
}

/// Instances of a host; `elsewhere` says where one is, or is promised, as well, by whether it runs on the host.
///
/// # Errors
/// Its guests are not known, or are more than one request has.
pub(super) fn leaving<'a>(
    source: Source<'a>,
    claims: impl Iterator<Item = &'a Claim>,
    elsewhere: impl Fn(InstanceId, bool) -> Option<String>,
) -> Result<Evacuation, PlaceError> {
    let (all, unlisted) = instances(source, claims)?;
    if all.len() > INSTANCES_MAX {
        let problem =
            format!("'{}' has {} instances; at most {INSTANCES_MAX} in one request", source.name, all.len());
        return Err(PlaceError::Invalid { field: "evacuate_host", problem });
    }
    let mut evacuation = Evacuation::default();
    let mut disks = Disks::of(source);
    let mut classes: Vec<Class> = Vec::new();
    let mut places: HashMap<(Urgency, Demand, Vec<AffinityRule>), usize> = HashMap::new();
    let (mut gone, mut unknown) = (Vec::new(), Vec::new());
    for (instance, known) in all {
        let mut told = known.told(instance);
        let urgency = known.urgency();
        if let Some(host) = elsewhere(instance, urgency == Urgency::Running) {
            told.elsewhere = host;
            gone.push(told);
            continue;
        }
        match needed(known.domain, known.claim, source.arch, &mut disks) {
            Err(why) => {
                evacuation.unknown.push(Unknown { instance: Some(instance), why });
                unknown.push(told);
            }
            Ok(Needed { template, disks, doubts, staying, is_stranded }) => {
                (told.disks, told.doubts) = (disks, doubts);
                evacuation.stranded_count += usize::from(is_stranded);
                if !staying.is_empty() {
                    evacuation.staying.insert(instance, staying);
                }
                let rules = known.rules();
                let place = *places.entry((urgency, demand(&template), rules.clone())).or_insert_with(|| {
                    classes.push(Class { urgency, template, rules, members: Vec::new() });
                    classes.len() - 1
                });
                classes[place].members.push(told);
            }
        }
    }
    evacuation.unknown.extend(unlisted);
    evacuation.take_over(classes, unknown, gone);
    Ok(evacuation)
}

impl Evacuation {
    fn take_over(
        &mut self,
        mut classes: Vec<Class>,
        unknown: Vec<EvacuatedInstance>,
        gone: Vec<EvacuatedInstance>,
    ) {
        classes.sort_by_cached_key(Class::order);
        let mut number = 0;
        for Class { template, rules, members, .. } in classes {
            let uuids = members.iter().map(|member| member.uuid.clone()).collect();
            self.groups.push(InstanceGroup { name: String::new(), template, uuids, rules });
            self.instances
                .extend(members.into_iter().map(|told| EvacuatedInstance { group: number, ..told }));
            number += 1;
        }
        let groups = number..;
        let unknown = unknown.into_iter().zip(groups);
        self.instances.extend(unknown.map(|(told, group)| EvacuatedInstance { group, ..told }));
        self.instances.extend(gone);
    }
}

/// By UUID, each once; and those that have none.
fn instances<'a>(
    source: Source<'a>,
    claims: impl Iterator<Item = &'a Claim>,
) -> Result<(BTreeMap<InstanceId, Known<'a>>, Vec<Unknown>), PlaceError> {
    let domains = source.usage.domains.as_deref().unwrap_or_default();
    let mut all = BTreeMap::<InstanceId, Known<'a>>::new();
    let mut unlisted = Vec::new();
    for domain in domains {
        match domain.uuid.parse() {
            Ok(instance) => all.entry(instance).or_default().domain = Some(domain),
            Err(_) => unlisted.push(Unknown {
                instance: None,
                why: format!("the UUID of the guest '{}' is not known", domain.name),
            }),
        }
    }
    for claim in claims {
        all.entry(claim.instance).or_default().claim = Some(claim);
    }
    if source.usage.domains.is_none() {
        if all.is_empty() {
            return Err(PlaceError::NothingKnown(source.name.to_owned()));
        }
        let why = format!(
            "which guests {} had is not known: only those are placed that were promised there",
            source.name
        );
        unlisted.push(Unknown { instance: None, why });
    }
    // An agent counts those that it cannot name.
    let counted = source.usage.promised.as_ref().map_or(0, |promised| promised.domain_count as usize);
    let more = counted.saturating_sub(domains.len());
    if more > 0 {
        let why = format!("{more} more of its guests could not be read, not even which they are");
        unlisted.push(Unknown { instance: None, why });
    }
    Ok((all, unlisted))
}

#[cfg(test)]
mod tests;
