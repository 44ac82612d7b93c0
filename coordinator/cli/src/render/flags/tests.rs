//! What users see of flags in the guest layer and of comparisons, word for word.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use vmuster_proto::model::{AbsentFeature, Division, DivisionPart, HostClass, UnknownFact, WhatIf};

use super::*;
use crate::render::{
    json,
    tests::{WIDTH, answer, now, owned, set, standing},
    yaml,
};

fn names(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|i| format!("kvm-{i:04}")).collect()
}

/// Names that nobody reads, only counts.
fn numbered(word: &str, count: u32) -> Option<BTreeSet<String>> {
    Some((0..count).map(|i| format!("{word}-{i}")).collect())
}

/// One vendor's hosts: many of one sort, and an old one.
fn intel() -> FlagsGroup {
    let common = "apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx pae pat pge pni popcnt \
                  pse pse36 sep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc x2apic";
    let gained =
        set(&["abm", "aes", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "pclmuldq", "xsave"]);
    let part = |hosts, feature_count, gained, level| DivisionPart {
        hosts,
        feature_count,
        gained,
        psabi_level: Some(level),
    };
    FlagsGroup {
        arch: "x86_64".to_owned(),
        vendor: Some("GenuineIntel".to_owned()),
        vendors: BTreeSet::from(["GenuineIntel".to_owned()]),
        features: set(&common.split_whitespace().collect::<Vec<_>>()),
        host_count: 1001,
        hosts: names(0..1001),
        sole_blockers: [("kvm-1000".to_owned(), gained.clone())].into(),
        physical_address_bits: Some(40),
        psabi_level: Some(2),
        machine_types: numbered("pc-q35", 74),
        usable_models: numbered("Model", 21),
        classes: vec![
            HostClass { hosts: names(0..1000), feature_count: 43 },
            HostClass { hosts: names(1000..1001), feature_count: 32 },
        ],
        absent: gained
            .names()
            .into_iter()
            .map(|name| AbsentFeature { name: name.to_owned(), lacking_classes: vec![1] })
            .collect(),
        what_if: Some(WhatIf {
            without: owned(&["kvm-1000"]),
            host_count: 1000,
            gained: gained.clone(),
            psabi_level: Some(3),
            physical_address_bits: Some(46),
        }),
        suggestions: vec![Division {
            parts: vec![part(names(0..1000), 43, gained, 3), part(names(1000..1001), 32, set(&[]), 2)],
        }],
        ..FlagsGroup::default()
    }
}

fn amd() -> FlagsGroup {
    let unknown =
        |fact: &str| UnknownFact { fact: fact.to_owned(), hosts: names(2000..2010), host_count: 12 };
    FlagsGroup {
        vendor: Some("AuthenticAMD".to_owned()),
        vendors: BTreeSet::from(["AuthenticAMD".to_owned()]),
        features: set(&["cmov", "fpu", "svm"]),
        host_count: 12,
        hosts: names(2000..2012),
        sole_blockers: [].into(),
        physical_address_bits: None,
        psabi_level: Some(0),
        machine_types: None,
        usable_models: None,
        unknown: vec![unknown("machine_types"), unknown("usable_models")],
        classes: vec![HostClass { hosts: names(2000..2012), feature_count: 3 }],
        absent: Vec::new(),
        what_if: None,
        suggestions: Vec::new(),
        ..intel()
    }
}

fn guests(groups: Vec<FlagsGroup>) -> FlagsAnswer {
    let mut answer = FlagsAnswer { layer: Layer::Guest, groups, ..answer() };
    answer.missing[0].problem.detail =
        "the host does not report guest features; ask for --layer host (denied, virConnectOpen: join the group)"
            .to_owned();
    answer
}

fn shown(groups: Vec<FlagsGroup>, view: View<'_>) -> String {
    table(&guests(groups), view, now(), WIDTH)
}

#[test]
fn guests_of_two_vendors() {
    assert_snapshot!(shown(vec![amd(), intel()], View::Common));
}

#[test]
fn a_matrix_of_many_hosts() {
    assert_snapshot!(shown(vec![intel()], View::Matrix));
}

#[test]
fn suggested_divisions() {
    assert_snapshot!(shown(vec![intel()], View::Suggest));
    let mut host_layer = FlagsAnswer { groups: vec![intel()], ..answer() };
    host_layer.groups[0].psabi_level = None;
    assert_snapshot!(table(&host_layer, View::Suggest, now(), WIDTH));
}

#[test]
fn no_suggestion_and_why() {
    let refused = FlagsGroup {
        suggestions: Vec::new(),
        suggestions_refused: Some(
            "the hosts are of 513 sorts, and more than 512 are not compared; ask about fewer hosts"
                .to_owned(),
        ),
        ..intel()
    };
    assert_snapshot!(shown(vec![amd(), refused], View::Suggest));
}

#[test]
fn what_the_others_would_gain() {
    assert_snapshot!(shown(vec![amd(), intel()], View::WhatIf));
    let nobody = WhatIf {
        host_count: 0,
        gained: set(&[]),
        psabi_level: None,
        physical_address_bits: None,
        ..intel().what_if.expect("it is there")
    };
    let nothing = WhatIf { host_count: 1000, ..nobody.clone() };
    let group = |what_if| FlagsGroup { what_if: Some(what_if), ..intel() };
    assert_snapshot!(what_if(&group(nobody), WIDTH), @"Without kvm-1000 no host is left in this group.");
    assert_snapshot!(what_if(&group(nothing), WIDTH), @"without kvm-1000: 32 common flags, 0 gained");
}

#[test]
fn why_a_guest_cannot_have_a_feature() {
    let mut answer = guests(vec![FlagsGroup { host_count: 2, hosts: names(999..1001), ..intel() }]);
    answer.host_count = 2;
    assert_snapshot!(table(&answer, View::Why("avx2"), now(), WIDTH));
}

#[test]
fn plain_lines() {
    assert_snapshot!(plain(&intel(), View::WhatIf).replace('\n', " "), @"abm aes avx avx2 bmi1 bmi2 f16c fma movbe pclmuldq xsave");
    assert_eq!(plain(&amd(), View::WhatIf), "");
    assert_eq!(plain(&intel(), View::Matrix).lines().count(), 11);
}

#[test]
fn guests_as_json() {
    let small = FlagsGroup {
        features: set(&["fpu", "sse"]),
        host_count: 2,
        hosts: names(999..1001),
        machine_types: numbered("pc-q35", 2),
        classes: Vec::new(),
        absent: Vec::new(),
        suggestions: vec![Division {
            parts: vec![DivisionPart {
                hosts: names(999..1000),
                feature_count: 3,
                gained: set(&["avx"]),
                psabi_level: Some(0),
            }],
        }],
        ..intel()
    };
    assert_snapshot!(json(&document(&guests(vec![amd(), small]), View::Suggest)).expect("serializes"));
}

/// An answer about this host alone.
fn alone(name: &str, group: FlagsGroup) -> FlagsAnswer {
    let hosts = vec![standing(name, Freshness::Fresh, Some("2026-11-22T19:59:15Z"))];
    FlagsAnswer {
        layer: Layer::Guest,
        complete: true,
        groups: vec![group],
        host_count: 1,
        fresh_host_count: 1,
        hosts,
        missing: Vec::new(),
    }
}

#[test]
fn two_hosts_beside_each_other() {
    let mut richer = intel();
    richer.features = richer.features.union(&intel().what_if.expect("it is there").gained);
    (richer.psabi_level, richer.physical_address_bits) = (Some(3), Some(46));
    let both = [alone("kvm-0001", richer.clone()), alone("kvm-1000", intel())];
    let document = diff::Document::new(Layer::Guest, &both);
    assert_snapshot!(document.table(now(), WIDTH));
    assert_snapshot!(document.plain().replace('\n', " "), @"< abm < aes < avx < avx2 < bmi1 < bmi2 < f16c < fma < movbe < pclmuldq < xsave");
    let of_vendors = [alone("kvm-0001", richer), alone("kvm-2000", amd())];
    assert_snapshot!(diff::Document::new(Layer::Guest, &of_vendors).table(now(), WIDTH));
    let small = |features: &[&str]| FlagsGroup { features: set(features), ..intel() };
    let small = [alone("kvm-0001", small(&["avx", "fpu"])), alone("kvm-1000", small(&["fpu", "svm"]))];
    let document = diff::Document::new(Layer::Guest, &small);
    let shown = json(&document).expect("serializes");
    assert_snapshot!(&shown);
    let from_yaml: serde_json::Value =
        serde_saphyr::from_str(&yaml(&document).expect("serializes")).expect("own YAML");
    assert_eq!(from_yaml, serde_json::from_str::<serde_json::Value>(&shown).expect("own JSON"));
}

#[test]
fn a_host_beside_one_that_is_missing() {
    let answers =
        [alone("kvm-0001", intel()), FlagsAnswer { groups: Vec::new(), hosts: Vec::new(), ..answer() }];
    let document = diff::Document::new(Layer::Guest, &answers);
    assert_snapshot!(document.table(now(), WIDTH));
    assert_eq!(document.plain(), "");
}
