//! Hosts that the caller names for each instance: the same as a search that may take no other, for one look each.

use std::sync::Arc;

use fastrand::Rng;
use proptest::prelude::*;

use super::world::{World, random_batch, random_demand};
use crate::placement::{Batch, Completeness, Group, Then, Work};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn where_a_search_ends_all_hosts_hold(seed in any::<u64>(), host_count in 0_usize..12) {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::random(&mut rng, host_count);
        let mut solver = world.solver();
        let batch = Batch { completeness: Completeness::All, ..random_batch(&mut rng, &world) };
        let searched = solver.decide(&batch, Then::Undo);
        if !searched.is_granted {
            return Ok(());
        }
        let hosts: Vec<_> = searched.placements.iter().flatten().map(|placed| Arc::clone(&placed.host)).collect();
        let before = solver.work();
        let hinted = solver.decide_at(&batch, &hosts, Then::Keep);
        prop_assert_eq!(hinted.as_ref(), Ok(&searched));
        let checked = before.host_check_count + hosts.len() as u64;
        prop_assert_eq!(solver.work(), Work { host_check_count: checked, ..before });
        let demands = batch.groups.iter().flat_map(|group| {
            std::iter::repeat_n(&group.demand, group.count as usize)
        });
        for (placed, demand) in searched.placements.iter().flatten().zip(demands) {
            world.take(&placed.host, &crate::placement::Taken::of(demand, placed));
        }
        world.assert_same(&solver);
    }

    #[test]
    fn a_host_does_if_a_search_of_it_alone_finds_it(seed in any::<u64>(), host_count in 1_usize..12) {
        let mut rng = Rng::with_seed(seed);
        let world = World::random(&mut rng, host_count);
        let mut solver = world.solver();
        let random = random_batch(&mut rng, &world);
        let rules = random.groups[0].rules.clone();
        let group = Group { rules, ..Group::new(random_demand(&mut rng), 1) };
        let batch = Batch { groups: vec![group], completeness: Completeness::All, ..random };
        for host in world.hosts.keys() {
            let is_admitted = batch.admitted.as_ref().is_none_or(|admitted| admitted.contains(host));
            let admitted = is_admitted.then(|| Arc::clone(host)).into_iter().collect();
            let alone = solver.decide(&Batch { admitted: Some(admitted), ..batch.clone() }, Then::Undo);
            match solver.decide_at(&batch, &[Arc::clone(host)], Then::Undo) {
                Ok(decision) => prop_assert_eq!(decision, alone),
                Err(not_there) => {
                    prop_assert!(!alone.is_granted);
                    prop_assert!(!not_there.misses.is_empty());
                }
            }
            world.assert_same(&solver);
        }
        let nowhere = solver.decide_at(&batch, &[], Then::Keep);
        prop_assert!(nowhere.is_err(), "no host is named");
        let nowhere = solver.decide_at(&batch, &["gone".into()], Then::Keep);
        prop_assert!(nowhere.is_err_and(|not_there| !not_there.is_for_want_of_room));
        world.assert_same(&solver);
    }
}
