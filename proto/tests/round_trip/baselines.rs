//! Any baseline.

use proptest::{collection, option, prelude::*};
use vmuster_proto::model::{
    BaselineAnswer, BaselineForms, BaselineVerdict, CpuBaseline, ExceedingDomain, MissingHost, Verdict,
    VerdictSource,
};

use crate::{
    guests::cpu_definition,
    parts::{features, maybe_text, text},
    strategies::{problem, standing},
};

pub(crate) fn baseline_answer() -> impl Strategy<Value = BaselineAnswer> {
    let baselines = collection::vec(baseline(), 0..3);
    let hosts = (collection::vec(standing(), 0..3), collection::vec(missing_host(), 0..3));
    (any::<(bool, u32, u32)>(), baselines, hosts).prop_map(
        |((complete, host_count, fresh_host_count), baselines, (hosts, missing))| BaselineAnswer {
            complete,
            baselines,
            host_count,
            fresh_host_count,
            hosts,
            missing,
        },
    )
}

fn baseline() -> BoxedStrategy<CpuBaseline> {
    let names = || option::of(collection::btree_set(text(), 0..3));
    let what =
        (text(), maybe_text(), collection::vec(text(), 0..3), features(), option::of(cpu_definition()));
    let why = (
        option::of("[a-z]{1,9}"),
        option::of("[a-z]{1,9}"),
        any::<(Option<u32>, Option<u32>)>(),
        names(),
        names(),
    );
    let said = (
        option::of(forms()),
        collection::vec(verdict(), 0..3),
        collection::vec(exceeding(), 0..3),
        collection::vec(missing_host(), 0..2),
        collection::vec(text(), 0..2),
    );
    (what, why, said)
        .prop_map(|((arch, vendor, hosts, features, cpu), why, said)| {
            let (refusal, model_source, (psabi_level, physical_address_bits), machine_types, usable_models) =
                why;
            let (forms, verdicts, exceeding_domains, unseen_domains, notes) = said;
            CpuBaseline {
                arch,
                vendor,
                hosts,
                features,
                cpu,
                refusal,
                model_source,
                psabi_level,
                physical_address_bits,
                machine_types,
                usable_models,
                forms,
                verdicts,
                exceeding_domain_count: 7,
                exceeding_domains,
                unseen_domains,
                notes,
            }
        })
        .boxed()
}

fn forms() -> impl Strategy<Value = BaselineForms> {
    let maybe = || option::of("[a-z]{1,9}");
    (text(), text(), maybe(), text(), maybe()).prop_map(
        |(libvirt_xml, qemu_cpu, proxmox_conf, nova_conf, incus_conf)| BaselineForms {
            libvirt_xml,
            qemu_cpu,
            proxmox_conf,
            nova_conf,
            incus_conf,
        },
    )
}

fn verdict() -> impl Strategy<Value = BaselineVerdict> {
    let said = collection::vec(text(), 0..3).prop_flat_map(|said| {
        prop::sample::select(vec![
            Verdict::Yes,
            Verdict::No { reasons: said.clone() },
            Verdict::Unknown { missing: said },
        ])
    });
    let source = prop::sample::select(vec![VerdictSource::Libvirt, VerdictSource::Features]);
    (text(), source, said).prop_map(|(host, source, verdict)| BaselineVerdict { host, source, verdict })
}

fn exceeding() -> impl Strategy<Value = ExceedingDomain> {
    (text(), text(), text(), text(), features(), text()).prop_map(
        |(host, uuid, name, state, features, detail)| ExceedingDomain {
            host,
            uuid,
            name,
            state,
            features,
            detail,
        },
    )
}

fn missing_host() -> impl Strategy<Value = MissingHost> {
    (text(), problem()).prop_map(|(name, problem)| MissingHost { name, problem })
}
