//! The algebra of common flags.

use proptest::{collection, prelude::*};
use vmuster_proto::model::FeatureSet;

use super::*;

#[derive(Debug, Clone)]
struct Host {
    name: String,
    arch: &'static str,
    vendor: Option<&'static str>,
    features: FeatureSet,
    bits: Option<u32>,
}

impl Host {
    fn facts(&self) -> HostFeatures<'_> {
        HostFeatures {
            host: &self.name,
            arch: self.arch,
            vendor: self.vendor,
            features: &self.features,
            physical_address_bits: self.bits,
        }
    }
}

const FULL: Detail = Detail { hosts: true, absent: true };

fn answer(hosts: &[Host]) -> Vec<FlagsGroup> {
    common_host_flags(&hosts.iter().map(Host::facts).collect::<Vec<_>>(), FULL)
}

fn set(names: &[&str]) -> FeatureSet {
    FeatureSet::from_names(names.iter().copied()).expect("valid")
}

fn host(name: &str, features: &[&str]) -> Host {
    Host { name: name.to_owned(), arch: "x86_64", vendor: Some("V"), features: set(features), bits: Some(46) }
}

#[test]
fn says_what_is_common_who_blocks_and_who_is_alike() {
    let groups = answer(&[
        host("old", &["fpu", "sse"]),
        host("new-1", &["fpu", "sse", "avx", "sha"]),
        host("new-2", &["fpu", "sse", "avx", "sha"]),
        host("mid", &["fpu", "sse", "avx"]),
    ]);
    let [group] = groups.as_slice() else { panic!("one arch") };
    assert_eq!(group.features, set(&["fpu", "sse"]));
    assert_eq!(group.hosts, ["mid", "new-1", "new-2", "old"]);
    assert_eq!(group.sole_blockers, BTreeMap::from([("old".to_owned(), set(&["avx"]))]));
    let classes: Vec<_> =
        group.classes.iter().map(|class| (class.hosts.join(" "), class.feature_count)).collect();
    assert_eq!(classes, [("new-1 new-2".to_owned(), 4), ("mid".to_owned(), 3), ("old".to_owned(), 2)]);
    let absent: Vec<_> =
        group.absent.iter().map(|a| (a.name.as_str(), a.lacking_classes.as_slice())).collect();
    assert_eq!(absent, [("avx", &[2][..]), ("sha", &[1, 2][..])]);
}

#[test]
fn architectures_are_never_mixed_and_vendors_are_named() {
    let mut hosts = [host("a", &["fpu"]), host("b", &["fpu"]), host("c", &["asimd"])];
    hosts[1].vendor = Some("W");
    hosts[2].arch = "aarch64";
    hosts[2].vendor = None;
    hosts[0].bits = Some(40);
    let groups = answer(&hosts);
    assert_eq!(groups.iter().map(|g| g.arch.as_str()).collect::<Vec<_>>(), ["aarch64", "x86_64"]);
    assert_eq!((groups[0].vendor.clone(), groups[1].vendor.clone()), (None, None));
    assert_eq!(groups[1].vendors, BTreeSet::from(["V".to_owned(), "W".to_owned()]));
    assert_eq!(groups[1].physical_address_bits, Some(40));
    hosts[1].bits = None;
    assert_eq!(answer(&hosts)[1].physical_address_bits, None);
}

#[test]
fn no_host_has_no_answer() {
    assert!(answer(&[]).is_empty());
}

fn hosts() -> impl Strategy<Value = Vec<Host>> {
    let features = collection::btree_set("[a-h]", 0..8)
        .prop_map(|names| FeatureSet::from_names(names.iter().map(String::as_str)).expect("valid"));
    let arch = prop::sample::select(vec!["x86_64", "aarch64"]);
    let host = (arch, features, any::<Option<u32>>(), prop::sample::select(vec![None, Some("V"), Some("W")]));
    collection::vec(host, 1..8).prop_map(|hosts| {
        let named = hosts.into_iter().enumerate();
        named
            .map(|(i, (arch, features, bits, vendor))| Host {
                name: format!("h{i}"),
                arch,
                vendor,
                features,
                bits,
            })
            .collect()
    })
}

fn features_of(groups: &[FlagsGroup], arch: &str) -> Option<FeatureSet> {
    groups.iter().find(|group| group.arch == arch).map(|group| group.features.clone())
}

proptest! {
    #[test]
    fn order_does_not_matter((hosts, shuffled) in hosts().prop_flat_map(|hosts| (Just(hosts.clone()), Just(hosts).prop_shuffle()))) {
        prop_assert_eq!(answer(&hosts), answer(&shuffled));
    }

    #[test]
    fn common_is_exactly_what_every_host_has(hosts in hosts()) {
        for group in answer(&hosts) {
            let members: Vec<_> = hosts.iter().filter(|host| host.arch == group.arch).collect();
            prop_assert_eq!(group.host_count as usize, members.len());
            for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
                let everywhere = members.iter().all(|host| host.features.contains(name));
                let somewhere = members.iter().any(|host| host.features.contains(name));
                prop_assert_eq!(group.features.contains(name), everywhere);
                let absent = group.absent.iter().find(|absent| absent.name == name);
                prop_assert_eq!(absent.is_some(), somewhere && !everywhere);
                if let Some(absent) = absent {
                    let lacking = absent.lacking_classes.iter().flat_map(|i| &group.classes[*i as usize].hosts);
                    let mut lacking: Vec<_> = lacking.cloned().collect();
                    lacking.sort();
                    let expected = members.iter().filter(|host| !host.features.contains(name));
                    let mut expected: Vec<_> = expected.map(|host| host.name.clone()).collect();
                    expected.sort();
                    prop_assert_eq!(lacking, expected);
                }
            }
        }
    }

    #[test]
    fn another_host_never_adds_a_flag(hosts in hosts()) {
        let (all, fewer) = (answer(&hosts), answer(&hosts[1..]));
        for group in &all {
            if let Some(before) = features_of(&fewer, &group.arch) {
                prop_assert!(group.features.is_subset(&before));
            }
        }
    }

    #[test]
    fn sole_blockers_are_leave_one_out_differences(hosts in hosts()) {
        let all = answer(&hosts);
        for (index, host) in hosts.iter().enumerate() {
            let mut others = hosts.clone();
            others.remove(index);
            let group = all.iter().find(|group| group.arch == host.arch).expect("the host's group");
            let gained = features_of(&answer(&others), host.arch)
                .map(|without| without.difference(&group.features))
                .filter(|gained| !gained.is_empty());
            prop_assert_eq!(group.sole_blockers.get(&host.name).cloned(), gained);
        }
    }
}
