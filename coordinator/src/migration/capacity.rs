//! vCPUs and memory: what is promised there already, to guests and by claims, and this guest.

use vmuster_proto::model::{Bytes, CpuSet, Domain, Hypervisor};

use super::{Case, Said, no, unknown};
use crate::accounting::{MEMORY_RATIO, Profile, RoomFigures, is_dedicated};

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
    // It would be on CPUs that nobody else is promised by number.
    if is_dedicated(case.domain, &case.target.settings.dedicated_cpus) {
        return said;
    }
    said.extend(match figures(case, &case.room.vcpus, "the vCPUs it has promised") {
        Ok(found) => floating(case, u64::from(wanted), found),
        Err(said) => said,
    });
    said
}

fn floating(case: &Case<'_>, wanted: u64, RoomFigures { figures, by_claims }: RoomFigures) -> Said {
    let settings = case.target.settings;
    let which = if settings.dedicated_cpus.is_empty() { "" } else { " that are not dedicated" };
    let (threads, promised) = (figures.total, figures.promised);
    if wanted > threads {
        return no(format!("it has {wanted} vCPUs, and the host {threads} CPUs{which}"));
    }
    let most = figures.promisable(case.target.profile);
    if promised.saturating_add(wanted) <= most {
        return Said::new();
    }
    let left = most.saturating_sub(promised);
    let claimed = if by_claims > 0 { format!(", {by_claims} of them by claims") } else { String::new() };
    let ratio = settings.vcpu_ratio;
    no(format!(
        "it may have {wanted} vCPUs: of {most} ({threads} CPUs{which} × {ratio}) {promised} are promised{claimed}, \
         which leaves {left}"
    ))
}

/// Or what is not known of them.
fn figures(case: &Case<'_>, room: &Result<RoomFigures, String>, what: &str) -> Result<RoomFigures, Said> {
    room.as_ref().copied().map_err(|why| {
        if case.target.usage.is_some_and(|usage| usage.domains.is_some()) {
            unknown(why)
        } else {
            case.target.silent("usage.domains", what)
        }
    })
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
    // Huge pages are not promised, but free or not: another rule looks.
    if is_backed(case.domain) {
        return Said::new();
    }
    match figures(case, &case.room.memory, "the memory it has promised") {
        Ok(found) => ordinary(case, wanted, total, found),
        Err(said) => said,
    }
}

fn ordinary(case: &Case<'_>, wanted: Bytes, all: Bytes, found: RoomFigures) -> Said {
    let RoomFigures { figures, by_claims } = found;
    let [total, reserved, promised, claimed] =
        [figures.total, figures.reserved, figures.promised, by_claims].map(Bytes);
    let beside = if total == all { "" } else { " beside its huge pages" };
    if wanted > total {
        return no(format!("it may have {wanted}, and the host has {total}{beside}"));
    }
    let (profile, ratio) = (case.target.profile, figures.ratio);
    let left = Bytes(u64::try_from(figures.headroom(profile)).unwrap_or(0));
    if wanted <= left {
        return Said::new();
    }
    let overcommit = match profile {
        Profile::Standard if ratio == MEMORY_RATIO => String::new(),
        Profile::Standard => format!(", the rest counts × {ratio}"),
        Profile::Kilo => format!(", all counts × {ratio}"),
    };
    let claimed = if claimed.0 > 0 { format!(", {claimed} of it by claims") } else { String::new() };
    no(format!(
        "it may have {wanted}: of {total}{beside}, {reserved} are the host's own{overcommit} and {promised} \
         promised{claimed}, which leaves {left}"
    ))
}

/// Whether huge pages back all of its memory. Of a guest of which they back a part the whole is judged.
fn is_backed(domain: &Domain) -> bool {
    let pages = &domain.hugepages;
    let backs = |cell: u32| {
        pages.iter().any(|entry| entry.guest_nodes.as_ref().is_none_or(|nodes| nodes.contains(cell)))
    };
    let cells = domain.numa.as_ref().map(|numa| numa.cells.as_slice()).unwrap_or_default();
    !pages.is_empty() && cells.iter().all(|cell| backs(cell.id))
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::{
        DomainHugepages, DomainNuma, GuestCell, HugepagePool, Ratio,
        VerdictKind::{No, Unknown},
    };

    use super::*;
    use crate::migration::testing::{Facts, claim, cpus, facts, guest, other, told};

    #[test]
    fn memory_is_promised_once() {
        let with = |wanted: u64, promised: u64| {
            let mut facts = facts();
            facts.domain.memory_max_bytes = Some(Bytes(wanted << 30));
            facts.domains().push(other("a", 0, promised));
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
        overcommitted.domains().push(other("a", 0, 10));
        assert_eq!(told(memory, &overcommitted).pop(), None, "12 GiB of 16 count 18");
        overcommitted.domains().push(other("b", 0, 1));
        let said = "it may have 8.0 GiB: of 16.0 GiB, 4.0 GiB are the host's own, the rest counts × 1.5 and 11.0 GiB \
                    promised, which leaves 7.0 GiB";
        assert_eq!(told(memory, &overcommitted).pop(), Some((No, said.to_owned())));
        let large = "it may have 17.0 GiB, and the host has 16.0 GiB in all";
        assert_eq!(with(17, 0), Some((No, large.to_owned())));
    }

    #[test]
    fn vcpus_are_shared_and_never_more_than_threads() {
        let with = |wanted: u32, promised: u32| {
            let mut facts = facts();
            facts.domain.vcpus_max = Some(wanted);
            facts.domains().push(other("a", promised, 0));
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

    /// 31 of 32 vCPUs and 13 of 14 GiB are promised: one guest's and two claims'.
    fn filled() -> Facts {
        let mut facts = facts();
        facts.domains().push(other("a", 20, 6));
        facts.target.claims = vec![claim("u-a", 22, 4), claim("u-b", 9, 7)];
        facts
    }

    #[test]
    fn claims_are_promises_and_one_of_a_guest_there_counts_once() {
        let facts = filled();
        let full =
            "it may have 2 vCPUs: of 32 (8 CPUs × 4) 31 are promised, 11 of them by claims, which leaves 1";
        assert_eq!(told(vcpus, &facts), [(No, full.to_owned())]);
        let full = "it may have 2.0 GiB: of 16.0 GiB, 2.0 GiB are the host's own and 13.0 GiB promised, 7.0 GiB of it \
                    by claims, which leaves 1.0 GiB";
        assert_eq!(told(memory, &facts), [(No, full.to_owned())]);
        let mut less = filled();
        less.target.claims.pop();
        assert_eq!((told(vcpus, &less), told(memory, &less)), (vec![], vec![]));
    }

    #[test]
    fn what_is_kept_for_the_guest_itself_is_not_in_its_way() {
        let mut own = filled();
        own.target.claims[1].uuid.clone_from(&own.domain.uuid);
        assert_eq!((told(vcpus, &own), told(memory, &own)), (vec![], vec![]));
        let mut there = filled();
        there.target.claims.pop();
        let itself = Domain { vcpus_max: Some(12), memory_max_bytes: Some(Bytes(8 << 30)), ..guest() };
        there.domains().push(itself);
        assert_eq!((told(vcpus, &there), told(memory, &there)), (vec![], vec![]), "`name` says no to that");
    }

    #[test]
    fn dedicated_cpus_and_huge_pages_are_counted_as_where_guests_are_placed() {
        let mut dedicated = filled();
        dedicated.target.settings.dedicated_cpus = cpus("4-7");
        let said = told(vcpus, &dedicated).pop().expect("no").1;
        assert!(said.contains("of 16 (4 CPUs that are not dedicated × 4) 31 are promised"), "{said}");
        dedicated.domain.vcpus_max = Some(5);
        let large = "it has 5 vCPUs, and the host 4 CPUs that are not dedicated";
        assert_eq!(told(vcpus, &dedicated), [(No, large.to_owned())]);
        dedicated.domain.cpus = Some(cpus("4-7"));
        assert_eq!(told(vcpus, &dedicated), [], "it takes none of those");

        let mut pages = facts();
        pages.memory().hugepages = vec![HugepagePool { size_bytes: Bytes(1 << 30), total: Some(12) }];
        pages.domain.memory_max_bytes = Some(Bytes(3 << 30));
        let said = "it may have 3.0 GiB: of 4.0 GiB beside its huge pages, 2.0 GiB are the host's own and 0 B promised, \
                    which leaves 2.0 GiB";
        assert_eq!(told(memory, &pages), [(No, said.to_owned())]);
        pages.domain.hugepages = vec![DomainHugepages::default()];
        assert_eq!(told(memory, &pages), [], "`hugepages` looks whether they are free");
        let cell = |id: u32| GuestCell { id, ..GuestCell::default() };
        pages.domain.numa = Some(DomainNuma { cells: vec![cell(0), cell(1)], ..DomainNuma::default() });
        assert_eq!(told(memory, &pages), []);
        pages.domain.hugepages[0].guest_nodes = Some(cpus("0"));
        assert_eq!(told(memory, &pages), [(No, said.to_owned())], "the other cell's memory is ordinary");
        pages.memory().hugepages[0].total = None;
        assert_eq!(told(memory, &pages)[0].0, Unknown);
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
        unknown(memory, |facts| facts.target.usage.domains = None);
        unknown(memory, |facts| facts.domains().push(Domain { memory_max_bytes: None, ..other("a", 1, 1) }));
        unknown(vcpus, |facts| facts.domain.vcpus_max = None);
        unknown(vcpus, |facts| facts.target.usage.domains = None);
        unknown(vcpus, |facts| facts.domains().push(Domain { vcpus_max: None, ..other("a", 1, 1) }));
        unknown(vcpus, |facts| (facts.cpu().online, facts.cpu().thread_count) = (None, None));
    }
}
