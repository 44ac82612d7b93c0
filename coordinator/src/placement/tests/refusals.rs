//! What is said of a refusal.

use std::sync::Arc;

use fastrand::Rng;
use proptest::prelude::*;
use vmuster_proto::model::Bytes;

use super::world::{World, features, random_demand, resource};
use crate::placement::{
    AnswersTo, Batch, Completeness, Demand, DiskDemand, DiskPlace, Group, GuestCpu, HostCells, HostPool,
    Lack, PlacementHost, Pool, PoolKey, Question, Resource, Solver, Then,
    columns::Columns,
    filters::{FILTERS, fits},
    need::{Lists, Need},
    numa::HostTopology,
};

const GIB: u64 = 1 << 30;

/// One host for each reason.
fn cluster() -> Solver {
    let mut solver = Solver::new();
    solver.set_pool(&Pool { key: PoolKey::new("local"), resource: resource(100 * GIB), is_shared: false });
    let guest = Arc::new(GuestCpu { features: features(["aes", "avx"]), ..GuestCpu::default() });
    let plain = |name: &str| {
        let mut host = PlacementHost::new(name);
        host.arch = Some("x86_64".to_owned());
        host.guest = Some(Arc::clone(&guest));
        host.vcpus = Some(resource(32));
        host.memory = Some(resource(64 * GIB));
        let names = ["default".to_owned()].into();
        host.pools = Some(vec![HostPool {
            answers_to: AnswersTo { names, is_default: true, ..AnswersTo::default() },
            pool: PoolKey::new("local"),
        }]);
        host
    };
    let mut hosts =
        ["arm", "busy", "busy-and-small", "down", "features", "full", "nothing", "repair", "small", "zone"]
            .map(plain);
    for host in &mut hosts {
        host.labels.insert("zone".to_owned(), "a".to_owned());
    }
    let [arm, busy, busy_and_small, down, poor, full, nothing, repair, small, zone] = &mut hosts;
    arm.arch = Some("aarch64".to_owned());
    busy.vcpus = Some(Resource { physical: 8, promisable: 32, promised: 30 });
    busy_and_small.vcpus = busy.vcpus;
    busy_and_small.memory = Some(resource(2 * GIB));
    down.unknown = Some("no answer within 5 s".to_owned());
    poor.guest = Some(Arc::new(GuestCpu { features: features(["aes"]), ..GuestCpu::default() }));
    full.memory = Some(Resource { physical: 64 * GIB, promisable: 64 * GIB, promised: 70 * GIB });
    nothing.memory = None;
    repair.maintenance = true;
    small.vcpus = Some(resource(2));
    zone.labels.insert("zone".to_owned(), "b".to_owned());
    hosts.into_iter().for_each(|host| solver.set_host(host));
    solver
}

fn asked() -> Demand {
    Demand {
        vcpus: 4,
        memory: Bytes(8 * GIB),
        disks: vec![DiskDemand { size: Bytes(10 * GIB), on: DiskPlace::Default }],
        required: features(["avx"]),
        arch: Some("x86_64".to_owned()),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        ..Demand::default()
    }
}

#[test]
fn a_refusal_says_who_refused_and_what_was_nearly_enough() {
    let mut solver = cluster();
    let decision = solver.decide(&Batch::new(vec![Group::new(Arc::new(asked()), 1)]), Then::Undo);
    let explanation = decision.refusals[0].explanation.as_ref().expect("explained");
    let mut said: Vec<String> = explanation
        .rejected
        .iter()
        .map(|one| format!("{} {} {}", one.filter, one.host_count, one.unknown_count))
        .collect();
    assert_eq!(
        said.join("; "),
        "known 1 1; maintenance 1 0; arch 1 0; labels 1 0; cpu_features 1 0; vcpus 3 0; memory 2 1"
    );
    said.clear();
    for near in &explanation.nearest {
        for miss in &near.misses {
            said.push(format!("{}: {}: {}", near.host, miss.filter, miss.text));
        }
    }
    assert_eq!(
        said,
        [
            "busy: vcpus: 4 vCPUs asked, 2 vCPUs left of 32 vCPUs",
            "small: vcpus: 4 vCPUs asked, and it has 2 vCPUs in all",
            "full: memory: 8.0 GiB of memory asked, and 6.0 GiB of memory more than its 64.0 GiB of memory are promised already",
        ]
    );
    assert_eq!(explanation.nearest[0].misses[0].lack, Lack::Vcpus(2));
}

#[test]
fn where_cells_are_in_the_way_of_all_it_is_said_how() {
    let bound = |name: &str| {
        let mut host = PlacementHost::new(name);
        host.vcpus = Some(resource(32));
        host.memory = Some(resource(64 * GIB));
        let topology =
            HostTopology { cells: Vec::new(), page_size: Bytes(4096), unplaced_devices: Vec::new() };
        let cells = HostCells { topology, is_mixed: false, floating_count: 0, bound_count: 2 };
        host.cells = Some(Arc::new(cells));
        host
    };
    let mut solver = Solver::new();
    solver.set_host(bound("a"));
    // One that only lacks room is nearer.
    solver.set_host(PlacementHost { memory: Some(resource(GIB)), cells: None, ..bound("b") });
    let demand = Demand { vcpus: 1, memory: Bytes(2 * GIB), ..Demand::default() };
    let decision = solver.decide(&Batch::new(vec![Group::new(Arc::new(demand), 1)]), Then::Undo);
    let nearest = &decision.refusals[0].explanation.as_ref().expect("explained").nearest;
    let names: Vec<&str> = nearest.iter().map(|near| &*near.host).collect();
    assert_eq!(names, ["b", "a"]);
    assert!(nearest[1].misses[0].text.contains("set mixed_numa"), "{:?}", nearest[1].misses);
}

#[test]
fn equal_demands_share_an_explanation() {
    let mut solver = cluster();
    let groups = (0..3).map(|_| Group::new(Arc::new(asked()), 2)).collect();
    let mut batch = Batch::new(groups);
    batch.completeness = Completeness::BestEffort;
    let decision = solver.decide(&batch, Then::Undo);
    let first = decision.refusals[0].explanation.as_ref().expect("explained");
    assert_eq!(decision.refusals.len(), 3);
    for refusal in &decision.refusals {
        assert!(Arc::ptr_eq(refusal.explanation.as_ref().expect("explained"), first));
        assert_eq!(refusal.refused_count, 2);
    }
}

#[test]
fn an_estimate_says_why_others_take_none() {
    let estimate = cluster().estimate(&Question::new(Arc::new(asked())));
    assert_eq!((estimate.hosts.len(), estimate.total), (0, 0));
    assert_eq!(estimate.rejected.iter().map(|rejected| rejected.host_count).sum::<u32>(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_filter_that_refuses_says_what_lacks(seed in any::<u64>()) {
        let mut rng = Rng::with_seed(seed);
        let world = World::random(&mut rng, 8);
        let pools: Vec<Pool> = world.pools.values().cloned().collect();
        let columns = Columns::new(world.hosts.clone(), &pools);
        let need = Need::new(&random_demand(&mut rng), Lists::default(), &columns);
        for host in 0..columns.len() {
            for filter in FILTERS {
                let passes = filter.passes(&need, &columns, host);
                let miss = filter.miss(&need, &columns, host);
                prop_assert_eq!(passes, miss.is_none(), "{} {:?}", filter.name(), miss);
                prop_assert!(miss.is_none_or(|miss| !miss.text.is_empty()));
            }
            let consumable = FILTERS.iter().filter(|filter| filter.is_consumable());
            let mut passes = consumable.map(|filter| filter.passes(&need, &columns, host));
            prop_assert_eq!(fits(&need, &columns, host), passes.all(|passes| passes));
        }
    }
}
