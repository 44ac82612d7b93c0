//! One host's usage and claims, and what leaves by them.

use vmuster_proto::model::{
    AffinityPolicy, ClaimState, CpuDefinition, CpuFeature, DiskDemand, DiskPlace, DomainDisk,
    DomainHugepages, Filesystem, Promised, Purpose, StoragePool, Timestamp,
};

use super::*;
use crate::claims::{ClaimId, ClaimedCell, ClaimedDisk, ClaimedResources, Membership};

const GIB: u64 = 1 << 30;

fn pool(name: &str, mount_point: &str, identity: Option<&str>) -> StoragePool {
    StoragePool {
        name: name.to_owned(),
        state: Some("running".to_owned()),
        capacity_bytes: Some(Bytes(900 * GIB)),
        mount_point: identity.is_none().then(|| mount_point.to_owned()),
        identity: identity.map(str::to_owned),
        ..StoragePool::default()
    }
}

/// A default pool, a fast one, and one that others have.
fn usage(domains: Vec<Domain>) -> Usage {
    let mount =
        |mount_point: &str| Filesystem { mount_point: mount_point.to_owned(), ..Filesystem::default() };
    Usage {
        domains: Some(domains),
        pools: Some(vec![
            pool("default", "/", None),
            pool("fast", "/fast", None),
            pool("vms", "", Some("rbd://mon/vms")),
        ]),
        filesystems: Some(vec![mount("/"), mount("/fast"), mount("/srv")]),
        ..Usage::default()
    }
}

fn domain(number: u128, state: &str, gib: u64, disks: Vec<DomainDisk>) -> Domain {
    Domain {
        uuid: InstanceId(number).to_string(),
        name: format!("guest-{number}"),
        state: Some(state.to_owned()),
        vcpus: Some(1),
        vcpus_max: Some(2),
        memory_bytes: Some(Bytes(GIB)),
        memory_max_bytes: Some(Bytes(gib * GIB)),
        virt_type: Some("kvm".to_owned()),
        arch: Some("x86_64".to_owned()),
        disks,
        ..Domain::default()
    }
}

fn file(target: &str, path: &str, gib: u64) -> DomainDisk {
    DomainDisk {
        target: target.to_owned(),
        device: Some("disk".to_owned()),
        r#type: Some("file".to_owned()),
        source: Some(path.to_owned()),
        virtual_bytes: Some(Bytes(gib * GIB)),
        ..DomainDisk::default()
    }
}

fn volume(target: &str, pool: &str, gib: u64) -> DomainDisk {
    DomainDisk { pool: Some(pool.to_owned()), source: None, ..file(target, "", gib) }
}

fn claim(number: u128, gib: u64, rules: Vec<AffinityRule>, disks: &[(&str, u64)]) -> Claim {
    let disk =
        |(pool, gib): &(&str, u64)| ClaimedDisk { pool: (*pool).to_owned(), size_bytes: Bytes(gib * GIB) };
    Claim {
        id: ClaimId(u64::try_from(number).expect("small")),
        instance: InstanceId(number),
        host: "h0".to_owned(),
        state: ClaimState::Observed,
        resources: ClaimedResources {
            vcpus: 4,
            memory_bytes: Bytes(gib * GIB),
            disks: disks.iter().map(disk).collect(),
            cells: Vec::new(),
        },
        purpose: Purpose::New,
        request_id: String::new(),
        signature: String::new(),
        groups: rules.iter().map(|rule| Membership::from(rule.group.as_str())).collect(),
        rules,
        over_committed: false,
        created_at: Timestamp::from_unix_millis(1).expect("in range"),
        expires_at: None,
        observed_at: None,
        first_missing_at: None,
    }
}

fn rule(group: &str, policy: AffinityPolicy) -> AffinityRule {
    AffinityRule { group: group.to_owned(), policy, topology_key: None, partition: None }
}

fn of(usage: &Usage, claims: &[Claim]) -> Evacuation {
    let source = Source { name: "h0", usage, arch: Some("x86_64") };
    leaving(source, claims.iter(), |_, _| None).expect("known")
}

/// The only one's.
fn template(domain: Domain) -> InstanceTemplate {
    let evacuation = of(&usage(vec![domain]), &[]);
    assert_eq!(evacuation.unknown, [], "all is known");
    evacuation.groups[0].template.clone()
}

fn told(evacuation: &Evacuation, number: u128) -> &EvacuatedInstance {
    let uuid = InstanceId(number).to_string();
    evacuation.instances.iter().find(|told| told.uuid == uuid).expect("told")
}

#[test]
fn each_instance_leaves_once_by_the_larger_of_guest_and_claim() {
    let domains = vec![domain(1, "running", 8, vec![]), domain(2, "shut_off", 2, vec![])];
    let claims = [claim(2, 1, vec![], &[]), claim(3, 16, vec![], &[])];
    let evacuation = of(&usage(domains), &claims);
    let asked: Vec<_> = evacuation
        .groups
        .iter()
        .map(|group| (group.uuids.len(), group.template.vcpus, group.template.memory_bytes.0 / GIB))
        .collect();
    assert_eq!(asked, [(1, 2, 8), (1, 4, 16), (1, 4, 2)], "running, promised, off");
    let names: Vec<_> = evacuation.instances.iter().map(|told| (told.name.as_str(), told.group)).collect();
    assert_eq!(names, [("guest-1", 0), ("", 1), ("guest-2", 2)]);
    assert_eq!(told(&evacuation, 2).state, "shut_off");
    assert!(told(&evacuation, 3).doubts[0].contains("only its claim"));
}

#[test]
fn what_needs_and_wants_the_same_is_one_group_and_what_is_hard_to_place_comes_first() {
    let apart = vec![rule("db", AffinityPolicy::AntiAffinity)];
    let domains = (1..=5).map(|number| domain(number, "running", if number == 3 { 9 } else { 8 }, vec![]));
    let small =
        |number| Claim { resources: ClaimedResources::default(), ..claim(number, 0, apart.clone(), &[]) };
    let evacuation = of(&usage(domains.collect()), &[small(4), small(5)]);
    let groups: Vec<_> =
        evacuation.groups.iter().map(|group| (group.uuids.len(), group.rules.clone())).collect();
    assert_eq!(groups, [(2, apart), (1, vec![]), (2, vec![])]);
    assert_eq!(evacuation.groups[1].template.memory_bytes, Bytes(9 * GIB), "of the rest the large one");
}

#[test]
fn disks_go_where_their_like_is_made_or_stay() {
    let disks = vec![
        file("vda", "/var/lib/libvirt/images/a", 40),
        file("vdb", "/fast/b", 10),
        volume("vdc", "vms", 99),
        file("vdd", "/srv/d", 7),
        DomainDisk { device: Some("cdrom".to_owned()), ..file("sda", "/srv/live.iso", 1) },
        DomainDisk { r#type: Some("block".to_owned()), ..file("vde", "/dev/mapper/lun", 50) },
        DomainDisk { shared_storage: Some(true), ..file("vdf", "/srv/f", 3) },
    ];
    let evacuation = of(&usage(vec![domain(1, "running", 1, disks)]), &[]);
    let asked = |size: u64, on| DiskDemand { size_bytes: Bytes(size * GIB), on };
    let pool = |name: &str| DiskPlace::Pool(name.to_owned());
    let expected = [
        asked(40, DiskPlace::Default),
        asked(10, pool("fast")),
        asked(0, pool("rbd://mon/vms")),
        asked(7, DiskPlace::Default),
    ];
    assert_eq!(evacuation.groups[0].template.disks, expected);
    let told = told(&evacuation, 1);
    assert_eq!(told.disks, ["vda", "vdb", "vdc", "vdd"]);
    assert_eq!(evacuation.staying[&InstanceId(1)], [Bytes(99 * GIB)], "it counts there all the same");
    assert_eq!(evacuation.stranded_count, 1);
    for (doubt, words) in
        told.doubts.iter().zip(["sda has the medium", "vde (/dev/mapper/lun) is in no", "vdf"])
    {
        assert!(doubt.starts_with(words), "{doubt}");
    }
    let promised = of(
        &usage(vec![]),
        &[claim(2, 1, vec![], &[("h0 /", 4), ("h0 /fast", 5), ("rbd://mon/vms", 6), ("h0 /gone", 7)])],
    );
    let on: Vec<_> = promised.groups[0].template.disks.iter().map(|disk| disk.on.clone()).collect();
    assert_eq!(on, [DiskPlace::Default, pool("fast"), pool("rbd://mon/vms"), DiskPlace::Default]);
    assert_eq!(promised.staying[&InstanceId(2)], [Bytes(6 * GIB)]);
}

#[test]
fn a_disk_of_several_guests_stays_once() {
    let both = |number| {
        let disk = DomainDisk { shareable: Some(true), ..file("vda", "vms/both", 9) };
        domain(number, "running", 1, vec![DomainDisk { pool: Some("vms".to_owned()), ..disk }])
    };
    let evacuation = of(&usage(vec![both(1), both(2)]), &[]);
    assert_eq!(evacuation.groups.len(), 1);
    let sum: u64 = evacuation.staying.values().flatten().map(|size| size.0).sum();
    assert_eq!(sum, 9 * GIB);
}

#[test]
fn only_a_cpu_that_is_named_must_be_there() {
    let with = |mode: &str, model: Option<&str>, features: &[(&str, &str)]| {
        let feature = |(policy, name): &(&str, &str)| CpuFeature {
            name: (*name).to_owned(),
            policy: Some((*policy).to_owned()),
        };
        let cpu = CpuDefinition {
            mode: Some(mode.to_owned()),
            model: model.map(str::to_owned),
            features: features.iter().map(feature).collect(),
            ..CpuDefinition::default()
        };
        Domain { cpu: Some(cpu), ..domain(1, "running", 1, vec![]) }
    };
    for mode in ["host-passthrough", "host-model", "maximum"] {
        let template = template(with(mode, None, &[("require", "avx2"), ("disable", "vmx")]));
        assert_eq!((template.required_features.names(), template.cpu_model), (vec!["avx2"], None), "{mode}");
    }
    let exact = template(with("custom", Some("EPYC-Rome"), &[("require", "invtsc"), ("require", "aes")]));
    assert_eq!(exact.cpu_model.as_deref(), Some("EPYC-Rome"));
    assert_eq!(exact.required_features.names(), ["aes"], "no host lists invtsc");
    let less = with("custom", Some("EPYC-Milan"), &[("disable", "pku"), ("forbid", "svm")]);
    assert_eq!(template(less.clone()).cpu_model, None);
    assert_eq!(template(less.clone()).forbidden_features.names(), ["svm"]);
    let evacuation = of(&usage(vec![less]), &[]);
    assert!(told(&evacuation, 1).doubts[0].contains("EPYC-Milan without some"));
    let mut unchecked = with("custom", Some("EPYC-Rome"), &[("require", "aes")]);
    unchecked.cpu.as_mut().expect("there").check = Some("none".to_owned());
    let emulated = Domain {
        virt_type: Some("qemu".to_owned()),
        arch: Some("aarch64".to_owned()),
        ..with("custom", Some("cortex-a57"), &[])
    };
    let nothing = template(domain(1, "running", 1, vec![]));
    assert_eq!(template(unchecked), nothing);
    assert_eq!(template(emulated), InstanceTemplate { arch: None, ..nothing });
}

#[test]
fn what_is_not_known_of_an_instance_is_said_of_it() {
    let domains = vec![
        domain(1, "running", 1, vec![]),
        Domain { virt_type: None, ..domain(2, "running", 1, vec![]) },
        Domain { memory_max_bytes: None, ..domain(3, "running", 1, vec![]) },
        domain(4, "running", 1, vec![DomainDisk { virtual_bytes: None, ..file("vda", "/x", 1) }]),
        Domain { uuid: String::new(), ..domain(5, "running", 1, vec![]) },
    ];
    let promised = Promised { domain_count: 7, ..Promised::default() };
    let evacuation = of(&Usage { promised: Some(promised), ..usage(domains) }, &[]);
    let why: Vec<_> = evacuation.unknown.iter().map(|unknown| unknown.why.as_str()).collect();
    assert_eq!(
        why,
        [
            "its definition could not be read",
            "how much memory it may use is not known",
            "how large its disk vda is is not known",
            "the UUID of the guest 'guest-5' is not known",
            "2 more of its guests could not be read, not even which they are",
        ]
    );
    let groups: Vec<_> = (1..=4).map(|number| told(&evacuation, number).group).collect();
    assert_eq!(groups, [0, 1, 2, 3], "each refusal is a group");
    let nothing = Usage::default();
    let source = Source { name: "h0", usage: &nothing, arch: None };
    assert!(matches!(leaving(source, [].into_iter(), |_, _| None), Err(PlaceError::NothingKnown(_))));
    let only_claim = [claim(6, 1, vec![], &[("h0 /", 4)])];
    let evacuation = leaving(source, only_claim.iter(), |_, _| None).expect("a claim is known");
    assert_eq!(evacuation.groups[0].template.disks[0].on, DiskPlace::Default);
    assert!(told(&evacuation, 6).doubts[0].contains("which pool 'h0 /' is"));
    assert!(evacuation.unknown[0].why.starts_with("which guests h0 had is not known"));
    let without_pools =
        Usage { pools: None, ..usage(vec![domain(1, "running", 1, vec![file("vda", "/x", 1)])]) };
    assert!(of(&without_pools, &[]).unknown[0].why.contains("storage pools"));
}

#[test]
fn what_is_elsewhere_is_told_and_not_placed() {
    let usage = usage(vec![domain(1, "running", 1, vec![]), domain(2, "shut_off", 1, vec![])]);
    let source = Source { name: "h0", usage: &usage, arch: None };
    let evacuation = leaving(source, [].into_iter(), |instance, runs| {
        assert_eq!(runs, instance.0 == 1);
        (!runs).then(|| "h7".to_owned())
    })
    .expect("known");
    assert_eq!(evacuation.groups.len(), 1);
    assert_eq!(told(&evacuation, 2).elsewhere, "h7");
    assert_eq!(told(&evacuation, 1).elsewhere, "");
}

#[test]
fn more_than_a_request_has_are_an_error() {
    let domains = (0..=INSTANCES_MAX as u128).map(|number| domain(number, "running", 1, vec![]));
    let usage = usage(domains.collect());
    let source = Source { name: "h0", usage: &usage, arch: None };
    let refused = leaving(source, [].into_iter(), |_, _| None).expect_err("too many").to_string();
    assert!(refused.contains("has 10001 instances; at most 10000"), "{refused}");
}

/// vCPUs and memory in their stead would promise neither its CPUs nor its pages: of a pinned one the claim has 0 of both.
#[test]
fn what_has_cells_is_not_known_rather_than_asked_for_as_if_it_floated() {
    let mut pinned = claim(1, 0, vec![], &[]);
    pinned.resources = ClaimedResources {
        cells: vec![ClaimedCell { pinned_cpus: "2-3".parse().expect("CPUs"), ..ClaimedCell::default() }],
        ..ClaimedResources::default()
    };
    let hugepages = vec![DomainHugepages::default()];
    let in_huge_pages = Domain { hugepages, ..domain(2, "running", 8, vec![]) };
    let evacuation = of(&usage(vec![in_huge_pages]), &[pinned]);
    assert_eq!(evacuation.groups.iter().map(|group| group.uuids.len()).sum::<usize>(), 0);
    let why: Vec<_> = evacuation.unknown.iter().map(|unknown| unknown.why.as_str()).collect();
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(why.iter().any(|why| why.starts_with("it was placed on NUMA cells")), "{why:?}");
    assert!(why.iter().any(|why| why.starts_with("its memory is in huge pages")), "{why:?}");
}
