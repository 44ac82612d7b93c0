//! Any settings of hosts.

use std::collections::BTreeMap;

use proptest::{collection, option, prelude::*, sample};
use vmuster_proto::{
    convert::{self, setting},
    model::{
        AllocationSettings, Bytes, HostOrigin, HostRegistration, HostSettings, Ratio, Setting, SettingSource,
    },
    pb,
};

use crate::{
    over_the_wire,
    parts::{bytes, cpu_set, text},
};

fn ratio() -> impl Strategy<Value = Ratio> {
    (1..=10_000_u32).prop_map(Ratio::from_hundredths)
}

prop_compose! {
    fn settings()(ratios in [option::of(ratio()), option::of(ratio()), option::of(ratio())],
        reserved in [bytes(), bytes()], dedicated_cpus in option::of(cpu_set()), mixed_numa: Option<bool>
    ) -> AllocationSettings {
        let ([vcpu_ratio, memory_ratio, disk_ratio], [reserved_memory_bytes, reserved_disk_bytes]) = (ratios, reserved);
        AllocationSettings { vcpu_ratio, memory_ratio, disk_ratio, reserved_memory_bytes, reserved_disk_bytes,
            dedicated_cpus, mixed_numa }
    }
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    collection::btree_map(text(), text(), 0..3)
}

fn source() -> impl Strategy<Value = SettingSource> {
    prop_oneof![Just(SettingSource::Host), labels().prop_map(SettingSource::Labels)]
}

prop_compose! {
    pub fn host_settings()(ratios in [ratio(), ratio(), ratio()], reserved in any::<[u64; 2]>(),
        dedicated_cpus in cpu_set(), mixed_numa: bool,
        sources in collection::btree_map(sample::select(Setting::ALL.to_vec()), source(), 0..7)) -> HostSettings {
        let ([vcpu_ratio, memory_ratio, disk_ratio], [memory, disk]) = (ratios, reserved.map(Bytes));
        HostSettings { vcpu_ratio, memory_ratio, disk_ratio, reserved_memory_bytes: memory, reserved_disk_bytes: disk,
            dedicated_cpus, mixed_numa, sources }
    }
}

pub(crate) fn origin() -> impl Strategy<Value = Option<HostOrigin>> {
    sample::select(vec![None, Some(HostOrigin::File), Some(HostOrigin::Api)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn settings_survive_the_wire_and_json(settings in settings()) {
        let wire: pb::AllocationSettings = (&settings).into();
        prop_assert_eq!(AllocationSettings::try_from(over_the_wire(&wire)), Ok(settings.clone()));
        let json = serde_json::to_string(&settings).expect("serializes");
        prop_assert_eq!(serde_json::from_str::<AllocationSettings>(&json).expect("own JSON"), settings);
    }

    #[test]
    fn registrations_survive_the_wire(origin in origin(), labels in labels(), maintenance: bool, settings in host_settings(), machine_id in option::of("[0-9a-f]{32}")) {
        let registration = HostRegistration { origin, labels, maintenance, settings, machine_id };
        let wire: pb::HostRegistration = (&registration).into();
        prop_assert_eq!(HostRegistration::try_from(over_the_wire(&wire)), Ok(registration));
    }
}

#[test]
fn a_wrong_setting_is_named() {
    let refused =
        |wire: pb::AllocationSettings| AllocationSettings::try_from(wire).expect_err("refused").field;
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 101.0] {
        assert_eq!(
            refused(pb::AllocationSettings { disk_ratio: Some(bad), ..Default::default() }),
            "disk_ratio"
        );
    }
    let cpus = Some("7-2".to_owned());
    assert_eq!(
        refused(pb::AllocationSettings { dedicated_cpus: cpus, ..Default::default() }),
        "dedicated_cpus"
    );
    let bare = pb::HostRegistration { settings: Some(pb::HostSettings::default()), ..Default::default() };
    let error: convert::DecodeError = HostRegistration::try_from(bare).expect_err("refused");
    assert_eq!(error.field, "settings.values");
}

#[test]
fn every_setting_has_its_number() {
    for one in Setting::ALL {
        let number: i32 = pb::AllocationSetting::from(one).into();
        assert_eq!(setting("reset_settings", number), Ok(one));
    }
    assert_eq!(setting("reset_settings", 0).expect_err("unset").field, "reset_settings");
    assert!(setting("reset_settings", 99).is_err());
}
