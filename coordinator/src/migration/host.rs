//! The host as a whole: its facts, whether it may be used, and what runs guests there.

use std::cmp::Ordering;

use vmuster_proto::model::{Domain, Issue, IssueKind};

use super::{Case, HostFacts, Said, no, unknown, yes};

/// Facts that may be out of date prove nothing; nor do those of the host it is on.
pub(super) fn freshness(case: &Case<'_>) -> Said {
    let source = case.source.as_ref().map(|source| (source, "the host it is on: "));
    let sides = [Some((&case.target, "")), source];
    sides.into_iter().flatten().flat_map(|(host, whose)| doubts(host, whose)).collect()
}

fn doubts(host: &HostFacts<'_>, whose: &str) -> Said {
    let mut said: Said =
        host.doubt.into_iter().flat_map(|doubt| unknown(format!("{whose}{doubt}"))).collect();
    // An agent whose libvirt hangs shows guests as it saw them last.
    let is_old = |kind| matches!(kind, IssueKind::Timeout | IssueKind::Missing | IssueKind::Denied);
    let old = host.issues.iter().find(|issue| issue.section == "usage.domains" && is_old(issue.kind));
    if let Some(Issue { source, detail, .. }) = old {
        said.extend(unknown(format!("{whose}its guests are not known as they are now ({source}: {detail})")));
    }
    said
}

pub(super) fn maintenance(case: &Case<'_>) -> Said {
    if case.target.maintenance { no("the host is in maintenance") } else { Said::new() }
}

/// libvirt has no two guests of one UUID or name.
pub(super) fn name(case: &Case<'_>) -> Said {
    let Some(domains) = case.target.usage.and_then(|usage| usage.domains.as_deref()) else {
        return case.target.silent("usage.domains", "its guests");
    };
    let Domain { uuid, name, .. } = case.domain;
    let state = |domain: &Domain| domain.state.as_deref().unwrap_or("in an unknown state").replace('_', " ");
    if let Some(same) = domains.iter().find(|domain| domain.uuid == *uuid) {
        let (name, state) = (&same.name, state(same));
        return no(format!(
            "a guest of this UUID is there already: '{name}', {state}; undefine it if it was left over from a move"
        ));
    }
    match domains.iter().find(|domain| domain.name == *name) {
        Some(same) => no(format!("another guest there has the name '{name}' ({})", same.uuid)),
        None => Said::new(),
    }
}

pub(super) fn arch(case: &Case<'_>) -> Said {
    let Some(host) = case.target.inventory.arch() else {
        return case.target.silent("system.arch", "its architecture");
    };
    match case.domain.arch.as_deref() {
        None => yes(format!("the definition names no architecture: the guest becomes {host}")),
        // Every x86_64 CPU runs the older one's guests.
        Some(guest) if guest == host || (guest, host) == ("i686", "x86_64") => Said::new(),
        Some(guest) if case.is_emulated() => {
            unknown(format!("it emulates {guest} and the host is {host}, which may have no emulator of it"))
        }
        Some(guest) => no(format!("the guest is {guest}, the host {host}")),
    }
}

/// KVM or emulation, as the guest is now.
pub(super) fn hypervisor(case: &Case<'_>) -> Said {
    let offered = case.target.driver().map(|driver| driver.virt_types.as_slice()).unwrap_or_default();
    if offered.is_empty() {
        return case.target.silent("hypervisor.virt_types", "how guests can run there");
    }
    match &case.domain.virt_type {
        None => unknown("the definition does not say whether the guest runs by KVM"),
        Some(wanted) if offered.contains(wanted) => Said::new(),
        Some(wanted) => {
            no(format!("the guest's type is '{wanted}', and the host offers {}", offered.join(", ")))
        }
    }
}

/// A running guest's state is written by one QEMU and read by another, and only newer ones read what older ones wrote.
pub(super) fn version(case: &Case<'_>) -> Said {
    let Some(source) = case.source.filter(|_| case.is_running()) else { return Said::new() };
    let (ours, theirs) = (source.driver(), case.target.driver());
    let pairs = [
        (
            "libvirt",
            ours.and_then(|one| one.libvirt_version.as_deref()),
            theirs.and_then(|one| one.libvirt_version.as_deref()),
        ),
        (
            "QEMU",
            ours.and_then(|one| one.qemu_version.as_deref()),
            theirs.and_then(|one| one.qemu_version.as_deref()),
        ),
    ];
    pairs.into_iter().flat_map(|(what, ours, theirs)| compared(what, ours, theirs)).collect()
}

fn compared(what: &str, ours: Option<&str>, theirs: Option<&str>) -> Said {
    let ((Some(ours), Some(theirs)), Some((old, new))) =
        ((ours, theirs), ours.and_then(numbers).zip(theirs.and_then(numbers)))
    else {
        let shown = |version: Option<&str>| version.unwrap_or("not known").to_owned();
        let (ours, theirs) = (shown(ours), shown(theirs));
        return unknown(format!("{what} is {ours} where the guest runs and {theirs} on this host"));
    };
    match (new.0.cmp(&old.0), new.1 < old.1) {
        (Ordering::Less, _) => no(format!("{what} {theirs} is older than {ours}, with which the guest runs")),
        (Ordering::Equal, true) => yes(format!("{what} {theirs} is an older patch release than {ours}")),
        _ => Said::new(),
    }
}

/// Major and minor, which decide what a guest's state looks like; and the patch level.
fn numbers(version: &str) -> Option<((u32, u32), u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    Some(((major, minor), parts.next().flatten().unwrap_or(0)))
}

pub(super) fn machine(case: &Case<'_>) -> Said {
    let Some(driver) = case.target.driver().filter(|driver| !driver.machine_types.is_empty()) else {
        return case.target.silent("hypervisor.machine_types", "its machine types");
    };
    let Some(wanted) = case.domain.machine_type.as_deref() else {
        return yes("the definition names no machine type: the guest gets the host's default");
    };
    // Only the list of the host's own architecture is known; `arch` says what follows.
    if case.domain.arch.as_deref().is_some_and(|arch| case.target.inventory.arch() != Some(arch)) {
        return Said::new();
    }
    let alias = driver.machine_aliases.get(wanted).map(String::as_str);
    let own = alias.unwrap_or(wanted);
    if !driver.machine_types.iter().any(|known| known == own) {
        return no(format!("QEMU there has no machine type '{wanted}'"));
    }
    if driver.deprecated_machine_types.iter().any(|old| old == own) {
        return yes(format!("machine type '{wanted}' is there, and deprecated"));
    }
    match alias {
        Some(own) if case.is_running() => {
            unknown(format!("'{wanted}' stands for '{own}' there, and may stand for another where it runs"))
        }
        Some(own) => yes(format!("machine type '{wanted}' stands for '{own}' there")),
        None => Said::new(),
    }
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::VerdictKind;

    use super::*;
    use crate::migration::testing::{Facts, facts, guest, told};

    const KINDS: [VerdictKind; 3] = [VerdictKind::Yes, VerdictKind::Unknown, VerdictKind::No];

    fn changed(change: impl Fn(&mut Facts)) -> Facts {
        let mut facts = facts();
        change(&mut facts);
        facts
    }

    #[test]
    fn old_facts_prove_nothing() {
        assert_eq!(told(freshness, &facts()), []);
        let stale = changed(|facts| facts.target.doubt = Some("no answer since yesterday".to_owned()));
        assert_eq!(told(freshness, &stale), [(KINDS[1], "no answer since yesterday".to_owned())]);
        let mut source = facts();
        source.source.as_mut().expect("a source").doubt = Some("hangs".to_owned());
        assert_eq!(told(freshness, &source), [(KINDS[1], "the host it is on: hangs".to_owned())]);
        let hung = Issue::new("usage.domains", "virConnectOpen", IssueKind::Timeout, "hangs");
        let hung = changed(|facts| facts.target.issues.push(hung.clone()));
        assert_eq!(
            told(freshness, &hung),
            [(KINDS[1], "its guests are not known as they are now (virConnectOpen: hangs)".to_owned())]
        );
    }

    #[test]
    fn maintenance_bars() {
        let barred = changed(|facts| facts.target.maintenance = true);
        assert_eq!(told(maintenance, &barred), [(KINDS[2], "the host is in maintenance".to_owned())]);
    }

    #[test]
    fn two_guests_of_one_name_or_uuid_there_are_not() {
        assert_eq!(told(name, &facts()), []);
        let with = |other: Domain| {
            let domains = Some(vec![other]);
            let facts = changed(|facts| facts.target.usage.domains.clone_from(&domains));
            told(name, &facts).remove(0)
        };
        let left = Domain { state: Some("shut_off".to_owned()), ..guest() };
        assert!(with(left).1.starts_with("a guest of this UUID is there already: 'db-1', shut off"));
        let namesake = Domain { uuid: "other".to_owned(), ..guest() };
        assert_eq!(with(namesake), (KINDS[2], "another guest there has the name 'db-1' (other)".to_owned()));
        let silent = changed(|facts| facts.target.usage.domains = None);
        assert_eq!(told(name, &silent)[0].0, KINDS[1]);
    }

    #[test]
    fn arches() {
        let verdict = |guest: Option<&str>, host: Option<&str>, kind: &str| {
            let facts = changed(|facts| {
                facts.domain.arch = guest.map(str::to_owned);
                facts.domain.virt_type = Some(kind.to_owned());
                facts.target.inventory.system.as_mut().expect("known").arch = host.map(str::to_owned);
            });
            told(arch, &facts).first().map(|said| said.0)
        };
        let x86 = Some("x86_64");
        assert_eq!(verdict(x86, x86, "kvm"), None);
        assert_eq!(verdict(Some("i686"), x86, "kvm"), None);
        assert_eq!(verdict(x86, Some("aarch64"), "kvm"), Some(KINDS[2]));
        assert_eq!(verdict(x86, Some("aarch64"), "qemu"), Some(KINDS[1]));
        assert_eq!(verdict(x86, None, "kvm"), Some(KINDS[1]));
        assert_eq!(verdict(None, x86, "kvm"), Some(KINDS[0]));
    }

    #[test]
    fn types_of_guests() {
        let verdict = |wanted: Option<&str>, offered: &[&str]| {
            let facts = changed(|facts| {
                facts.domain.virt_type = wanted.map(str::to_owned);
                facts.driver().virt_types = offered.iter().map(|one| (*one).to_owned()).collect();
            });
            told(hypervisor, &facts).first().map(|said| said.0)
        };
        assert_eq!(verdict(Some("kvm"), &["kvm", "qemu"]), None);
        assert_eq!(verdict(Some("kvm"), &["qemu"]), Some(KINDS[2]));
        assert_eq!(verdict(Some("kvm"), &[]), Some(KINDS[1]));
        assert_eq!(verdict(None, &["kvm"]), Some(KINDS[1]));
    }

    #[test]
    fn older_versions_do_not_read_newer_state() {
        let said = |there: Option<&str>| {
            let facts = changed(|facts| facts.driver().qemu_version = there.map(str::to_owned));
            told(version, &facts).pop()
        };
        assert_eq!(said(Some("7.2.22")), None);
        assert_eq!(said(Some("10.0.2")), None);
        let older = "QEMU 6.2.0 is older than 7.2.22, with which the guest runs";
        assert_eq!(said(Some("6.2.0")), Some((KINDS[2], older.to_owned())));
        let patch = "QEMU 7.2.9 is an older patch release than 7.2.22";
        assert_eq!(said(Some("7.2.9")), Some((KINDS[0], patch.to_owned())));
        for missing in [None, Some("new")] {
            assert_eq!(said(missing).map(|said| said.0), Some(KINDS[1]));
        }
        let stopped = changed(|facts| {
            facts.driver().qemu_version = Some("6.2.0".to_owned());
            facts.domain.state = Some("shut_off".to_owned());
        });
        assert_eq!(told(version, &stopped), [], "it starts anew");
    }

    #[test]
    fn machine_types() {
        let said = |wanted: Option<&str>, running: bool| {
            let facts = changed(|facts| {
                facts.domain.machine_type = wanted.map(str::to_owned);
                facts.domain.state = Some(if running { "running" } else { "shut_off" }.to_owned());
            });
            told(machine, &facts).pop().map(|said| said.0)
        };
        assert_eq!(said(Some("pc-q35-7.2"), true), None);
        assert_eq!(said(Some("pc-q35-9.0"), true), Some(KINDS[2]));
        assert_eq!(said(Some("q35"), false), Some(KINDS[0]));
        assert_eq!(said(Some("q35"), true), Some(KINDS[1]), "libvirt shows a running one's own name");
        assert_eq!(said(Some("pc-i440fx-2.0"), true), Some(KINDS[0]), "deprecated");
        assert_eq!(said(None, false), Some(KINDS[0]));
        let silent = changed(|facts| facts.target.inventory.hypervisor = None);
        assert_eq!(told(machine, &silent).pop().map(|said| said.0), Some(KINDS[1]));
    }
}
