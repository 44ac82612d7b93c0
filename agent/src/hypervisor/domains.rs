//! Definitions and figures → domains, and what they were promised. Pure.

use std::collections::BTreeSet;

use vmuster_proto::model::{Bytes, Domain, DomainDisk, Issue, IssueKind, Promised, StoragePool};

use super::{figures::DomainFigures, storage};

/// Section of the domains.
pub const DOMAINS: &str = "usage.domains";

/// Disks whose media come and go: what is in them is nobody's promise.
const REMOVABLE: [&str; 2] = ["cdrom", "floppy"];

/// A domain's definition with what is measured of it: the figures are newer.
pub fn measure(domain: &mut Domain, figures: &DomainFigures) {
    let DomainFigures { state, persistent, vcpus, vcpus_max, memory_bytes, memory_max_bytes, disks } =
        figures;
    let newer = |of: &mut Option<Bytes>, figure: Option<Bytes>| *of = figure.or(*of);
    if state.is_some() {
        domain.state.clone_from(state);
    }
    domain.persistent = persistent.or(domain.persistent);
    domain.vcpus = vcpus.or(domain.vcpus);
    domain.vcpus_max = vcpus_max.or(domain.vcpus_max);
    newer(&mut domain.memory_bytes, *memory_bytes);
    newer(&mut domain.memory_max_bytes, *memory_max_bytes);
    for disk in &mut domain.disks {
        let Some(figures) = disks.get(&disk.target) else { continue };
        newer(&mut disk.virtual_bytes, figures.virtual_bytes);
        newer(&mut disk.allocation_bytes, figures.allocation_bytes);
    }
}

/// What becomes of definitions and figures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assembled {
    /// By UUID.
    pub domains: Vec<Domain>,
    /// What all of them may use.
    pub promised: Promised,
    /// What is not known.
    pub issues: Vec<Issue>,
}

/// Sorts measured domains, adds up, and tells what is not known. `undefined`: those whose definition could not be read;
/// they were promised something all the same. One of them without a UUID is counted and not listed. `pools`: as many as
/// are known; they tell which disks are the same.
#[must_use]
pub fn assemble(
    mut domains: Vec<Domain>,
    undefined: Vec<Domain>,
    pools: &[StoragePool],
    source: &str,
) -> Assembled {
    domains.sort_unstable_by(|a, b| (&a.uuid, &a.name).cmp(&(&b.uuid, &b.name)));
    let mut issues = Vec::new();
    if let Some(twice) = domains.windows(2).find(|pair| pair[0].uuid == pair[1].uuid) {
        let detail = format!("{} is the UUID of {} and of {}", twice[0].uuid, twice[0].name, twice[1].name);
        issues.push(Issue::new(DOMAINS, source, IssueKind::Malformed, detail));
        domains.dedup_by(|b, a| a.uuid == b.uuid);
    }
    for domain in &mut domains {
        let sizes = counted(domain).map(|disk| disk.virtual_bytes);
        let sum = { sizes }.try_fold(Bytes(0), add);
        domain.disk_virtual_bytes = sum;
    }
    issues.extend(unknown_sizes(&domains, source));
    let mut promised = promised(&domains, &|disk| storage::volume_path(disk, pools));
    for domain in undefined {
        promised.domain_count = promised.domain_count.saturating_add(1);
        promised.vcpus = promised.vcpus.zip(domain.vcpus_max).map(|(sum, vcpus)| sum + u64::from(vcpus));
        promised.memory_bytes = promised.memory_bytes.and_then(|sum| add(sum, domain.memory_max_bytes));
        // Its disks are not known, so their sum is not.
        promised.disk_virtual_bytes = None;
        if !domain.uuid.is_empty() {
            domains.push(Domain { disk_virtual_bytes: None, ..domain });
        }
    }
    domains.sort_unstable_by(|a, b| a.uuid.cmp(&b.uuid));
    Assembled { domains, promised, issues }
}

/// Told once, with the first: a host without figures has a thousand.
fn unknown_sizes(domains: &[Domain], source: &str) -> Option<Issue> {
    let mut unknown = domains.iter().flat_map(|domain| {
        let disks = counted(domain).filter(|disk| disk.virtual_bytes.is_none());
        disks.map(move |disk| (domain, disk))
    });
    let (domain, disk) = unknown.next()?;
    let more = unknown.count();
    let others = if more > 0 { format!(", and those of {more} more disks") } else { String::new() };
    let detail = format!("the size of {}'s disk {} is not known{others}", domain.name, disk.target);
    let section = format!("{DOMAINS}[{}].disk_virtual_bytes", domain.uuid);
    Some(Issue::new(section, source, IssueKind::Missing, detail))
}

/// Disks that are promised to the guest.
pub fn counted(domain: &Domain) -> impl Iterator<Item = &DomainDisk> {
    domain.disks.iter().filter(|disk| !REMOVABLE.contains(&disk.device.as_deref().unwrap_or_default()))
}

fn add(sum: Bytes, bytes: Option<Bytes>) -> Option<Bytes> {
    Some(Bytes(sum.0.checked_add(bytes?.0)?))
}

/// What all together may use: every domain in whatever state, at its most; a disk that several share once, whether they
/// name it as a file or as a pool's volume. `path_of`: of a volume, if it is known.
#[must_use]
pub fn promised(domains: &[Domain], path_of: &dyn Fn(&DomainDisk) -> Option<String>) -> Promised {
    let mut seen = BTreeSet::new();
    let mut is_first = |disk: &&DomainDisk| {
        if disk.shareable != Some(true) || disk.source.is_none() {
            return true;
        }
        seen.insert(match path_of(disk) {
            Some(path) => (None, Some(path)),
            None => (disk.pool.clone(), disk.source.clone()),
        })
    };
    let mut disk_virtual_bytes = Some(Bytes(0));
    for disk in domains.iter().flat_map(counted) {
        if is_first(&disk) {
            disk_virtual_bytes = disk_virtual_bytes.and_then(|sum| add(sum, disk.virtual_bytes));
        }
    }
    Promised {
        domain_count: u32::try_from(domains.len()).unwrap_or(u32::MAX),
        vcpus: domains.iter().map(|domain| domain.vcpus_max.map(u64::from)).sum(),
        memory_bytes: domains.iter().map(|domain| domain.memory_max_bytes).try_fold(Bytes(0), add),
        disk_virtual_bytes,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::figures::DiskFigures, *};

    fn disk(target: &str, device: &str, size: Option<u64>) -> DomainDisk {
        DomainDisk {
            target: target.to_owned(),
            device: Some(device.to_owned()),
            source: Some(format!("/img/{target}")),
            virtual_bytes: size.map(Bytes),
            ..DomainDisk::default()
        }
    }

    fn domain(uuid: &str, disks: Vec<DomainDisk>) -> Domain {
        let vcpus = Some(2);
        let memory = Some(Bytes(1 << 30));
        let (uuid, name) = (uuid.to_owned(), format!("guest-{uuid}"));
        Domain { uuid, name, vcpus_max: vcpus, memory_max_bytes: memory, disks, ..Domain::default() }
    }

    #[test]
    fn every_domain_counts_at_its_most_whatever_its_state() {
        let shut_off =
            Domain { state: Some("shut_off".to_owned()), ..domain("a", vec![disk("vda", "disk", Some(10))]) };
        let running = Domain {
            state: Some("running".to_owned()),
            vcpus: Some(1),
            memory_bytes: Some(Bytes(1)),
            ..domain("b", vec![disk("vda", "disk", Some(5)), disk("sda", "cdrom", None)])
        };
        let sum = Promised {
            domain_count: 2,
            vcpus: Some(4),
            memory_bytes: Some(Bytes(2 << 30)),
            disk_virtual_bytes: Some(Bytes(15)),
        };
        let promised = |domains: &[Domain]| promised(domains, &|_| None);
        assert_eq!(promised(&[shut_off, running]), sum);
        assert_eq!(promised(&[]).disk_virtual_bytes, Some(Bytes(0)));
    }

    #[test]
    fn what_is_not_known_makes_no_sum() {
        let promised = |domains: &[Domain]| promised(domains, &|_| None);
        let unknown = domain("a", vec![disk("vda", "disk", None)]);
        assert_eq!(promised(&[unknown, domain("b", vec![])]).disk_virtual_bytes, None);
        let unknown = Domain { memory_max_bytes: None, ..domain("a", vec![]) };
        assert_eq!(promised(&[unknown]).memory_bytes, None);
        let vast = Domain { memory_max_bytes: Some(Bytes(u64::MAX)), ..domain("a", vec![]) };
        assert_eq!(promised(&[vast.clone(), vast]).memory_bytes, None, "no sum wraps around");
    }

    #[test]
    fn a_disk_of_several_guests_counts_once() {
        let promised = |domains: &[Domain]| promised(domains, &|_| None);
        let shared = DomainDisk { shareable: Some(true), ..disk("vdb", "disk", Some(7)) };
        let both = [domain("a", vec![shared.clone()]), domain("b", vec![shared])];
        assert_eq!(promised(&both).disk_virtual_bytes, Some(Bytes(7)));
        let own = [
            domain("a", vec![disk("vda", "disk", Some(7))]),
            domain("b", vec![disk("vda", "disk", Some(7))]),
        ];
        assert_eq!(promised(&own).disk_virtual_bytes, Some(Bytes(14)), "not shared, whatever the path says");
    }

    #[test]
    fn a_file_and_a_volume_may_be_one_disk() {
        let shared = |pool: Option<&str>, source: &str| DomainDisk {
            shareable: Some(true),
            pool: pool.map(str::to_owned),
            volume: pool.map(|_| source.to_owned()),
            source: Some(source.to_owned()),
            ..disk("vdb", "disk", Some(7))
        };
        let pool = |name: &str, path: Option<&str>| StoragePool {
            name: name.to_owned(),
            target_path: path.map(str::to_owned),
            ..StoragePool::default()
        };
        let pools = [pool("images", Some("/img/")), pool("others", Some("/other")), pool("rbd", None)];
        let defined = || {
            vec![
                domain("a", vec![shared(None, "/img/x")]),
                domain("b", vec![shared(Some("images"), "x")]),
                domain("c", vec![shared(Some("others"), "x")]),
                domain("d", vec![shared(Some("rbd"), "x")]),
                domain("e", vec![shared(Some("rbd"), "x")]),
                domain("f", vec![shared(None, "x")]),
            ]
        };
        let sum = |pools: &[StoragePool]| {
            let assembled = assemble(defined(), vec![], pools, "call");
            assembled.promised.disk_virtual_bytes
        };
        assert_eq!(sum(&pools), Some(Bytes(4 * 7)), "/img/x, /other/x, rbd's x, and the last guest's");
        assert_eq!(sum(&[]), Some(Bytes(5 * 7)), "nobody knows where volumes are");
    }

    #[test]
    fn figures_are_newer_than_definitions() {
        let sizes = DiskFigures { virtual_bytes: Some(Bytes(9)), allocation_bytes: Some(Bytes(1)) };
        let figures = DomainFigures {
            state: Some("paused".to_owned()),
            vcpus_max: Some(8),
            disks: BTreeMap::from([("vda".to_owned(), sizes)]),
            ..DomainFigures::default()
        };
        let mut measured = domain("a", vec![disk("vda", "disk", None)]);
        measure(&mut measured, &figures);
        let Assembled { domains, issues, .. } =
            assemble(vec![domain("b", vec![]), measured], vec![], &[], "call");
        assert_eq!((domains[0].state.as_deref(), domains[0].vcpus_max), (Some("paused"), Some(8)));
        assert_eq!(
            domains[0].memory_max_bytes,
            Some(Bytes(1 << 30)),
            "the definition's where there is no figure"
        );
        assert_eq!(
            (domains[0].disk_virtual_bytes, domains[1].disk_virtual_bytes),
            (Some(Bytes(9)), Some(Bytes(0)))
        );
        assert_eq!(issues, []);
    }

    #[test]
    fn a_domain_whose_definition_is_not_known_still_counts() {
        let figures = DomainFigures {
            vcpus_max: Some(4),
            memory_max_bytes: Some(Bytes(1 << 30)),
            ..DomainFigures::default()
        };
        let undefined = |uuid: &str, figures: &DomainFigures| {
            let mut domain = Domain { uuid: uuid.to_owned(), name: "n".to_owned(), ..Domain::default() };
            measure(&mut domain, figures);
            vec![domain]
        };
        let assembled = assemble(vec![domain("a", vec![])], undefined("b", &figures), &[], "call");
        let counted = Promised {
            domain_count: 2,
            vcpus: Some(6),
            memory_bytes: Some(Bytes(2 << 30)),
            disk_virtual_bytes: None,
        };
        assert_eq!((assembled.promised, assembled.domains.len()), (counted, 2));
        assert_eq!(assembled.domains[1].disk_virtual_bytes, None);
        let unknown = undefined("", &DomainFigures::default());
        let assembled = assemble(vec![domain("a", vec![])], unknown, &[], "libvirt/domains");
        assert_eq!((assembled.promised.domain_count, assembled.promised.memory_bytes), (2, None));
        assert_eq!(assembled.domains.len(), 1, "it has no UUID to go by");
    }

    #[test]
    fn unknown_sizes_and_twins_are_told_once() {
        let unknown = || vec![disk("vda", "disk", None), disk("vdb", "disk", None)];
        let defined = vec![domain("a", unknown()), domain("a", vec![]), domain("b", unknown())];
        let Assembled { domains, issues, .. } = assemble(defined, vec![], &[], "libvirt/domains");
        assert_eq!(domains.len(), 2);
        let details: Vec<&str> = issues.iter().map(|issue| issue.detail.as_str()).collect();
        assert_eq!(
            details,
            [
                "a is the UUID of guest-a and of guest-a",
                "the size of guest-a's disk vda is not known, and those of 3 more disks",
            ]
        );
    }
}
