//! vCPUs and memory: what is promised there already, and this guest.

use vmuster_proto::model::{Bytes, CpuSet, Hypervisor};

use super::{Case, Said, no, unknown};
use crate::accounting::{Figures, MEMORY_RATIO, Profile};

pub(super) fn vcpus(case: &Case<'_>) -> Said {
    let Some(wanted) = case.domain.vcpus_max else {
        return unknown("how many vCPUs it may have is not known");
    };
    let mut said = most_of_machine(case, wanted);
    let cpu = case.target.cpu();
    let online = cpu.and_then(|cpu| cpu.online.as_ref().map(CpuSet::len).or(cpu.thread_count));
    let Some(threads) = online else {
        said.extend(case.target.silent("cpu.online", "its CPUs"));
        return said;
    };
    if wanted > threads {
        said.extend(no(format!("it has {wanted} vCPUs, and the host {threads} CPUs")));
        return said;
    }
    let Some(promised) = case.target.usage.and_then(|usage| usage.promised.as_ref()?.vcpus) else {
        said.extend(case.target.silent("usage.domains", "the vCPUs it has promised"));
        return said;
    };
    let ratio = case.target.settings.vcpu_ratio;
    let figures = Figures { total: u64::from(threads), reserved: 0, ratio, promised };
    let most = figures.promisable(case.target.profile);
    if promised.saturating_add(u64::from(wanted)) > most {
        let left = most.saturating_sub(promised);
        said.extend(no(format!(
            "it may have {wanted} vCPUs: of {most} ({threads} CPUs × {ratio}) {promised} are promised, \
             which leaves {left}"
        )));
    }
    said
}

/// A machine type has room for so many.
fn most_of_machine(case: &Case<'_>, wanted: u32) -> Said {
    let Some((driver, machine)) = case.target.driver().zip(case.domain.machine_type.as_deref()) else {
        return Said::new();
    };
    let Hypervisor { machine_aliases, machine_max_vcpus, .. } = driver;
    let machine = machine_aliases.get(machine).map_or(machine, String::as_str);
    match machine_max_vcpus.get(machine) {
        Some(most) if wanted > *most => {
            no(format!("it may have {wanted} vCPUs, and a {machine} has at most {most} there"))
        }
        _ => Said::new(),
    }
}

pub(super) fn memory(case: &Case<'_>) -> Said {
    let Some(wanted) = case.domain.memory_max_bytes else {
        return unknown("how much memory it may have is not known");
    };
    let Some(total) = case.target.inventory.memory.as_ref().and_then(|memory| memory.total_bytes) else {
        return case.target.silent("memory", "its memory");
    };
    if wanted > total {
        return no(format!("it may have {wanted}, and the host has {total} in all"));
    }
    let Some(promised) = case.target.usage.and_then(|usage| usage.promised.as_ref()?.memory_bytes) else {
        return case.target.silent("usage.domains", "the memory it has promised");
    };
    let (ratio, reserved) = (case.target.settings.memory_ratio, case.target.settings.reserved_memory_bytes);
    let figures = Figures { total: total.0, reserved: reserved.0, ratio, promised: promised.0 };
    let profile = case.target.profile;
    let left = Bytes(u64::try_from(figures.headroom(profile)).unwrap_or(0));
    if wanted <= left {
        return Said::new();
    }
    let overcommit = match profile {
        Profile::Standard if ratio == MEMORY_RATIO => String::new(),
        Profile::Standard => format!(", the rest counts × {ratio}"),
        Profile::Kilo => format!(", all counts × {ratio}"),
    };
    no(format!(
        "it may have {wanted}: of {total}, {reserved} are the host's own{overcommit} and {promised} promised, which \
         leaves {left}"
    ))
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::{
        Ratio,
        VerdictKind::{No, Unknown},
    };

    use super::*;
    use crate::migration::testing::{Facts, facts, told};

    #[test]
    fn memory_is_promised_once() {
        let with = |wanted: u64, promised: u64| {
            let mut facts = facts();
            facts.domain.memory_max_bytes = Some(Bytes(wanted << 30));
            facts.promised().memory_bytes = Some(Bytes(promised << 30));
            told(memory, &facts).pop()
        };
        assert_eq!(with(8, 6), None, "16 GiB, 2 of them reserved");
        let full = "it may have 8.0 GiB: of 16.0 GiB, 2.0 GiB are the host's own and 7.0 GiB promised, which leaves \
                    7.0 GiB";
        assert_eq!(with(8, 7), Some((No, full.to_owned())));
        assert_eq!(with(1, 99), Some((No, "it may have 1.0 GiB: of 16.0 GiB, 2.0 GiB are the host's own and 99.0 GiB promised, which leaves 0 B".to_owned())));
        let mut overcommitted = facts();
        overcommitted.target.settings.memory_ratio = Ratio::from_hundredths(150);
        overcommitted.target.settings.reserved_memory_bytes = Bytes(4 << 30);
        overcommitted.domain.memory_max_bytes = Some(Bytes(8 << 30));
        overcommitted.promised().memory_bytes = Some(Bytes(10 << 30));
        assert_eq!(told(memory, &overcommitted).pop(), None, "12 GiB of 16 count 18");
        overcommitted.promised().memory_bytes = Some(Bytes(11 << 30));
        let said = "it may have 8.0 GiB: of 16.0 GiB, 4.0 GiB are the host's own, the rest counts × 1.5 and 11.0 GiB \
                    promised, which leaves 7.0 GiB";
        assert_eq!(told(memory, &overcommitted).pop(), Some((No, said.to_owned())));
        let large = "it may have 17.0 GiB, and the host has 16.0 GiB in all";
        assert_eq!(with(17, 0), Some((No, large.to_owned())));
    }

    #[test]
    fn vcpus_are_shared_and_never_more_than_threads() {
        let with = |wanted: u32, promised: u64| {
            let mut facts = facts();
            facts.domain.vcpus_max = Some(wanted);
            facts.promised().vcpus = Some(promised);
            told(vcpus, &facts).pop()
        };
        assert_eq!(with(8, 24), None, "8 CPUs");
        let full = "it may have 8 vCPUs: of 32 (8 CPUs × 4) 25 are promised, which leaves 7";
        assert_eq!(with(8, 25), Some((No, full.to_owned())));
        assert_eq!(with(9, 0), Some((No, "it has 9 vCPUs, and the host 8 CPUs".to_owned())));
        let mut facts = facts();
        facts.driver().machine_max_vcpus.insert("pc-q35-7.2".to_owned(), 1);
        let most = "it may have 2 vCPUs, and a pc-q35-7.2 has at most 1 there";
        assert_eq!(told(vcpus, &facts), [(No, most.to_owned())]);
    }

    #[test]
    fn what_is_not_known_is_not_there() {
        let unknown = |rule: fn(&Case<'_>) -> Said, change: fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            assert_eq!(told(rule, &facts).pop().map(|said| said.0), Some(Unknown));
        };
        unknown(memory, |facts| facts.domain.memory_max_bytes = None);
        unknown(memory, |facts| facts.target.inventory.memory = None);
        unknown(memory, |facts| facts.promised().memory_bytes = None);
        unknown(vcpus, |facts| facts.domain.vcpus_max = None);
        unknown(vcpus, |facts| facts.promised().vcpus = None);
        unknown(vcpus, |facts| (facts.cpu().online, facts.cpu().thread_count) = (None, None));
    }
}
