//! Answers about common CPU flags.

use super::{DecodeError, feature_set, list, optional_text, owned_names, text};
use crate::{
    model::{AbsentFeature, FlagsAnswer, FlagsGroup, HostClass, HostStanding, Layer, MissingHost},
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
        })
    }
}
