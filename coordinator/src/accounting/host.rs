//! One host: what it has, what its guests and claims may use.

use std::collections::{BTreeMap, BTreeSet};

use vmuster_proto::model::{Bytes, ClaimReport, CpuSet, Domain, HostSettings, Inventory, Usage};

use super::{
    Figures,
    storage::{Charging, DiskCharges, HostStorage, storage_of},
};

/// What is known of a host when it is accounted for.
#[derive(Debug, Clone, Copy)]
pub struct AccountedHost<'a> {
    /// As registered.
    pub name: &'a str,
    /// What counts of it.
    pub settings: &'a HostSettings,
    /// Facts.
    pub inventory: &'a Inventory,
    /// Figures of the moment, the last known ones; None: never known.
    pub usage: Option<&'a Usage>,
}

/// What one claim holds on the host.
#[derive(Debug, Clone, Copy)]
pub struct ClaimedBy<'a> {
    /// UUID.
    pub instance: &'a str,
    /// vCPUs.
    pub vcpus: u64,
    /// Memory.
    pub memory_bytes: Bytes,
    /// Disk by storage key.
    pub disks: &'a BTreeMap<String, Bytes>,
}

impl<'a> From<&'a ClaimReport> for ClaimedBy<'a> {
    fn from(claim: &'a ClaimReport) -> Self {
        Self {
            instance: &claim.uuid,
            vcpus: claim.vcpus,
            memory_bytes: claim.memory_bytes,
            disks: &claim.disk_bytes,
        }
    }
}

/// Storage of the host and what is charged to it from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolAccount {
    /// What it is.
    pub storage: HostStorage,
    /// Of the host's settings, if this is its default pool.
    pub reserved_bytes: Bytes,
    /// By instance; None: what it may grow to is not known.
    pub charges: BTreeMap<String, Option<Bytes>>,
}

/// A host's resources; an error says what is not known, for a human.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAccount {
    /// CPUs for guests that float, and their vCPUs.
    pub vcpus: Result<Figures, String>,
    /// Memory in ordinary pages: what is set aside as huge pages is no guest's that does not ask for them.
    pub memory: Result<Figures, String>,
    /// By key.
    pub pools: Result<BTreeMap<String, PoolAccount>, String>,
}

/// One resource as somebody finds it who would come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomFigures {
    /// All there is and all that is promised.
    pub figures: Figures,
    /// What of the promised is beyond what guests may use.
    pub by_claims: u64,
}

/// What an instance finds on a host where neither it nor its claim counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// As in [`HostAccount::vcpus`].
    pub vcpus: Result<RoomFigures, String>,
    /// As in [`HostAccount::memory`].
    pub memory: Result<RoomFigures, String>,
}

/// A guest and its claim: the larger of both, for each resource.
#[derive(Debug, Clone, Copy, Default)]
struct Promise<'a> {
    domain: Option<&'a Domain>,
    claim: Option<ClaimedBy<'a>>,
}

/// By instance.
type Promises<'a> = BTreeMap<&'a str, Promise<'a>>;

/// What a host has and has promised.
#[must_use]
pub fn account<'a>(host: AccountedHost<'a>, claims: impl IntoIterator<Item = ClaimedBy<'a>>) -> HostAccount {
    let promises = promises(host, claims);
    let known = || promises.as_ref().map_err(Clone::clone);
    HostAccount {
        vcpus: known().and_then(|promises| vcpus(host, promises)),
        memory: known().and_then(|promises| memory(host, promises)),
        pools: known().and_then(|promises| pools(host, promises)),
    }
}

/// What a host has for an instance that would come: what it is itself there already, and the room that is kept for it, is not
/// in its way.
#[must_use]
pub fn room_for<'a>(
    instance: &str,
    host: AccountedHost<'a>,
    claims: impl IntoIterator<Item = ClaimedBy<'a>>,
) -> Room {
    let all = promises(host, claims).map(|mut all| {
        all.retain(|other, _| *other != instance);
        all
    });
    let found = |count: fn(AccountedHost<'_>, &Promises<'_>) -> Result<Figures, String>| {
        let all = all.as_ref().map_err(Clone::clone)?;
        let figures = count(host, all)?;
        let guests = all.iter().filter(|(_, promise)| promise.domain.is_some());
        let guests = guests.map(|(instance, promise)| (*instance, Promise { claim: None, ..*promise }));
        let by_claims = figures.promised.saturating_sub(count(host, &guests.collect())?.promised);
        Ok(RoomFigures { figures, by_claims })
    };
    Room { vcpus: found(vcpus), memory: found(memory) }
}

fn promises<'a>(
    host: AccountedHost<'a>,
    claims: impl IntoIterator<Item = ClaimedBy<'a>>,
) -> Result<Promises<'a>, String> {
    let domains = host.usage.and_then(|usage| usage.domains.as_deref());
    let domains = domains.ok_or_else(|| match host.usage {
        Some(_) => "its guests are not known".to_owned(),
        None => "what is used there is not known".to_owned(),
    })?;
    let mut promises = Promises::new();
    for domain in domains {
        promises.entry(&domain.uuid).or_default().domain = Some(domain);
    }
    for claim in claims {
        promises.entry(claim.instance).or_default().claim = Some(claim);
    }
    Ok(promises)
}

fn vcpus(host: AccountedHost<'_>, promises: &Promises<'_>) -> Result<Figures, String> {
    let cpu = host.inventory.cpu.as_ref();
    let dedicated = &host.settings.dedicated_cpus;
    let threads = match cpu.and_then(|cpu| cpu.online.as_ref()) {
        Some(online) => online.difference(dedicated).len(),
        None if dedicated.is_empty() => cpu.and_then(|cpu| cpu.thread_count).ok_or(NO_CPUS)?,
        None => return Err(NO_CPUS.to_owned()),
    };
    let mut promised = 0_u64;
    for Promise { domain, claim } in promises.values() {
        let floating = domain.filter(|domain| !is_dedicated(domain, dedicated));
        let domains = match floating {
            Some(domain) => u64::from(domain.vcpus_max.ok_or_else(|| unknown(domain, "vCPUs"))?),
            None => 0,
        };
        // A guest that was placed to float and pins itself to dedicated CPUs gives back what it does not use.
        let claimed = claim.filter(|_| domain.is_none() || floating.is_some()).map_or(0, |claim| claim.vcpus);
        promised = promised.saturating_add(domains.max(claimed));
    }
    let total = u64::from(threads);
    Ok(Figures { total, reserved: 0, ratio: host.settings.vcpu_ratio, promised })
}

const NO_CPUS: &str = "its CPUs are not known";

fn unknown(domain: &Domain, what: &str) -> String {
    format!("how much {what} its guest {} ({}) may use is not known", domain.name, domain.uuid)
}

/// Whether all of a guest's vCPUs are bound to CPUs that floating guests do not use.
#[must_use]
pub fn is_dedicated(domain: &Domain, dedicated: &CpuSet) -> bool {
    if dedicated.is_empty() {
        return false;
    }
    let within = |cpus: &CpuSet| !cpus.is_empty() && cpus.difference(dedicated).is_empty();
    let all = domain.cpus.as_ref().is_some_and(within);
    let count = domain.vcpus_max.unwrap_or(u32::MAX);
    let is_bound = |vcpu| domain.vcpu_pins.get(&vcpu).map_or(all, within);
    // At most as many pins as there are: a guest of a billion vCPUs is not walked through.
    if all && domain.vcpu_pins.is_empty() {
        return true;
    }
    usize::try_from(count).is_ok_and(|count| all || count <= domain.vcpu_pins.len())
        && (0..count).all(is_bound)
}

fn memory(host: AccountedHost<'_>, promises: &Promises<'_>) -> Result<Figures, String> {
    let known = host.inventory.memory.as_ref().and_then(|memory| Some((memory, memory.total_bytes?)));
    let (memory, all) = known.ok_or("its memory is not known")?;
    let mut set_aside = 0_u64;
    for pages in &memory.hugepages {
        let total = pages.total.ok_or("how much of its memory is set aside as huge pages is not known")?;
        set_aside = set_aside.saturating_add(total.saturating_mul(pages.size_bytes.0));
    }
    let mut promised = 0_u64;
    for Promise { domain, claim } in promises.values() {
        let ordinary = domain.filter(|domain| domain.hugepages.is_empty());
        let domains = match ordinary {
            Some(domain) => domain.memory_max_bytes.ok_or_else(|| unknown(domain, "memory"))?.0,
            None => 0,
        };
        let claimed =
            claim.filter(|_| domain.is_none() || ordinary.is_some()).map_or(0, |claim| claim.memory_bytes.0);
        promised = promised.saturating_add(domains.max(claimed));
    }
    let settings = host.settings;
    Ok(Figures {
        total: all.0.saturating_sub(set_aside),
        reserved: settings.reserved_memory_bytes.0,
        ratio: settings.memory_ratio,
        promised,
    })
}

fn pools(host: AccountedHost<'_>, promises: &Promises<'_>) -> Result<BTreeMap<String, PoolAccount>, String> {
    let usage = host.usage;
    let pools = usage.and_then(|usage| usage.pools.as_deref());
    let filesystems = usage.and_then(|usage| usage.filesystems.as_deref());
    let storage = storage_of(host.name, pools, filesystems)?;
    let accounts = storage.into_iter().map(|(key, storage)| {
        let reserved_bytes = if storage.is_default { host.settings.reserved_disk_bytes } else { Bytes(0) };
        (key, PoolAccount { storage, reserved_bytes, charges: BTreeMap::new() })
    });
    let mut accounts: BTreeMap<_, _> = accounts.collect();
    let mut charging = Charging::new(host.name, pools.unwrap_or_default(), filesystems.unwrap_or_default());
    for (instance, Promise { domain, claim }) in promises {
        let mut charges: DiskCharges = domain.map(|domain| charging.of(domain)).unwrap_or_default();
        let claimed = claim.iter().flat_map(|claim| claim.disks);
        for (key, size) in claimed {
            let charge = charges.entry(key.clone()).or_insert(Some(Bytes(0)));
            *charge = charge.map(|charge| charge.max(*size));
        }
        for (key, size) in charges {
            // Storage that nothing is placed into any more, or that its pool left: nobody asks what is left of it.
            if let Some(account) = accounts.get_mut(&key) {
                account.charges.insert((*instance).to_owned(), size);
            }
        }
    }
    Ok(accounts)
}

impl PoolAccount {
    /// Space, reserve and promises, as far as this host alone is concerned.
    ///
    /// # Errors
    /// What is not known.
    pub fn figures(&self, settings: &HostSettings) -> Result<Figures, String> {
        let names = || names(&self.storage);
        let total =
            self.storage.capacity_bytes.ok_or_else(|| format!("the size of {} is not known", names()))?;
        let mut promised = 0_u64;
        for (instance, size) in &self.charges {
            let size = size.ok_or_else(|| {
                format!("how much of {} the disks of guest {instance} may use is not known", names())
            })?;
            promised = promised.saturating_add(size.0);
        }
        let reserved = self.reserved_bytes.0;
        Ok(Figures { total: total.0, reserved, ratio: settings.disk_ratio, promised })
    }
}

/// What a human calls it.
pub(super) fn names(storage: &HostStorage) -> String {
    let names: &BTreeSet<String> = &storage.names;
    if names.is_empty() {
        return format!("the storage {}", storage.key);
    }
    format!("the pool {}", names.iter().cloned().collect::<Vec<_>>().join(" and "))
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
