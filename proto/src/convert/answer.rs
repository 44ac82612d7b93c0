//! Answers about common CPU flags.

use std::collections::BTreeSet;

use super::{DecodeError, feature_set, list, optional_text, owned_names, text};
use crate::{
    model::{
        AbsentFeature, Division, DivisionPart, FlagsAnswer, FlagsGroup, HostClass, HostStanding, Layer,
        MissingHost, UnknownFact, WhatIf,
    },
    pb,
};

impl From<Layer> for pb::CpuFeatureLayer {
    fn from(layer: Layer) -> Self {
        match layer {
            Layer::Host => Self::Host,
            Layer::Guest => Self::Guest,
        }
    }
}

/// The layer of a request or answer.
///
/// # Errors
/// Unset or unknown.
pub fn layer(value: i32) -> Result<Layer, DecodeError> {
    match pb::CpuFeatureLayer::try_from(value) {
        Ok(pb::CpuFeatureLayer::Host) => Ok(Layer::Host),
        Ok(pb::CpuFeatureLayer::Guest) => Ok(Layer::Guest),
        Ok(pb::CpuFeatureLayer::Unspecified) | Err(_) => {
            Err(DecodeError::new("layer", "must be CPU_FEATURE_LAYER_HOST or CPU_FEATURE_LAYER_GUEST"))
        }
    }
}

/// An answer for the wire.
#[must_use]
pub fn flags_answer_to_pb(
    answer: &FlagsAnswer,
    cluster_generation: String,
) -> pb::ComputeCommonCpuFlagsResponse {
    let FlagsAnswer { layer, complete, groups, host_count, fresh_host_count, hosts, missing } = answer;
    pb::ComputeCommonCpuFlagsResponse {
        cluster_generation,
        unchanged: false,
        layer: pb::CpuFeatureLayer::from(*layer).into(),
        complete: *complete,
        groups: groups.iter().map(Into::into).collect(),
        host_count: *host_count,
        fresh_host_count: *fresh_host_count,
        hosts: hosts.iter().map(Into::into).collect(),
        missing: missing.iter().map(Into::into).collect(),
    }
}

impl TryFrom<pb::ComputeCommonCpuFlagsResponse> for FlagsAnswer {
    type Error = DecodeError;

    /// Generation and `unchanged` are for the caller to look at first.
    fn try_from(answer: pb::ComputeCommonCpuFlagsResponse) -> Result<Self, DecodeError> {
        Ok(Self {
            layer: layer(answer.layer)?,
            complete: answer.complete,
            groups: list("groups", answer.groups, FlagsGroup::try_from)?,
            host_count: answer.host_count,
            fresh_host_count: answer.fresh_host_count,
            hosts: list("hosts", answer.hosts, HostStanding::try_from)?,
            missing: list("missing", answer.missing, MissingHost::try_from)?,
        })
    }
}

impl From<&FlagsGroup> for pb::CommonCpuFlags {
    fn from(group: &FlagsGroup) -> Self {
        let FlagsGroup {
            arch,
            vendor,
            vendors,
            features,
            host_count,
            hosts,
            sole_blockers,
            physical_address_bits,
            classes,
            absent,
            psabi_level,
            machine_types,
            usable_models,
            unknown,
            what_if,
            suggestions,
            suggestions_refused,
        } = group;
        Self {
            arch: arch.clone(),
            vendor: vendor.clone(),
            vendors: vendors.iter().cloned().collect(),
            features: owned_names(features),
            host_count: *host_count,
            hosts: hosts.clone(),
            sole_blockers: sole_blockers
                .iter()
                .map(|(host, features)| pb::SoleBlocker {
                    host: host.clone(),
                    features: owned_names(features),
                })
                .collect(),
            physical_address_bits: *physical_address_bits,
            classes: classes
                .iter()
                .map(|class| pb::HostClass { hosts: class.hosts.clone(), feature_count: class.feature_count })
                .collect(),
            absent: absent
                .iter()
                .map(|absent| pb::AbsentFeature {
                    name: absent.name.clone(),
                    lacking_classes: absent.lacking_classes.clone(),
                })
                .collect(),
            psabi_level: *psabi_level,
            machine_types: name_list_to_pb(machine_types.as_ref()),
            usable_models: name_list_to_pb(usable_models.as_ref()),
            unknown: unknown.iter().map(Into::into).collect(),
            what_if: what_if.as_ref().map(Into::into),
            suggestions: suggestions.iter().map(Into::into).collect(),
            suggestions_refused: suggestions_refused.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::CommonCpuFlags> for FlagsGroup {
    type Error = DecodeError;

    fn try_from(group: pb::CommonCpuFlags) -> Result<Self, DecodeError> {
        let host_name = |name| text("hosts", name);
        let blockers = list("sole_blockers", group.sole_blockers, |blocker| {
            Ok((text("host", blocker.host)?, feature_set("features", &blocker.features)?))
        })?;
        let classes = list("classes", group.classes, |class| {
            Ok(HostClass {
                hosts: list("hosts", class.hosts, host_name)?,
                feature_count: class.feature_count,
            })
        })?;
        let class_count = classes.len();
        let absent = list("absent", group.absent, |absent| {
            if absent.lacking_classes.iter().any(|index| *index as usize >= class_count) {
                return Err(DecodeError::new("lacking_classes", "names a class that is not there"));
            }
            Ok(AbsentFeature { name: text("name", absent.name)?, lacking_classes: absent.lacking_classes })
        })?;
        Ok(Self {
            arch: text("arch", group.arch)?,
            vendor: optional_text("vendor", group.vendor)?,
            vendors: list("vendors", group.vendors, |v| text("vendors", v))?.into_iter().collect(),
            features: feature_set("features", &group.features)?,
            host_count: group.host_count,
            hosts: list("hosts", group.hosts, host_name)?,
            sole_blockers: blockers.into_iter().collect(),
            physical_address_bits: group.physical_address_bits,
            classes,
            absent,
            psabi_level: group.psabi_level,
            machine_types: name_list("machine_types", group.machine_types)?,
            usable_models: name_list("usable_models", group.usable_models)?,
            unknown: list("unknown", group.unknown, UnknownFact::try_from)?,
            what_if: group.what_if.map(WhatIf::try_from).transpose()?,
            suggestions: list("suggestions", group.suggestions, Division::try_from)?,
            suggestions_refused: Some(text("suggestions_refused", group.suggestions_refused)?)
                .filter(|why| !why.is_empty()),
        })
    }
}

/// Names, sorted; None: not known.
pub(super) fn name_list_to_pb(names: Option<&BTreeSet<String>>) -> Option<pb::FeatureNames> {
    names.map(|names| pb::FeatureNames { names: names.iter().cloned().collect() })
}

pub(super) fn name_list(
    field: &str,
    names: Option<pb::FeatureNames>,
) -> Result<Option<BTreeSet<String>>, DecodeError> {
    let decode = |names: pb::FeatureNames| list(field, names.names, |name| text("names", name));
    Ok(names.map(decode).transpose()?.map(|names| names.into_iter().collect()))
}

impl From<&UnknownFact> for pb::UnknownFact {
    fn from(unknown: &UnknownFact) -> Self {
        let UnknownFact { fact, hosts, host_count } = unknown;
        Self { fact: fact.clone(), hosts: hosts.clone(), host_count: *host_count }
    }
}

impl TryFrom<pb::UnknownFact> for UnknownFact {
    type Error = DecodeError;

    fn try_from(unknown: pb::UnknownFact) -> Result<Self, DecodeError> {
        Ok(Self {
            fact: text("fact", unknown.fact)?,
            hosts: list("hosts", unknown.hosts, |name| text("hosts", name))?,
            host_count: unknown.host_count,
        })
    }
}

impl From<&WhatIf> for pb::WhatIf {
    fn from(what_if: &WhatIf) -> Self {
        let WhatIf { without, host_count, gained, psabi_level, physical_address_bits } = what_if;
        Self {
            without: without.clone(),
            host_count: *host_count,
            gained: owned_names(gained),
            psabi_level: *psabi_level,
            physical_address_bits: *physical_address_bits,
        }
    }
}

impl TryFrom<pb::WhatIf> for WhatIf {
    type Error = DecodeError;

    fn try_from(what_if: pb::WhatIf) -> Result<Self, DecodeError> {
        Ok(Self {
            without: list("without", what_if.without, |name| text("without", name))?,
            host_count: what_if.host_count,
            gained: feature_set("gained", &what_if.gained)?,
            psabi_level: what_if.psabi_level,
            physical_address_bits: what_if.physical_address_bits,
        })
    }
}

impl From<&Division> for pb::Division {
    fn from(division: &Division) -> Self {
        let part = |part: &DivisionPart| {
            let DivisionPart { hosts, feature_count, gained, psabi_level } = part;
            pb::DivisionPart {
                hosts: hosts.clone(),
                feature_count: *feature_count,
                gained: owned_names(gained),
                psabi_level: *psabi_level,
            }
        };
        Self { parts: division.parts.iter().map(part).collect() }
    }
}

impl TryFrom<pb::Division> for Division {
    type Error = DecodeError;

    fn try_from(division: pb::Division) -> Result<Self, DecodeError> {
        let part = |part: pb::DivisionPart| {
            Ok(DivisionPart {
                hosts: list("hosts", part.hosts, |name| text("hosts", name))?,
                feature_count: part.feature_count,
                gained: feature_set("gained", &part.gained)?,
                psabi_level: part.psabi_level,
            })
        };
        Ok(Self { parts: list("parts", division.parts, part)? })
    }
}
