//! Nominated, handed back, and what then no longer held.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use vmuster_proto::model::{
    AffinityPolicy, AffinityRule, Bytes, Completeness, Cpu, Domain, HostOrigin, InstanceGroup,
    InstanceTemplate, Inventory, Memory, PlaceRequest, Purpose, System, Usage,
};

use super::*;
use crate::{
    cache::{GuestNames, HostRecord, HostView, Outcome},
    claims::{ClaimBook, ClaimedResources, InstanceId, Membership, NewClaim},
    hosts::{HostEntry, Registry},
    placement::{Taken, Work},
    scheduler::{
        answer,
        known::KnownUsage,
        leaving::{self, Leaving, NOMINATED_FOR},
    },
};

const GIB: u64 = 1 << 30;

/// Hosts h0, h1 …, of 16 CPUs and 64 GiB for guests each; h0 and h1 have a guest of 40 GiB, number 100 and 101.
struct World {
    planner: Planner,
    book: ClaimBook,
    registry: Arc<Registry>,
    boots: Vec<u32>,
    now: Timestamp,
}

fn uuid(instance: u128) -> String {
    InstanceId(instance).to_string()
}

fn name(host: usize) -> String {
    format!("h{host}")
}

fn guest(instance: u128, gib: u64) -> Domain {
    Domain {
        uuid: uuid(instance),
        vcpus_max: Some(4),
        memory_max_bytes: Some(Bytes(gib * GIB)),
        ..Domain::default()
    }
}

fn record(host: usize, boot: u32) -> HostRecord {
    let cpu = Cpu { online: Some("0-15".parse().expect("CPUs")), ..Cpu::default() };
    let system = System { boot_id: Some(format!("boot {boot}")), ..System::default() };
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

fn registry(hosts: impl Iterator<Item = usize>) -> Arc<Registry> {
    let entry = |host| HostEntry { origin: Some(HostOrigin::File), ..HostEntry::new(name(host), None) };
    Arc::new(Registry::new(hosts.map(entry)).expect("distinct"))
}

impl World {
    fn new(hosts: usize) -> Self {
        let now = Timestamp::from_unix_millis(1_000_000_000_000).expect("in range");
        let mut world = Self {
            planner: Planner::new([].into(), 0),
            book: ClaimBook::default(),
            registry: registry(0..hosts),
            boots: vec![0; hosts],
            now,
        };
        world.planner.set_registry(&world.registry, &world.book);
        for host in 0..hosts {
            let guests = if host < 2 { vec![guest(100 + host as u128, 40)] } else { vec![] };
            world.answers(host, guests);
        }
        world
    }

    /// The host says which guests it has.
    fn answers(&mut self, host: usize, domains: Vec<Domain>) {
        let entry = Arc::clone(self.planner.host(&name(host)).expect("there").entry());
        let view = HostView::fresh(&entry, Arc::new(record(host, self.boots[host])), Outcome::Fetched);
        let (asked_at, order) = (self.now, Instant::now());
        let usage = Usage { domains: Some(domains), pools: Some(Vec::new()), ..Usage::default() };
        let usage = KnownUsage { asked_at, order, seen_at: asked_at, usage: Arc::new(usage) };
        self.planner.learn(&name(host), Some(view), Some(usage), None, &self.book);
    }

    fn claim(&mut self, instance: u128, host: usize, gib: u64, purpose: Purpose, groups: &[&str]) {
        self.admit(instance, host, gib, purpose, groups);
        self.planner.refresh(&name(host), &self.book);
    }

    /// A claim that the host's row may not know of yet.
    fn admit(&mut self, instance: u128, host: usize, gib: u64, purpose: Purpose, groups: &[&str]) {
        let memory_bytes = Bytes(gib * GIB);
        let membership = |group: &&str| Membership { group: (*group).to_owned(), partition: None };
        let new = NewClaim {
            instance: InstanceId(instance),
            host: name(host),
            resources: ClaimedResources { vcpus: 1, memory_bytes, ..ClaimedResources::default() },
            purpose,
            request_id: String::new(),
            signature: String::new(),
            groups: groups.iter().map(membership).collect(),
            rules: Vec::new(),
            over_committed: false,
            created_at: self.now,
            expires_at: self.now,
        };
        for change in self.book.admit(vec![new]).expect("no conflict") {
            self.book.apply(&change);
        }
    }

    fn knows(&self) -> Vec<Option<crate::placement::PlacementHost>> {
        (0..self.boots.len()).map(|host| self.planner.solver.host(&name(host)).cloned()).collect()
    }

    /// As a dry run does it, and what it cost.
    fn place(&mut self, request: &PlaceRequest) -> (PlaceAnswer, Work) {
        let (before, known) = (self.planner.solver.work(), self.knows());
        let asked = Asked::new(request, &self.registry).expect("it makes sense");
        let batch = asked.batch_for(&self.planner, &self.book, &Leaving::default());
        let mut hints = Hints::default();
        let decision = hints.decide_now(&asked, &batch, &mut self.planner, Then::Undo, self.now);
        let nothing = answer::Before::default();
        let mut answer = answer::answer(&asked, &decision, &self.planner, nothing);
        hints.tell(&mut answer);
        leaving::nominate(&asked, &mut self.planner, &self.book, self.now, &mut answer);
        assert_eq!(known, self.knows(), "nothing is held");
        let after = self.planner.solver.work();
        let work = Work {
            search_count: after.search_count - before.search_count,
            host_check_count: after.host_check_count - before.host_check_count,
        };
        (answer, work)
    }

    /// Hands back what was nominated.
    fn hand_back(&mut self, request: &PlaceRequest, nominations: &[Nomination]) -> (PlaceAnswer, Work) {
        let hints = nominations.to_vec();
        self.place(&PlaceRequest { hints, releasing: Vec::new(), ..request.clone() })
    }
}

/// Instances 1, 2 … of so much memory, while these leave.
fn request(count: u128, gib: u64, releasing: &[u128]) -> PlaceRequest {
    let template =
        InstanceTemplate { vcpus: 2, memory_bytes: Bytes(gib * GIB), ..InstanceTemplate::default() };
    let uuids = (1..=count).map(uuid).collect();
    PlaceRequest {
        groups: vec![InstanceGroup { template, uuids, ..InstanceGroup::default() }],
        releasing: releasing.iter().map(|instance| uuid(*instance)).collect(),
        ..PlaceRequest::default()
    }
}

fn nominated(answer: &PlaceAnswer) -> Vec<&str> {
    assert!(!answer.granted && answer.placements.is_empty(), "{answer:?}");
    answer.nominations.iter().map(|nomination| nomination.host.as_str()).collect()
}

fn placed(answer: &PlaceAnswer) -> Vec<&str> {
    answer.placements.iter().map(|placement| placement.host.as_str()).collect()
}

fn problems(answer: &PlaceAnswer) -> Vec<HintProblem> {
    answer.stale_hints.iter().map(|hint| hint.problem).collect()
}

const SEARCHED_ONCE: Work = Work { search_count: 1, host_check_count: 0 };

fn checked(host_check_count: u64) -> Work {
    Work { search_count: 0, host_check_count }
}

#[tokio::test]
async fn a_valid_hint_costs_one_host_check_and_no_search() {
    let mut world = World::new(2);
    let one = request(1, 32, &[100]);
    let (answer, work) = world.place(&one);
    assert_eq!(nominated(&answer), ["h0"]);
    assert_eq!(work.search_count, 2, "as it is, and as it will be");
    assert_eq!((answer.leaving.len(), &answer.leaving[0].uuids), (1, &vec![uuid(100)]));
    let (early, work) = world.place(&PlaceRequest { hints: answer.nominations.clone(), ..one.clone() });
    assert_eq!(problems(&early), [HintProblem::NoRoom]);
    assert_eq!(nominated(&early), ["h0"], "nominated again, and no more than that");
    assert_eq!(work, Work { search_count: 2, host_check_count: 1 });
    world.answers(0, vec![]);
    let (granted, work) = world.hand_back(&one, &answer.nominations);
    assert_eq!((placed(&granted), granted.hints_used), (vec!["h0"], true));
    assert_eq!(work, checked(1));
}

#[tokio::test]
async fn a_gang_whose_hints_all_hold_is_placed_without_a_search() {
    let mut world = World::new(3);
    let gang = request(3, 40, &[100, 101]);
    let (answer, _) = world.place(&gang);
    let mut hosts = nominated(&answer);
    hosts.sort_unstable();
    assert_eq!(hosts, ["h0", "h1", "h2"], "also the one that would fit now");
    world.answers(0, vec![]);
    world.answers(1, vec![]);
    let (granted, work) = world.hand_back(&gang, &answer.nominations);
    assert!(granted.hints_used, "{granted:?}");
    assert_eq!(placed(&granted), nominated(&answer));
    assert_eq!(work, checked(3));
}

#[tokio::test]
async fn a_hint_that_does_not_hold_means_one_search() {
    type Change = fn(&mut World, &mut PlaceRequest);
    let cases: &[(HintProblem, u64, Change)] = &[
        (HintProblem::HostChanged, 0, |world, _| {
            world.boots[0] += 1;
            world.answers(0, vec![]);
        }),
        (HintProblem::HostGone, 0, |world, _| {
            world.registry = registry(1..3);
            world.planner.set_registry(&world.registry, &world.book);
            world.boots = Vec::new();
        }),
        (HintProblem::NoRoom, 1, |world, _| world.claim(7, 0, 40, Purpose::New, &[])),
        (HintProblem::RequestChanged, 0, |_, request| request.groups[0].template.vcpus = 3),
        (HintProblem::RequestChanged, 0, |_, request| request.groups[0].uuids[0] = uuid(9)),
        (HintProblem::Expired, 0, |world, _| world.now = world.now.saturating_add(NOMINATED_FOR)),
        (HintProblem::Refused, 1, |_, request| request.exclude_hosts = vec![name(0)]),
        (HintProblem::Refused, 1, |_, request| request.hosts = vec![name(1), name(2)]),
    ];
    for (number, (problem, host_check_count, change)) in cases.iter().enumerate() {
        let mut world = World::new(3);
        world.answers(2, vec![guest(102, 40)]);
        let mut one = request(1, 32, &[100]);
        let (answer, _) = world.place(&one);
        assert_eq!(nominated(&answer), ["h0"], "case {number}");
        // Elsewhere there is room now as well; where a hint holds nobody looks there.
        world.answers(0, vec![]);
        world.answers(2, vec![]);
        change(&mut world, &mut one);
        let (granted, work) = world.hand_back(&one, &answer.nominations);
        assert_eq!(problems(&granted), [*problem], "case {number}");
        assert!(granted.granted && !granted.hints_used, "case {number}");
        assert_eq!(work, Work { host_check_count: *host_check_count, ..SEARCHED_ONCE }, "case {number}");
        assert!(!granted.stale_hints[0].detail.is_empty(), "case {number}");
    }
}

#[tokio::test]
async fn of_a_gang_all_hints_hold_or_none_is_used() {
    let mut world = World::new(2);
    let gang = request(2, 40, &[100, 101]);
    let (answer, _) = world.place(&gang);
    assert_eq!(nominated(&answer).len(), 2);
    // One guest is gone, the other is not.
    world.answers(0, vec![]);
    let (refused, work) = world.hand_back(&gang, &answer.nominations);
    assert!(!refused.granted && refused.nominations.is_empty(), "{refused:?}");
    let of = |host: &str| refused.stale_hints.iter().find(|hint| hint.host == host).expect("there").problem;
    assert_eq!((of("h0"), of("h1")), (HintProblem::Gang, HintProblem::NoRoom));
    assert_eq!(work.search_count, 1);
    // A hint of each, or it is searched.
    world.answers(1, vec![]);
    let (granted, work) = world.hand_back(&gang, &answer.nominations[..1]);
    assert_eq!(problems(&granted), [HintProblem::Gang]);
    assert_eq!((granted.granted, work), (true, SEARCHED_ONCE));
    // One that was tampered with spoils the others, and is all that is said of them.
    let mut forged = answer.nominations.clone();
    forged[1].host_fingerprint.clear();
    let (granted, work) = world.hand_back(&gang, &forged);
    assert_eq!(problems(&granted), [HintProblem::Gang, HintProblem::HostChanged]);
    assert_eq!((granted.granted, work), (true, SEARCHED_ONCE));
    // Both on one host: each would fit there alone.
    let mut forged = answer.nominations.clone();
    let first = forged[0].clone();
    forged[1] = Nomination { uuid: forged[1].uuid.clone(), ..first };
    let (granted, work) = world.hand_back(&gang, &forged);
    assert_eq!(problems(&granted), [HintProblem::Gang, HintProblem::NoRoom]);
    assert_eq!((granted.granted, work), (true, Work { host_check_count: 2, ..SEARCHED_ONCE }));
}

#[tokio::test]
async fn what_fits_as_it_is_is_placed_and_what_never_fits_is_refused() {
    let mut world = World::new(2);
    let (fits, work) = world.place(&request(1, 8, &[100]));
    assert!(fits.granted && fits.nominations.is_empty());
    assert_eq!(work, SEARCHED_ONCE);
    for releasing in [100, 555] {
        let (never, _) = world.place(&request(2, 60, &[releasing]));
        assert!(!never.granted && never.nominations.is_empty() && never.leaving.is_empty());
        assert!(never.refusals[0].summary.ends_with("once those that leave are gone"), "{never:?}");
    }
    let some = PlaceRequest { completeness: Completeness::BestEffort, ..request(2, 40, &[100]) };
    assert!(world.place(&some).0.nominations.is_empty(), "granted as it is, if to none");
}

#[tokio::test]
async fn the_members_that_leave_are_in_nobodys_way_and_those_that_came_are() {
    let mut world = World::new(2);
    let apart = AffinityRule {
        group: "db".to_owned(),
        policy: AffinityPolicy::AntiAffinity,
        topology_key: None,
        partition: None,
    };
    world.claim(100, 0, 40, Purpose::New, &["db"]);
    world.claim(101, 1, 40, Purpose::New, &["db"]);
    let mut one = request(1, 8, &[101]);
    one.groups[0].rules = vec![apart];
    let (answer, _) = world.place(&one);
    assert_eq!(nominated(&answer), ["h1"]);
    let (refused, work) = world.hand_back(&one, &answer.nominations);
    assert_eq!(problems(&refused), [HintProblem::Refused]);
    assert!(refused.stale_hints[0].detail.contains("a member of group 'db' is on it"), "{refused:?}");
    assert_eq!(work, Work { host_check_count: 1, ..SEARCHED_ONCE });
    let changes = world.book.release(&world.book.of(InstanceId(101)).map(|claim| claim.id).collect());
    changes.changes.iter().for_each(|change| drop(world.book.apply(change)));
    world.answers(1, vec![]);
    assert!(world.hand_back(&one, &answer.nominations).0.hints_used);
}

#[tokio::test]
async fn what_was_promised_a_moment_ago_leaves_as_well() {
    let mut world = World::new(2);
    world.answers(1, vec![]);
    world.admit(7, 1, 60, Purpose::New, &[]);
    // As a decision that is kept does it: the host is not accounted for anew.
    let taken = Taken { vcpus: 1, memory: Bytes(60 * GIB), ..Taken::default() };
    assert!(world.planner.solver.consume("h1", &taken));
    let (answer, _) = world.place(&request(1, 60, &[7]));
    assert_eq!(nominated(&answer), ["h1"]);
}

#[tokio::test]
async fn one_that_moves_leaves_where_it_comes_from() {
    let mut world = World::new(3);
    world.answers(2, vec![guest(102, 30)]);
    world.claim(100, 2, 40 - 8, Purpose::Move, &[]);
    let (answer, _) = world.place(&request(1, 60, &[100]));
    assert_eq!(nominated(&answer), ["h0"]);
    // It has moved: all of it leaves, wherever it came from.
    world.answers(0, vec![guest(7, 40)]);
    world.answers(2, vec![guest(100, 40)]);
    let (answer, _) = world.place(&request(1, 60, &[100]));
    assert_eq!(nominated(&answer), ["h2"]);
}

#[tokio::test]
async fn on_a_forced_host_hints_of_others_are_refused() {
    let mut world = World::new(2);
    let forced = PlaceRequest { forced_host: Some(name(1)), ..request(1, 32, &[101]) };
    let (answer, _) = world.place(&forced);
    assert_eq!(nominated(&answer), ["h1"]);
    world.answers(1, vec![]);
    assert!(world.hand_back(&forced, &answer.nominations).0.hints_used);
    world.answers(0, vec![]);
    let elsewhere = PlaceRequest { forced_host: Some(name(0)), ..forced };
    let (granted, _) = world.hand_back(&elsewhere, &answer.nominations);
    assert_eq!((problems(&granted), placed(&granted)), (vec![HintProblem::Refused], vec!["h0"]));
}

#[tokio::test]
async fn hosts_without_room_are_asked_once_whether_it_has_come() {
    let mut world = World::new(2);
    let one = request(1, 32, &[100]);
    let (answer, _) = world.place(&one);
    let again = PlaceRequest { hints: answer.nominations, ..one };
    let asked = Asked::new(&again, &world.registry).expect("it makes sense");
    let batch = asked.batch_for(&world.planner, &world.book, &Leaving::default()).into_owned();
    let begun = world.now.saturating_add(Duration::from_secs(1));
    let mut hints = Hints::default();
    let mut decide = |world: &mut World| {
        hints.decide(&asked, &batch, &mut world.planner, Then::Undo, (begun, Some(begun)))
    };
    assert!(matches!(decide(&mut world), Hinted::Ask(hosts) if hosts == ["h0"]));
    assert!(matches!(decide(&mut world), Hinted::Search), "it is there as before");
    world.answers(0, vec![]);
    assert!(matches!(decide(&mut world), Hinted::Search), "they are not looked at again");
}
