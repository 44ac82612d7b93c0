//! In both directions: what was placed can be there, and for what was refused there is no host.

use std::sync::Arc;

use fastrand::Rng;
use proptest::prelude::*;

use super::world::{World, random_batch, random_demand};
use crate::placement::{
    AffinityPolicy, AffinityRule, Batch, Completeness, Demand, DiskPlace, Group, HostCells, Member, Placed,
    PlacementHost, PoolKey, Question, Resource, Taken, Then, numa,
};

fn has(resource: Option<Resource>, asked: u64) -> bool {
    asked == 0
        || resource.is_some_and(|has| {
            asked <= has.physical
                && i128::from(has.promised) + i128::from(asked) <= i128::from(has.promisable)
        })
}

fn suits(batch: &Batch, host: &PlacementHost, demand: &Demand) -> bool {
    let guest_does = match &host.guest {
        None => demand.required.is_empty() && demand.forbidden.is_empty() && demand.cpu_model.is_none(),
        Some(guest) => {
            demand.required.is_subset(&guest.features)
                && demand.forbidden.intersection(&guest.features).is_empty()
                && demand.cpu_model.as_ref().is_none_or(|model| guest.usable_models.contains(model))
        }
    };
    host.unknown.is_none()
        && !host.maintenance
        && batch.admitted.as_ref().is_none_or(|names| names.contains(&host.name))
        && !batch.excluded.contains(&host.name)
        && (demand.arch.is_none() || demand.arch == host.arch)
        && demand.labels.iter().all(|label| host.labels.iter().any(|has| has == label))
        && guest_does
}

/// Whether so much can be put into these pools, on top of each other.
fn pools_have(world: &World, disks: &[(PoolKey, u64)]) -> bool {
    disks.iter().all(|(key, bytes)| {
        let asked: u64 = disks.iter().filter(|(other, _)| other == key).map(|(_, bytes)| bytes).sum();
        let left =
            |resource: Resource| resource.promisable.saturating_sub(resource.promised).min(resource.physical);
        world.pools.get(key).is_some_and(|pool| *bytes <= asked && asked <= left(pool.resource))
    })
}

fn pools_for(host: &PlacementHost, on: &DiskPlace) -> Vec<PoolKey> {
    let listed = host.pools.iter().flatten();
    match on {
        DiskPlace::Default => {
            listed.filter(|pool| pool.answers_to.is_default).map(|pool| pool.pool.clone()).take(1).collect()
        }
        DiskPlace::Pool(name) => {
            let named = listed.filter(|pool| pool.answers_to.names.contains(name));
            named.map(|pool| pool.pool.clone()).take(1).collect()
        }
        DiskPlace::Class(class) => {
            let members = listed.filter(|pool| pool.answers_to.classes.contains_key(class));
            members.map(|pool| pool.pool.clone()).collect()
        }
    }
}

/// Tries every way to lay the disks.
fn can_hold(world: &World, batch: &Batch, host: &PlacementHost, demand: &Demand) -> bool {
    let mut ways: Vec<Vec<(PoolKey, u64)>> = vec![Vec::new()];
    for disk in &demand.disks {
        let pools = pools_for(host, &disk.on);
        ways = ways
            .iter()
            .flat_map(|way| pools.iter().map(move |pool| [&way[..], &[(pool.clone(), disk.size.0)]].concat()))
            .collect();
    }
    suits(batch, host, demand)
        && cells_can_hold(host, demand)
        && ways.iter().any(|way| pools_have(world, way))
}

/// vCPUs and memory, of the host and of its cells. That a topology fits on cells is proven elsewhere (`numa`).
fn cells_can_hold(host: &PlacementHost, demand: &Demand) -> bool {
    let Some(guest) = &demand.numa else {
        let is_in_each = |cells: &HostCells| {
            let rooms = cells.topology.cells.iter().map(|cell| cell.memory.room_bytes(false));
            cells.topology.cells.len() == 1 || rooms.min().is_none_or(|least| demand.memory.0 <= least)
        };
        let takes_floating = host
            .cells
            .as_ref()
            .is_none_or(|cells| cells.bound_count == 0 || (cells.is_mixed && is_in_each(cells)));
        return takes_floating
            && has(host.vcpus, u64::from(demand.vcpus))
            && has(host.memory, demand.memory.0);
    };
    let Some(cells) = host.cells.as_ref().filter(|cells| cells.is_mixed || cells.floating_count == 0) else {
        return false;
    };
    let floating = guest.cells.iter().map(|cell| u64::from(cell.shared_vcpus)).sum();
    let Ok(placed) = numa::place(&cells.topology, guest) else { return false };
    let ordinary = placed.taken.cells.iter().map(|cell| cell.memory_bytes).sum();
    has(host.vcpus, floating) && has(host.memory, ordinary)
}

/// Whether every rule that must hold does, with these members.
fn may_be(world: &World, group: &Group, members: &[Member], host: &Arc<str>) -> bool {
    let domain = |rule: &AffinityRule, host: &Arc<str>| match &rule.topology_key {
        None => Some(host.to_string()),
        Some(key) => world.hosts[host].labels.get(&**key).cloned(),
    };
    let required =
        |rule: &&AffinityRule| matches!(rule.policy, AffinityPolicy::Affinity | AffinityPolicy::AntiAffinity);
    group.rules.iter().filter(required).all(|rule| {
        let Some(here) = domain(rule, host) else { return false };
        let of_group: Vec<&Member> = members.iter().filter(|member| member.group == rule.group).collect();
        let is_here = |member: &&&Member| {
            world.hosts.contains_key(&member.host) && domain(rule, &member.host).as_ref() == Some(&here)
        };
        let mut there = of_group.iter().filter(is_here);
        match rule.policy {
            AffinityPolicy::Affinity => of_group.is_empty() || there.next().is_some(),
            _ => there.all(|member| rule.partition.is_some() && member.partition == rule.partition),
        }
    })
}

fn join(group: &Group, host: &Arc<str>, members: &mut Vec<Member>) {
    let mut seen = std::collections::BTreeSet::new();
    for rule in group.rules.iter().filter(|rule| seen.insert(&rule.group)) {
        let (group, partition) = (Arc::clone(&rule.group), rule.partition.clone());
        members.push(Member { group, partition, host: Arc::clone(host) });
    }
}

fn is_valid(world: &World, batch: &Batch, demand: &Demand, placed: &Placed) -> bool {
    let host = &world.hosts[&placed.host];
    let disks: Vec<(PoolKey, u64)> = placed
        .disks
        .iter()
        .zip(&demand.disks)
        .map(|(pool, disk)| (pool.clone().expect("a pool"), disk.size.0))
        .collect();
    let are_admissible =
        disks.iter().zip(&demand.disks).all(|((pool, _), disk)| pools_for(host, &disk.on).contains(pool));
    disks.len() == demand.disks.len()
        && are_admissible
        && pools_have(world, &disks)
        && can_hold(world, batch, host, demand)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn an_ok_is_valid_and_a_no_is_true(seed in any::<u64>(), host_count in 0_usize..9) {
        let mut rng = Rng::with_seed(seed);
        let world = World::random(&mut rng, host_count);
        let mut batch = random_batch(&mut rng, &world);
        let wanted = std::mem::replace(&mut batch.completeness, Completeness::BestEffort);
        let mut solver = world.solver();
        let best_effort = solver.decide(&batch, Then::Undo);
        let mut now = world.clone();
        let mut instance = 0;
        let mut first_refused = None;
        let mut members = batch.members.clone();
        for (number, group) in batch.groups.iter().enumerate() {
            let start = instance;
            for _ in 0..group.count {
                match &best_effort.placements[instance] {
                    Some(placed) => {
                        prop_assert!(is_valid(&now, &batch, &group.demand, placed), "{placed:?}");
                        prop_assert!(may_be(&now, group, &members, &placed.host), "{placed:?} {members:?}");
                        join(group, &placed.host, &mut members);
                        now.take(&placed.host, &Taken::of(&group.demand, placed));
                    }
                    None => {
                        let could = now.hosts.values().find(|host| {
                            can_hold(&now, &batch, host, &group.demand)
                                && may_be(&now, group, &members, &host.name)
                        });
                        prop_assert!(could.is_none(), "refused, but {could:?} could");
                    }
                }
                instance += 1;
            }
            let placements = &best_effort.placements[start..instance];
            let refusal = best_effort.refusals.iter().find(|refusal| refusal.group == number);
            prop_assert_eq!(refusal.is_some(), placements.iter().any(Option::is_none));
            if let Some(refusal) = refusal {
                first_refused = first_refused.or(Some(refusal.instance));
                let refused = placements.iter().filter(|placed| placed.is_none()).count();
                prop_assert_eq!(refusal.refused_count as usize, refused);
                prop_assert_eq!(placements.iter().position(Option::is_none), Some(refusal.instance - start));
                let explanation = refusal.explanation.as_ref().expect("explained");
                prop_assert_eq!(explanation.host_count as usize, world.hosts.len());
                let rejected: u32 = explanation.rejected.iter().map(|rejected| rejected.host_count).sum();
                prop_assert_eq!(rejected, explanation.host_count, "each host is refused once");
                prop_assert!(explanation.nearest.iter().all(|near| !near.misses.is_empty()));
            }
        }
        let group = &batch.groups[0];
        let (rules, members) = (group.rules.clone(), batch.members.clone());
        let (admitted, excluded) = (batch.admitted.clone(), batch.excluded.clone());
        let demand = Arc::clone(&group.demand);
        let question = Question { demand, rules, members, admitted, excluded, profile: batch.profile };
        let candidates = solver.candidates(&question, 100);
        let can = world.hosts.values().filter(|host| {
            can_hold(&world, &batch, host, &group.demand) && may_be(&world, group, &batch.members, &host.name)
        });
        prop_assert_eq!(candidates.len(), can.count());
        let explanation = solver.explain(&question, None);
        let rejected: u32 = explanation.rejected.iter().map(|rejected| rejected.host_count).sum();
        prop_assert_eq!(rejected as usize + candidates.len(), world.hosts.len());
        if let (Some(best), Some(first)) = (candidates.first(), best_effort.placements.first()) {
            // A group that must share a host looks ahead by as many as it is; one further instance by one.
            let founds = group.rules.iter().any(|rule| rule.policy == AffinityPolicy::Affinity);
            let first = first.as_ref().map(|placed| &placed.host);
            prop_assert!(founds || group.count == 0 || first == Some(&best.host));
        }
        // The same as a gang: all, or the first that is refused.
        let placed = best_effort.placements.iter().flatten().count();
        batch.completeness = wanted;
        let gang = solver.decide(&batch, Then::Undo);
        let is_granted = match wanted {
            Completeness::All => first_refused.is_none(),
            Completeness::AtLeast(least) => placed >= least as usize,
            Completeness::BestEffort => true,
        };
        prop_assert_eq!(gang.is_granted, is_granted);
        let nothing = vec![None; instance];
        prop_assert_eq!(&gang.placements, if is_granted { &best_effort.placements } else { &nothing });
        prop_assert_eq!(gang.refusals.first().map(|refusal| refusal.instance), first_refused);
        world.assert_same(&solver);
    }

    #[test]
    fn an_estimate_is_what_can_be_placed(seed in any::<u64>(), host_count in 0_usize..7) {
        let mut rng = Rng::with_seed(seed);
        let world = World::random(&mut rng, host_count);
        let demand = random_demand(&mut rng);
        let is_nothing = demand.numa.is_none() && demand.vcpus == 0 && demand.memory.0 == 0;
        prop_assume!(!is_nothing);
        let mut solver = world.solver();
        let mut batch = Batch::new(vec![Group::new(Arc::clone(&demand), 500)]);
        batch.completeness = Completeness::BestEffort;
        let in_all = solver.decide(&batch, Then::Undo).placed_count;
        let estimate = solver.estimate(&Question::new(Arc::clone(&demand)));
        let candidates = solver.candidates(&Question::new(Arc::clone(&demand)), 3);
        let best = solver.decide(&Batch::new(vec![Group::new(Arc::clone(&demand), 1)]), Then::Undo);
        let first = best.placements[0].as_ref().map(|placed| (Arc::clone(&placed.host), placed.score.to_bits()));
        prop_assert_eq!(candidates.first().map(|best| (Arc::clone(&best.host), best.score.to_bits())), first);
        prop_assert_eq!(candidates.len(), estimate.hosts.len().min(3));
        let rejected: u32 = estimate.rejected.iter().map(|rejected| rejected.host_count).sum();
        prop_assert_eq!(rejected as usize + estimate.hosts.len(), world.hosts.len());
        for name in world.hosts.keys() {
            batch.admitted = Some([Arc::clone(name)].into());
            let alone = solver.decide(&batch, Then::Undo).placed_count;
            let estimated = estimate.hosts.iter().find(|(host, _)| host == name).map_or(0, |(_, count)| *count);
            if demand.disks.len() <= 1 {
                prop_assert_eq!(estimated, u64::from(alone), "{}", name);
            }
        }
        if demand.disks.iter().all(|disk| !matches!(disk.on, DiskPlace::Class(_))) && demand.disks.len() <= 1 {
            prop_assert_eq!(estimate.total, u64::from(in_all));
        }
    }
}
