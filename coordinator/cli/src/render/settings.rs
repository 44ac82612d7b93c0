//! What the registry says of a host.

use vmuster_proto::model::{HostRegistration, Setting, SettingSource};

use super::hosts::Facts;

pub(super) fn describe(registration: &HostRegistration, facts: &mut Facts) {
    let HostRegistration { origin, labels, maintenance, settings, machine_id } = registration;
    facts.value("Registered by", *origin);
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
    facts.text("Labels", Some(&labels).filter(|labels| !labels.is_empty()));
    facts.value("Maintenance", Some(if *maintenance { "on: no new guests are placed on it" } else { "off" }));
    facts.text("Only machine", machine_id.as_ref());
    let source = |setting: Setting| match settings.sources.get(&setting) {
        None => "default".to_owned(),
        Some(SettingSource::Host) => "its own".to_owned(),
        Some(SettingSource::Labels(labels)) if labels.is_empty() => "hosts file, all hosts".to_owned(),
        Some(SettingSource::Labels(labels)) => {
            let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("label {}", labels.join(" "))
        }
    };
    let cpus = if settings.dedicated_cpus.is_empty() {
        "none".to_owned()
    } else {
        settings.dedicated_cpus.to_string()
    };
    for (name, setting, value) in [
        ("vCPU ratio", Setting::VcpuRatio, settings.vcpu_ratio.to_string()),
        ("Memory ratio", Setting::MemoryRatio, settings.memory_ratio.to_string()),
        ("Disk ratio", Setting::DiskRatio, settings.disk_ratio.to_string()),
        ("Reserved memory", Setting::ReservedMemoryBytes, settings.reserved_memory_bytes.to_string()),
        ("Reserved disk", Setting::ReservedDiskBytes, settings.reserved_disk_bytes.to_string()),
        ("Dedicated CPUs", Setting::DedicatedCpus, cpus),
        (
            "Mixed NUMA",
            Setting::MixedNuma,
            if settings.mixed_numa { "on".to_owned() } else { "off".to_owned() },
        ),
    ] {
        facts.value(name, Some(format!("{value} ({})", source(setting))));
    }
}
