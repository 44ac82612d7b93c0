//! The exhaustive search, written plainly: for each instance every host is looked at.
//!
//! Knows hosts and demands as they were given, and the weighers; nothing of what the solver keeps. It says what is right,
//! for tests, and what a search costs, for benchmarks. Nothing else may use it.

use std::{collections::HashMap, sync::Arc};

use super::{
    cells::{CellUse, HostCells},
    columns::Direction,
    host::{HostPool, PlacementHost, Pool, PoolKey, Resource},
    numa::{self, NumaPlacement},
    request::{AffinityPolicy, AffinityRule, Batch, Completeness, Demand, DiskPlace, Group, Member},
    solver::Then,
    weighers::{Added, Load, score},
};

/// What changes of a host.
#[derive(Debug, Clone)]
struct Figures {
    vcpus: Option<Resource>,
    memory: Option<Resource>,
    starting: u32,
    cells: Option<Arc<HostCells>>,
    load: Load,
}

/// What does not change of a demand and a host.
#[derive(Debug, Clone, Default)]
struct Prepared {
    suits: bool,
    /// Every way to lay its disks, first choice first: numbers of pools and sizes.
    layouts: Vec<Vec<(usize, u64)>>,
}

/// A member of a group: its partition, and where it is.
type Belongs = (Arc<str>, Option<Arc<str>>, Option<usize>);

/// Where an instance goes: the number of the host by name, the score's bits, and the pools of its disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The host.
    pub host: Arc<str>,
    /// Bit for bit.
    pub score_bits: u64,
    /// Of each disk.
    pub disks: Vec<PoolKey>,
    /// Of an instance with a topology.
    pub cells: Option<NumaPlacement>,
}

/// See above.
#[derive(Debug)]
pub struct Reference {
    /// Sorted by name.
    hosts: Vec<PlacementHost>,
    figures: Vec<Figures>,
    pools: Vec<Pool>,
    numbers: HashMap<PoolKey, usize>,
    /// Numbers of each host's own pools.
    local: Vec<Vec<usize>>,
    prepared: HashMap<Arc<Demand>, Vec<Prepared>>,
}

impl Reference {
    /// Of these hosts and pools, in any order.
    #[must_use]
    pub fn new(mut hosts: Vec<PlacementHost>, pools: Vec<Pool>) -> Self {
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut seen_by: HashMap<PoolKey, Vec<usize>> = HashMap::new();
        for (number, host) in hosts.iter().enumerate() {
            for listed in host.pools.iter().flatten() {
                seen_by.entry(listed.pool.clone()).or_default().push(number);
            }
        }
        let mut local = vec![Vec::new(); hosts.len()];
        for (number, pool) in pools.iter().enumerate().filter(|(_, pool)| !pool.is_shared) {
            let seen_by = seen_by.get(&pool.key).map(Vec::as_slice).unwrap_or_default();
            if let Some(first) = seen_by.first().filter(|first| seen_by.iter().all(|host| host == *first)) {
                local[*first].push(number);
            }
        }
        let figures = hosts.iter().map(|host| Figures {
            vcpus: host.vcpus,
            memory: host.memory,
            starting: host.starting,
            cells: host.cells.clone(),
            load: Load::default(),
        });
        let figures = figures.collect();
        let numbers = pools.iter().enumerate().map(|(number, pool)| (pool.key.clone(), number)).collect();
        let mut reference = Self { hosts, figures, pools, numbers, local, prepared: HashMap::new() };
        for host in 0..reference.hosts.len() {
            reference.weigh(host);
        }
        reference
    }

    fn weigh(&mut self, host: usize) {
        let local = self.local[host].iter().map(|pool| &self.pools[*pool].resource);
        let local = local.fold((0, 0), |(left, all), pool| (left + pool.headroom(), all + pool.promisable));
        let features =
            self.hosts[host].guest.as_ref().and_then(|guest| u32::try_from(guest.features.len()).ok());
        let figures = &mut self.figures[host];
        figures.load =
            Load::new(figures.vcpus, figures.memory, local, features.unwrap_or(u32::MAX), figures.starting);
    }

    /// Looks at what no placement changes of this demand, so that a benchmark need not measure it.
    pub fn prepare(&mut self, demand: &Arc<Demand>) {
        if !self.prepared.contains_key(demand) {
            let prepared = self.hosts.iter().map(|host| self.prepared_for(demand, host)).collect();
            self.prepared.insert(Arc::clone(demand), prepared);
        }
    }

    fn prepared_for(&self, demand: &Demand, host: &PlacementHost) -> Prepared {
        let asks_features = !demand.required.is_empty() || !demand.forbidden.is_empty();
        let gives = host.guest.as_ref().is_some_and(|guest| {
            let has = |name: &&str| guest.features.contains(name);
            demand.required.names().iter().all(has) && !demand.forbidden.names().iter().any(has)
        });
        let runs =
            |model: &String| host.guest.as_ref().is_some_and(|guest| guest.usable_models.contains(model));
        let suits = host.unknown.is_none()
            && !host.maintenance
            && demand.arch.as_ref().is_none_or(|arch| host.arch.as_ref() == Some(arch))
            && demand.labels.iter().all(|(key, value)| host.labels.get(key) == Some(value))
            && (!asks_features || gives)
            && demand.cpu_model.as_ref().is_none_or(runs);
        Prepared { suits, layouts: self.layouts(demand, host) }
    }

    fn layouts(&self, demand: &Demand, host: &PlacementHost) -> Vec<Vec<(usize, u64)>> {
        let mut layouts = vec![Vec::new()];
        for disk in &demand.disks {
            let listed = || host.pools.iter().flatten();
            let chosen: Vec<&HostPool> = match &disk.on {
                DiskPlace::Default => listed().find(|pool| pool.answers_to.is_default).into_iter().collect(),
                DiskPlace::Pool(name) => {
                    listed().find(|pool| pool.answers_to.names.contains(name)).into_iter().collect()
                }
                DiskPlace::Class(class) => {
                    let place = |pool: &&HostPool| pool.answers_to.classes.get(class).copied();
                    let mut members: Vec<_> = listed().filter(|pool| place(pool).is_some()).collect();
                    members.sort_by_key(place);
                    members
                }
            };
            let pools: Vec<Option<usize>> =
                chosen.into_iter().map(|listed| self.numbers.get(&listed.pool).copied()).collect();
            let longer = |layout: &Vec<(usize, u64)>| {
                let layout = layout.clone();
                pools.clone().into_iter().flatten().map(move |pool| {
                    let mut longer = layout.clone();
                    longer.push((pool, disk.size.0));
                    longer
                })
            };
            layouts = layouts.iter().flat_map(longer).collect();
        }
        layouts
    }

    fn has_room(&self, layout: &[(usize, u64)]) -> bool {
        layout.iter().all(|(pool, _)| {
            let asked: u64 = layout.iter().filter(|(other, _)| other == pool).map(|(_, bytes)| bytes).sum();
            let resource = &self.pools[*pool].resource;
            asked <= resource.physical && asked <= resource.promisable.saturating_sub(resource.promised)
        })
    }

    /// How many rules a host breaks that should hold; None: it breaks one that must.
    fn broken(&self, group: &Group, batch: &Batch, members: &[Belongs], host: usize) -> Option<u32> {
        let mut sum = 0;
        for rule in &group.rules {
            let domain = |host: usize| match &rule.topology_key {
                None => Some(self.hosts[host].name.to_string()),
                Some(key) => self.hosts[host].labels.get(&**key).cloned(),
            };
            let of_group = || members.iter().filter(|member| member.0 == rule.group);
            let here = domain(host);
            let there = || of_group().filter(|member| here.is_some() && member.2.and_then(domain) == here);
            let others = |member: &&Belongs| rule.partition.is_none() || member.1 != rule.partition;
            let broken = match rule.policy {
                _ if here.is_none() => 1,
                AffinityPolicy::Affinity | AffinityPolicy::SoftAffinity => {
                    u32::from(of_group().count() > 0 && there().count() == 0)
                }
                AffinityPolicy::AntiAffinity | AffinityPolicy::SoftAntiAffinity => {
                    u32::try_from(there().filter(others).count()).unwrap_or(u32::MAX)
                }
            };
            if broken > 0 && matches!(rule.policy, AffinityPolicy::Affinity | AffinityPolicy::AntiAffinity) {
                return None;
            }
            let is_ours = |member: &&Belongs| member.1 == rule.partition;
            let known = |member: &&Belongs| member.2.and_then(domain).is_some();
            let strays = rule.keeps_partitions_close()
                && of_group().filter(known).any(|member| is_ours(&member))
                && !there().any(|member| is_ours(&member));
            // One more domain is worse than any other rule that should hold.
            sum += broken + if strays { 1 << 20 } else { 0 };
        }
        Some(sum + u32::from(self.is_too_small_for_all(group, batch, members, host)))
    }

    /// The first of those that must share a host goes where all of the batch have room together.
    fn is_too_small_for_all(&self, group: &Group, batch: &Batch, members: &[Belongs], host: usize) -> bool {
        let on_one_host =
            |rule: &&AffinityRule| rule.policy == AffinityPolicy::Affinity && rule.topology_key.is_none();
        let founded = group
            .rules
            .iter()
            .filter(on_one_host)
            .find(|rule| members.iter().all(|member| member.0 != rule.group));
        let Some(founded) = founded else { return false };
        let (mut vcpus, mut memory) = (0, 0);
        for group in &batch.groups {
            for _ in group.rules.iter().filter(on_one_host).filter(|rule| rule.group == founded.group) {
                vcpus += u64::from(group.demand.floating_vcpus()) * u64::from(group.count);
                memory += group.demand.ordinary_memory_bytes() * u64::from(group.count);
            }
        }
        let has = |resource: Option<Resource>, asked: u64| {
            resource.is_some_and(|resource| asked <= resource.headroom())
        };
        !has(self.figures[host].vcpus, vcpus) || !has(self.figures[host].memory, memory)
    }

    fn best(
        &self,
        (group, members): (&Group, &[Belongs]),
        admitted: &[bool],
        batch: &Batch,
    ) -> Option<(usize, f64, usize)> {
        let demand = &group.demand;
        let prepared = self.prepared.get(demand)?;
        let (vcpus, memory_bytes) = (u64::from(demand.floating_vcpus()), demand.ordinary_memory_bytes());
        let added = Added::new(vcpus, memory_bytes);
        let has = |resource: &Option<Resource>, asked: u64| {
            asked == 0
                || resource.is_some_and(|resource| {
                    asked <= resource.physical
                        && asked <= resource.promisable.saturating_sub(resource.promised)
                })
        };
        let mut best: Option<(usize, f64, usize)> = None;
        let mut fewest = u32::MAX;
        for (host, figures) in self.figures.iter().enumerate() {
            if !prepared[host].suits || !admitted[host] {
                continue;
            }
            if !has(&figures.vcpus, vcpus) || !has(&figures.memory, memory_bytes) {
                continue;
            }
            if !cells_take(figures, demand) {
                continue;
            }
            let layouts = &prepared[host].layouts;
            let Some(layout) = layouts.iter().position(|layout| self.has_room(layout)) else { continue };
            let Some(broken) = self.broken(group, batch, members, host) else { continue };
            let score = score(&batch.profile, added, &figures.load);
            if best.is_none_or(|(_, highest, _)| broken < fewest || (broken == fewest && score > highest)) {
                best = Some((host, score, layout));
                fewest = broken;
            }
        }
        best
    }

    /// What the solver must decide; forced hosts are not its business. Places are None where nothing is granted.
    pub fn decide(&mut self, batch: &Batch, then: Then) -> Vec<Option<Found>> {
        let before = (self.figures.clone(), self.pools.clone());
        let is_admitted = |host: &PlacementHost| {
            batch.admitted.as_ref().is_none_or(|names| names.contains(&host.name))
                && !batch.excluded.contains(&host.name)
        };
        let admitted: Vec<bool> = self.hosts.iter().map(is_admitted).collect();
        let mut found = Vec::new();
        let number = |name: &Arc<str>| self.hosts.iter().position(|host| host.name == *name);
        let belongs =
            |member: &Member| (Arc::clone(&member.group), member.partition.clone(), number(&member.host));
        let mut members: Vec<Belongs> = batch.members.iter().map(belongs).collect();
        for group in &batch.groups {
            self.prepare(&group.demand);
            for _ in 0..group.count {
                let best = self.best((group, &members), &admitted, batch);
                if let Some((host, ..)) = best {
                    let mut joined: Vec<_> =
                        group.rules.iter().map(|rule| (&rule.group, &rule.partition)).collect();
                    joined.sort_unstable();
                    joined.dedup();
                    let joined = joined.into_iter();
                    members.extend(joined.map(|(group, part)| (Arc::clone(group), part.clone(), Some(host))));
                }
                found.push(best.map(|(host, score, layout)| self.take(&group.demand, host, score, layout)));
            }
        }
        let placed = found.iter().flatten().count();
        let is_granted = match batch.completeness {
            Completeness::All => placed == found.len(),
            Completeness::AtLeast(least) => placed >= least as usize,
            Completeness::BestEffort => true,
        };
        if !is_granted {
            found.fill(None);
        }
        if !is_granted || then == Then::Undo {
            (self.figures, self.pools) = before;
        }
        found
    }

    fn take(&mut self, demand: &Arc<Demand>, host: usize, score: f64, layout: usize) -> Found {
        let layout = self.prepared[demand][host].layouts[layout].clone();
        for (pool, bytes) in &layout {
            self.pools[*pool].resource.promised += bytes;
        }
        let figures = &mut self.figures[host];
        figures.starting += 1;
        let cells = figures.cells.as_ref().zip(demand.numa.as_ref());
        let cells = cells.and_then(|(cells, guest)| cells.place(guest).ok());
        let bound = cells.as_ref().map(|placed| &placed.taken);
        let memory_bytes = bound.map_or(demand.memory.0, numa::Taken::ordinary_memory_bytes);
        if let Some(cells) = &mut figures.cells {
            let of = bound.map_or(CellUse::Floats(memory_bytes), CellUse::Bound);
            Arc::make_mut(cells).hold(of, Direction::Take);
        }
        let vcpus = u64::from(demand.floating_vcpus());
        for (resource, amount) in [(&mut figures.vcpus, vcpus), (&mut figures.memory, memory_bytes)] {
            if let Some(resource) = resource {
                resource.promised += amount;
            }
        }
        self.weigh(host);
        Found {
            host: Arc::clone(&self.hosts[host].name),
            score_bits: score.to_bits(),
            disks: layout.iter().map(|(pool, _)| self.pools[*pool].key.clone()).collect(),
            cells,
        }
    }
}

/// Whether it can float there, or be bound there.
fn cells_take(figures: &Figures, demand: &Demand) -> bool {
    let Some(guest) = &demand.numa else {
        return figures.cells.as_ref().is_none_or(|cells| cells.refuses_floating(demand.memory.0).is_none());
    };
    let Some(Ok(placed)) = figures.cells.as_ref().map(|cells| cells.place(guest)) else { return false };
    let asked = placed.taken.ordinary_memory_bytes();
    asked == 0 || figures.memory.is_some_and(|memory| asked <= memory.room())
}
