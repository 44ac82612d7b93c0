//! What is asked of placement.
//!
//! What a caller sends is checked here as far as it can be without knowing the cluster.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::super::{DecodeError, duration, duration_to_pb, feature_set, list, owned_names, text, text_map};
use super::{affinity, nomination};
use crate::{
    model::{
        Bytes, Completeness, DiskDemand, DiskPlace, GuestTopology, INSTANCES_MAX, InstanceGroup,
        InstanceTemplate, PlaceRequest, Purpose, TOPOLOGIES_MAX, WeigherProfile,
    },
    pb,
};

/// Long enough for a UUID with a prefix; it is kept for a day.
const REQUEST_ID_MAX_BYTES: usize = 128;

/// An instance with more disks has another way to get them; each is looked for on each host.
const DISKS_MAX: usize = 64;

/// A guest below it does not start.
const MEMORY_MIN_BYTES: u64 = 1 << 20;

/// Candidates a caller may ask for; more is a list of hosts.
const CANDIDATES_MAX: u32 = 100;

impl From<&InstanceTemplate> for pb::InstanceTemplate {
    fn from(template: &InstanceTemplate) -> Self {
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
        } = template;
        Self {
            vcpus: *vcpus,
            memory_bytes: memory_bytes.0,
            disks: disks.iter().map(Into::into).collect(),
            required_features: owned_names(required_features),
            forbidden_features: owned_names(forbidden_features),
            cpu_model: cpu_model.clone(),
            arch: arch.clone(),
            labels: labels.clone(),
            numa: numa.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::InstanceTemplate> for InstanceTemplate {
    type Error = DecodeError;

    fn try_from(template: pb::InstanceTemplate) -> Result<Self, DecodeError> {
        if template.vcpus == 0 {
            return Err(DecodeError::new("vcpus", "must be at least 1"));
        }
        if template.memory_bytes < MEMORY_MIN_BYTES {
            return Err(DecodeError::new("memory_bytes", "must be at least 1 MiB"));
        }
        if template.disks.len() > DISKS_MAX {
            return Err(DecodeError::new("disks", format!("{}, limit {DISKS_MAX}", template.disks.len())));
        }
        let required_features = feature_set("required_features", &template.required_features)?;
        let forbidden_features = feature_set("forbidden_features", &template.forbidden_features)?;
        if let Some(both) = required_features.intersection(&forbidden_features).names().first() {
            return Err(DecodeError::new("forbidden_features", format!("{both} is also required")));
        }
        let numa = template.numa.map(|numa| {
            let numa = GuestTopology::try_from(numa)?;
            adds_up(&numa, template.vcpus, template.memory_bytes)?;
            Ok::<_, DecodeError>(numa)
        });
        Ok(Self {
            numa: numa.transpose().map_err(|error| error.within("numa"))?,
            vcpus: template.vcpus,
            memory_bytes: Bytes(template.memory_bytes),
            disks: list("disks", template.disks, DiskDemand::try_from)?,
            required_features,
            forbidden_features,
            cpu_model: named("cpu_model", template.cpu_model)?,
            arch: named("arch", template.arch)?,
            labels: text_map("labels", template.labels)?,
        })
    }
}

/// Whether the cells are all of the instance.
fn adds_up(numa: &GuestTopology, vcpus: u32, memory_bytes: u64) -> Result<(), DecodeError> {
    let of_cells: u64 = numa.cells.iter().map(|cell| u64::from(cell.vcpus)).sum();
    if of_cells != u64::from(vcpus) {
        return Err(DecodeError::new("cells", format!("they have {of_cells} vCPUs, the template {vcpus}")));
    }
    let of_cells = numa.cells.iter().map(|cell| cell.memory_bytes.0).fold(0, u64::saturating_add);
    if of_cells != memory_bytes {
        let (of_cells, memory) = (Bytes(of_cells), Bytes(memory_bytes));
        return Err(DecodeError::new(
            "cells",
            format!("they have {of_cells} of memory, the template {memory}"),
        ));
    }
    Ok(())
}

/// A name that is there is not empty.
fn named(field: &str, name: Option<String>) -> Result<Option<String>, DecodeError> {
    match name {
        Some(name) if name.is_empty() => Err(DecodeError::new(field, "must not be empty; leave it out")),
        Some(name) => text(field, name).map(Some),
        None => Ok(None),
    }
}

impl From<&DiskDemand> for pb::DiskDemand {
    fn from(disk: &DiskDemand) -> Self {
        let on = match &disk.on {
            DiskPlace::Default => None,
            DiskPlace::Pool(name) => Some(pb::disk_demand::On::Pool(name.clone())),
            DiskPlace::StorageClass(name) => Some(pb::disk_demand::On::StorageClass(name.clone())),
        };
        Self { size_bytes: disk.size_bytes.0, on }
    }
}

impl TryFrom<pb::DiskDemand> for DiskDemand {
    type Error = DecodeError;

    fn try_from(disk: pb::DiskDemand) -> Result<Self, DecodeError> {
        if disk.size_bytes == 0 {
            return Err(DecodeError::new("size_bytes", "must be at least 1"));
        }
        let name = |field: &str, name: String| named(field, Some(name)).map(Option::unwrap_or_default);
        let on = match disk.on {
            None => DiskPlace::Default,
            Some(pb::disk_demand::On::Pool(pool)) => DiskPlace::Pool(name("pool", pool)?),
            Some(pb::disk_demand::On::StorageClass(class)) => {
                DiskPlace::StorageClass(name("storage_class", class)?)
            }
        };
        Ok(Self { size_bytes: Bytes(disk.size_bytes), on })
    }
}

impl From<Purpose> for pb::ClaimPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::New => Self::New,
            Purpose::Move => Self::Move,
        }
    }
}

impl From<pb::ClaimPurpose> for Purpose {
    fn from(purpose: pb::ClaimPurpose) -> Self {
        match purpose {
            pb::ClaimPurpose::Unspecified | pb::ClaimPurpose::New => Self::New,
            pb::ClaimPurpose::Move => Self::Move,
        }
    }
}

impl From<&PlaceRequest> for pb::PlaceRequest {
    fn from(request: &PlaceRequest) -> Self {
        let (completeness, min_count) = match request.completeness {
            Completeness::All => (pb::PlaceCompleteness::All, 0),
            Completeness::AtLeast(count) => (pb::PlaceCompleteness::AtLeast, count),
            Completeness::BestEffort => (pb::PlaceCompleteness::BestEffort, 0),
        };
        let mode = if request.claim { pb::PlaceMode::Claim } else { pb::PlaceMode::DryRun };
        Self {
            request_id: request.request_id.clone(),
            mode: mode.into(),
            groups: request.groups.iter().map(Into::into).collect(),
            completeness: completeness.into(),
            min_count,
            hosts: request.hosts.clone(),
            exclude_hosts: request.exclude_hosts.clone(),
            forced_host: request.forced_host.clone().unwrap_or_default(),
            ignore_capacity: request.ignore_capacity,
            profile: Some(pb::WeigherProfile {
                name: request.profile.name.clone(),
                multipliers: request.profile.multipliers.clone(),
            }),
            hold: request.hold.map(duration_to_pb),
            purpose: pb::ClaimPurpose::from(request.purpose).into(),
            max_candidates: request.max_candidates,
            explain: request.explain,
            evacuate_host: request.evacuate_host.clone().unwrap_or_default(),
            releasing: request.releasing.clone(),
            hints: request.hints.iter().map(Into::into).collect(),
        }
    }
}

impl From<&InstanceGroup> for pb::InstanceGroup {
    fn from(group: &InstanceGroup) -> Self {
        let InstanceGroup { name, template, uuids, rules } = group;
        Self {
            name: name.clone(),
            template: Some(template.into()),
            uuids: uuids.clone(),
            count: 0,
            rules: rules.iter().map(Into::into).collect(),
        }
    }
}

/// A request as it is asked; `new_uuid` makes UUIDs for groups that only say how many.
///
/// # Errors
/// The first field that makes no sense.
pub fn place_request(
    request: pb::PlaceRequest,
    mut new_uuid: impl FnMut() -> String,
) -> Result<PlaceRequest, DecodeError> {
    let claim = match request.mode() {
        pb::PlaceMode::Unspecified => return Err(DecodeError::new("mode", "must be set: dry run or claim")),
        pb::PlaceMode::DryRun => false,
        pb::PlaceMode::Claim => true,
    };
    let completeness = match (request.completeness(), request.min_count) {
        (pb::PlaceCompleteness::Unspecified | pb::PlaceCompleteness::All, 0) => Completeness::All,
        (pb::PlaceCompleteness::BestEffort, 0) => Completeness::BestEffort,
        (pb::PlaceCompleteness::AtLeast, count) if count > 0 => Completeness::AtLeast(count),
        (pb::PlaceCompleteness::AtLeast, _) => {
            return Err(DecodeError::new("min_count", "must be at least 1"));
        }
        _ => return Err(DecodeError::new("min_count", "only goes with AT_LEAST")),
    };
    let purpose = request.purpose().into();
    let request_id = request.request_id;
    let is_printable = request_id.bytes().all(|byte| byte.is_ascii_graphic());
    if request_id.len() > REQUEST_ID_MAX_BYTES || !is_printable || (claim && request_id.is_empty()) {
        let problem = format!("must be 1 to {REQUEST_ID_MAX_BYTES} printable ASCII characters to claim");
        return Err(DecodeError::new("request_id", problem));
    }
    let evacuate_host = Some(text("evacuate_host", request.evacuate_host)?).filter(|name| !name.is_empty());
    match evacuate_host {
        Some(_) if !request.groups.is_empty() || !request.forced_host.is_empty() => {
            let problem = "does not go with groups or forced_host: the instances are those of that host";
            return Err(DecodeError::new("evacuate_host", problem));
        }
        // How many there are is known when they are looked up.
        Some(_) => {}
        None => check_count(&request.groups, completeness)?,
    }
    if request.max_candidates > CANDIDATES_MAX {
        return Err(DecodeError::new("max_candidates", format!("at most {CANDIDATES_MAX}")));
    }
    let profile = profile(request.profile.unwrap_or_default())?;
    let groups = request.groups.into_iter().enumerate();
    let groups = groups.map(|(index, group)| {
        instance_group(group, &mut new_uuid).map_err(|error| error.at("groups", index))
    });
    let groups = groups.collect::<Result<Vec<_>, _>>()?;
    no_twice(&groups)?;
    check_topologies(&groups)?;
    Ok(PlaceRequest {
        request_id,
        claim,
        groups,
        completeness,
        hosts: list("hosts", request.hosts, |name| text("host", name))?,
        exclude_hosts: list("exclude_hosts", request.exclude_hosts, |name| text("host", name))?,
        forced_host: Some(text("forced_host", request.forced_host)?).filter(|name| !name.is_empty()),
        ignore_capacity: request.ignore_capacity,
        profile,
        hold: duration("hold", request.hold)?,
        // What leaves a host is there.
        purpose: if evacuate_host.is_some() { Purpose::Move } else { purpose },
        max_candidates: request.max_candidates,
        explain: request.explain,
        evacuate_host,
        releasing: nomination::releasing(&request.releasing)?,
        hints: nomination::hints(request.hints)?,
    })
}

fn check_count(groups: &[pb::InstanceGroup], completeness: Completeness) -> Result<(), DecodeError> {
    let asked: usize = groups.iter().map(|group| group.uuids.len().max(group.count as usize)).sum();
    if asked == 0 || asked > INSTANCES_MAX {
        let problem = format!("{asked} instances; 1 to {INSTANCES_MAX} in one request");
        return Err(DecodeError::new("groups", problem));
    }
    match completeness {
        Completeness::AtLeast(count) if count as usize > asked => {
            Err(DecodeError::new("min_count", format!("{count} of {asked} instances")))
        }
        _ => Ok(()),
    }
}

fn check_topologies(groups: &[InstanceGroup]) -> Result<(), DecodeError> {
    let mut sorts: Vec<&InstanceTemplate> = Vec::new();
    for template in groups.iter().map(|group| &group.template).filter(|template| template.numa.is_some()) {
        if !sorts.contains(&template) {
            sorts.push(template);
        }
        if sorts.len() > TOPOLOGIES_MAX {
            let problem = format!(
                "more than {TOPOLOGIES_MAX} different sorts of instances with a NUMA topology; split the request"
            );
            return Err(DecodeError::new("groups", problem));
        }
    }
    Ok(())
}

fn instance_group(
    group: pb::InstanceGroup,
    new_uuid: &mut impl FnMut() -> String,
) -> Result<InstanceGroup, DecodeError> {
    let template = group.template.ok_or_else(|| DecodeError::new("template", "must be set"))?;
    if group.uuids.is_empty() == (group.count == 0) {
        return Err(DecodeError::new("uuids", "either they or a count must be set, and only one of them"));
    }
    let uuids = if group.uuids.is_empty() {
        (0..group.count).map(|_| new_uuid()).collect()
    } else {
        list("uuids", group.uuids, |uuid| instance_uuid("uuid", &uuid))?
    };
    let template = InstanceTemplate::try_from(template).map_err(|error| error.within("template"))?;
    Ok(InstanceGroup {
        name: text("name", group.name)?,
        template,
        uuids,
        rules: affinity::rules(group.rules)?,
    })
}

/// A UUID in canonical form, lower case, as libvirt writes it.
///
/// # Errors
/// It is none.
pub fn instance_uuid(field: &str, text: &str) -> Result<String, DecodeError> {
    let uuid = uuid::Uuid::try_parse(text).ok().filter(|_| text.len() == uuid::fmt::Hyphenated::LENGTH);
    uuid.map(|uuid| uuid.hyphenated().to_string()).ok_or_else(|| {
        let shown = text.get(..TEXT_SHOWN_BYTES).unwrap_or(text);
        DecodeError::new(field, format!("'{shown}' is no UUID: write 8-4-4-4-12 hexadecimal digits"))
    })
}

/// Of what a caller sent where a UUID should be.
const TEXT_SHOWN_BYTES: usize = 64;

fn no_twice(groups: &[InstanceGroup]) -> Result<(), DecodeError> {
    let mut names = BTreeSet::new();
    let mut uuids = HashSet::new();
    for (index, group) in groups.iter().enumerate() {
        if !group.name.is_empty() && !names.insert(&group.name) {
            return Err(
                DecodeError::new("name", format!("'{}' is there twice", group.name)).at("groups", index)
            );
        }
        if let Some(uuid) = group.uuids.iter().find(|uuid| !uuids.insert(*uuid)) {
            return Err(DecodeError::new("uuids", format!("{uuid} is there twice")).at("groups", index));
        }
    }
    Ok(())
}

fn profile(profile: pb::WeigherProfile) -> Result<WeigherProfile, DecodeError> {
    let multipliers: BTreeMap<_, _> = profile.multipliers;
    if let Some((name, _)) = multipliers.iter().find(|(_, multiplier)| !multiplier.is_finite()) {
        return Err(DecodeError::new("profile.multipliers", format!("{name} must be a finite number")));
    }
    Ok(WeigherProfile { name: text("profile.name", profile.name)?, multipliers })
}
