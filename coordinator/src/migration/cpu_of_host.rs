//! CPUs that are the host's own, host-passthrough and maximum: no name tells what is in them.

use std::fmt::Display;

use vmuster_proto::model::CpuDefinition;

use super::{Case, HostFacts, Said, no, unknown, yes};

pub(super) fn judge(case: &Case<'_>, definition: &CpuDefinition) -> Said {
    let mode = definition.mode.as_deref().unwrap_or_default();
    if !case.is_running() {
        return yes(format!("{mode}: the guest gets this host's own CPU when it starts"));
    }
    if definition.migratable == Some(false) {
        return no(format!("{mode} with migratable='off': libvirt does not let it move while it runs"));
    }
    let Some(source) = &case.source else {
        return unknown(format!("{mode}: it has the CPU of the host it runs on, and that is not known"));
    };
    let mut compared = Compared::default();
    if !case.is_emulated() {
        compare_cpus(&mut compared, source, &case.target);
    }
    compared.fact("QEMU", source, &case.target, |host| host.driver()?.qemu_version.as_deref());
    let Compared { different, missing } = compared;
    let list = |what: &str, facts: Vec<String>| {
        if facts.is_empty() { Said::new() } else { unknown(format!("{mode}: {what}: {}", facts.join(", "))) }
    };
    let differ = "the guest has its host's own CPU, and this host's differs";
    list(differ, different).into_iter().chain(list("not known of both hosts", missing)).collect()
}

/// Everything that decides what a guest sees of such a CPU.
fn compare_cpus(compared: &mut Compared, source: &HostFacts<'_>, target: &HostFacts<'_>) {
    compared.fact("vendor", source, target, |host| host.cpu()?.vendor.as_deref());
    compared.fact("family", source, target, |host| host.cpu()?.family);
    compared.fact("model", source, target, |host| host.cpu()?.model);
    compared.fact("stepping", source, target, |host| host.cpu()?.stepping);
    compared.fact("microcode", source, target, |host| host.cpu()?.microcode.as_deref());
    compared.fact("kernel", source, target, |host| host.inventory.system.as_ref()?.kernel_release.as_deref());
    let features = |host: &HostFacts<'_>| host.cpu().and_then(|cpu| cpu.cpuid_features.clone());
    match features(source).zip(features(target)) {
        None => compared.missing.push("CPUID".to_owned()),
        Some((ours, theirs)) => {
            let (more, less) = (theirs.difference(&ours), ours.difference(&theirs));
            for (sign, names) in [("without", less), ("with", more)] {
                if !names.is_empty() {
                    compared.different.push(format!("CPUID {sign} {}", super::named(&names.names())));
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Compared {
    different: Vec<String>,
    missing: Vec<String>,
}

impl Compared {
    fn fact<'a, T: PartialEq + Display>(
        &mut self,
        name: &str,
        source: &HostFacts<'a>,
        target: &HostFacts<'a>,
        of: impl Fn(&HostFacts<'a>) -> Option<T>,
    ) {
        match of(source).zip(of(target)) {
            None => self.missing.push(name.to_owned()),
            Some((ours, theirs)) if ours == theirs => {}
            Some((ours, theirs)) => self.different.push(format!("{name} {theirs} instead of {ours}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::VerdictKind;

    use super::*;
    use crate::migration::{
        cpu::cpu,
        testing::{Facts, facts, set, told},
    };

    fn passthrough() -> Facts {
        let mut facts = facts();
        let mode = Some("host-passthrough".to_owned());
        facts.domain.cpu = Some(CpuDefinition { mode, ..CpuDefinition::default() });
        facts
    }

    fn only(facts: &Facts) -> (VerdictKind, String) {
        let [said] = told(cpu, facts).try_into().expect("one");
        said
    }

    #[test]
    fn an_equal_cpu_may_take_it() {
        assert_eq!(told(cpu, &passthrough()), []);
    }

    #[test]
    fn what_differs_is_named() {
        let mut facts = passthrough();
        facts.cpu().microcode = Some("0x2".to_owned());
        facts.cpu().cpuid_features = Some(set(&["aes", "invtsc", "sse2"]));
        facts.driver().qemu_version = Some("8.0.0".to_owned());
        assert_eq!(
            only(&facts),
            (
                VerdictKind::Unknown,
                "host-passthrough: the guest has its host's own CPU, and this host's differs: microcode 0x2 instead \
                 of 0x1, CPUID without avx, CPUID with sse2, QEMU 8.0.0 instead of 7.2.22"
                    .to_owned()
            )
        );
        let mut facts = passthrough();
        facts.cpu().stepping = None;
        assert_eq!(
            only(&facts),
            (VerdictKind::Unknown, "host-passthrough: not known of both hosts: stepping".to_owned())
        );
    }

    #[test]
    fn some_never_move_and_some_start_anew() {
        let mut facts = passthrough();
        facts.domain.cpu.as_mut().expect("a CPU").migratable = Some(false);
        assert_eq!(only(&facts).0, VerdictKind::No);
        facts.domain.state = Some("shut_off".to_owned());
        assert_eq!(only(&facts).0, VerdictKind::Yes);
        let mut alone = passthrough();
        alone.source = None;
        assert_eq!(only(&alone).0, VerdictKind::Unknown);
    }

    #[test]
    fn an_emulated_one_depends_on_qemu_alone() {
        let mut facts = passthrough();
        facts.domain.virt_type = Some("qemu".to_owned());
        facts.domain.cpu.as_mut().expect("a CPU").mode = Some("maximum".to_owned());
        facts.cpu().microcode = None;
        assert_eq!(told(cpu, &facts), []);
    }
}
