//! Hosts that share storage, step by step, beside what accounting makes of the same.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use vmuster_proto::model::{
    AllocationSettings, Cpu, Domain, DomainDisk, FeatureSet, Filesystem, Freshness, GuestCpu, HostOrigin,
    Inventory, Memory, ProblemKind, StoragePool, System, Timestamp, Usage,
};

use super::*;
use crate::{
    cache::{GuestNames, HostRecord, Outcome},
    claims::{Change, ClaimedDisk, ClaimedResources, NewClaim, Purpose},
    placement::{Batch, Completeness, Decision, Demand, DiskDemand, DiskPlace, Group, Taken, Then},
};

const GIB: u64 = 1 << 30;

/// Hosts h0, h1 …, of 16 CPUs and 66 GiB each, with 100 GiB of their own and 300 they share.
struct World {
    planner: Planner,
    book: ClaimBook,
    seconds: u64,
    hosts: usize,
}

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_000_000_000_000 + seconds * 1000).expect("in range")
}

fn name(host: usize) -> String {
    format!("h{host}")
}

fn pool(name: &str, gib: u64, identity: Option<&str>) -> StoragePool {
    StoragePool {
        name: name.to_owned(),
        state: Some("running".to_owned()),
        capacity_bytes: Some(Bytes(gib * GIB)),
        mount_point: identity.is_none().then(|| "/".to_owned()),
        identity: identity.map(str::to_owned),
        ..StoragePool::default()
    }
}

fn usage(domains: Vec<Domain>) -> Usage {
    Usage {
        domains: Some(domains),
        pools: Some(vec![pool("default", 120, None), pool("ceph", 300, Some("rbd://mon/vms"))]),
        filesystems: Some(vec![Filesystem { mount_point: "/".to_owned(), ..Filesystem::default() }]),
        ..Usage::default()
    }
}

fn record(host: usize) -> HostRecord {
    let features = FeatureSet::from_names(["avx2"]).expect("a name");
    let guest = GuestCpu { features: Some(features), ..GuestCpu::default() };
    let cpu = Cpu { online: Some("0-15".parse().expect("CPUs")), guest: Some(guest), ..Cpu::default() };
    let system = System { arch: Some("x86_64".to_owned()), ..System::default() };
    let memory = Memory { total_bytes: Some(Bytes(66 * GIB)), ..Memory::default() };
    HostRecord {
        host: name(host),
        address: String::new(),
        reported_name: name(host),
        fetched_at: None,
        validated_at: None,
        inventory: Arc::new(Inventory {
            system: Some(system),
            cpu: Some(Arc::new(cpu)),
            memory: Some(memory),
            ..Inventory::default()
        }),
        issues: Arc::default(),
        superseded: false,
        saved_usage: None,
        guest_names: GuestNames::default(),
    }
}

impl World {
    fn new(hosts: usize) -> Self {
        let entry = |host| HostEntry { origin: Some(HostOrigin::File), ..HostEntry::new(name(host), None) };
        let registry = Arc::new(Registry::new((0..hosts).map(entry)).expect("distinct"));
        let mut world =
            Self { planner: Planner::new(BTreeMap::new(), 0), book: ClaimBook::default(), seconds: 0, hosts };
        world.planner.set_registry(&registry, &world.book);
        (0..hosts).for_each(|host| world.answers(host, vec![]));
        world
    }

    /// The host says which guests it has.
    fn answers(&mut self, host: usize, domains: Vec<Domain>) {
        self.seconds += 1;
        let entry = Arc::clone(self.planner.host(&name(host)).expect("there").entry());
        let view = HostView::fresh(&entry, Arc::new(record(host)), Outcome::Fetched);
        let asked_at = time(self.seconds);
        let present = domains.iter().map(|domain| domain.uuid.parse().expect("a UUID")).collect();
        for change in self.book.observe(&name(host), asked_at, &present) {
            self.book.apply(&change);
        }
        let order = Instant::now();
        let usage = KnownUsage { asked_at, order, seen_at: asked_at, usage: Arc::new(usage(domains)) };
        self.planner.learn(&name(host), Some(view), Some(usage), None, &self.book);
    }

    /// As a claim does it.
    fn place(&mut self, instance: u128, demand: &Demand) -> Option<String> {
        let batch = Batch {
            completeness: Completeness::All,
            ..Batch::new(vec![Group::new(Arc::new(demand.clone()), 1)])
        };
        let decision: Decision = self.planner.solver.decide(&batch, Then::Keep);
        let placed = decision.placements.first()?.as_ref()?;
        let taken = Taken::of(demand, placed);
        let new = NewClaim {
            instance: InstanceId(instance),
            host: placed.host.to_string(),
            resources: ClaimedResources {
                vcpus: u64::from(demand.vcpus),
                memory_bytes: demand.memory,
                disks: taken
                    .disks
                    .iter()
                    .map(|(pool, size)| ClaimedDisk { pool: pool.to_string(), size_bytes: *size })
                    .collect(),
                cells: Vec::new(),
            },
            purpose: Purpose::New,
            request_id: String::new(),
            signature: String::new(),
            groups: Vec::new(),
            rules: Vec::new(),
            over_committed: false,
            created_at: time(self.seconds),
            expires_at: time(self.seconds + 600),
        };
        let changes = self.book.admit(vec![new]).expect("no conflict");
        changes.iter().for_each(|change| drop(self.book.apply(change)));
        let disks = taken.disks.iter().map(|(pool, size)| (pool, *size));
        self.planner.charge(&placed.host, InstanceId(instance), disks);
        Some(placed.host.to_string())
    }

    fn release(&mut self, instance: u128) {
        let claims: Vec<_> =
            self.book.of(InstanceId(instance)).map(|claim| (claim.id, claim.host.clone())).collect();
        for (id, host) in claims {
            self.book.apply(&Change::Remove(id));
            self.planner.refresh(&host, &self.book);
        }
    }

    /// What the solver has, and what accounting makes of the same claims and guests.
    fn check(&mut self) {
        let rows = |world: &Self| {
            let hosts = (0..world.hosts).map(|host| world.planner.solver.host(&name(host)).cloned());
            let own =
                (0..world.hosts).map(|host| world.planner.solver.pool(&PoolKey::new(format!("h{host} /"))));
            let shared = world.planner.solver.pool(&PoolKey::new("rbd://mon/vms"));
            (hosts.collect::<Vec<_>>(), own.collect::<Vec<_>>(), shared)
        };
        let kept = rows(self);
        (0..self.hosts).for_each(|host| self.planner.refresh(&name(host), &self.book));
        assert_eq!(kept, rows(self));
    }
}

fn demand(vcpus: u32, memory: u64, disks: &[(u64, &str)]) -> Demand {
    let disk = |(gib, on): &(u64, &str)| DiskDemand {
        size: Bytes(gib * GIB),
        on: if on.is_empty() { DiskPlace::Default } else { DiskPlace::Pool((*on).to_owned()) },
    };
    Demand {
        vcpus,
        memory: Bytes(memory * GIB),
        disks: disks.iter().map(disk).collect(),
        ..Demand::default()
    }
}

fn guest(instance: u128, vcpus: u32, gib: u64) -> Domain {
    let disk = DomainDisk {
        target: "vda".to_owned(),
        r#type: Some("file".to_owned()),
        source: Some(format!("/{instance}.qcow2")),
        virtual_bytes: Some(Bytes(gib * GIB)),
        ..DomainDisk::default()
    };
    Domain {
        uuid: InstanceId(instance).to_string(),
        vcpus_max: Some(vcpus),
        memory_max_bytes: Some(Bytes(gib * GIB)),
        disks: vec![disk],
        ..Domain::default()
    }
}

#[test]
fn what_one_host_took_of_a_shared_pool_is_gone_for_the_other_and_stays_so() {
    let mut world = World::new(2);
    let first = world.place(1, &demand(1, 1, &[(200, "ceph")])).expect("there is room");
    let other = usize::from(first == "h0");
    assert_eq!(world.place(2, &demand(1, 1, &[(200, "ceph")])), None);
    // The other host is asked, and knows nothing of it.
    world.answers(other, vec![]);
    assert_eq!(world.place(2, &demand(1, 1, &[(200, "ceph")])), None);
    world.release(1);
    assert!(world.place(2, &demand(1, 1, &[(200, "ceph")])).is_some());
    world.check();
}

#[test]
fn a_host_that_does_not_answer_takes_nothing_and_keeps_its_guests() {
    let mut world = World::new(1);
    world.answers(0, vec![guest(7, 2, 8)]);
    let problem = Problem::new(ProblemKind::Timeout, "no answer");
    world.planner.learn("h0", None, None, Some(problem), &world.book);
    assert_eq!(world.place(1, &demand(1, 1, &[])), None);
    assert_eq!(world.planner.doubtful().collect::<Vec<_>>(), ["h0"]);
    assert_eq!(world.planner.hosts_of(InstanceId(7)), ["h0"]);
    world.answers(0, vec![guest(7, 2, 8)]);
    assert!(world.place(1, &demand(1, 1, &[])).is_some());
}

#[test]
fn an_answer_that_was_overtaken_says_nothing_and_a_clock_that_went_back_hides_none() {
    let order = Instant::now();
    let mut world = World::new(1);
    world.answers(0, vec![guest(7, 60, 8)]);
    let answer = |seconds, order| KnownUsage {
        asked_at: time(seconds),
        order,
        seen_at: time(seconds),
        usage: Arc::new(usage(vec![])),
    };
    world.planner.learn("h0", None, Some(answer(9, order)), None, &world.book);
    assert_eq!(world.place(1, &demand(8, 1, &[])), None, "60 of 64 vCPUs are promised");
    world.planner.learn("h0", None, Some(answer(0, Instant::now())), None, &world.book);
    assert!(world.place(1, &demand(8, 1, &[])).is_some(), "asked later, whatever the clock says");
}

#[test]
fn what_is_claimed_in_a_shared_pool_counts_while_its_host_is_not_known() {
    let mut world = World::new(2);
    let first = world.place(1, &demand(1, 1, &[(200, "ceph")])).expect("there is room");
    let (first, other) = if first == "h0" { (0, 1) } else { (1, 0) };
    // A coordinator that was started again, and has asked the other one only.
    let registry = Arc::clone(&world.planner.registry);
    world.planner = Planner::new(BTreeMap::new(), 0);
    world.planner.set_registry(&registry, &world.book);
    world.answers(other, vec![]);
    assert_eq!(world.place(2, &demand(1, 1, &[(200, "ceph")])), None);
    assert!(world.place(3, &demand(1, 1, &[(90, "ceph")])).is_some(), "300 less 200");
    let unknown = world.planner.host(&name(first)).expect("there").judged();
    assert_eq!(unknown.standing.freshness, Freshness::Missing);
}

#[test]
fn what_is_claimed_in_a_shared_pool_counts_although_its_host_has_left() {
    let mut world = World::new(2);
    let first = world.place(1, &demand(1, 1, &[(200, "ceph")])).expect("there is room");
    let staying =
        world.planner.registry.iter().filter(|host| host.name != first).map(|host| (**host).clone());
    let registry = Arc::new(Registry::new(staying).expect("distinct"));
    world.planner.set_registry(&registry, &world.book);
    assert_eq!(world.place(2, &demand(1, 1, &[(200, "ceph")])), None);
    world.release(1);
    assert!(world.place(3, &demand(1, 1, &[(200, "ceph")])).is_some(), "released, it counts no more");
}

#[test]
fn what_a_host_said_before_a_claim_was_released_unseen_is_not_promised_by() {
    let mut world = World::new(2);
    let young = time(0)..=time(1000);
    let fresh =
        |world: &World| [0, 1].map(|host| world.planner.host(&name(host)).expect("there").is_fresh(&young));
    assert_eq!(fresh(&world), [true, true]);
    // Its guest may be there since, and nobody has looked.
    world.planner.doubt(&BTreeSet::from([name(0)]));
    assert_eq!(fresh(&world), [false, true]);
    world.answers(0, vec![]);
    assert_eq!(fresh(&world), [true, true]);
}

#[test]
fn what_was_given_back_and_could_not_be_kept_counts_again() {
    let mut world = World::new(1);
    world.place(1, &demand(16, 1, &[])).expect("there is room");
    let claim = world.book.of(InstanceId(1)).next().cloned().expect("a claim");
    // Released, accounted for, and undone by a disk that failed.
    world.release(1);
    world.book.apply(&Change::Put(claim));
    let registry = Arc::clone(&world.planner.registry);
    let holdings = Holdings { book: world.book.clone(), undone: 1, ..Holdings::default() };
    world.planner.catch_up(&registry, &holdings);
    assert_eq!(world.planner.solver.host("h0").expect("there").vcpus.expect("known").promised, 16);
}

#[derive(Debug, Clone)]
enum Step {
    Place(u32, u64, u64, bool),
    Release(u128),
    /// Which of its claims' guests the host shows, and how large.
    Answer(usize, u64, u32),
    Maintenance(usize, u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u32..20, 1_u64..30, 0_u64..120, any::<bool>())
            .prop_map(|(vcpus, memory, disk, shared)| Step::Place(vcpus, memory, disk, shared)),
        2 => (0_u128..30).prop_map(Step::Release),
        3 => (0_usize..3, any::<u64>(), 1_u32..30).prop_map(|(host, mask, vcpus)| Step::Answer(host, mask, vcpus)),
        1 => (0_usize..3, 1_u32..5).prop_map(|(host, ratio)| Step::Maintenance(host, ratio)),
    ]
}

proptest! {
    /// What is taken step by step is what accounting makes of all of it, after any steps.
    #[test]
    fn rows_are_what_accounting_makes_of_guests_and_claims(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new(3);
        for (number, step) in (0_u128..).zip(steps) {
            match step {
                Step::Place(vcpus, memory, disk, shared) => {
                    let on = if shared { "ceph" } else { "" };
                    let disks: &[(u64, &str)] = if disk == 0 { &[] } else { &[(disk, on)] };
                    let _ = world.place(number, &demand(vcpus, memory, disks));
                }
                Step::Release(instance) => world.release(instance),
                Step::Answer(host, mask, vcpus) => {
                    let host_name = name(host);
                    let claims = world.book.on(&host_name).map(|claim| claim.instance.0);
                    let shown: Vec<_> = claims.filter(|instance| mask >> (instance % 64) & 1 == 1).collect();
                    let guests = shown.into_iter().map(|instance| guest(instance, vcpus, u64::from(vcpus)));
                    world.answers(host, guests.collect());
                }
                Step::Maintenance(host, ratio) => {
                    let mut entries: Vec<HostEntry> =
                        world.planner.registry.iter().map(|entry| (**entry).clone()).collect();
                    entries[host].maintenance = !entries[host].maintenance;
                    entries[host].settings = AllocationSettings {
                        vcpu_ratio: Some(vmuster_proto::model::Ratio::from_hundredths(ratio * 100)),
                        ..AllocationSettings::default()
                    };
                    let registry = Arc::new(Registry::new(entries).expect("distinct"));
                    world.planner.set_registry(&registry, &world.book);
                }
            }
            world.check();
        }
    }
}
