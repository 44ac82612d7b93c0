//! How many instances of one sort still fit, and by what figures.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;
use vmuster_proto::model::{CapacityAnswer, HostCapacity, InstanceTemplate, ResourceFigures, StorageFigures};

use super::{PlaceError, Scheduler, answer::counts, asked::demand, known::Known, planner::Planner};
use crate::{
    accounting::{Figures, Profile},
    hosts::Scope,
    placement::{FilterName, PoolKey, Profile as Weights, Question, Resource},
};

impl Scheduler {
    /// How many fit on the hosts in scope.
    ///
    /// # Errors
    /// The scope is wrong.
    pub async fn capacity(
        self: &Arc<Self>,
        template: &InstanceTemplate,
        scope: &Scope,
        deadline: Instant,
    ) -> Result<CapacityAnswer, PlaceError> {
        let registry = self.cluster.registry();
        let entries = scope.select(&registry)?;
        // Disks may be in a pool that hosts out of scope share.
        let everywhere = Scope::default();
        let spelled = scope.spelled(&registry);
        let scope_of_pools = if template.disks.is_empty() { &spelled } else { &everywhere };
        self.learn_unknown(scope_of_pools, deadline).await;
        let mut planner = self.planner();
        let admitted = entries.iter().map(|entry| Arc::from(entry.name.as_str())).collect();
        let mut demand = demand(template);
        demand.arch = demand.arch.or_else(|| scope.arch.clone());
        let question = Question {
            rules: Vec::new(),
            members: Vec::new(),
            demand: Arc::new(demand),
            admitted: Some(admitted),
            excluded: std::collections::BTreeSet::new(),
            profile: Weights::SPREAD,
        };
        let estimate = planner.solver.estimate(&question);
        let fitting: BTreeMap<&str, u64> =
            estimate.hosts.iter().map(|(host, count)| (&**host, *count)).collect();
        let hosts = entries.iter().filter_map(|entry| {
            let known = planner.host(&entry.name)?;
            let count = fitting.get(entry.name.as_str()).copied().unwrap_or(0);
            Some(host_capacity(&entry.name, count, known, &planner, registry.profile()))
        });
        let missing = planner.doubtful().filter(|host| entries.iter().any(|entry| entry.name == **host));
        // Hosts out of scope were not asked about.
        let rejected: Vec<_> =
            estimate.rejected.iter().filter(|one| one.filter != FilterName::AllowList).copied().collect();
        Ok(CapacityAnswer {
            count: estimate.total,
            hosts: hosts.collect(),
            filters: counts(&rejected),
            missing: missing.filter_map(|host| Some(planner.host(host)?.judged())).collect(),
        })
    }
}

fn host_capacity(host: &str, count: u64, known: &Known, planner: &Planner, profile: Profile) -> HostCapacity {
    let account = known.account.as_ref();
    let row = planner.solver.host(host);
    let resources = |figures: &Result<Figures, String>, resource: Option<Resource>| {
        figures.as_ref().ok().map(|figures| told(figures, resource, profile))
    };
    let pools = account.and_then(|account| account.pools.as_ref().ok());
    let storage = pools.into_iter().flatten().map(|(key, pool)| {
        let figures = match planner.shared().get(key) {
            Some(unit) => unit.figures(),
            None => pool.figures(known.settings()),
        };
        StorageFigures {
            key: key.clone(),
            names: pool.storage.names.iter().cloned().collect(),
            shared: pool.storage.is_shared,
            default: pool.storage.is_default,
            figures: resources(
                &figures,
                planner.solver.pool(&PoolKey::new(key.as_str())).map(|pool| pool.resource),
            ),
        }
    });
    HostCapacity {
        host: host.to_owned(),
        count,
        vcpus: account.and_then(|account| resources(&account.vcpus, row?.vcpus)),
        memory: account.and_then(|account| resources(&account.memory, row?.memory)),
        storage: storage.collect(),
        doubts: doubts(known),
    }
}

/// Why figures are not there.
fn doubts(known: &Known) -> Vec<String> {
    if let Some(unknown) = known.unknown() {
        return vec![unknown];
    }
    let Some(account) = &known.account else { return Vec::new() };
    let mut doubts: Vec<String> = [account.vcpus.as_ref().err(), account.memory.as_ref().err()]
        .into_iter()
        .flatten()
        .chain(account.pools.as_ref().err())
        .cloned()
        .collect();
    let pools = account.pools.iter().flatten();
    doubts.extend(pools.filter_map(|(_, pool)| pool.figures(known.settings()).err()));
    // One reason is often that of several.
    doubts.dedup();
    doubts
}

/// What was placed since the host was accounted for is in its row already.
fn told(figures: &Figures, resource: Option<Resource>, profile: Profile) -> ResourceFigures {
    let promised = resource.map_or(figures.promised, |resource| resource.promised);
    let figures = Figures { promised, ..*figures };
    ResourceFigures {
        total: figures.total,
        reserved: figures.reserved,
        ratio: figures.ratio.to_f64(),
        promised: figures.promised,
        free_physical: figures.free_physical(),
        headroom: figures.headroom(profile),
    }
}
