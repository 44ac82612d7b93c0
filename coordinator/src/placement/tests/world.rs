//! Small clusters with all features at once, drawn from a seed, and plain arithmetic on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fastrand::Rng;
use vmuster_proto::model::{Bytes, CpuSet, FeatureSet};

use crate::placement::{
    AffinityPolicy, AffinityRule, AnswersTo, Batch, CellsTaken, Completeness, Demand, DiskDemand, DiskPlace,
    Group, GuestCpu, HostCells, HostPool, Member, PlacementHost, Pool, PoolKey, Profile, Resource, Solver,
    Taken, WeigherName,
};
use crate::placement::{
    cells::CellUse,
    columns::Direction,
    numa::{
        CellMemory, EmulatorThreads, GuestCell, GuestTopology, HostCell, HostTopology, PagePool, PageRequest,
        SharedVcpus, ThreadPolicy,
    },
};

const FEATURES: [&str; 5] = ["avx", "avx2", "avx512f", "aes", "mpx"];

pub(super) fn features<'a>(names: impl IntoIterator<Item = &'a str>) -> FeatureSet {
    FeatureSet::from_names(names).expect("feature names")
}

pub(super) fn resource(promisable: u64) -> Resource {
    Resource { physical: promisable, promisable, promised: 0 }
}

/// What is true, kept without the solver.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) hosts: BTreeMap<Arc<str>, PlacementHost>,
    pub(super) pools: BTreeMap<PoolKey, Pool>,
}

impl World {
    pub(super) fn random(rng: &mut Rng, host_count: usize) -> Self {
        let mut world = Self::default();
        for _ in 0..host_count {
            let name = format!("h{}", rng.u32(0..40));
            let host = random_host(rng, &name);
            world.hosts.insert(Arc::clone(&host.name), host);
        }
        for key in 0..6 {
            // One in six was never described.
            if rng.u32(0..6) > 0 {
                let pool = random_pool(rng, key);
                world.pools.insert(pool.key.clone(), pool);
            }
        }
        world
    }

    pub(super) fn solver(&self) -> Solver {
        let mut solver = Solver::new();
        self.hosts.values().for_each(|host| solver.set_host(host.clone()));
        self.pools.values().for_each(|pool| solver.set_pool(pool));
        solver
    }

    pub(super) fn take(&mut self, host: &str, taken: &Taken) {
        let host = self.hosts.get_mut(host).expect("a host of this cluster");
        for (resource, amount) in [(&mut host.vcpus, taken.vcpus), (&mut host.memory, taken.memory.0)] {
            if let Some(resource) = resource {
                resource.promised += amount;
            }
        }
        host.starting += u32::from(taken.is_starting);
        hold_cells(host, taken, Direction::Take);
        for (pool, size) in &taken.disks {
            if let Some(pool) = self.pools.get_mut(pool) {
                pool.resource.promised += size.0;
            }
        }
    }

    pub(super) fn give_back(&mut self, host: &str, taken: &Taken) {
        let host = self.hosts.get_mut(host).expect("a host of this cluster");
        for (resource, amount) in [(&mut host.vcpus, taken.vcpus), (&mut host.memory, taken.memory.0)] {
            if let Some(resource) = resource {
                resource.promised = resource.promised.saturating_sub(amount);
            }
        }
        host.starting = host.starting.saturating_sub(u32::from(taken.is_starting));
        hold_cells(host, taken, Direction::GiveBack);
        for (pool, size) in &taken.disks {
            if let Some(pool) = self.pools.get_mut(pool) {
                pool.resource.promised = pool.resource.promised.saturating_sub(size.0);
            }
        }
    }

    /// Whether the solver says the same of all hosts and pools.
    pub(super) fn assert_same(&self, solver: &Solver) {
        for (name, host) in &self.hosts {
            assert_eq!(solver.host(name), Some(host));
        }
        for (key, pool) in &self.pools {
            assert_eq!(solver.pool(key).as_ref(), Some(pool));
        }
        assert_eq!(solver.host_count(), self.hosts.len());
    }
}

fn hold_cells(host: &mut PlacementHost, taken: &Taken, direction: Direction) {
    if let Some(cells) = &mut host.cells {
        let of = match &taken.cells {
            CellsTaken::Bound(taken) => CellUse::Bound(taken),
            _ => CellUse::Floats(taken.memory.0),
        };
        Arc::make_mut(cells).hold(of, direction);
    }
}

pub(super) fn random_pool(rng: &mut Rng, key: u32) -> Pool {
    let total = rng.u64(0..60);
    let resource = Resource { physical: total, promisable: total * rng.u64(1..3), promised: rng.u64(0..20) };
    Pool { key: PoolKey::new(format!("p{key}")), resource, is_shared: rng.u32(0..4) == 0 }
}

fn random_resource(rng: &mut Rng, physical: u64) -> Option<Resource> {
    let physical = rng.u64(physical / 2..=physical);
    let resource =
        Resource { physical, promisable: physical * rng.u64(1..4), promised: rng.u64(0..=physical) };
    (rng.u32(0..12) > 0).then_some(resource)
}

pub(super) fn random_host(rng: &mut Rng, name: &str) -> PlacementHost {
    let mut host = PlacementHost::new(name);
    host.vcpus = random_resource(rng, 12);
    host.memory = random_resource(rng, 40);
    host.maintenance = rng.u32(0..10) == 0;
    host.unknown = (rng.u32(0..12) == 0).then(|| "it does not answer".to_owned());
    host.arch = match rng.u32(0..8) {
        0 => None,
        1 => Some("aarch64".to_owned()),
        _ => Some("x86_64".to_owned()),
    };
    if rng.bool() {
        host.labels.insert("zone".to_owned(), ["a", "b"][rng.usize(0..2)].to_owned());
    }
    host.guest = (rng.u32(0..8) > 0).then(|| {
        let names: Vec<&str> = FEATURES.into_iter().filter(|_| rng.u32(0..3) > 0).collect();
        let usable_models = ["Nehalem", "EPYC"].into_iter().filter(|_| rng.bool());
        Arc::new(GuestCpu {
            features: features(names),
            usable_models: usable_models.map(str::to_owned).collect(),
            vendor: None,
        })
    });
    host.pools = (rng.u32(0..10) > 0).then(|| {
        let listed = 0..rng.usize(0..4);
        let pool = |_| {
            let some = |rng: &mut Rng| {
                ["fast", "slow", "images"]
                    .into_iter()
                    .filter(|_| rng.bool())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let answers_to = AnswersTo {
                names: some(rng).into_iter().collect(),
                classes: some(rng).into_iter().map(|class| (class, rng.usize(0..3))).collect(),
                is_default: rng.bool(),
            };
            HostPool { answers_to, pool: PoolKey::new(format!("p{}", rng.u32(0..6))) }
        };
        listed.map(pool).collect()
    });
    host.starting = rng.u32(0..3);
    host.cells = (rng.u32(0..3) > 0).then(|| Arc::new(random_cells(rng)));
    host
}

/// Of one to three cells, some of them taken.
fn random_cells(rng: &mut Rng) -> HostCells {
    let count = rng.u32(1..4);
    let mut cell = |id: u32| {
        let cpu = id * 8;
        let dedicated = rng.u32(0..5);
        HostCell {
            id,
            shared_cpus: (cpu + dedicated..cpu + 6).collect(),
            dedicated_cpus: (cpu..cpu + dedicated).collect(),
            siblings: vec![(cpu..cpu + 2).collect(), (cpu + 2..cpu + 4).collect()],
            pinned: if dedicated > 0 && rng.bool() { [cpu].into_iter().collect() } else { CpuSet::new() },
            shared_vcpus: SharedVcpus { promisable: rng.u64(0..10), promised: rng.u64(0..3) },
            memory: CellMemory {
                total_bytes: rng.u64(0..20),
                promisable_bytes: rng.u64(0..24),
                promised_bytes: rng.u64(0..4),
            },
            hugepages: vec![PagePool { size: Bytes(2), total: rng.u64(0..6), used: rng.u64(0..3) }],
            socket: Some(id),
            devices: Vec::new(),
        }
    };
    let cells = (0..count).map(&mut cell).collect();
    let bound_count = u32::from(rng.u32(0..3) == 0);
    HostCells {
        topology: HostTopology { cells, page_size: Bytes(1), unplaced_devices: Vec::new() },
        is_mixed: count == 1 || rng.bool(),
        floating_count: if bound_count == 0 { rng.u32(0..3).saturating_sub(1) } else { 0 },
        bound_count,
    }
}

/// Of these vCPUs and this memory, if they can be split.
fn random_topology(rng: &mut Rng, vcpus: u32, memory: u64) -> Option<GuestTopology> {
    let count = rng.u32(1..3);
    if vcpus < count || memory < u64::from(count) {
        return None;
    }
    let dedicated = rng.u32(0..3);
    let cell = |id: u32| {
        let vcpus = vcpus / count + u32::from(id < vcpus % count);
        let own = [0, vcpus, vcpus / 2][dedicated as usize];
        GuestCell {
            dedicated_vcpus: own,
            shared_vcpus: vcpus - own,
            memory: Bytes(memory / u64::from(count) + u64::from(u64::from(id) < memory % u64::from(count))),
        }
    };
    let pages = [PageRequest::Ordinary, PageRequest::Small, PageRequest::Large, PageRequest::Any];
    let threads = [ThreadPolicy::Prefer, ThreadPolicy::Isolate, ThreadPolicy::Require];
    let emulator = [EmulatorThreads::Float, EmulatorThreads::Share, EmulatorThreads::Isolate];
    Some(GuestTopology {
        cells: (0..count).map(cell).collect(),
        pages: pages[rng.usize(0..pages.len())],
        threads: threads[rng.usize(0..threads.len())],
        emulator: emulator[rng.usize(0..emulator.len())],
        devices: Vec::new(),
    })
}

/// One of few, so that classes are met again.
pub(super) fn random_demand(rng: &mut Rng) -> Arc<Demand> {
    let mut rng = Rng::with_seed(rng.u64(0..40));
    let names =
        |rng: &mut Rng| features(FEATURES.into_iter().filter(|_| rng.u32(0..5) == 0).collect::<Vec<_>>());
    let disks = [0, 1, 1, 2, 3][rng.usize(0..5)];
    let mut demand = Demand {
        vcpus: rng.u32(0..4),
        memory: Bytes(rng.u64(0..8)),
        required: names(&mut rng),
        forbidden: FeatureSet::default(),
        cpu_model: (rng.u32(0..8) == 0).then(|| "EPYC".to_owned()),
        arch: (rng.u32(0..3) == 0).then(|| "x86_64".to_owned()),
        ..Demand::default()
    };
    if rng.u32(0..5) == 0 {
        demand.forbidden = names(&mut rng);
    }
    if rng.u32(0..4) == 0 {
        demand.labels.insert("zone".to_owned(), "a".to_owned());
    }
    if rng.u32(0..3) == 0 {
        demand.numa = random_topology(&mut rng, demand.vcpus, demand.memory.0);
    }
    for _ in 0..disks {
        let on = match rng.u32(0..4) {
            0 | 1 => DiskPlace::Default,
            2 => DiskPlace::Pool("images".to_owned()),
            _ => DiskPlace::Class("fast".to_owned()),
        };
        demand.disks.push(DiskDemand { size: Bytes(rng.u64(0..9)), on });
    }
    Arc::new(demand)
}

fn random_partition(rng: &mut Rng) -> Option<Arc<str>> {
    (rng.u32(0..3) == 0).then(|| ["x", "y"][rng.usize(0..2)].into())
}

fn random_policy(rng: &mut Rng) -> AffinityPolicy {
    [
        AffinityPolicy::Affinity,
        AffinityPolicy::AntiAffinity,
        AffinityPolicy::SoftAffinity,
        AffinityPolicy::SoftAntiAffinity,
    ][rng.usize(0..4)]
}

fn random_rules(rng: &mut Rng) -> Vec<AffinityRule> {
    let mut names = ["a", "b", "c"];
    rng.shuffle(&mut names);
    let count = [1, 1, 2][rng.usize(0..3)];
    let rule = |group: &&str| AffinityRule {
        group: (*group).into(),
        policy: random_policy(rng),
        topology_key: rng.bool().then(|| "zone".into()),
        partition: random_partition(rng),
    };
    let mut rules: Vec<AffinityRule> = names[..count].iter().map(rule).collect();
    if rng.u32(0..3) == 0 {
        // Of the same group by another sort of domain.
        let topology_key = if rules[0].topology_key.is_some() { None } else { Some("zone".into()) };
        rules.push(AffinityRule { topology_key, policy: random_policy(rng), ..rules[0].clone() });
    }
    rules
}

pub(super) fn random_batch(rng: &mut Rng, world: &World) -> Batch {
    let groups = 0..rng.usize(1..4);
    let group = |_| {
        let demand = random_demand(rng);
        let rules = if rng.u32(0..3) == 0 { random_rules(rng) } else { Vec::new() };
        Group { rules, ..Group::new(demand, rng.u32(0..5)) }
    };
    let mut batch = Batch::new(groups.map(group).collect());
    for _ in 0..rng.usize(0..3) {
        // Some are on hosts that are not there.
        batch.members.push(Member {
            group: ["a", "b", "c"][rng.usize(0..3)].into(),
            partition: random_partition(rng),
            host: format!("h{}", rng.u32(0..40)).into(),
        });
    }
    if let (Some(host), true) = (world.hosts.keys().next(), rng.bool()) {
        batch.members.push(Member { group: "a".into(), partition: None, host: Arc::clone(host) });
    }
    batch.completeness = match rng.u32(0..4) {
        0 => Completeness::All,
        1 => Completeness::AtLeast(rng.u32(0..6)),
        _ => Completeness::BestEffort,
    };
    let weigher = WeigherName::ALL[rng.usize(0..WeigherName::ALL.len())];
    batch.profile = match rng.u32(0..4) {
        0 => Profile::SPREAD,
        1 => Profile::PACK.with(weigher, rng.f64()).expect("a multiplier"),
        _ => Profile::PACK,
    };
    let mut some = |chance: u32| -> BTreeSet<Arc<str>> {
        world.hosts.keys().filter(|_| rng.u32(0..chance) > 0).cloned().collect()
    };
    let (admitted, excluded) = (some(3), some(4));
    match rng.u32(0..8) {
        0 => batch.admitted = Some(admitted),
        1 => batch.excluded = world.hosts.keys().filter(|name| !excluded.contains(*name)).cloned().collect(),
        _ => {}
    }
    batch
}
