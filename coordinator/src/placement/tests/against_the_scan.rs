//! Whatever happened before: the same hosts, disks and scores as the exhaustive search, bit for bit.

use std::sync::Arc;

use fastrand::Rng;
use proptest::prelude::*;

use super::world::{World, random_batch, random_demand, random_host, random_pool};
use crate::placement::{
    Batch, CellsTaken, Completeness, Decision, Demand, Group, PoolKey, Solver, Taken, Then,
    reference::{Found, Reference},
};

fn demands(batch: &Batch) -> Vec<Arc<Demand>> {
    let groups = batch.groups.iter();
    groups.flat_map(|group| std::iter::repeat_n(Arc::clone(&group.demand), group.count as usize)).collect()
}

fn found(decision: &Decision) -> Vec<Option<Found>> {
    let found = |placed: &crate::placement::Placed| Found {
        host: Arc::clone(&placed.host),
        score_bits: placed.score.to_bits(),
        disks: placed.disks.iter().map(|pool| pool.clone().expect("a pool")).collect(),
        cells: placed.cells.as_deref().cloned(),
    };
    decision.placements.iter().map(|placed| placed.as_ref().map(found)).collect()
}

fn reference(world: &World) -> Reference {
    Reference::new(world.hosts.values().cloned().collect(), world.pools.values().cloned().collect())
}

/// Something changes that is no decision.
fn disturb(rng: &mut Rng, world: &mut World, solver: &mut Solver, held: &mut Vec<(Arc<str>, Taken)>) {
    let names: Vec<Arc<str>> = world.hosts.keys().cloned().collect();
    let known = (!names.is_empty()).then(|| Arc::clone(&names[rng.usize(0..names.len())]));
    match (rng.u32(0..10), known) {
        (0, Some(name)) => {
            assert!(solver.remove_host(&name));
            world.hosts.remove(&name);
            held.retain(|(host, _)| *host != name);
        }
        (1 | 2, Some(name)) => {
            let host = random_host(rng, &name);
            solver.set_host(host.clone());
            world.hosts.insert(name, host);
        }
        (3, Some(name)) => {
            let mut host = world.hosts[&name].clone();
            host.maintenance = !host.maintenance;
            solver.set_host(host.clone());
            world.hosts.insert(name, host);
        }
        (4, _) => {
            let name = format!("h{}", rng.u32(0..40));
            let host = random_host(rng, &name);
            solver.set_host(host.clone());
            world.hosts.insert(Arc::clone(&host.name), host);
        }
        (5, _) => {
            let key = rng.u32(0..7);
            let pool = random_pool(rng, key);
            solver.set_pool(&pool);
            world.pools.insert(pool.key.clone(), pool);
        }
        (6, _) => {
            let key = PoolKey::new(format!("p{}", rng.u32(0..7)));
            assert_eq!(solver.remove_pool(&key), world.pools.remove(&key).is_some());
        }
        (7, Some(name)) => {
            let pool = PoolKey::new(format!("p{}", rng.u32(0..7)));
            let taken = Taken {
                vcpus: rng.u64(0..3),
                memory: vmuster_proto::model::Bytes(rng.u64(0..5)),
                disks: vec![(pool, vmuster_proto::model::Bytes(rng.u64(0..5)))],
                cells: CellsTaken::Floats,
                is_starting: rng.bool(),
            };
            assert!(solver.consume(&name, &taken));
            world.take(&name, &taken);
        }
        _ if !held.is_empty() => {
            let (host, taken) = held.swap_remove(rng.usize(0..held.len()));
            assert!(solver.release(&host, &taken));
            world.give_back(&host, &taken);
        }
        _ => {}
    }
}

fn live(seed: u64, host_count: usize, steps: usize) {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::random(&mut rng, host_count);
    let mut solver = world.solver();
    let mut held: Vec<(Arc<str>, Taken)> = Vec::new();
    for _ in 0..steps {
        for _ in 0..rng.u32(0..3) {
            disturb(&mut rng, &mut world, &mut solver, &mut held);
        }
        let batch = random_batch(&mut rng, &world);
        let then = if rng.bool() { Then::Keep } else { Then::Undo };
        let expected = reference(&world).decide(&batch, then);
        let decision = solver.decide(&batch, then);
        assert_eq!(found(&decision), expected);
        if then == Then::Keep {
            for (placed, demand) in decision.placements.iter().zip(demands(&batch)) {
                let Some(placed) = placed else { continue };
                let taken = Taken::of(&demand, placed);
                world.take(&placed.host, &taken);
                held.push((Arc::clone(&placed.host), taken));
            }
        }
        world.assert_same(&solver);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn small_clusters_that_change(seed in any::<u64>(), host_count in 0_usize..12, steps in 1_usize..30) {
        live(seed, host_count, steps);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(seed in any::<u64>(), host_count in 1_usize..12) {
        let mut rng = Rng::with_seed(seed);
        let world = World::random(&mut rng, host_count);
        let batch = random_batch(&mut rng, &world);
        let mut shuffled = Solver::new();
        let mut hosts: Vec<_> = world.hosts.values().cloned().collect();
        let mut pools: Vec<_> = world.pools.values().cloned().collect();
        rng.shuffle(&mut hosts);
        rng.shuffle(&mut pools);
        if rng.bool() {
            pools.iter().for_each(|pool| shuffled.set_pool(pool));
        }
        let (early, late) = hosts.split_at(hosts.len() / 2);
        early.iter().for_each(|host| shuffled.set_host(host.clone()));
        shuffled.decide(&batch, Then::Undo);
        late.iter().for_each(|host| shuffled.set_host(host.clone()));
        pools.iter().for_each(|pool| shuffled.set_pool(pool));
        let mut plain = world.solver();
        let decision = plain.decide(&batch, Then::Undo);
        prop_assert_eq!(&decision, &shuffled.decide(&batch, Then::Undo));
        prop_assert_eq!(&decision, &plain.decide(&batch, Then::Undo), "the same again");
    }
}

#[test]
fn more_hosts_than_a_block_of_blocks() {
    let mut rng = Rng::with_seed(7);
    let mut world = World::default();
    for number in 0..5000 {
        let host = random_host(&mut rng, &format!("host-{number:05}"));
        world.hosts.insert(Arc::clone(&host.name), host);
    }
    for key in 0..6 {
        let mut pool = random_pool(&mut rng, key);
        pool.resource.promisable = 400;
        pool.resource.physical = 400;
        world.pools.insert(pool.key.clone(), pool);
    }
    let mut solver = world.solver();
    let mut scan = reference(&world);
    for _ in 0..3 {
        let groups = (0..6).map(|_| Group::new(random_demand(&mut rng), rng.u32(1..30)));
        let mut batch = Batch::new(groups.collect());
        batch.completeness = Completeness::BestEffort;
        assert_eq!(found(&solver.decide(&batch, Then::Keep)), scan.decide(&batch, Then::Keep));
    }
}
