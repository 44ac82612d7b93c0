//! What the registry says of hosts, word for word.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use vmuster_proto::model::{
    Bytes, Freshness, HostOrigin, HostRegistration, HostSettings, HostSummary, Inventory, Ratio, Setting,
    SettingSource,
};

use super::tests::{WIDTH, now, standing};
use crate::{client::HostReport, render::hosts};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn settings() -> HostSettings {
    HostSettings {
        vcpu_ratio: Ratio::from_hundredths(150),
        memory_ratio: Ratio::from_hundredths(100),
        disk_ratio: Ratio::from_hundredths(200),
        reserved_memory_bytes: Bytes(4 << 30),
        reserved_disk_bytes: Bytes(20 << 30),
        dedicated_cpus: "2-7".parse().expect("a list"),
        mixed_numa: false,
        sources: BTreeMap::from([
            (Setting::VcpuRatio, SettingSource::Host),
            (Setting::DiskRatio, SettingSource::Labels(BTreeMap::new())),
            (Setting::ReservedMemoryBytes, SettingSource::Labels(labels(&[("rack", "7"), ("row", "2")]))),
            (Setting::DedicatedCpus, SettingSource::Host),
        ]),
    }
}

pub(super) fn summary(name: &str, freshness: Freshness, maintenance: bool) -> HostSummary {
    HostSummary {
        standing: standing(name, freshness, Some("2026-11-22T19:00:00Z")),
        labels: labels(&[("rack", "7")]),
        maintenance,
        arch: Some("x86_64".to_owned()),
        cpu_vendor: Some("AuthenticAMD".to_owned()),
        cpu_model_name: None,
        socket_count: Some(2),
        core_count: Some(64),
        thread_count: Some(128),
        numa_node_count: Some(2),
        memory_total_bytes: Some(Bytes(512 << 30)),
        host_flag_count: Some(71),
        issue_count: 0,
        origin: Some(HostOrigin::Api),
        settings: Some(settings()),
        last_failure: None,
    }
}

#[test]
fn a_list_marks_maintenance_and_stays_narrow() {
    let hosts = [
        summary("kvm-01", Freshness::Fresh, false),
        summary("kvm-02", Freshness::Fresh, true),
        summary("kvm-03", Freshness::Stale, true),
    ];
    let table = hosts::list_table(&hosts, now(), WIDTH);
    assert!(table.lines().all(|line| line.len() <= usize::from(WIDTH)), "{table}");
    assert_snapshot!(table);
}

#[test]
fn a_host_shows_what_counts_and_who_says_so() {
    let report = |origin, maintenance| HostReport {
        standing: standing("kvm-01", Freshness::Fresh, Some("2026-11-22T19:00:00Z")),
        inventory: Inventory::default(),
        usage: None,
        issues: vec![],
        registration: Some(HostRegistration {
            origin: Some(origin),
            labels: labels(&[("rack", "7"), ("row", "2")]),
            maintenance,
            settings: settings(),
            machine_id: maintenance.then(|| "0123456789abcdef0123456789abcdef".to_owned()),
        }),
    };
    assert_snapshot!("show_api", hosts::show_table(&report(HostOrigin::Api, true), now(), WIDTH));
    let mut file = report(HostOrigin::File, false);
    if let Some(registration) = &mut file.registration {
        registration.labels.clear();
        registration.settings.sources.clear();
    }
    assert_snapshot!("show_file", hosts::show_table(&file, now(), WIDTH));
}

#[test]
fn one_host_as_json() {
    let hosts = [summary("kvm-01", Freshness::Fresh, true)];
    assert_snapshot!(crate::render::json(&hosts::ListDocument::new(&hosts, &[])).expect("JSON"));
}
