//! Storage of several hosts, by examples, and against a walk over all of them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use vmuster_proto::model::AllocationSettings;

use super::*;
use crate::{
    accounting::{HostStorage, Profile},
    hosts::resolve,
};

const KEY: &str = "rbd://mon/vms";

fn settings() -> HostSettings {
    resolve(&AllocationSettings::default(), &BTreeMap::new(), &[], Profile::Standard)
}

fn seen(charges: &[(&str, Option<u64>)]) -> BTreeMap<String, PoolAccount> {
    let storage = HostStorage {
        key: KEY.to_owned(),
        names: BTreeSet::from(["vms".to_owned()]),
        is_default: false,
        is_shared: true,
        is_usable: true,
        capacity_bytes: Some(Bytes(1000)),
    };
    let charges = charges.iter().map(|(instance, size)| ((*instance).to_owned(), size.map(Bytes)));
    let account = PoolAccount { storage, reserved_bytes: Bytes(0), charges: charges.collect() };
    BTreeMap::from([(KEY.to_owned(), account)])
}

fn promised(shared: &SharedStorage) -> u64 {
    shared.get(KEY).expect("there").figures().expect("known").promised
}

#[test]
fn a_pool_of_three_hosts_is_counted_once() {
    let mut shared = SharedStorage::default();
    for (host, charges) in [("a", [("x", Some(100))]), ("b", [("y", Some(200))]), ("c", [("z", Some(50))])] {
        assert_eq!(shared.set_host(host, Some(&seen(&charges)), &settings()), [KEY]);
    }
    let figures = shared.get(KEY).expect("there").figures().expect("known");
    assert_eq!((figures.total, figures.promised), (1000, 350), "1,000 and not 3,000");
    // Its disk is one while an instance moves from a to b.
    shared.set_host("b", Some(&seen(&[("y", Some(200)), ("x", Some(120))])), &settings());
    assert_eq!(promised(&shared), 370, "the larger of what both hosts say of it");
    shared.set_host("a", Some(&seen(&[])), &settings());
    assert_eq!(promised(&shared), 370);
    assert_eq!(shared.set_host("b", None, &settings()), [KEY], "a host that left");
    assert_eq!(promised(&shared), 50);
    shared.set_host("a", None, &settings());
    shared.set_host("c", None, &settings());
    assert!(shared.get(KEY).is_none());
}

#[test]
fn a_host_that_only_has_claims_there_says_nothing_of_the_ratio() {
    let mut shared = SharedStorage::default();
    let generous = HostSettings { disk_ratio: Ratio::from_hundredths(200), ..settings() };
    shared.set_host("shown", Some(&seen(&[])), &generous);
    let mut claimed = seen(&[("x", Some(100))]);
    for account in claimed.values_mut() {
        account.storage.capacity_bytes = None;
        account.storage.names.clear();
    }
    shared.set_host("left", Some(&claimed), &settings());
    let figures = shared.get(KEY).expect("there").figures().expect("known");
    assert_eq!((figures.ratio, figures.promised), (Ratio::from_hundredths(200), 100));
}

#[test]
fn one_disk_of_unknown_size_makes_the_pool_unknown_and_hosts_may_differ() {
    let mut shared = SharedStorage::default();
    shared.set_host("a", Some(&seen(&[("x", Some(1))])), &settings());
    shared.set_host("b", Some(&seen(&[("y", None)])), &settings());
    let said = shared.get(KEY).expect("there").figures().expect_err("unknown");
    assert_eq!(said, "how much of the pool vms 1 guests may use is not known");
    let mut careful = seen(&[]);
    let account = careful.get_mut(KEY).expect("there");
    (account.reserved_bytes, account.storage.capacity_bytes) = (Bytes(70), Some(Bytes(900)));
    let ratio = Ratio::from_hundredths(50);
    shared.set_host("b", Some(&careful), &HostSettings { disk_ratio: ratio, ..settings() });
    let figures = shared.get(KEY).expect("there").figures().expect("known");
    assert_eq!(figures, Figures { total: 900, reserved: 70, ratio, promised: 1 });
}

proptest! {
    /// Whatever hosts say one after the other, only their last words count.
    #[test]
    fn kept_sums_are_those_of_a_walk_over_all_hosts(
        steps in prop::collection::vec(
            (0_usize..4, prop::option::of(prop::collection::btree_map(0_u8..6, prop::option::of(0_u64..500), 0..5))),
            1..40,
        ),
    ) {
        let mut shared = SharedStorage::default();
        let mut last = BTreeMap::new();
        for (host, charges) in steps {
            let charges = charges.map(|charges| {
                let named: Vec<_> = charges.iter().map(|(instance, size)| (instance.to_string(), *size)).collect();
                seen(&named.iter().map(|(name, size)| (name.as_str(), *size)).collect::<Vec<_>>())
            });
            shared.set_host(&format!("h{host}"), charges.as_ref(), &settings());
            match charges {
                Some(charges) => drop(last.insert(host, charges)),
                None => drop(last.remove(&host)),
            }
            let mut all = BTreeMap::<String, Option<u64>>::new();
            for (instance, size) in last.values().flat_map(|pools| &pools[KEY].charges) {
                let most = all.entry(instance.clone()).or_insert(Some(0));
                *most = most.zip(*size).map(|(most, size)| most.max(size.0));
            }
            let expected = all.values().copied().sum::<Option<u64>>();
            let found = shared.get(KEY).map(|unit| unit.figures().ok().map(|figures| figures.promised));
            prop_assert_eq!(found, (!last.is_empty()).then_some(expected));
        }
    }
}
