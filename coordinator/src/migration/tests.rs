//! The rules together.

use proptest::prelude::*;
use vmuster_proto::model::{
    Bytes, CpuComparison, Domain, Freshness, HostStanding, Issue, IssueKind, MigrationVerdict, VerdictKind,
};

use super::{testing::*, *};

fn checked(facts: &Facts) -> Vec<Finding> {
    let source = facts.source.as_ref().map(Host::facts);
    check(&GuestFacts { domain: &facts.domain }, source.as_ref(), &facts.target.facts())
}

fn verdict(facts: &Facts) -> VerdictKind {
    MigrationVerdict::of(standing(), checked(facts)).verdict
}

fn standing() -> HostStanding {
    HostStanding {
        name: "b".to_owned(),
        address: String::new(),
        reported_name: String::new(),
        freshness: Freshness::Fresh,
        fetched_at: None,
        validated_at: None,
        collected_at: None,
        problem: None,
    }
}

#[test]
fn a_guest_may_move_between_hosts_that_are_alike() {
    let mut facts = facts();
    facts.target.comparison = Some(Ok((CpuComparison::Superset, String::new())));
    assert_eq!(checked(&facts), [], "plain yeses are not told");
    assert_eq!(verdict(&facts), VerdictKind::Yes);
}

#[test]
fn every_reason_is_told_in_the_rules_order() {
    let mut facts = facts();
    facts.target.maintenance = true;
    facts.target.doubt = Some("as of yesterday".to_owned());
    facts.domain.memory_max_bytes = Some(Bytes(32 << 30));
    facts.domain.host_devices = vec!["0000:3b:00.0".to_owned()];
    facts.domain.machine_type = Some("pc-q35-99.0".to_owned());
    let findings = checked(&facts);
    let rules: Vec<_> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["freshness", "maintenance", "machine", "cpu", "memory", "pci"]);
    assert_eq!(verdict(&facts), VerdictKind::No);
    let names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len());
}

#[test]
fn a_host_that_says_nothing_is_unknown_with_reasons() {
    let mut facts = facts();
    facts.target.inventory = Inventory::default();
    facts.target.usage = Usage::default();
    facts.target.issues = vec![Issue::new("cpu", "/proc/cpuinfo", IssueKind::Denied, "not permitted")];
    let findings = checked(&facts);
    assert!(findings.iter().all(|finding| finding.verdict == VerdictKind::Unknown), "{findings:?}");
    let cpu = findings.iter().find(|finding| finding.rule == "cpu").expect("told");
    assert_eq!(
        cpu.detail,
        "the host does not report what CPU guests can have (/proc/cpuinfo: not permitted)"
    );
    assert!(findings.len() > 6, "{findings:?}");
}

#[test]
fn a_definition_that_is_nowhere_has_no_source_to_compare_with() {
    let mut facts = facts();
    facts.source = None;
    facts.domain = Domain { state: Some("shut_off".to_owned()), ..guest() };
    facts.driver().qemu_version = None;
    facts.target.comparison = Some(Ok((CpuComparison::Identical, String::new())));
    assert_eq!(checked(&facts), []);
}

/// What may be missing or too small, each by its number.
fn broken(which: &[bool; 8]) -> Facts {
    let mut facts = facts();
    let [memory, cpu, domains, hypervisor, maintenance, doubt, promised, comparison] = which;
    if *memory {
        facts.target.inventory.memory = None;
    }
    if *cpu {
        facts.cpu().guest = None;
    }
    if *domains {
        facts.target.usage.domains = None;
    }
    if *hypervisor {
        facts.target.inventory.hypervisor = None;
    }
    facts.target.maintenance = *maintenance;
    facts.target.doubt = doubt.then(|| "old".to_owned());
    if *promised {
        facts.target.claims = vec![claim("u-a", 1, 16)];
    }
    if *comparison {
        facts.target.comparison = Some(Ok((CpuComparison::Incompatible, "no".to_owned())));
    }
    facts
}

proptest! {
    #[test]
    fn the_worst_finding_decides_and_unknown_is_never_yes(which in prop::array::uniform8(any::<bool>())) {
        let facts = broken(&which);
        let findings = checked(&facts);
        let has = |kind| findings.iter().any(|finding| finding.verdict == kind);
        let expected = if has(VerdictKind::No) {
            VerdictKind::No
        } else if has(VerdictKind::Unknown) {
            VerdictKind::Unknown
        } else {
            VerdictKind::Yes
        };
        prop_assert_eq!(verdict(&facts), expected);
        prop_assert_eq!(expected == VerdictKind::Yes, which == [false; 8]);
    }

    /// A host that can do less never takes more guests.
    #[test]
    fn a_lost_feature_never_lets_a_guest_in(
        given in prop::collection::btree_set("[a-e]", 0..6),
        asked in prop::collection::btree_set("[a-e]", 0..4),
        taken in "[a-e]",
        says in prop::option::of(prop::sample::select(vec![CpuComparison::Incompatible, CpuComparison::Superset])),
    ) {
        let mut facts = facts();
        let listed: Vec<_> = asked.iter().map(|name| ("require", name.as_str())).collect();
        facts.domain.cpu.as_mut().expect("a CPU").features = features(&listed);
        facts.target.comparison = says.map(|says| Ok((says, "words".to_owned())));
        facts.guest_cpu().features = Some(set(&given.iter().map(String::as_str).collect::<Vec<_>>()));
        let before = verdict(&facts);
        let less: Vec<_> = given.iter().map(String::as_str).filter(|name| *name != taken).collect();
        facts.guest_cpu().features = Some(set(&less));
        prop_assert!(verdict(&facts) >= before);
    }
}
