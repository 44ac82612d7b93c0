//! All hosts as placement sees them, kept as they change: what is known, what counts, what is promised.
//!
//! Pure. A host's row is what [`account`] makes of its last usage and its claims, at any time; what is placed is taken from
//! the row at once, and is what accounting would make of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use vmuster_proto::model::{Bytes, HostSettings, Problem};

use tokio::time::Instant;

use super::cells::host_cells;
use super::known::{Known, KnownUsage};
use super::rows::{StorageClasses, guest_cpu, host_pools, own_pool, resource, strays};
use crate::{
    accounting::{AccountedHost, ClaimedBy, HostAccount, PoolAccount, SharedStorage, account},
    cache::HostView,
    claims::{Claim, ClaimBook, ClaimState, Holdings, InstanceId},
    hosts::{HostEntry, Registry},
    placement::{PlacementHost, Pool, PoolKey, Solver},
};

/// A host that did not answer is not asked again by each decision.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// All of them.
#[derive(Debug)]
pub(super) struct Planner {
    pub(super) solver: Solver,
    registry: Arc<Registry>,
    classes: StorageClasses,
    /// Looked up for each instance that is placed.
    hosts: HashMap<String, Known>,
    shared: SharedStorage,
    /// The hosts of each guest.
    guests: HashMap<InstanceId, Vec<String>>,
    /// Hosts that are judged by what is not of now, or by nothing.
    doubtful: BTreeSet<String>,
    /// Undone changes of claims that rows know of.
    undone: u64,
    /// Raised with every change.
    pub(super) generation: u64,
}

impl Planner {
    /// Generations go on from this one: after a restart none stands for what it stood for before.
    pub(super) fn new(classes: StorageClasses, generation: u64) -> Self {
        Self {
            solver: Solver::new(),
            registry: Arc::default(),
            classes,
            hosts: HashMap::new(),
            shared: SharedStorage::default(),
            guests: HashMap::new(),
            doubtful: BTreeSet::new(),
            undone: 0,
            generation,
        }
    }

    /// Takes over who is in the cluster.
    pub(super) fn set_registry(&mut self, registry: &Arc<Registry>, book: &ClaimBook) {
        if Arc::ptr_eq(registry, &self.registry) {
            return;
        }
        self.registry = Arc::clone(registry);
        let left = self.hosts.keys().map(String::as_str).chain(book.hosts());
        let left: BTreeSet<String> =
            left.filter(|host| registry.get(host).is_none()).map(str::to_owned).collect();
        for host in &left {
            self.remove(host);
            self.refresh(host, book);
        }
        for entry in registry.iter() {
            let settings = registry.settings_of(entry);
            match self.hosts.get_mut(&entry.name) {
                Some(known) if Arc::ptr_eq(&known.entry, entry) && known.settings == settings => continue,
                // What another address said may be another machine's.
                Some(known) if known.is_of(entry) => {
                    (known.entry, known.settings) = (Arc::clone(entry), settings);
                }
                _ => {
                    self.remove(&entry.name);
                    let entry = Arc::clone(entry);
                    let known = Known {
                        entry,
                        settings,
                        view: None,
                        usage: None,
                        problem: None,
                        account: None,
                        not_before: None,
                        learned_at: None,
                        doubted_at: None,
                    };
                    self.hosts.insert(known.entry.name.clone(), known);
                }
            }
            self.refresh(&entry.name, book);
        }
    }

    fn remove(&mut self, host: &str) {
        let Some(known) = self.hosts.remove(host) else { return };
        self.forget_guests(host, known.usage.as_ref());
        self.doubtful.remove(host);
        self.solver.remove_host(host);
        self.set_pools(host, known.account.as_ref(), None, BTreeMap::new(), &known.settings);
        self.generation += 1;
    }

    /// What these hosts said up to now is not promised by any more: a guest may have come that nothing else counts.
    pub(super) fn doubt(&mut self, hosts: &BTreeSet<String>) {
        let now = Instant::now();
        for host in hosts {
            if let Some(known) = self.hosts.get_mut(host) {
                known.doubted_at = Some(now);
            }
        }
    }

    /// Whether this is still what is registered under its name.
    pub(super) fn is_of(&self, entry: &HostEntry) -> bool {
        self.hosts.get(&entry.name).is_some_and(|known| known.is_of(entry))
    }

    /// What was learned of a host: what it said last, and why that is not good enough to place by.
    pub(super) fn learn(
        &mut self,
        host: &str,
        view: Option<HostView>,
        usage: Option<KnownUsage>,
        problem: Option<Problem>,
        book: &ClaimBook,
    ) {
        let Some(known) = self.hosts.get_mut(host) else { return };
        // An answer that was overtaken by a later one says nothing new.
        if let (Some(last), Some(usage)) = (&known.usage, &usage)
            && last.order > usage.order
        {
            return;
        }
        if view.is_some() {
            known.view = view;
        }
        known.learned_at = Some(Instant::now());
        known.not_before = problem.as_ref().map(|_| Instant::now() + FAILURE_PAUSE);
        known.problem = problem;
        if let Some(usage) = usage {
            let before = known.usage.replace(usage.clone());
            self.forget_guests(host, before.as_ref());
            self.remember_guests(host, &usage);
        }
        self.refresh(host, book);
    }

    /// Whether a host that did not answer may be asked again; if so, not once more for a while.
    pub(super) fn may_retry(&mut self, host: &str) -> bool {
        let now = Instant::now();
        let Some(known) = self.hosts.get_mut(host) else { return false };
        let may = known.not_before.is_none_or(|not_before| not_before <= now);
        if may {
            known.not_before = Some(now + FAILURE_PAUSE);
        }
        may
    }

    fn forget_guests(&mut self, host: &str, usage: Option<&KnownUsage>) {
        for instance in guests_of(usage) {
            if let Some(hosts) = self.guests.get_mut(&instance) {
                hosts.retain(|other| other != host);
                if hosts.is_empty() {
                    self.guests.remove(&instance);
                }
            }
        }
    }

    fn remember_guests(&mut self, host: &str, usage: &KnownUsage) {
        for instance in guests_of(Some(usage)) {
            let hosts = self.guests.entry(instance).or_default();
            if !hosts.iter().any(|other| other == host) {
                hosts.push(host.to_owned());
            }
        }
    }

    /// Where an instance is a guest, as far as it is known.
    pub(super) fn hosts_of(&self, instance: InstanceId) -> &[String] {
        self.guests.get(&instance).map_or(&[], Vec::as_slice)
    }

    /// Takes over who is in the cluster, and accounts for all hosts anew if changes of claims were undone since the last time:
    /// what they gave back counts again.
    pub(super) fn catch_up(&mut self, registry: &Arc<Registry>, holdings: &Holdings) {
        self.set_registry(registry, &holdings.book);
        if self.undone != holdings.undone {
            self.undone = holdings.undone;
            let claimed = holdings.book.hosts().into_iter().map(str::to_owned);
            let hosts: BTreeSet<_> = self.hosts.keys().cloned().chain(claimed).collect();
            hosts.iter().for_each(|host| self.refresh(host, &holdings.book));
        }
    }

    /// Accounts for a host anew: its claims, its facts or figures have changed.
    pub(super) fn refresh(&mut self, host: &str, book: &ClaimBook) {
        let Some(known) = self.hosts.get(host) else {
            // What was promised there is promised, also in storage that others have.
            let settings = self.registry.settings_of(&HostEntry::new(host, None));
            self.set_pools(host, None, None, strays(host, None, book), &settings);
            self.generation += 1;
            return;
        };
        let record = known.view.as_ref().and_then(|view| view.record.as_ref());
        let account = record.map(|record| {
            let usage = known.usage.as_ref().map(|known| &*known.usage).or(record.saved_usage.as_deref());
            let inventory = &record.inventory;
            let host = AccountedHost { name: host, settings: &known.settings, inventory, usage };
            accounted(host, book.on(host.name))
        });
        let cells = record.and_then(|record| {
            let usage = known.usage.as_ref().map(|known| &*known.usage).or(record.saved_usage.as_deref());
            let inventory = &record.inventory;
            let accounted = AccountedHost { name: host, settings: &known.settings, inventory, usage };
            host_cells(accounted, book.on(host).map(|claim| &**claim), self.registry.profile())
        });
        let row = row(known, account.as_ref(), &self.classes, self.registry.profile(), book);
        let row = PlacementHost { cells: cells.map(Arc::new), ..row };
        let settings = known.settings.clone();
        let before = self.hosts.get_mut(host).and_then(|known| known.account.take());
        let strays = strays(host, account.as_ref(), book);
        self.set_pools(host, before.as_ref(), account.as_ref(), strays, &settings);
        self.solver.set_host(row);
        if let Some(known) = self.hosts.get_mut(host) {
            known.account = account;
            if known.is_doubtful() {
                self.doubtful.insert(host.to_owned());
            } else {
                self.doubtful.remove(host);
            }
        }
        self.generation += 1;
    }

    /// Pools first: a host's row names them.
    fn set_pools(
        &mut self,
        host: &str,
        before: Option<&HostAccount>,
        after: Option<&HostAccount>,
        strays: BTreeMap<String, PoolAccount>,
        settings: &HostSettings,
    ) {
        let profile = self.registry.profile();
        let pools =
            |account: Option<&HostAccount>| account.and_then(|account| account.pools.as_ref().ok().cloned());
        let (before, now) = (pools(before).unwrap_or_default(), pools(after).unwrap_or_default());
        for key in before.iter().filter(|(key, pool)| !pool.storage.is_shared && !now.contains_key(*key)) {
            self.solver.remove_pool(&PoolKey::new(key.0.as_str()));
        }
        for (key, pool) in now.iter().filter(|(_, pool)| !pool.storage.is_shared) {
            self.set_pool(key, own_pool(pool, settings, profile), false);
        }
        let mut shared = now;
        shared.extend(strays);
        for key in self.shared.set_host(host, Some(&shared), settings) {
            let figures = self.shared.get(&key).and_then(|unit| unit.figures().ok());
            self.set_pool(&key, figures.map(|figures| resource(&figures, profile)), true);
        }
    }

    fn set_pool(&mut self, key: &str, resource: Option<crate::placement::Resource>, is_shared: bool) {
        let key = PoolKey::new(key);
        match resource {
            Some(resource) => self.solver.set_pool(&Pool { key, resource, is_shared }),
            // Hosts that name it are then not known to have room in it.
            None => drop(self.solver.remove_pool(&key)),
        }
    }

    /// What the solver has taken from a pool that others see as well: it must not be given back when one of them is
    /// accounted for anew.
    pub(super) fn charge<'a>(
        &mut self,
        host: &str,
        instance: InstanceId,
        disks: impl Iterator<Item = (&'a PoolKey, Bytes)>,
    ) {
        for (key, size) in disks {
            // Most are the host's own, and a name is long to write.
            if self.shared.get(key.as_str()).is_some() {
                self.shared.charge(key.as_str(), host, &instance.to_string(), size);
            }
        }
        self.generation += 1;
    }

    /// Hosts that are judged by what is not of now, or by nothing, by name.
    pub(super) fn doubtful(&self) -> impl Iterator<Item = &str> {
        self.doubtful.iter().map(String::as_str)
    }

    /// One host.
    pub(super) fn host(&self, name: &str) -> Option<&Known> {
        self.hosts.get(name)
    }

    /// All hosts, in any order.
    pub(super) fn hosts(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.hosts.iter().map(|(name, known)| (name.as_str(), known))
    }

    /// Storage that several hosts have.
    pub(super) fn shared(&self) -> &SharedStorage {
        &self.shared
    }
}

fn guests_of(usage: Option<&KnownUsage>) -> impl Iterator<Item = InstanceId> {
    let domains = usage.and_then(|known| known.usage.domains.as_deref()).unwrap_or_default();
    domains.iter().filter_map(|domain| domain.uuid.parse().ok())
}

/// With these of its claims.
pub(super) fn accounted<'c>(
    host: AccountedHost<'_>,
    claims: impl Iterator<Item = &'c Arc<Claim>>,
) -> HostAccount {
    let claims: Vec<_> = claims
        .map(|claim| {
            let mut disks = BTreeMap::new();
            for disk in &claim.resources.disks {
                let sum: &mut Bytes = disks.entry(disk.pool.clone()).or_default();
                sum.0 = sum.0.saturating_add(disk.size_bytes.0);
            }
            (claim.instance.to_string(), claim, disks)
        })
        .collect();
    let claimed = claims.iter().map(|(instance, claim, disks)| ClaimedBy {
        instance,
        vcpus: claim.resources.vcpus,
        memory_bytes: claim.resources.memory_bytes,
        disks,
    });
    account(host, claimed)
}

fn row(
    known: &Known,
    account: Option<&HostAccount>,
    classes: &StorageClasses,
    profile: crate::accounting::Profile,
    book: &ClaimBook,
) -> PlacementHost {
    let record = known.view.as_ref().and_then(|view| view.record.as_ref());
    let starting = book.on(&known.entry.name).filter(|claim| claim.state != ClaimState::Observed).count();
    let figures = |figures: &Result<crate::accounting::Figures, String>| {
        figures.as_ref().ok().map(|figures| resource(figures, profile))
    };
    PlacementHost {
        labels: known.entry.labels.clone(),
        maintenance: known.entry.maintenance,
        arch: record.and_then(|record| record.inventory.arch().map(str::to_owned)),
        guest: record.and_then(|record| guest_cpu(record)),
        vcpus: account.and_then(|account| figures(&account.vcpus)),
        memory: account.and_then(|account| figures(&account.memory)),
        pools: account.and_then(|account| host_pools(account, classes)),
        starting: u32::try_from(starting).unwrap_or(u32::MAX),
        unknown: known.unknown(),
        ..PlacementHost::new(known.entry.name.as_str())
    }
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
