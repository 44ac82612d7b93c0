//! Guests that have more than a baseline: they keep the features they were started with.

use vmuster_proto::model::{CpuDefinition, Domain, ExceedingDomain, FeatureSet};

use super::{GuestHost, Known, known::with_policy};

/// States in which a guest has no CPU yet; what it gets is decided when it is started.
const WITHOUT_CPU: [&str; 2] = ["shut_off", "crashed"];

/// The guests of a host that are beyond these features, or may be; by name.
#[must_use]
pub fn exceeding(
    host: &GuestHost<'_>,
    domains: &[Domain],
    features: &FeatureSet,
    known: &Known,
) -> Vec<ExceedingDomain> {
    let mut found: Vec<ExceedingDomain> = domains
        .iter()
        // What is emulated can have more, and goes to no host by its KVM's measure.
        .filter(|domain| {
            domain.virt_type.is_none()
                || domain.virt_type == host.guest.virt_type
                || host.guest.virt_type.is_none()
        })
        .filter(|domain| !domain.state.as_deref().is_some_and(|state| WITHOUT_CPU.contains(&state)))
        .filter_map(|domain| {
            let (beyond, detail) = beyond(domain.cpu.as_ref(), features, known, host)?;
            Some(ExceedingDomain {
                host: host.name.to_owned(),
                uuid: domain.uuid.clone(),
                name: domain.name.clone(),
                state: domain.state.clone().unwrap_or_default(),
                features: beyond,
                detail,
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    found
}

/// Features beyond, and what else is; None: nothing is.
fn beyond(
    cpu: Option<&CpuDefinition>,
    features: &FeatureSet,
    known: &Known,
    host: &GuestHost<'_>,
) -> Option<(FeatureSet, String)> {
    let untold = |detail: &str| Some((FeatureSet::default(), detail.to_owned()));
    let is_default = |cpu: &&CpuDefinition| cpu.mode.is_none() && cpu.model.is_none();
    let Some(cpu) = cpu.filter(|cpu| !is_default(cpu)) else {
        return untold(
            "its definition names no CPU: it has QEMU's default one, whose features are not known",
        );
    };
    match cpu.mode.as_deref() {
        Some("host-passthrough" | "maximum") => return untold("it has its host's own CPU"),
        Some("host-model") => return untold("what its host-model became at its start is not known"),
        _ => {}
    }
    let given = with_policy(cpu, |policy| matches!(policy, "require" | "force"));
    let taken = with_policy(cpu, |policy| matches!(policy, "disable" | "forbid"));
    let model = cpu.model.as_deref().unwrap_or_default();
    let stands = known.of(model);
    // Nobody looked whether the host has them.
    let is_unchecked = cpu.check.as_deref() == Some("none");
    let mut has = if is_unchecked { given.intersection(&host.features()) } else { given };
    for one in stands {
        let of_model = one.surely.difference(&taken);
        // Without a full check QEMU leaves out what the host lacks, and nobody is told.
        let is_whole = cpu.check.as_deref() == Some("full");
        has = has.union(&if is_whole { of_model } else { of_model.intersection(&host.features()) });
    }
    let beyond = has.difference(features);
    if stands.is_empty() {
        let detail = format!("what its model {model} stands for is not known here");
        return Some((beyond, detail));
    }
    (!beyond.is_empty()).then(|| (beyond, String::new()))
}
