//! The guest's CPU against the host's.

use vmuster_proto::model::{CpuComparison, CpuDefinition, Domain, VerdictKind};

use super::{
    Case, Comparison, HostFacts, NoComparison, Said, cpu_features, cpu_features::Known, cpu_of_host,
    is_running, no, unknown, yes,
};

/// What a definition asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// None: what QEMU gives to whoever asks for nothing.
    Default,
    /// A model and features, by name.
    Custom,
    /// The host's, by name, found when it starts.
    HostModel,
    /// The host's own, or all that QEMU can do.
    OfHost,
    /// None that is known.
    Other,
}

fn mode(definition: Option<&CpuDefinition>) -> Mode {
    let Some(definition) = definition else { return Mode::Default };
    match definition.mode.as_deref() {
        // Only a layout of memory: `<cpu><numa>…`.
        None | Some("custom") if definition.model.is_none() && definition.features.is_empty() => {
            Mode::Default
        }
        None | Some("custom") => Mode::Custom,
        Some("host-model") => Mode::HostModel,
        Some("host-passthrough" | "maximum") => Mode::OfHost,
        Some(_) => Mode::Other,
    }
}

/// The definition that this host's libvirt can compare with its CPU, if there is one: libvirt compares models and
/// features only, and with what its default type of guest can have.
#[must_use]
pub fn comparable<'d>(domain: &'d Domain, target: &HostFacts<'_>) -> Option<&'d CpuDefinition> {
    let definition = domain.cpu.as_ref().filter(|_| mode(domain.cpu.as_ref()) == Mode::Custom)?;
    let theirs = target.guest_cpu().and_then(|guest| guest.virt_type.as_deref());
    let alike = theirs.is_none_or(|theirs| domain.virt_type.as_deref() == Some(theirs));
    alike.then_some(definition)
}

/// Whose CPU it is made for.
pub(super) fn vendor(case: &Case<'_>) -> Said {
    let theirs = case.target.guest_cpu().and_then(|guest| guest.vendor.as_deref());
    let wanted = case.domain.cpu.as_ref().and_then(|cpu| cpu.vendor.as_deref());
    match (wanted, theirs) {
        (Some(wanted), Some(theirs)) if wanted != theirs && same_type(case) => {
            return no(format!("the guest's CPU is made for {wanted}, and guests there get {theirs}'s"));
        }
        (Some(wanted), None) if same_type(case) => {
            return case.target.silent("cpu.guest.vendor", &format!("whether guests get a CPU of {wanted}"));
        }
        _ => {}
    }
    // Instructions differ that no feature tells of. A guest that starts anew takes what it finds.
    let Some(source) = case.source.filter(|_| case.is_running() && !case.is_emulated()) else {
        return Said::new();
    };
    let of = |host: &HostFacts<'_>| host.cpu().and_then(|cpu| cpu.vendor.clone());
    match (of(&source), of(&case.target)) {
        (Some(ours), Some(theirs)) if ours == theirs => Said::new(),
        (Some(ours), Some(theirs)) => no(format!(
            "it runs on a CPU of {ours}, and the host's is of {theirs}: no guest moves between them"
        )),
        (ours, None) => {
            let ours = ours.unwrap_or_else(|| "an unknown vendor".to_owned());
            case.target.silent("cpu.vendor", &format!("its CPU's vendor; the guest runs on one of {ours}"))
        }
        (None, Some(_)) => unknown("the vendor of the CPU it runs on is not known"),
    }
}

/// Whether the host's facts about guests' CPUs are of this type of guest.
fn same_type(case: &Case<'_>) -> bool {
    let theirs = case.target.guest_cpu().and_then(|guest| guest.virt_type.as_deref());
    theirs.is_none() || theirs == case.domain.virt_type.as_deref()
}

/// What the guest's CPU has.
pub(super) fn cpu(case: &Case<'_>) -> Said {
    let definition = case.domain.cpu.as_ref();
    let mode = mode(definition);
    if mode == Mode::Default {
        return yes("the definition names no CPU: QEMU's default, which every host of its type can give");
    }
    let Some(definition) = definition else { return Said::new() };
    let mut said = match mode {
        Mode::Default => Said::new(),
        Mode::Other => unknown(format!(
            "CPUs of mode '{}' are not known",
            definition.mode.as_deref().unwrap_or_default()
        )),
        Mode::OfHost => cpu_of_host::judge(case, definition),
        _ if !same_type(case) => of_other_type(case),
        Mode::Custom => custom(definition, case),
        Mode::HostModel => host_model(definition, case),
    };
    said.extend(invariant_tsc(definition, case));
    said
}

/// What the host reports is of KVM guests, and this one is emulated (or the other way round).
fn of_other_type(case: &Case<'_>) -> Said {
    let theirs = case.target.guest_cpu().and_then(|guest| guest.virt_type.as_deref()).unwrap_or_default();
    if !case.is_emulated() {
        return unknown(format!("the host reports only what guests of type '{theirs}' can have"));
    }
    let version = |host: &HostFacts<'_>| host.driver().and_then(|driver| driver.qemu_version.clone());
    let (ours, theirs) = (case.source.as_ref().and_then(version), version(&case.target));
    match ours.zip(theirs) {
        Some((ours, theirs)) if ours == theirs && case.is_running() => {
            yes(format!("QEMU computes its CPU, and is {theirs} on both hosts"))
        }
        _ => unknown("QEMU computes its CPU, and the host reports only what KVM guests can have"),
    }
}

fn custom(definition: &CpuDefinition, case: &Case<'_>) -> Said {
    if let Some(Err(NoComparison::Refused(words))) = case.target.comparison {
        return no(words.clone());
    }
    let check = definition.check.as_deref();
    if case.is_running() && matches!(check, Some("none" | "partial")) {
        return started_with_less(definition, case);
    }
    let known = cpu_features::judge(definition, &case.target, None);
    if check == Some("none") && !case.is_running() && !known.has_strange_name {
        unchecked(known, case)
    } else {
        compared(known, case)
    }
}

fn compared(known: Known, case: &Case<'_>) -> Said {
    match case.target.comparison {
        None => by_name(known),
        Some(comparison) => with_libvirt(comparison, known, case.target.doubt.is_some()),
    }
}

/// libvirt compares nothing when it starts such a guest; QEMU leaves out what is not there. Names that libvirt does not
/// know it refuses all the same.
fn unchecked(mut known: Known, case: &Case<'_>) -> Said {
    let forbidden = std::mem::take(&mut known.forbidden);
    let as_note = |words: &str, said: Said| -> Said {
        let noted = |(verdict, detail)| match verdict {
            VerdictKind::No => (VerdictKind::Yes, format!("check='none', so {words}: {detail}")),
            _ => (verdict, detail),
        };
        said.into_iter().map(noted).collect()
    };
    let mut said = as_note("it starts with less", compared(known, case));
    said.extend(as_note("libvirt does not look, and takes it from the guest", forbidden));
    said
}

/// A running guest whose definition libvirt did not bring in line with what it got: it has of it what its host can give.
fn started_with_less(definition: &CpuDefinition, case: &Case<'_>) -> Said {
    let check = definition.check.as_deref().unwrap_or_default();
    let had = case.source.as_ref().and_then(|source| source.guest_cpu()?.features.as_ref());
    let known = cpu_features::judge(definition, &case.target, had);
    let given = case.target.guest_cpu().and_then(|guest| guest.features.as_ref());
    let is_covered = had.zip(given).is_some_and(|(had, given)| had.difference(given).is_empty());
    let is_plain = known.features.is_empty() && known.forbidden.is_empty() && !known.has_strange_name;
    // A host that takes it in compares for 'partial' once more, and for 'none' nothing.
    let is_taken = match case.target.comparison {
        Some(Ok((CpuComparison::Incompatible, _))) => check == "none",
        Some(Err(_)) => false,
        Some(Ok(_)) | None => true,
    };
    if is_covered && is_plain && is_taken {
        return yes(format!(
            "check='{check}', so it has of its CPU what its own host can give, and this host can give all of that"
        ));
    }
    let lacks = |known: &Known| {
        let mut said = known.features.iter().chain(&known.forbidden).chain(&known.model);
        said.any(|said| said.0 == VerdictKind::No)
    };
    // Where it is known what it has, and the host can give that, libvirt's no is of what it never had.
    if had.is_some() && lacks(&known) || known.has_strange_name {
        return compared(known, case);
    }
    let doubted = |(verdict, detail)| match verdict {
        VerdictKind::No => (
            VerdictKind::Unknown,
            format!("check='{check}', so it may have started with less than it asks for: {detail}"),
        ),
        _ => (verdict, detail),
    };
    compared(known, case).into_iter().map(doubted).collect()
}

/// libvirt was not asked.
fn by_name(known: Known) -> Said {
    let said = known.all();
    if said.is_empty() { yes("by the names of features alone: libvirt there was not asked") } else { said }
}

/// `is_silent`: the host does not answer at all, which another rule tells.
fn with_libvirt(comparison: &Comparison, known: Known, is_silent: bool) -> Said {
    let only = |kind: VerdictKind| move |said: &(VerdictKind, String)| said.0 == kind;
    match comparison {
        Ok((CpuComparison::Incompatible, words)) => {
            let words = if words.is_empty() { "it does not say why" } else { words };
            let own = known.all().into_iter().filter(only(VerdictKind::No));
            let theirs = no(format!("libvirt there says that the host cannot run it: {words}"));
            theirs.into_iter().chain(own).collect()
        }
        Ok((CpuComparison::Identical | CpuComparison::Superset, _)) => {
            // libvirt knows its models better than we do. A feature that the host does not list is another matter: it
            // may be there for guests that never move.
            let doubted =
                |(_, detail)| (VerdictKind::Unknown, format!("{detail}; libvirt there does not mind"));
            known.listed().into_iter().filter(only(VerdictKind::No)).map(doubted).collect()
        }
        Err(error) => {
            let own = known.all().into_iter().filter(only(VerdictKind::No));
            let asked = unknown(format!("libvirt there could not compare the CPU ({error})"));
            own.chain(asked.into_iter().filter(|_| !is_silent)).collect()
        }
    }
}

fn host_model(definition: &CpuDefinition, case: &Case<'_>) -> Said {
    if case.is_running() {
        return unknown(
            "libvirt does not tell which CPU the running guest has, only that it is its host's model",
        );
    }
    let listed = cpu_features::judge(definition, &case.target, None).listed();
    if listed.is_empty() {
        yes("host-model: the guest gets what this host can give when it starts")
    } else {
        listed
    }
}

/// libvirt moves a guest with an invariant TSC only if the frequency is part of its definition.
fn invariant_tsc(definition: &CpuDefinition, case: &Case<'_>) -> Said {
    if !cpu_features::asks_for(definition, cpu_features::INVARIANT_TSC) || !is_running(case.domain) {
        return Said::new();
    }
    unknown(
        "it has invtsc, with which libvirt moves a guest only if its definition fixes the TSC's frequency (<timer \
         name='tsc' frequency=…>); vmuster does not see that",
    )
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
