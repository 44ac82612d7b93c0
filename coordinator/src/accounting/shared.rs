//! Storage that several hosts have: one, however many see it.

use std::collections::{BTreeMap, HashMap};

use vmuster_proto::model::{Bytes, HostSettings, Ratio};

use super::{Figures, PoolAccount, host::names};

/// What one host says of it.
#[derive(Debug, Clone)]
struct Part {
    account: PoolAccount,
    ratio: Ratio,
}

/// Storage of several hosts.
#[derive(Debug, Clone, Default)]
pub struct SharedUnit {
    /// By host.
    parts: BTreeMap<String, Part>,
    /// By instance, then by host: one that is moving is on two, and its disk is one.
    charges: HashMap<String, BTreeMap<String, Option<Bytes>>>,
    /// Sum of what is charged, the larger of an instance's charges each.
    sum_bytes: u128,
    /// Instances with a charge that is not known.
    unknown: usize,
}

/// All of them, kept as hosts change: a host's change costs what it changed, not a walk over all hosts.
#[derive(Debug, Clone, Default)]
pub struct SharedStorage {
    units: BTreeMap<String, SharedUnit>,
}

impl SharedStorage {
    /// Takes what a host now says of its storage instead of what it said before; gives the keys of what changed.
    pub fn set_host(
        &mut self,
        host: &str,
        pools: Option<&BTreeMap<String, PoolAccount>>,
        settings: &HostSettings,
    ) -> Vec<String> {
        let mut changed = Vec::new();
        for (key, unit) in &mut self.units {
            if unit.parts.contains_key(host) && pools.is_none_or(|pools| !pools.contains_key(key)) {
                unit.remove(host);
                changed.push(key.clone());
            }
        }
        for (key, account) in pools.into_iter().flatten().filter(|(_, account)| account.storage.is_shared) {
            let unit = self.units.entry(key.clone()).or_default();
            unit.set(host, account, settings.disk_ratio);
            changed.push(key.clone());
        }
        self.units.retain(|_, unit| !unit.parts.is_empty());
        changed
    }

    /// Charges a host's instance with what it was just placed with, until the host is accounted for anew.
    pub fn charge(&mut self, key: &str, host: &str, instance: &str, size: Bytes) {
        let Some(unit) = self.units.get_mut(key) else { return };
        let Some(part) = unit.parts.get_mut(host) else { return };
        let charge = part.account.charges.entry(instance.to_owned()).or_insert(Some(Bytes(0)));
        let sum = charge.map(|charge| Bytes(charge.0.saturating_add(size.0)));
        *charge = sum;
        unit.charge(instance, |charges| {
            charges.insert(host.to_owned(), sum);
        });
    }

    /// The storage of this key; None: no host has it any more.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&SharedUnit> {
        self.units.get(key)
    }
}

impl SharedUnit {
    fn remove(&mut self, host: &str) {
        let Some(part) = self.parts.remove(host) else { return };
        for instance in part.account.charges.keys() {
            self.charge(instance, |charges| {
                charges.remove(host);
            });
        }
    }

    fn set(&mut self, host: &str, account: &PoolAccount, ratio: Ratio) {
        let before = self.parts.insert(host.to_owned(), Part { account: account.clone(), ratio });
        let before = before.map(|part| part.account.charges).unwrap_or_default();
        for instance in before.keys().filter(|instance| !account.charges.contains_key(*instance)) {
            self.charge(instance, |charges| {
                charges.remove(host);
            });
        }
        for (instance, size) in &account.charges {
            if before.get(instance) != Some(size) {
                self.charge(instance, |charges| {
                    charges.insert(host.to_owned(), *size);
                });
            }
        }
    }

    fn charge(&mut self, instance: &str, change: impl FnOnce(&mut BTreeMap<String, Option<Bytes>>)) {
        let charges = self.charges.entry(instance.to_owned()).or_default();
        let before = most(charges);
        change(charges);
        let after = most(charges);
        if charges.is_empty() {
            self.charges.remove(instance);
        }
        self.sum_bytes = self.sum_bytes - u128::from(before.unwrap_or(0)) + u128::from(after.unwrap_or(0));
        self.unknown = self.unknown + usize::from(after.is_none()) - usize::from(before.is_none());
    }

    /// Space, reserve and promises of all hosts. Hosts may have set it up differently: then the careful one counts.
    ///
    /// # Errors
    /// What is not known.
    pub fn figures(&self) -> Result<Figures, String> {
        let accounts = || self.parts.values().map(|part| &part.account);
        let named = || accounts().find(|account| !account.storage.names.is_empty());
        let names = || named().map(|account| names(&account.storage)).unwrap_or_default();
        let total = accounts().filter_map(|account| account.storage.capacity_bytes).min();
        let total = total.ok_or_else(|| format!("the size of {} is not known", names()))?;
        if self.unknown > 0 {
            return Err(format!("how much of {} {} guests may use is not known", names(), self.unknown));
        }
        // Of a host that only has claims there nobody knows what it set up.
        let shown = self.parts.values().filter(|part| part.account.storage.capacity_bytes.is_some());
        Ok(Figures {
            total: total.0,
            reserved: accounts().map(|account| account.reserved_bytes.0).max().unwrap_or(0),
            ratio: shown.map(|part| part.ratio).min().unwrap_or(Ratio::from_hundredths(100)),
            promised: u64::try_from(self.sum_bytes).unwrap_or(u64::MAX),
        })
    }
}

/// The larger of an instance's charges; None: one of them is not known.
fn most(charges: &BTreeMap<String, Option<Bytes>>) -> Option<u64> {
    charges.values().try_fold(0, |most, size| Some(size.as_ref()?.0.max(most)))
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
