//! A host evacuated on hosts that are known: who goes where, and who stays and why.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use vmuster_proto::model::{
    AffinityPolicy, AffinityRule, Bytes, Completeness, Cpu, DomainDisk, Filesystem, GuestCpu, HostOrigin,
    Inventory, Memory, PlaceAnswer, Problem, ProblemKind, Purpose, StoragePool, System, Timestamp, Usage,
};

use super::*;
use crate::{
    cache::{GuestNames, HostRecord, HostView, Outcome},
    claims::{ClaimedDisk, ClaimedResources, Membership, NewClaim},
    hosts::{HostEntry, Registry},
    placement::Then,
    scheduler::{answer, known::KnownUsage, leaving::Leaving, promised::new_claims},
};

const GIB: u64 = 1 << 30;

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_000_000_000_000 + seconds * 1000).expect("in range")
}

fn name(host: usize) -> String {
    format!("h{host:02}")
}

fn rack(host: usize) -> String {
    format!("r{}", host / 2)
}

/// Hosts of so many CPUs and GiB, with 4,000 GiB of their own and as much that they share; two in a rack.
struct World {
    registry: Arc<Registry>,
    planner: Planner,
    book: ClaimBook,
}

fn record(host: usize, cpus: u32, gib: u64) -> HostRecord {
    let guest =
        GuestCpu { features: Some(vmuster_proto::model::FeatureSet::default()), ..GuestCpu::default() };
    let online = format!("0-{}", cpus - 1).parse().expect("CPUs");
    let cpu = Cpu { online: Some(online), guest: Some(guest), ..Cpu::default() };
    HostRecord {
        host: name(host),
        address: String::new(),
        reported_name: name(host),
        fetched_at: None,
        validated_at: None,
        inventory: Arc::new(Inventory {
            system: Some(System { arch: Some("x86_64".to_owned()), ..System::default() }),
            cpu: Some(Arc::new(cpu)),
            memory: Some(Memory { total_bytes: Some(Bytes((gib + 2) * GIB)), ..Memory::default() }),
            ..Inventory::default()
        }),
        issues: Arc::default(),
        superseded: false,
        saved_usage: None,
        guest_names: GuestNames::default(),
    }
}

fn usage(domains: Vec<Domain>) -> Usage {
    let pool = |name: &str, identity: Option<&str>| StoragePool {
        name: name.to_owned(),
        state: Some("running".to_owned()),
        capacity_bytes: Some(Bytes(4020 * GIB)),
        mount_point: identity.is_none().then(|| "/".to_owned()),
        identity: identity.map(str::to_owned),
        ..StoragePool::default()
    };
    Usage {
        domains: Some(domains),
        pools: Some(vec![pool("default", None), pool("ceph", Some("rbd://mon/vms"))]),
        filesystems: Some(vec![Filesystem { mount_point: "/".to_owned(), ..Filesystem::default() }]),
        ..Usage::default()
    }
}

impl World {
    fn new(hosts: usize, cpus: u32, gib: u64) -> Self {
        let entry = |host| HostEntry {
            origin: Some(HostOrigin::File),
            labels: BTreeMap::from([("rack".to_owned(), rack(host))]),
            ..HostEntry::new(name(host), None)
        };
        let registry = Arc::new(Registry::new((0..hosts).map(entry)).expect("distinct"));
        let mut world =
            Self { registry, planner: Planner::new(BTreeMap::new(), 0), book: ClaimBook::default() };
        world.planner.set_registry(&world.registry, &world.book);
        (0..hosts).for_each(|host| world.answers(host, (cpus, gib), vec![]));
        world
    }

    fn answers(&mut self, host: usize, (cpus, gib): (u32, u64), domains: Vec<Domain>) {
        let entry = Arc::clone(self.planner.host(&name(host)).expect("there").entry());
        let view = HostView::fresh(&entry, Arc::new(record(host, cpus, gib)), Outcome::Fetched);
        let usage = Arc::new(usage(domains));
        let usage = KnownUsage { asked_at: time(1), order: Instant::now(), seen_at: time(1), usage };
        self.planner.learn(&name(host), Some(view), Some(usage), None, &self.book);
    }

    fn dies(&mut self, host: usize) {
        let problem = Problem::new(ProblemKind::Unreachable, "connection refused");
        self.planner.learn(&name(host), None, None, Some(problem), &self.book);
    }

    fn claims(&mut self, instance: u128, host: usize, rules: Vec<AffinityRule>) {
        let groups = rules
            .iter()
            .map(|rule| Membership { group: rule.group.clone(), partition: rule.partition.clone() });
        let new = NewClaim {
            instance: InstanceId(instance),
            host: name(host),
            resources: ClaimedResources {
                vcpus: 1,
                memory_bytes: Bytes(GIB),
                disks: Vec::<ClaimedDisk>::new(),
                cells: Vec::new(),
            },
            purpose: Purpose::Move,
            request_id: String::new(),
            signature: String::new(),
            groups: groups.collect(),
            rules,
            over_committed: false,
            created_at: time(1),
            expires_at: time(601),
        };
        let changes = self.book.admit(vec![new]).expect("no conflict");
        changes.iter().for_each(|change| drop(self.book.apply(change)));
        self.planner.refresh(&name(host), &self.book);
    }

    /// The answer, and the claims that it would make.
    fn evacuate(&mut self, host: usize, completeness: Completeness) -> (PlaceAnswer, Vec<NewClaim>) {
        let evacuation = evacuation(&self.planner, &self.book, &name(host)).expect("known");
        let request = PlaceRequest {
            groups: evacuation.groups.clone(),
            evacuate_host: Some(name(host)),
            exclude_hosts: vec![name(host)],
            purpose: Purpose::Move,
            completeness,
            ..PlaceRequest::default()
        };
        let asked = Asked::new(&request, &self.registry).expect("valid").evacuating(&evacuation);
        let batch = asked.batch_for(&self.planner, &self.book, &Leaving::default()).into_owned();
        let decision = self.planner.solver.decide(&batch, Then::Undo);
        let claims = new_claims(&self.book, &asked, &decision, time(2), time(602));
        let answer = answer::answer(&asked, &decision, &self.planner, answer::Before::default());
        (answer, claims)
    }
}

fn domain(instance: u128, vcpus: u32, gib: u64, disks: Vec<DomainDisk>) -> Domain {
    Domain {
        uuid: InstanceId(instance).to_string(),
        name: format!("guest-{instance}"),
        state: Some("running".to_owned()),
        vcpus_max: Some(vcpus),
        memory_max_bytes: Some(Bytes(gib * GIB)),
        virt_type: Some("kvm".to_owned()),
        disks,
        ..Domain::default()
    }
}

fn small(instance: u128) -> Domain {
    domain(instance, 1, 1, vec![])
}

fn disk(pool: &str, gib: u64) -> DomainDisk {
    DomainDisk {
        target: "vda".to_owned(),
        pool: Some(pool.to_owned()),
        virtual_bytes: Some(Bytes(gib * GIB)),
        ..DomainDisk::default()
    }
}

fn rule(group: &str, policy: AffinityPolicy, key: Option<&str>, partition: Option<&str>) -> AffinityRule {
    AffinityRule {
        group: group.to_owned(),
        policy,
        topology_key: key.map(str::to_owned),
        partition: partition.map(str::to_owned),
    }
}

/// Where each went.
fn went(answer: &PlaceAnswer) -> BTreeMap<u128, String> {
    let placed = answer.placements.iter();
    placed.map(|one| (one.uuid.parse::<InstanceId>().expect("a UUID").0, one.host.clone())).collect()
}

fn best_effort(world: &mut World, host: usize) -> BTreeMap<u128, String> {
    went(&world.evacuate(host, Completeness::BestEffort).0)
}

#[test]
fn the_fullest_of_seventy_hosts_is_emptied_or_it_is_said_why_not() {
    let rules = |number: u128| match number % 10 {
        0 => vec![rule("db", AffinityPolicy::AntiAffinity, None, None)],
        1 => vec![rule(&format!("app{}", number / 50), AffinityPolicy::Affinity, None, None)],
        _ => vec![],
    };
    let fill = |hosts: u32, vcpus: u32| {
        let mut world = World::new(70, 16, 128);
        for host in 1..70 {
            let domains = (0..hosts).map(|n| domain(1000 * host as u128 + u128::from(n), vcpus, 4, vec![]));
            world.answers(host, (16, 128), domains.collect());
        }
        let pool = |number: u128| if number.is_multiple_of(3) { "ceph" } else { "default" };
        let guests =
            (0..200).map(|n| domain(n, 1 + (n % 4) as u32, 2 + (n % 4) as u64, vec![disk(pool(n), 20)]));
        world.answers(0, (256, 2000), guests.collect());
        (0..200).filter(|n| !rules(*n).is_empty()).for_each(|n| world.claims(n, 0, rules(n)));
        world.dies(0);
        world
    };
    let mut world = fill(10, 4);
    let (answer, claims) = world.evacuate(0, Completeness::All);
    assert!(answer.granted, "{:?}", answer.refusals);
    assert_eq!((answer.placements.len(), claims.len(), answer.evacuated.len()), (200, 200, 200));
    assert!(answer.placements.iter().all(|placed| placed.host != name(0)));
    let apart: BTreeSet<_> =
        went(&answer).into_iter().filter(|(n, _)| n % 10 == 0).map(|(_, host)| host).collect();
    assert_eq!(apart.len(), 20, "as many hosts as members");

    let mut full = fill(15, 4);
    let (answer, _) = full.evacuate(0, Completeness::BestEffort);
    let refused: usize = answer.refusals.iter().map(|refusal| refusal.uuids.len()).sum();
    assert!(refused > 0 && answer.granted);
    assert_eq!(answer.placements.len() + refused, 200);
    for refusal in &answer.refusals {
        let rejected: u32 = refusal.filters.iter().map(|filter| filter.rejected_host_count).sum();
        assert_eq!(rejected, 70, "each host says why: {}", refusal.summary);
    }
}

#[test]
fn a_disk_that_others_see_stays_and_takes_no_room_anew() {
    let mut world = World::new(3, 16, 64);
    // The pool is full of it: as much again is not there.
    world.answers(0, (16, 64), vec![domain(1, 1, 1, vec![disk("ceph", 4000)])]);
    let (answer, claims) = world.evacuate(0, Completeness::All);
    assert!(answer.granted, "{:?}", answer.refusals);
    assert_eq!(
        (answer.placements[0].pools.as_slice(), answer.evacuated[0].disks.as_slice()),
        (&["ceph".to_owned()][..], &["vda".to_owned()][..])
    );
    let kept = ClaimedDisk { pool: "rbd://mon/vms".to_owned(), size_bytes: Bytes(4000 * GIB) };
    assert_eq!(claims[0].resources.disks, [kept], "it counts, also when the host is gone for good");
    let own = vec![domain(1, 1, 1, vec![disk("default", 5000)])];
    world.answers(0, (16, 64), own);
    let (answer, _) = world.evacuate(0, Completeness::BestEffort);
    assert_eq!(answer.refusals[0].filters.last().map(|filter| filter.filter.as_str()), Some("disk"));
    assert!(answer.notes.iter().any(|note| note.contains("storage of h00 alone")), "{:?}", answer.notes);
}

#[test]
fn who_stays_on_the_host_does_not_count_there() {
    let apart = || vec![rule("db", AffinityPolicy::AntiAffinity, Some("rack"), None)];
    // Two racks, and the dead host's own is free but for those who are on it.
    let mut world = World::new(4, 16, 64);
    world.answers(0, (64, 640), (1..=4).map(small).collect());
    (1..=4).for_each(|instance| world.claims(instance, 0, apart()));
    world.dies(0);
    let (answer, _) = world.evacuate(0, Completeness::BestEffort);
    let racks: BTreeSet<_> =
        went(&answer).into_values().map(|host| rack(host[1..].parse().expect("a number"))).collect();
    assert_eq!(racks.len(), 2, "one in each rack, the dead host's included");
    assert_eq!((answer.placements.len(), answer.refusals[0].uuids.len()), (2, 2));
    assert!(!world.evacuate(0, Completeness::All).0.granted);
}

#[test]
fn those_that_belong_together_stay_together_with_members_elsewhere() {
    let near = || vec![rule("app", AffinityPolicy::Affinity, None, None)];
    let mut world = World::new(5, 16, 64);
    world.answers(0, (16, 64), vec![small(1), small(2)]);
    [1, 2].into_iter().for_each(|instance| world.claims(instance, 0, near()));
    let together: BTreeSet<_> = best_effort(&mut world, 0).into_values().collect();
    assert_eq!(together.len(), 1);
    world.claims(3, 4, near());
    assert_eq!(best_effort(&mut world, 0), BTreeMap::from([(1, name(4)), (2, name(4))]));
}

#[test]
fn a_claim_of_before_rules_were_kept_stays_a_member_without_one() {
    let mut world = World::new(3, 16, 64);
    world.answers(0, (16, 64), vec![small(1)]);
    world.claims(1, 0, vec![rule("db", AffinityPolicy::AntiAffinity, None, None)]);
    let claim = world.book.of(InstanceId(1)).next().expect("claimed");
    let old = crate::claims::Claim { rules: Vec::new(), ..(**claim).clone() };
    world.book.apply(&crate::claims::Change::Put(Arc::new(old)));
    world.claims(2, 1, vec![rule("db", AffinityPolicy::AntiAffinity, None, None)]);
    let (answer, claims) = world.evacuate(0, Completeness::All);
    assert!(answer.granted);
    assert_eq!((claims[0].groups.as_slice(), claims[0].rules.len()), (&["db".into()][..], 0));
}

#[test]
fn what_is_not_known_keeps_the_answer_from_being_all() {
    let mut world = World::new(3, 16, 64);
    let unread = Domain { virt_type: None, ..small(2) };
    world.answers(0, (16, 64), vec![small(1), unread]);
    let (answer, claims) = world.evacuate(0, Completeness::All);
    assert!(!answer.granted && claims.is_empty());
    assert_eq!((answer.placed_count, answer.refusals.len()), (1, 1));
    let (answer, _) = world.evacuate(0, Completeness::BestEffort);
    assert!(answer.granted);
    assert_eq!(
        (answer.refusals[0].group, answer.refusals[0].summary.as_str()),
        (1, "its definition could not be read")
    );
    assert_eq!(answer.refusals[0].uuids, [InstanceId(2).to_string()]);
}

#[test]
fn what_is_promised_or_runs_elsewhere_is_not_placed_again() {
    let mut world = World::new(4, 16, 64);
    let off = |instance| Domain { state: Some("shut_off".to_owned()), ..small(instance) };
    world.answers(0, (16, 64), vec![small(1), small(2), small(3), off(4)]);
    world.answers(2, (16, 64), vec![small(2), off(3), off(4)]);
    world.claims(1, 3, vec![]);
    let (answer, _) = world.evacuate(0, Completeness::All);
    assert_eq!(
        went(&answer).into_keys().collect::<Vec<_>>(),
        [3],
        "what was left there when it came is not it"
    );
    let elsewhere = |instance: u128| {
        let uuid = InstanceId(instance).to_string();
        answer.evacuated.iter().find(|told| told.uuid == uuid).map(|told| told.elsewhere.clone())
    };
    assert_eq!([1, 2, 3, 4].map(elsewhere), ["h03", "h02", "", "h02"].map(|host| Some(host.to_owned())));
    assert!(answer.notes[0].contains("does not stop the guests of h00"), "{:?}", answer.notes);
    world.dies(0);
    let (answer, _) = world.evacuate(0, Completeness::All);
    assert!(answer.notes[1].contains("connection refused"), "{:?}", answer.notes);
}

fn rules_of(kind: u8) -> Vec<AffinityRule> {
    match kind {
        0 => vec![rule("far", AffinityPolicy::AntiAffinity, None, None)],
        1 => vec![rule("near", AffinityPolicy::Affinity, None, None)],
        2 => vec![rule("kv", AffinityPolicy::AntiAffinity, Some("rack"), Some("a"))],
        3 => vec![rule("kv", AffinityPolicy::AntiAffinity, Some("rack"), Some("b"))],
        4 => vec![rule("soft", AffinityPolicy::SoftAntiAffinity, None, None)],
        _ => vec![],
    }
}

proptest! {
    /// Whoever is where: no rule that must hold is broken by those that leave, and all are placed or refused.
    #[test]
    fn groups_are_kept(
        leaving in prop::collection::vec((0..6u8, 1..3u64), 0..14),
        others in prop::collection::vec((0..6u8, 1..6usize), 0..6),
        gib in 2..5u64,
    ) {
        let mut world = World::new(6, 16, gib);
        let guests = leaving.iter().zip(1..).map(|((_, size), instance)| domain(instance, 1, *size, vec![]));
        world.answers(0, (16, 64), guests.collect());
        for ((kind, _), instance) in leaving.iter().zip(1_u128..) {
            world.claims(instance, 0, rules_of(*kind));
        }
        for ((kind, host), instance) in others.iter().zip(100_u128..) {
            world.claims(instance, *host, rules_of(*kind));
        }
        world.dies(0);
        let (answer, _) = world.evacuate(0, Completeness::BestEffort);
        let went = went(&answer);
        let refused: usize = answer.refusals.iter().map(|refusal| refusal.uuids.len()).sum();
        prop_assert_eq!(went.len() + refused, leaving.len());
        let kind_of = |instance: u128| leaving[usize::try_from(instance - 1).expect("small")].0;
        let before = others.iter().map(|(kind, host)| (*kind, *host, false));
        let host_of = |host: &String| host[1..].parse::<usize>().expect("a number");
        let after = went.iter().map(|(instance, host)| (kind_of(*instance), host_of(host), true));
        let all: Vec<_> = before.chain(after).collect();
        for (at, (kind, host, is_new)) in all.iter().enumerate().filter(|(_, (.., is_new))| *is_new) {
            prop_assert!(*is_new && *host != 0);
            let mut rest = all.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, one)| one);
            match kind {
                0 => prop_assert!(rest.all(|one| one.0 != 0 || one.1 != *host), "apart"),
                1 => prop_assert!(
                    all.iter().filter(|one| one.0 == 1).count() == 1 || rest.any(|one| one.0 == 1 && one.1 == *host),
                    "together"
                ),
                2 | 3 => prop_assert!(rest.all(|one| one.0 != 5 - kind || one.1 / 2 != host / 2), "partitions"),
                _ => {}
            }
        }
    }
}
