//! Which settings count of a host. Pure: what is said in; what counts, and who says it, out.

use std::collections::BTreeMap;

use vmuster_proto::model::{AllocationSettings, HostSettings, Setting, SettingSource};

use crate::accounting::{self, Profile};

/// Settings of all hosts with these labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSettings {
    /// A host must have all of them; empty: every host.
    pub labels: BTreeMap<String, String>,
    /// What is said of it then.
    pub settings: AllocationSettings,
}

impl LabelSettings {
    fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// What counts of a host: its own settings, else those of its labels (the last rule that says one wins), else the default.
#[must_use]
pub fn resolve(
    own: &AllocationSettings,
    labels: &BTreeMap<String, String>,
    rules: &[LabelSettings],
    profile: Profile,
) -> HostSettings {
    let mut sources = BTreeMap::<Setting, SettingSource>::new();
    let mut said = AllocationSettings::default();
    for rule in rules.iter().filter(|rule| rule.fits(labels)) {
        said = rule.settings.over(&said);
        let source = || SettingSource::Labels(rule.labels.clone());
        sources.extend(rule.settings.said().into_iter().map(|setting| (setting, source())));
    }
    let said = own.over(&said);
    sources.extend(own.said().into_iter().map(|setting| (setting, SettingSource::Host)));
    HostSettings {
        vcpu_ratio: said.vcpu_ratio.unwrap_or(profile.vcpu_ratio()),
        memory_ratio: said.memory_ratio.unwrap_or(profile.memory_ratio()),
        disk_ratio: said.disk_ratio.unwrap_or(accounting::DISK_RATIO),
        reserved_memory_bytes: said.reserved_memory_bytes.unwrap_or(accounting::MEMORY_RESERVED),
        reserved_disk_bytes: said.reserved_disk_bytes.unwrap_or(accounting::DISK_RESERVED),
        dedicated_cpus: said.dedicated_cpus.unwrap_or_default(),
        mixed_numa: said.mixed_numa.unwrap_or(false),
        sources,
    }
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::{Bytes, CpuSet, Ratio};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn ratio(hundredths: u32) -> Option<Ratio> {
        Some(Ratio::from_hundredths(hundredths))
    }

    #[test]
    fn what_nobody_says_is_the_default() {
        let counts =
            resolve(&AllocationSettings::default(), &labels(&[("rack", "7")]), &[], Profile::Standard);
        assert_eq!(counts.vcpu_ratio.hundredths(), 400);
        assert_eq!((counts.memory_ratio.hundredths(), counts.disk_ratio.hundredths()), (100, 100));
        assert_eq!(counts.reserved_memory_bytes, Bytes(2 << 30));
        assert_eq!(counts.reserved_disk_bytes, Bytes(20 << 30));
        assert!(counts.dedicated_cpus.is_empty() && !counts.mixed_numa && counts.sources.is_empty());
        let kilo = resolve(&AllocationSettings::default(), &labels(&[]), &[], Profile::Kilo);
        assert_eq!((kilo.vcpu_ratio.hundredths(), kilo.memory_ratio.hundredths()), (1600, 150));
    }

    #[test]
    fn the_hosts_own_word_comes_first_then_the_last_rule_that_fits() {
        let rule = |of: &[(&str, &str)], settings: AllocationSettings| LabelSettings {
            labels: labels(of),
            settings,
        };
        let with = AllocationSettings::default;
        let rules = [
            rule(&[], AllocationSettings { disk_ratio: ratio(300), vcpu_ratio: ratio(100), ..with() }),
            rule(
                &[("rack", "7")],
                AllocationSettings { vcpu_ratio: ratio(200), memory_ratio: ratio(150), ..with() },
            ),
            rule(&[("rack", "7"), ("row", "2")], AllocationSettings { memory_ratio: ratio(120), ..with() }),
            rule(&[("rack", "8")], AllocationSettings { vcpu_ratio: ratio(9900), ..with() }),
        ];
        let own = AllocationSettings {
            dedicated_cpus: Some(CpuSet::default()),
            memory_ratio: ratio(110),
            ..with()
        };
        let seven = labels(&[("rack", "7")]);
        let counts = resolve(&own, &seven, &rules, Profile::Standard);
        assert_eq!(counts.vcpu_ratio.hundredths(), 200, "a later rule over an earlier one");
        assert_eq!(counts.disk_ratio.hundredths(), 300, "a rule without labels is of every host");
        assert_eq!(counts.memory_ratio.hundredths(), 110, "its own");
        let sources = [
            (Setting::VcpuRatio, SettingSource::Labels(seven.clone())),
            (Setting::MemoryRatio, SettingSource::Host),
            (Setting::DiskRatio, SettingSource::Labels(labels(&[]))),
            (Setting::DedicatedCpus, SettingSource::Host),
        ];
        assert_eq!(counts.sources, BTreeMap::from(sources));
        let both = labels(&[("rack", "7"), ("row", "2")]);
        let counts = resolve(&AllocationSettings::default(), &both, &rules, Profile::Standard);
        assert_eq!(counts.memory_ratio.hundredths(), 120, "it needs all of a rule's labels");
    }
}
