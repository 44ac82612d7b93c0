//! Named examples, worked out by hand.

use std::sync::Arc;

use vmuster_proto::model::Bytes;

use super::world::{features, resource};
use crate::placement::{
    AnswersTo, Batch, Completeness, Demand, DiskDemand, DiskPlace, ForcedHost, Group, GuestCpu, HostPool,
    PlacementHost, Pool, PoolKey, Profile, Question, Resource, Solver, Taken, Then, WeigherName,
};

fn host(name: &str, vcpus: u64, memory: u64) -> PlacementHost {
    let mut host = PlacementHost::new(name);
    host.vcpus = Some(resource(vcpus));
    host.memory = Some(resource(memory));
    host.pools = Some(Vec::new());
    host
}

fn on_pool(mut host: PlacementHost, pool: &str) -> PlacementHost {
    let names = ["images".to_owned()].into();
    host.pools.get_or_insert_default().push(HostPool {
        answers_to: AnswersTo { names, is_default: true, ..AnswersTo::default() },
        pool: PoolKey::new(pool),
    });
    host
}

fn pool(key: &str, bytes: u64, is_shared: bool) -> Pool {
    Pool { key: PoolKey::new(key), resource: resource(bytes), is_shared }
}

fn demand(vcpus: u32, memory: u64, disks: &[u64]) -> Demand {
    let disk = |size: &u64| DiskDemand { size: Bytes(*size), on: DiskPlace::Default };
    Demand { vcpus, memory: Bytes(memory), disks: disks.iter().map(disk).collect(), ..Demand::default() }
}

fn batch(demand: Demand, count: u32) -> Batch {
    Batch::new(vec![Group::new(Arc::new(demand), count)])
}

fn hosts_of(solver: &mut Solver, batch: &Batch) -> Vec<Option<String>> {
    let decision = solver.decide(batch, Then::Undo);
    decision.placements.iter().map(|placed| placed.as_ref().map(|placed| placed.host.to_string())).collect()
}

fn solver(hosts: impl IntoIterator<Item = PlacementHost>) -> Solver {
    let mut solver = Solver::new();
    hosts.into_iter().for_each(|host| solver.set_host(host));
    solver
}

#[test]
fn packing_fills_one_host_and_spreading_takes_turns() {
    let mut solver = solver([host("a", 8, 80), host("b", 8, 80)]);
    let mut four = batch(demand(2, 20, &[]), 4);
    let named = |names: [&str; 4]| names.map(|name| Some(name.to_owned())).to_vec();
    assert_eq!(hosts_of(&mut solver, &four), named(["a", "a", "a", "a"]));
    four.profile = Profile::SPREAD;
    assert_eq!(hosts_of(&mut solver, &four), named(["a", "b", "a", "b"]));
}

#[test]
fn memory_is_not_left_without_vcpus() {
    // On b the guest would leave 70 of memory and no vCPU; on a both run out together.
    let mut b = host("b", 8, 100);
    b.vcpus.as_mut().expect("known").promised = 6;
    let mut a = host("a", 8, 100);
    (a.vcpus.as_mut().expect("known").promised, a.memory.as_mut().expect("known").promised) = (4, 50);
    let mut solver = solver([b, a]);
    assert_eq!(hosts_of(&mut solver, &batch(demand(2, 30, &[]), 1)), [Some("a".to_owned())]);
}

#[test]
fn rare_features_are_kept_for_those_who_need_them() {
    let with = |name: &str, names: &[&str]| {
        let guest = GuestCpu { features: features(names.iter().copied()), ..GuestCpu::default() };
        PlacementHost { guest: Some(Arc::new(guest)), ..host(name, 8, 80) }
    };
    let mut solver = solver([with("a-rich", &["aes", "avx", "avx2", "avx512f"]), with("b-plain", &["aes"])]);
    assert_eq!(hosts_of(&mut solver, &batch(demand(2, 20, &[]), 1)), [Some("b-plain".to_owned())]);
    let picky = Demand { required: features(["avx2"]), ..demand(2, 20, &[]) };
    assert_eq!(hosts_of(&mut solver, &batch(picky, 1)), [Some("a-rich".to_owned())]);
    let shy = Demand { forbidden: features(["avx"]), ..demand(5, 20, &[]) };
    assert_eq!(hosts_of(&mut solver, &batch(shy, 2)), [None, None], "one fits, so not both");
}

#[test]
fn a_hundred_gigabytes_with_ten_reserved_and_a_ratio_of_one_and_a_half() {
    let mut host = host("a", 1000, 0);
    host.memory = Some(Resource { physical: 100, promisable: 135, promised: 0 });
    let mut solver = solver([host]);
    let mut many = batch(demand(1, 45, &[]), 4);
    many.completeness = Completeness::BestEffort;
    let decision = solver.decide(&many, Then::Keep);
    assert_eq!((decision.placed_count, decision.is_granted), (3, true), "135 is 3 x 45");
    let mut larger = batch(demand(1, 101, &[]), 1);
    larger.completeness = Completeness::BestEffort;
    assert_eq!(solver.decide(&larger, Then::Undo).placed_count, 0, "none has more than there is");
}

#[test]
fn a_pool_that_two_hosts_see_is_one() {
    let mut solver = solver([on_pool(host("a", 100, 100), "nfs"), on_pool(host("b", 100, 100), "nfs")]);
    // Not said to be shared: that two hosts name it is enough.
    solver.set_pool(&pool("nfs", 50, false));
    let mut six = batch(demand(1, 1, &[10]), 6);
    six.completeness = Completeness::BestEffort;
    six.profile = Profile::SPREAD;
    let decision = solver.decide(&six, Then::Keep);
    assert_eq!(decision.placed_count, 5);
    assert_eq!(solver.pool(&PoolKey::new("nfs")).expect("known").resource.promised, 50);
    let placed = decision.placements[0].as_ref().expect("placed");
    assert_eq!(solver.decide(&six, Then::Undo).placed_count, 0);
    // Given back through the other host: it is the same pool.
    let taken = Taken { disks: vec![(PoolKey::new("nfs"), Bytes(10))], ..Taken::default() };
    let other = if &*placed.host == "a" { "b" } else { "a" };
    assert!(solver.release(other, &taken));
    assert_eq!(solver.decide(&six, Then::Undo).placed_count, 1);
    let estimate = solver.estimate(&Question::new(Arc::new(demand(1, 1, &[10]))));
    assert_eq!((estimate.hosts, estimate.total), (vec![("a".into(), 1), ("b".into(), 1)], 1));
}

#[test]
fn several_disks_find_the_only_way_to_lie() {
    // The small disk would take the larger pool first; then the large one fits nowhere.
    let class = |key: &str| HostPool {
        answers_to: AnswersTo { classes: [("fast".to_owned(), 0)].into(), ..AnswersTo::default() },
        pool: PoolKey::new(key),
    };
    let mut a = host("a", 8, 8);
    a.pools = Some(vec![class("large"), class("small")]);
    let mut solver = solver([a]);
    solver.set_pool(&pool("large", 10, false));
    solver.set_pool(&pool("small", 5, false));
    let disk = |size: u64| DiskDemand { size: Bytes(size), on: DiskPlace::Class("fast".to_owned()) };
    let two = Demand { disks: vec![disk(5), disk(10)], ..demand(1, 1, &[]) };
    let decision = solver.decide(&batch(two, 1), Then::Undo);
    let placed = decision.placements[0].as_ref().expect("placed");
    assert_eq!(placed.disks, [Some(PoolKey::new("small")), Some(PoolKey::new("large"))]);
}

#[test]
fn eight_race_for_fifty_places_and_get_exactly_fifty() {
    let mut solver = solver([host("a", 50, 5000)]);
    let one = batch(demand(1, 1, &[]), 1);
    let granted = (0..8 * 50).filter(|_| solver.decide(&one, Then::Keep).is_granted).count();
    assert_eq!(granted, 50);
}

#[test]
fn a_gang_is_whole_or_not_at_all() {
    let mut solver = solver([host("a", 4, 100), host("b", 4, 100)]);
    let gang = |count, completeness| Batch { completeness, ..batch(demand(2, 1, &[]), count) };
    let refused = solver.decide(&gang(5, Completeness::All), Then::Keep);
    assert_eq!((refused.is_granted, refused.placed_count), (false, 4));
    assert!(refused.placements.iter().all(Option::is_none));
    assert_eq!(refused.refusals[0].instance, 4);
    assert!(!solver.decide(&gang(9, Completeness::AtLeast(5)), Then::Keep).is_granted);
    assert_eq!(solver.host("a").expect("known").vcpus, Some(resource(4)), "nothing is held");
    assert_eq!(solver.decide(&gang(9, Completeness::AtLeast(4)), Then::Keep).placed_count, 4);
    assert_eq!(solver.decide(&gang(1, Completeness::BestEffort), Then::Keep).placed_count, 0);
}

#[test]
fn a_forced_host_must_have_room_but_nothing_else() {
    let mut a = host("a", 4, 100);
    a.maintenance = true;
    let mut solver = solver([a, host("b", 40, 100)]);
    let forced = |ignore_capacity| Batch {
        forced: Some(ForcedHost { name: "a".into(), ignore_capacity }),
        completeness: Completeness::BestEffort,
        ..batch(Demand { required: features(["avx"]), ..demand(3, 10, &[7]) }, 2)
    };
    let refused = solver.decide(&forced(false), Then::Undo);
    assert_eq!(refused.placed_count, 0, "it has no pool");
    let texts: Vec<&str> = refused.skipped.iter().map(|miss| miss.text.as_str()).collect();
    assert_eq!(texts, ["it is in maintenance", "what it can give to guests is not known"]);
    let explanation = refused.refusals[0].explanation.as_ref().expect("explained");
    assert_eq!(explanation.nearest[0].misses[0].text, "it has no default pool");
    let ignored = solver.decide(&forced(true), Then::Keep);
    let placed: Vec<_> = ignored.placements.iter().flatten().collect();
    assert_eq!(placed.len(), 2);
    assert!(placed.iter().all(|placed| placed.is_over_committed && placed.disks == [None]));
    assert_eq!(solver.host("a").expect("known").vcpus.expect("known").promised, 6, "more than there is");
    let nobody = Batch {
        forced: Some(ForcedHost { name: "c".into(), ignore_capacity: true }),
        ..batch(demand(1, 1, &[]), 1)
    };
    let explanation = solver.decide(&nobody, Then::Undo).refusals[0].explanation.clone().expect("explained");
    assert_eq!(explanation.nearest[0].misses[0].text, "there is no host of this name");
}

#[test]
fn a_host_that_is_unknown_takes_nothing_even_if_forced() {
    let mut a = host("a", 40, 100);
    a.unknown = Some("it does not answer".to_owned());
    let mut solver = solver([a]);
    let forced = Some(ForcedHost { name: "a".into(), ignore_capacity: true });
    let decision = solver.decide(&Batch { forced, ..batch(demand(1, 1, &[]), 1) }, Then::Keep);
    assert!(!decision.is_granted);
}

#[test]
fn multipliers_are_numbers_in_range() {
    for bad in [f64::NAN, f64::INFINITY, 2e6] {
        assert!(Profile::PACK.with(WeigherName::Cpu, bad).is_err());
    }
    let profile = Profile::PACK.with(WeigherName::Disk, 3.0).expect("in range");
    assert_eq!(profile.multiplier(WeigherName::Disk).to_bits(), 3.0_f64.to_bits());
}
