//! Clusters and requests to measure with: mixed hosts, few guest CPUs, as many classes as asked for.

use std::sync::Arc;

use vmuster_coordinator::placement::{
    AnswersTo, Batch, Completeness, Demand, DiskDemand, DiskPlace, Group, GuestCpu, HostPool, PlacementHost,
    Pool, PoolKey, Resource, Solver,
};
use vmuster_proto::model::{Bytes, FeatureSet};

const GIB: u64 = 1 << 30;

/// Features that some generations of CPUs have and others do not, beside eighty that all have.
const GENERATIONS: [&[&str]; 6] = [
    &["sse4.2", "aes"],
    &["sse4.2", "aes", "avx", "avx2"],
    &["sse4.2", "aes", "avx", "avx2", "avx512f", "mpx"],
    &["sse4.2", "aes", "avx", "avx2", "avx512f", "avx512-vnni"],
    &["sse4.2", "aes", "avx", "avx2", "sha-ni", "clzero"],
    &["sse4.2", "aes", "avx", "avx2", "avx512f", "avx512-vnni", "amx-tile"],
];

fn features<'a>(names: impl IntoIterator<Item = &'a str>) -> FeatureSet {
    FeatureSet::from_names(names).expect("feature names")
}

fn guests() -> Vec<Arc<GuestCpu>> {
    let base: Vec<String> = (0..80).map(|n| format!("base-{n}")).collect();
    let guest = |own: &&[&str]| {
        let names = base.iter().map(String::as_str).chain(own.iter().copied());
        Arc::new(GuestCpu { features: features(names), ..GuestCpu::default() })
    };
    GENERATIONS.iter().map(guest).collect()
}

/// 32 to 256 vCPUs at a ratio of 4, 64 GiB to 1 TiB, a pool of 1 to 8 TiB of its own, a tenth to two thirds in use.
pub(crate) fn hosts(count: usize) -> (Vec<PlacementHost>, Vec<Pool>) {
    let mut rng = fastrand::Rng::with_seed(1);
    let guests = guests();
    let mut pools = Vec::new();
    let mut host = |number: usize| {
        let mut host = PlacementHost::new(format!("kvm-{number:06}"));
        let threads = 8_u64 << rng.u32(0..4);
        let used = |rng: &mut fastrand::Rng, all: u64| all * rng.u64(100..660) / 1000;
        let vcpus = threads * 4;
        host.vcpus = Some(Resource { physical: threads, promisable: vcpus, promised: used(&mut rng, vcpus) });
        let memory = threads * GIB * (8 << rng.u32(0..2));
        host.memory =
            Some(Resource { physical: memory, promisable: memory, promised: used(&mut rng, memory) });
        host.arch = Some("x86_64".to_owned());
        host.labels.insert("zone".to_owned(), format!("zone-{}", number % 3));
        host.guest = Some(Arc::clone(&guests[rng.usize(0..guests.len())]));
        let key = PoolKey::new(format!("pool-{number:06}"));
        let names = ["default".to_owned()].into();
        host.pools = Some(vec![HostPool {
            answers_to: AnswersTo { names, is_default: true, ..AnswersTo::default() },
            pool: key.clone(),
        }]);
        let disk = (1024 << rng.u32(0..4)) * GIB;
        let resource = Resource { physical: disk, promisable: disk, promised: used(&mut rng, disk) };
        pools.push(Pool { key, resource, is_shared: false });
        host
    };
    let hosts = (0..count).map(&mut host).collect();
    (hosts, pools)
}

pub(crate) fn solver(hosts: &[PlacementHost], pools: &[Pool]) -> Solver {
    let mut solver = Solver::new();
    hosts.iter().for_each(|host| solver.set_host(host.clone()));
    pools.iter().for_each(|pool| solver.set_pool(pool));
    solver
}

/// So many different demands: 1 to 16 vCPUs, 1 to 8 GiB for each, a disk, CPU features of a generation.
pub(crate) fn demands(count: usize) -> Vec<Arc<Demand>> {
    let demand = |number: usize| {
        let vcpus = 1_u32 << (number % 5);
        let memory = u64::from(vcpus) * (1 << (number / 5 % 4)) * GIB;
        Arc::new(Demand {
            vcpus,
            memory: Bytes(memory),
            disks: vec![DiskDemand { size: Bytes((10 + number as u64) * GIB), on: DiskPlace::Default }],
            required: features(GENERATIONS[number % GENERATIONS.len()].iter().copied()),
            ..Demand::default()
        })
    };
    (0..count).map(demand).collect()
}

/// So many instances, one a group, of random demands: no two neighbours need be of one class.
pub(crate) fn mixed(demands: &[Arc<Demand>], count: usize) -> Batch {
    let mut rng = fastrand::Rng::with_seed(2);
    let group = |_| Group::new(Arc::clone(&demands[rng.usize(0..demands.len())]), 1);
    let mut batch = Batch::new((0..count).map(group).collect());
    batch.completeness = Completeness::BestEffort;
    batch
}

/// So many groups of so many instances.
pub(crate) fn grouped(demands: &[Arc<Demand>], count: usize) -> Batch {
    let share = |number: usize| count / demands.len() + usize::from(number < count % demands.len());
    let group = |(number, demand): (usize, &Arc<Demand>)| {
        Group::new(Arc::clone(demand), u32::try_from(share(number)).expect("few"))
    };
    let mut batch = Batch::new(demands.iter().enumerate().map(group).collect());
    batch.completeness = Completeness::BestEffort;
    batch
}
