//! What changes make of a registry, and what is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use vmuster_proto::model::{AllocationSettings, HostOrigin, Ratio, Setting};

use super::{ChangeError, ConflictError, HostChange, HostEntry, NewHost, Registry, parse_hosts_file};

fn file() -> Registry {
    parse_hosts_file("[[host]]\nname = 'filed'\naddress = 'filed:1'\n").expect("valid")
}

fn new(name: &str, address: &str) -> NewHost {
    NewHost { name: name.to_owned(), address: address.parse().ok(), ..NewHost::default() }
}

fn with(name: &str, address: &str) -> Registry {
    file().with_added(new(name, address)).expect("added").0
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_host_is_added_once_under_one_name_and_address() {
    let (registry, name) = file().with_added(new("KVM-01", "h:1")).expect("added");
    assert_eq!(name, "kvm-01");
    assert_eq!(registry.get("kvm-01").expect("there").origin, Some(HostOrigin::Api));
    assert_eq!(file().len(), 1, "the old one is as it was");
    let refused = |new: NewHost| registry.with_added(new).expect_err("refused");
    assert_eq!(refused(new("kvm-01", "h:2")), ChangeError::Exists("kvm-01".to_owned()));
    assert_eq!(refused(new("Filed", "h:2")), ChangeError::InFile("filed".to_owned()));
    assert_eq!(refused(new("b", "h:1")), ChangeError::SameAddress("kvm-01".to_owned()));
    assert_eq!(refused(new("b", "filed:1")), ChangeError::SameAddress("filed".to_owned()));
    assert!(matches!(refused(new("a/b", "h:2")), ChangeError::Name(_)));
    assert!(matches!(refused(new("b", "")), ChangeError::Invalid { field: "address", .. }));
    for (key, value) in [("", "x"), ("a=b", "x"), ("a\n", "x"), ("a", "x\u{1b}"), ("a", &*"x".repeat(254))] {
        let host = NewHost { labels: labels(&[(key, value)]), ..new("b", "h:2") };
        assert!(matches!(refused(host), ChangeError::Invalid { field: "labels", .. }), "{key:?}");
    }
    let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
    let host = NewHost { labels: many, ..new("b", "h:2") };
    assert!(matches!(refused(host), ChangeError::Invalid { field: "labels", .. }));
}

#[test]
fn what_a_change_leaves_unset_stays() {
    let ratio = |hundredths| Some(Ratio::from_hundredths(hundredths));
    let settings =
        AllocationSettings { vcpu_ratio: ratio(200), mixed_numa: Some(true), ..Default::default() };
    let host = NewHost {
        labels: labels(&[("a", "1"), ("b", "2")]),
        settings: settings.clone(),
        ..new("kvm-01", "h:1")
    };
    let (registry, _) = file().with_added(host).expect("added");
    let after = |change: HostChange| {
        let (changed, name) = registry.with_changed("KVM-01", change).expect("changed");
        HostEntry::clone(changed.get(&name).expect("there"))
    };
    let before = after(HostChange::default());
    assert_eq!(before, **registry.get("kvm-01").expect("there"));
    let maintenance = after(HostChange { maintenance: Some(true), ..HostChange::default() });
    assert_eq!(maintenance, HostEntry { maintenance: true, ..before.clone() });
    let relabelled = after(HostChange {
        set_labels: labels(&[("b", "3"), ("c", "4")]),
        remove_labels: BTreeSet::from(["a".to_owned(), "never".to_owned()]),
        ..HostChange::default()
    });
    assert_eq!(relabelled, HostEntry { labels: labels(&[("b", "3"), ("c", "4")]), ..before.clone() });
    let moved = after(HostChange { address: "h:9".parse().ok(), ..HostChange::default() });
    assert_eq!(moved, HostEntry { address: "h:9".parse().ok(), ..before.clone() });
    let set = after(HostChange {
        settings: AllocationSettings { disk_ratio: ratio(300), ..Default::default() },
        reset_settings: BTreeSet::from([Setting::MixedNuma]),
        ..HostChange::default()
    });
    let expected = AllocationSettings { disk_ratio: ratio(300), mixed_numa: None, ..settings };
    assert_eq!(set, HostEntry { settings: expected, ..before });
}

#[test]
fn a_change_that_contradicts_itself_is_refused() {
    let registry = with("kvm-01", "h:1");
    let refused = |change: HostChange| registry.with_changed("kvm-01", change).expect_err("refused");
    let both = HostChange {
        set_labels: labels(&[("a", "1")]),
        remove_labels: BTreeSet::from(["a".to_owned()]),
        ..HostChange::default()
    };
    assert!(matches!(refused(both), ChangeError::Invalid { field: "remove_labels", .. }));
    let both = HostChange {
        settings: AllocationSettings { mixed_numa: Some(true), ..Default::default() },
        reset_settings: BTreeSet::from([Setting::MixedNuma]),
        ..HostChange::default()
    };
    assert!(matches!(refused(both), ChangeError::Invalid { field: "reset_settings", .. }));
    let taken = HostChange { address: "filed:1".parse().ok(), ..HostChange::default() };
    assert_eq!(refused(taken), ChangeError::SameAddress("filed".to_owned()));
    let own = HostChange { address: "h:1".parse().ok(), ..HostChange::default() };
    assert!(registry.with_changed("kvm-01", own).is_ok(), "its own address is not taken");
}

#[test]
fn hosts_of_the_file_are_read_only() {
    let registry = with("kvm-01", "h:1");
    let read_only = ChangeError::ReadOnly("filed".to_owned());
    assert_eq!(registry.with_changed("Filed", HostChange::default()).expect_err("refused"), read_only);
    assert_eq!(registry.without("filed").expect_err("refused"), read_only);
    assert_eq!(registry.without("x").expect_err("refused"), ChangeError::NotRegistered("x".to_owned()));
    let (left, name) = registry.without("KVM-01").expect("removed");
    assert_eq!((left, name.as_str()), (file(), "kvm-01"));
}

#[test]
fn a_file_read_again_keeps_what_was_registered_or_is_refused() {
    let registered = with("kvm-01", "h:1").registered();
    let read_again = |text: &str| {
        let file = parse_hosts_file(text).expect("valid");
        Registry::joined(file, registered.iter().map(Arc::clone))
    };
    let names: Vec<_> = read_again("[[host]]\nname = 'b'\naddress = 'h:2'\n")
        .expect("no conflict")
        .iter()
        .map(|host| host.name.clone())
        .collect();
    assert_eq!(names, ["b", "kvm-01"]);
    let same_name = read_again("[[host]]\nname = 'KVM-01'\naddress = 'h:2'\n").expect_err("refused");
    assert_eq!(same_name, ConflictError::Name("kvm-01".to_owned()));
    let same_address = read_again("[[host]]\nname = 'b'\naddress = 'h:1'\n").expect_err("refused");
    assert_eq!(same_address, ConflictError::Address { file: "b".to_owned(), api: "kvm-01".to_owned() });
}
