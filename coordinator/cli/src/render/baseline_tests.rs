//! Baselines as their readers see them.

use std::collections::BTreeSet;

use vmuster_proto::model::{
    BaselineAnswer, BaselineVerdict, CpuBaseline, CpuDefinition, CpuFeature, ExceedingDomain, FeatureSet,
    Freshness, HostStanding, MissingHost, Problem, ProblemKind, Verdict, VerdictSource,
};

use crate::{args::BaselineOutput, commands::baseline::show, exit::Exit};

use super::baseline::table;

fn set(names: &[&str]) -> FeatureSet {
    FeatureSet::from_names(names.iter().copied()).expect("valid")
}

fn cpu() -> CpuDefinition {
    let feature =
        |(policy, name): (&str, &str)| CpuFeature { name: name.to_owned(), policy: Some(policy.to_owned()) };
    let features = [
        ("require", "amd-ssbd"),
        ("require", "cmp_legacy"),
        ("require", "hypervisor"),
        ("disable", "monitor"),
        ("require", "nrip-save"),
        ("require", "tsc-deadline"),
        ("require", "tsc_adjust"),
        ("require", "x2apic"),
    ];
    CpuDefinition {
        mode: Some("custom".to_owned()),
        r#match: Some("exact".to_owned()),
        check: Some("full".to_owned()),
        model: Some("EPYC".to_owned()),
        fallback: Some("forbid".to_owned()),
        vendor: Some("AMD".to_owned()),
        features: features.into_iter().map(feature).collect(),
        ..CpuDefinition::default()
    }
}

fn verdict(host: &str, source: VerdictSource, verdict: Verdict) -> BaselineVerdict {
    BaselineVerdict { host: host.to_owned(), source, verdict }
}

fn guest(name: &str, features: &[&str], detail: &str) -> ExceedingDomain {
    ExceedingDomain {
        host: "kvm-02".to_owned(),
        uuid: "6f1d2c3b-0000-4000-8000-000000000001".to_owned(),
        name: name.to_owned(),
        state: "running".to_owned(),
        features: set(features),
        detail: detail.to_owned(),
    }
}

fn baseline() -> CpuBaseline {
    let (forms, notes) = vmuster_coordinator::baseline::forms(&cpu());
    CpuBaseline {
        arch: "x86_64".to_owned(),
        vendor: Some("AuthenticAMD".to_owned()),
        hosts: ["kvm-01", "kvm-02", "kvm-03"].map(str::to_owned).to_vec(),
        features: set(&["aes", "avx", "avx2", "fpu"]),
        cpu: Some(cpu()),
        model_source: Some("libvirt 9.0.0 on kvm-01".to_owned()),
        psabi_level: Some(3),
        physical_address_bits: Some(48),
        machine_types: Some(BTreeSet::from(["pc-q35-7.2".to_owned()])),
        forms: Some(forms),
        verdicts: vec![
            verdict("kvm-01", VerdictSource::Libvirt, Verdict::Yes),
            verdict(
                "kvm-02",
                VerdictSource::Libvirt,
                Verdict::No { reasons: vec!["the CPU is incompatible with host CPU: Host CPU does not provide required features: amd-ssbd".to_owned()] },
            ),
            verdict(
                "kvm-03",
                VerdictSource::Libvirt,
                Verdict::Unknown { missing: vec!["kvm-03:8470: connection refused".to_owned()] },
            ),
        ],
        exceeding_domain_count: 2,
        exceeding_domains: vec![
            guest("db", &["avx512f", "avx512dq"], ""),
            guest("web", &[], "it has its host's own CPU"),
        ],
        notes,
        ..CpuBaseline::default()
    }
}

fn answer(baselines: Vec<CpuBaseline>) -> BaselineAnswer {
    BaselineAnswer {
        complete: true,
        baselines,
        host_count: 3,
        fresh_host_count: 3,
        ..BaselineAnswer::default()
    }
}

fn other_vendor() -> CpuBaseline {
    CpuBaseline {
        vendor: Some("GenuineIntel".to_owned()),
        hosts: vec!["kvm-09".to_owned()],
        verdicts: vec![verdict("kvm-09", VerdictSource::Features, Verdict::Yes)],
        exceeding_domains: Vec::new(),
        ..baseline()
    }
}

#[test]
fn a_table_at_80_columns() {
    insta::assert_snapshot!(table(&answer(vec![baseline()]), 80));
}

#[test]
fn what_others_read() {
    let one = answer(vec![CpuBaseline { verdicts: Vec::new(), ..baseline() }]);
    let outputs = [
        BaselineOutput::Xml,
        BaselineOutput::Qemu,
        BaselineOutput::Proxmox,
        BaselineOutput::Nova,
        BaselineOutput::Incus,
        BaselineOutput::Json,
    ];
    let shown = outputs.map(|output| {
        let answered = show(&one, output).expect("shown");
        format!("--- {output:?}, exit {}\n{}", answered.exit().code(), answered.text)
    });
    insta::assert_snapshot!(shown.join(""));
}

#[test]
fn several_vendors_have_no_baseline_in_common() {
    let mixed = answer(vec![CpuBaseline { verdicts: Vec::new(), ..baseline() }, other_vendor()]);
    let answered = show(&mixed, BaselineOutput::Table).expect("shown");
    assert_eq!(answered.exit(), Exit::No);
    assert!(
        answered.notes.iter().any(|note| note.starts_with("no common guest baseline: x86_64 hosts are of"))
    );
    insta::assert_snapshot!(answered.text);
    let plain = show(&mixed, BaselineOutput::Xml).expect("shown");
    assert_eq!((plain.text.as_str(), plain.exit()), ("", Exit::No));
}

#[test]
fn what_is_not_known_is_told() {
    let refused = CpuBaseline {
        arch: "aarch64".to_owned(),
        hosts: vec!["arm-01".to_owned()],
        refusal: Some("libvirt makes no CPU baseline for aarch64 guests".to_owned()),
        ..CpuBaseline::default()
    };
    let one = show(&answer(vec![refused.clone()]), BaselineOutput::Table).expect("shown");
    assert_eq!(
        (one.exit(), one.text.as_str()),
        (Exit::No, "aarch64 (vendor not known), arm-01: no baseline\n")
    );
    assert_eq!(one.notes, ["no baseline for arm-01: libvirt makes no CPU baseline for aarch64 guests"]);
    let two = show(&answer(vec![refused, baseline()]), BaselineOutput::Nova).expect("shown");
    assert_eq!((two.exit(), two.text.as_str()), (Exit::Usage, ""));
    let problem = Problem::new(ProblemKind::Unreachable, "connection refused");
    let gone = |name: &str| MissingHost { name: name.to_owned(), problem: problem.clone() };
    let stale = HostStanding {
        name: "kvm-01".to_owned(),
        address: String::new(),
        reported_name: String::new(),
        freshness: Freshness::Stale,
        fetched_at: None,
        validated_at: None,
        collected_at: None,
        problem: Some(problem.clone()),
    };
    let mut partial = answer(vec![CpuBaseline {
        unseen_domains: vec![gone("kvm-02"), gone("kvm-03")],
        verdicts: Vec::new(),
        notes: Vec::new(),
        ..baseline()
    }]);
    partial.missing = vec![gone("kvm-04")];
    partial.hosts = vec![stale];
    let answered = show(&partial, BaselineOutput::Qemu).expect("shown");
    assert_eq!(answered.exit(), Exit::Incomplete);
    insta::assert_snapshot!(answered.notes.join("\n"));
}
