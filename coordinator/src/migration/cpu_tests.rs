//! CPUs of every mode, with and without libvirt's word.

use vmuster_proto::model::{
    Problem, ProblemKind,
    VerdictKind::{No, Unknown, Yes},
};

use super::*;
use crate::migration::testing::{Facts, facts, features, set, told};

fn custom(model: &str, listed: &[(&str, &str)]) -> Facts {
    let mut facts = facts();
    facts.domain.cpu = Some(CpuDefinition {
        mode: Some("custom".to_owned()),
        model: Some(model.to_owned()),
        features: features(listed),
        ..CpuDefinition::default()
    });
    facts
}

fn kinds(facts: &Facts) -> Vec<VerdictKind> {
    told(cpu, facts).into_iter().map(|said| said.0).collect()
}

fn asked(mut facts: Facts, said: CpuComparison, words: &str) -> Facts {
    facts.target.comparison = Some(Ok((said, words.to_owned())));
    facts
}

#[test]
fn libvirts_word_counts_and_features_are_named() {
    let lacks = custom("Rome", &[("require", "avx512f")]);
    let no = asked(lacks.clone(), CpuComparison::Incompatible, "missing features: avx512f");
    assert_eq!(
        told(cpu, &no),
        [
            (No, "libvirt there says that the host cannot run it: missing features: avx512f".to_owned()),
            (No, "the host cannot give avx512f".to_owned())
        ]
    );
    let yes = custom("Rome", &[("require", "aes")]);
    assert_eq!(told(cpu, &asked(yes.clone(), CpuComparison::Superset, "")), []);
    assert_eq!(
        told(cpu, &asked(custom("Milan", &[]), CpuComparison::Identical, "")),
        [],
        "it knows its models"
    );
    assert_eq!(kinds(&asked(lacks.clone(), CpuComparison::Superset, "")), [Unknown], "they disagree");
    let silent = |mut facts: Facts| {
        let late = Problem::new(ProblemKind::Timeout, "late");
        facts.target.comparison = Some(Err(NoComparison::Unanswered(late)));
        told(cpu, &facts)
    };
    let late = "libvirt there could not compare the CPU (timeout: late)";
    assert_eq!(silent(yes), [(Unknown, late.to_owned())], "what names say is not enough");
    assert_eq!(silent(lacks)[0].0, No, "but it is enough for a no");
    let mut stopped = asked(custom("Milan", &[]), CpuComparison::Incompatible, "missing features: pku");
    stopped.domain.state = Some("shut_off".to_owned());
    assert_eq!(kinds(&stopped), [No, No]);
    stopped.domain.cpu.as_mut().expect("a CPU").check = Some("none".to_owned());
    assert_eq!(kinds(&stopped), [Yes, Yes], "libvirt starts it with less");
    stopped.domain.state = Some("running".to_owned());
    source_gives(&mut stopped, &["pku"]);
    assert_eq!(kinds(&stopped), [No, No], "what it has it must keep");
}

fn source_gives(facts: &mut Facts, features: &[&str]) {
    facts.source_cpu().guest.as_mut().expect("a guest layer").features = Some(set(features));
}

fn with_check(mut facts: Facts, check: &str, state: &str) -> Facts {
    facts.domain.cpu.as_mut().expect("a CPU").check = Some(check.to_owned());
    facts.domain.state = Some(state.to_owned());
    facts
}

#[test]
fn a_name_that_libvirt_does_not_know_starts_nowhere() {
    let stopped =
        |model: &str, listed: &[(&str, &str)]| with_check(custom(model, listed), "none", "shut_off");
    assert_eq!(told(cpu, &stopped("Bogus", &[])), [(No, "libvirt there knows no model Bogus".to_owned())]);
    let strange = told(cpu, &stopped("Rome", &[("require", "bogus-feature")]));
    assert_eq!(strange, [(No, "the host cannot give bogus-feature".to_owned())]);
    let less = "check='none', so it starts with less: the host cannot give avx512f";
    assert_eq!(told(cpu, &stopped("Rome", &[("require", "avx512f")])), [(Yes, less.to_owned())]);
    let taken = "check='none', so libvirt does not look, and takes it from the guest: it must not run where there is aes";
    let mut forbids = asked(stopped("Rome", &[("forbid", "aes")]), CpuComparison::Superset, "");
    assert_eq!(told(cpu, &forbids), [(Yes, taken.to_owned())]);
    forbids.target.comparison =
        Some(Err(NoComparison::Refused("libvirt refuses: Unknown CPU model".to_owned())));
    assert_eq!(told(cpu, &forbids), [(No, "libvirt refuses: Unknown CPU model".to_owned())]);
}

/// As a snapshot shows a running guest without a CPU of its own: QEMU left out what its host has not.
#[test]
fn a_running_guest_that_started_with_less_is_compared_as_it_runs() {
    for check in ["none", "partial"] {
        let guest = with_check(custom("Milan", &[]), check, "running");
        assert_eq!(kinds(&guest), [Yes], "its own host is alike: a note, that names decided");
        let words = asked(guest.clone(), CpuComparison::Incompatible, "missing features: pku");
        assert_eq!(
            kinds(&words),
            [if check == "none" { Yes } else { Unknown }],
            "libvirt compares the definition"
        );
        let old = with_check(custom("Odd", &[]), check, "running");
        assert_eq!(kinds(&old), [Yes], "before libvirt 10 nobody says what a model lacks");
        let mut more = old;
        source_gives(&mut more, &["aes", "pku"]);
        assert_eq!(kinds(&more), [Unknown]);
        let mut had = guest.clone();
        source_gives(&mut had, &["aes", "pku"]);
        let lacks = "its model Milan has pku, which the host cannot give";
        assert_eq!(told(cpu, &had), [(No, lacks.to_owned())]);
        let mut alone = guest;
        alone.source = None;
        let said = told(cpu, &alone);
        assert!(said[0].0 == Unknown && said[0].1.contains("may have started with less"), "{said:?}");
    }
    let full = with_check(custom("Milan", &[]), "full", "running");
    assert_eq!(kinds(&full), [No], "libvirt brought the definition in line");
}

#[test]
fn without_libvirt_names_decide() {
    assert_eq!(kinds(&custom("Rome", &[("require", "aes")])), [Yes], "with a note");
    assert_eq!(kinds(&custom("Rome", &[("require", "avx512f")])), [No]);
    assert_eq!(kinds(&custom("Milan", &[])), [No]);
}

#[test]
fn other_modes() {
    let with_mode = |mode: &str, state: &str| {
        let mut facts = custom("", &[]);
        facts.domain.state = Some(state.to_owned());
        let mode = Some(mode.to_owned());
        facts.domain.cpu = Some(CpuDefinition { mode, ..CpuDefinition::default() });
        facts
    };
    assert_eq!(kinds(&with_mode("host-model", "shut_off")), [Yes]);
    assert_eq!(kinds(&with_mode("host-model", "running")), [Unknown]);
    let mut picky = with_mode("host-model", "shut_off");
    picky.domain.cpu.as_mut().expect("a CPU").features = features(&[("require", "avx512f")]);
    assert_eq!(kinds(&picky), [No]);
    assert_eq!(kinds(&with_mode("quantum", "running")), [Unknown]);
    let mut default = facts();
    default.domain.cpu = None;
    assert_eq!(kinds(&default), [Yes]);
    default.domain.cpu = Some(CpuDefinition::default());
    assert_eq!(kinds(&default), [Yes], "only a layout of memory");
}

#[test]
fn an_invariant_tsc_may_not_move() {
    let tsc = asked(custom("Rome", &[("require", "invtsc")]), CpuComparison::Superset, "");
    let said = told(cpu, &tsc);
    assert!(said.len() == 1 && said[0].0 == Unknown && said[0].1.contains("TSC's frequency"), "{said:?}");
    let mut stopped = tsc;
    stopped.domain.state = Some("shut_off".to_owned());
    assert_eq!(told(cpu, &stopped), []);
}

#[test]
fn facts_of_kvm_say_nothing_of_emulated_guests() {
    let mut facts = custom("Rome", &[("require", "avx512f")]);
    assert!(comparable(&facts.domain, &facts.target.facts()).is_some());
    facts.domain.virt_type = Some("qemu".to_owned());
    assert!(comparable(&facts.domain, &facts.target.facts()).is_none());
    let same = "QEMU computes its CPU, and is 7.2.22 on both hosts";
    assert_eq!(told(cpu, &facts), [(Yes, same.to_owned())]);
    facts.driver().qemu_version = Some("8.0.0".to_owned());
    assert_eq!(kinds(&facts), [Unknown]);
    facts.source = None;
    assert_eq!(kinds(&facts), [Unknown]);
    facts.guest_cpu().virt_type = Some("qemu".to_owned());
    assert_eq!(kinds(&facts), [No], "the host's facts are of emulated guests too");
}

#[test]
fn vendors() {
    let said = |change: fn(&mut Facts)| {
        let mut facts = custom("Rome", &[]);
        change(&mut facts);
        told(vendor, &facts).pop()
    };
    assert_eq!(said(|_| ()), None);
    let intel = said(|facts| facts.domain.cpu.as_mut().expect("a CPU").vendor = Some("Intel".to_owned()));
    assert_eq!(intel, Some((No, "the guest's CPU is made for Intel, and guests there get AMD's".to_owned())));
    assert_eq!(said(|facts| facts.domain.cpu.as_mut().expect("a CPU").vendor = Some("AMD".to_owned())), None);
    let crossed = said(|facts| facts.cpu().vendor = Some("GenuineIntel".to_owned())).expect("a word");
    assert!(crossed.0 == No && crossed.1.contains("no guest moves between them"), "{crossed:?}");
    assert_eq!(said(|facts| facts.cpu().vendor = None).map(|said| said.0), Some(Unknown));
    let stopped = said(|facts| {
        facts.cpu().vendor = Some("GenuineIntel".to_owned());
        facts.domain.state = Some("shut_off".to_owned());
    });
    assert_eq!(stopped, None, "it starts anew");
    let emulated = said(|facts| {
        facts.cpu().vendor = Some("GenuineIntel".to_owned());
        facts.domain.virt_type = Some("qemu".to_owned());
    });
    assert_eq!(emulated, None);
}
