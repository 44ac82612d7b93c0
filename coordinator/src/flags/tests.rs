//! The algebra of common flags.

use std::ops::Range;

use proptest::{collection, prelude::*, sample};
use vmuster_proto::model::{Division, FeatureSet};

use super::*;

#[derive(Debug, Clone)]
struct Host {
    name: String,
    arch: &'static str,
    vendor: Option<&'static str>,
    features: FeatureSet,
    bits: Option<u32>,
    machine_types: Option<FeatureSet>,
    usable_models: Option<FeatureSet>,
}

impl Host {
    fn facts(&self) -> HostFeatures<'_> {
        HostFeatures {
            host: &self.name,
            arch: self.arch,
            vendor: self.vendor,
            features: &self.features,
            physical_address_bits: self.bits,
            machine_types: self.machine_types.as_ref(),
            usable_models: self.usable_models.as_ref(),
        }
    }

    fn is_in(&self, layer: Layer, group: &FlagsGroup) -> bool {
        self.arch == group.arch && (layer == Layer::Host || self.vendor == group.vendor.as_deref())
    }
}

fn full() -> Detail {
    Detail { hosts: true, absent: true, without: BTreeSet::new(), suggest_parts_max: PARTS_MAX }
}

fn answer(layer: Layer, hosts: &[Host]) -> Vec<FlagsGroup> {
    common_flags(layer, &hosts.iter().map(Host::facts).collect::<Vec<_>>(), &full())
}

fn set(names: &[&str]) -> FeatureSet {
    FeatureSet::from_names(names.iter().copied()).expect("valid")
}

fn host(name: &str, features: &[&str]) -> Host {
    Host {
        name: name.to_owned(),
        arch: "x86_64",
        vendor: Some("V"),
        features: set(features),
        bits: Some(46),
        machine_types: Some(set(&["pc-q35-7.2", "pc-q35-8.0"])),
        usable_models: None,
    }
}

/// The set that all of these share, the plain way; None of nobody.
fn intersection<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Option<FeatureSet> {
    let sets = hosts.into_iter().map(|host| host.features.clone());
    sets.reduce(|common, set| common.intersection(&set))
}

#[test]
fn says_what_is_common_who_blocks_and_who_is_alike() {
    let groups = answer(
        Layer::Host,
        &[
            host("old", &["fpu", "sse"]),
            host("new-1", &["fpu", "sse", "avx", "sha"]),
            host("new-2", &["fpu", "sse", "avx", "sha"]),
            host("mid", &["fpu", "sse", "avx"]),
        ],
    );
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
    assert_eq!((group.psabi_level, group.machine_types.as_ref(), group.unknown.len()), (None, None, 0));
}

#[test]
fn architectures_are_never_mixed_and_vendors_are_named() {
    let mut hosts = [host("a", &["fpu"]), host("b", &["fpu"]), host("c", &["asimd"])];
    hosts[1].vendor = Some("W");
    hosts[2].arch = "aarch64";
    hosts[2].vendor = None;
    hosts[0].bits = Some(40);
    let groups = answer(Layer::Host, &hosts);
    assert_eq!(groups.iter().map(|g| g.arch.as_str()).collect::<Vec<_>>(), ["aarch64", "x86_64"]);
    assert_eq!((groups[0].vendor.clone(), groups[1].vendor.clone()), (None, None));
    assert_eq!(groups[1].vendors, BTreeSet::from(["V".to_owned(), "W".to_owned()]));
    assert_eq!(groups[1].physical_address_bits, Some(40));
    let guest = answer(Layer::Guest, &hosts);
    let named = |group: &FlagsGroup| (group.arch.clone(), group.vendor.clone(), group.psabi_level);
    let expected = [("aarch64", None, None), ("x86_64", Some("V"), Some(0)), ("x86_64", Some("W"), Some(0))];
    let owned = |(a, v, l): (&str, Option<&str>, Option<u32>)| (a.to_owned(), v.map(str::to_owned), l);
    assert_eq!(
        guest.iter().map(named).collect::<Vec<_>>(),
        expected.map(owned),
        "never silently intersected"
    );
    hosts[1].bits = None;
    assert_eq!(answer(Layer::Host, &hosts)[1].physical_address_bits, None);
}

#[test]
fn no_host_has_no_answer() {
    assert!(answer(Layer::Host, &[]).is_empty() && answer(Layer::Guest, &[]).is_empty());
}

#[test]
fn machine_types_of_all_or_who_does_not_tell() {
    let mut hosts: Vec<_> = (0..12).map(|i| host(&format!("h{i:02}"), &["fpu"])).collect();
    hosts[3].machine_types = Some(set(&["pc-q35-8.0", "pc-q35-9.1"]));
    let group = &answer(Layer::Guest, &hosts)[0];
    assert_eq!(group.machine_types, Some(BTreeSet::from(["pc-q35-8.0".to_owned()])));
    let [unknown] = group.unknown.as_slice() else { panic!("only the models are not known") };
    assert_eq!((unknown.fact.as_str(), unknown.host_count), ("usable_models", 12));
    assert_eq!((unknown.hosts.len(), unknown.hosts[0].as_str()), (UNKNOWN_NAMED_MAX, "h00"));
    assert_eq!(group.usable_models, None);
}

#[test]
fn a_suggestion_keeps_like_hosts_together() {
    let hosts = [
        host("new-1", &["fpu", "sse", "avx", "sha"]),
        host("new-2", &["fpu", "sse", "avx", "sha", "vaes"]),
        host("new-3", &["fpu", "sse", "avx", "sha", "vaes"]),
        host("old-1", &["fpu"]),
        host("old-2", &["fpu", "sse"]),
    ];
    let group = &answer(Layer::Host, &hosts)[0];
    let told = |division: &Division| {
        let parts = division.parts.iter();
        parts
            .map(|part| format!("{}: +{}", part.hosts.join(" "), part.gained.names().join(" ")))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&group.suggestions[0]), ["new-1 new-2 new-3: +avx sha sse", "old-1 old-2: +"]);
    assert_eq!(group.suggestions.iter().map(|d| d.parts.len()).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(answer(Layer::Host, &hosts[1..3])[0].suggestions.is_empty(), "they are alike");
}

#[test]
fn too_many_sorts_of_hosts_are_not_compared() {
    let sorts = |n: usize| -> Vec<Host> {
        let name = |i: usize| format!("f{i}");
        (0..n).map(|i| host(&format!("h{i:04}"), &["fpu", &name(i)])).collect()
    };
    let most = &answer(Layer::Guest, &sorts(divide::CLASSES_MAX))[0];
    assert_eq!((most.suggestions.len(), most.suggestions_refused.as_deref()), (7, None));
    let more = &answer(Layer::Guest, &sorts(divide::CLASSES_MAX + 1))[0];
    assert!(more.suggestions.is_empty());
    let why = more.suggestions_refused.as_deref().expect("a reason");
    assert!(why.contains("513 sorts") && why.contains("fewer hosts"), "{why}");
}

/// Names of all levels, so that levels differ among the hosts of a case.
const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "cmov", "cx8", "fpu", "fxsr", "sse", "sse2", "syscall"];

fn hosts(count: Range<usize>) -> impl Strategy<Value = Vec<Host>> {
    let names = |range| sample::subsequence(NAMES.to_vec(), range).prop_map(|names| set(&names));
    let arch = sample::select(vec!["x86_64", "x86_64", "aarch64"]);
    let vendor = sample::select(vec![None, Some("V"), Some("V"), Some("W")]);
    let lists = (proptest::option::of(names(1..=3)), proptest::option::of(names(1..=3)));
    let host = (arch, names(0..=NAMES.len()), any::<Option<u32>>(), vendor, lists);
    collection::vec(host, count).prop_map(|hosts| {
        let named = hosts.into_iter().enumerate();
        let host = |(i, (arch, features, bits, vendor, (machine_types, usable_models)))| Host {
            name: format!("h{i}"),
            arch,
            vendor,
            features,
            bits,
            machine_types,
            usable_models,
        };
        named.map(host).collect()
    })
}

fn layer() -> impl Strategy<Value = Layer> {
    sample::select(vec![Layer::Host, Layer::Guest])
}

fn group_of<'a>(layer: Layer, groups: &'a [FlagsGroup], host: &Host) -> Option<&'a FlagsGroup> {
    groups.iter().find(|group| host.is_in(layer, group))
}

proptest! {
    #[test]
    fn order_does_not_matter(layer in layer(), (hosts, shuffled) in hosts(1..8).prop_flat_map(|hosts| (Just(hosts.clone()), Just(hosts).prop_shuffle()))) {
        prop_assert_eq!(answer(layer, &hosts), answer(layer, &shuffled));
    }

    #[test]
    fn another_of_the_same_changes_nothing_common(layer in layer(), hosts in hosts(1..8), which in any::<sample::Index>()) {
        let mut more = hosts.clone();
        more.push(Host { name: "twin".to_owned(), ..which.get(&hosts).clone() });
        let common = |groups: Vec<FlagsGroup>| groups.into_iter()
            .map(|g| (g.arch, g.vendors, g.features, g.psabi_level, g.machine_types, g.usable_models)).collect::<Vec<_>>();
        prop_assert_eq!(common(answer(layer, &hosts)), common(answer(layer, &more)));
    }

    #[test]
    fn common_is_exactly_what_every_host_has(layer in layer(), hosts in hosts(1..8)) {
        let groups = answer(layer, &hosts);
        prop_assert_eq!(groups.iter().map(|group| group.host_count as usize).sum::<usize>(), hosts.len());
        for group in groups {
            let members: Vec<_> = hosts.iter().filter(|host| host.is_in(layer, &group)).collect();
            prop_assert_eq!(group.host_count as usize, members.len());
            for name in NAMES {
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
    fn names_of_guests_are_those_of_all_or_not_known(hosts in hosts(1..8)) {
        for group in answer(Layer::Guest, &hosts) {
            let members = hosts.iter().filter(|host| host.is_in(Layer::Guest, &group));
            let sets: Option<Vec<_>> = members.map(|host| host.machine_types.clone()).collect();
            let expected = sets.and_then(|sets| sets.into_iter().reduce(|a, b| a.intersection(&b)));
            let expected = expected.map(|set| set.names().into_iter().map(str::to_owned).collect());
            prop_assert_eq!(&group.machine_types, &expected);
            prop_assert_eq!(group.unknown.iter().any(|unknown| unknown.fact == "machine_types"), expected.is_none());
        }
    }

    #[test]
    fn another_host_never_adds_a_flag_and_one_less_never_removes_one(layer in layer(), hosts in hosts(1..8)) {
        let (all, fewer) = (answer(layer, &hosts), answer(layer, &hosts[1..]));
        for host in &hosts[1..] {
            let (with, without) = (group_of(layer, &all, host), group_of(layer, &fewer, host));
            let (with, without) = (with.expect("its group"), without.expect("its group"));
            prop_assert!(with.features.is_subset(&without.features));
            prop_assert!(with.psabi_level <= without.psabi_level);
        }
    }

    #[test]
    fn sole_blockers_are_leave_one_out_differences(layer in layer(), hosts in hosts(1..8)) {
        let all = answer(layer, &hosts);
        for host in &hosts {
            let group = group_of(layer, &all, host).expect("the host's group");
            let others = hosts.iter().filter(|other| other.is_in(layer, group) && other.name != host.name);
            let gained = intersection(others)
                .map(|without| without.difference(&group.features))
                .filter(|gained| !gained.is_empty());
            prop_assert_eq!(group.sole_blockers.get(&host.name).cloned(), gained);
        }
    }

    #[test]
    fn what_if_is_what_the_others_share(layer in layer(), hosts in hosts(1..8), gone in any::<[bool; 8]>()) {
        let is_gone = |host: &Host| hosts.iter().zip(gone).any(|(other, gone)| gone && other.name == host.name);
        let without: BTreeSet<String> =
            hosts.iter().filter(|host| is_gone(host)).map(|host| host.name.clone()).collect();
        let left: Vec<Host> = hosts.iter().filter(|host| !is_gone(host)).cloned().collect();
        let facts: Vec<_> = hosts.iter().map(Host::facts).collect();
        let all = common_flags(layer, &facts, &Detail { without: without.clone(), ..full() });
        let fewer = answer(layer, &left);
        for group in &all {
            let out = hosts.iter().filter(|host| host.is_in(layer, group) && is_gone(host)).count();
            let Some(what_if) = &group.what_if else {
                prop_assert_eq!(out, 0);
                continue;
            };
            prop_assert_eq!(what_if.without.len(), out);
            prop_assert_eq!(what_if.host_count as usize, group.host_count as usize - out);
            let member = left.iter().find(|host| host.is_in(layer, group));
            let again = member.map(|member| group_of(layer, &fewer, member).expect("its group"));
            let gained = again.map(|again| again.features.difference(&group.features)).unwrap_or_default();
            prop_assert_eq!(&what_if.gained, &gained);
            prop_assert_eq!(what_if.psabi_level, again.and_then(|again| again.psabi_level));
            prop_assert_eq!(what_if.physical_address_bits, again.and_then(|again| again.physical_address_bits));
        }
    }

    #[test]
    fn a_division_is_a_partition_and_its_gains_are_true(layer in layer(), hosts in hosts(1..12)) {
        for group in answer(layer, &hosts) {
            let most = group.classes.len().min(PARTS_MAX as usize);
            let sizes: Vec<_> = group.suggestions.iter().map(|division| division.parts.len()).collect();
            prop_assert_eq!(sizes, (2..=most).collect::<Vec<_>>());
            for division in &group.suggestions {
                let mut together: Vec<_> = division.parts.iter().flat_map(|part| part.hosts.clone()).collect();
                together.sort();
                prop_assert_eq!(&together, &group.hosts);
                prop_assert!(division.parts.is_sorted_by_key(|part| std::cmp::Reverse(part.hosts.len())));
                for part in &division.parts {
                    let members = hosts.iter().filter(|host| part.hosts.contains(&host.name));
                    let shared = intersection(members).expect("a part has hosts");
                    prop_assert_eq!(part.feature_count as usize, shared.len());
                    prop_assert_eq!(&part.gained, &shared.difference(&group.features));
                    let level = (layer == Layer::Guest && group.arch == "x86_64").then(|| psabi_level(&shared));
                    prop_assert_eq!(part.psabi_level, level);
                    prop_assert!(level >= group.psabi_level);
                }
            }
        }
    }
}
