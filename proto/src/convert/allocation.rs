//! How much of a host may be promised, and who says so.

use super::{DecodeError, LIST_MAX, cpus, optional_text, section, text_map};
use crate::{
    model::{
        AllocationSettings, Bytes, HostOrigin, HostRegistration, HostSettings, Ratio, Setting, SettingSource,
    },
    pb,
};

pub(super) fn origin_to_pb(origin: Option<HostOrigin>) -> pb::HostOrigin {
    match origin {
        None => pb::HostOrigin::Unspecified,
        Some(HostOrigin::File) => pb::HostOrigin::File,
        Some(HostOrigin::Api) => pb::HostOrigin::Api,
    }
}

pub(super) fn origin(origin: pb::HostOrigin) -> Option<HostOrigin> {
    match origin {
        pb::HostOrigin::Unspecified => None,
        pb::HostOrigin::File => Some(HostOrigin::File),
        pb::HostOrigin::Api => Some(HostOrigin::Api),
    }
}

impl From<&AllocationSettings> for pb::AllocationSettings {
    fn from(settings: &AllocationSettings) -> Self {
        Self {
            vcpu_ratio: settings.vcpu_ratio.map(Ratio::to_f64),
            memory_ratio: settings.memory_ratio.map(Ratio::to_f64),
            disk_ratio: settings.disk_ratio.map(Ratio::to_f64),
            reserved_memory_bytes: settings.reserved_memory_bytes.map(|bytes| bytes.0),
            reserved_disk_bytes: settings.reserved_disk_bytes.map(|bytes| bytes.0),
            dedicated_cpus: settings.dedicated_cpus.as_ref().map(ToString::to_string),
            mixed_numa: settings.mixed_numa,
        }
    }
}

impl TryFrom<pb::AllocationSettings> for AllocationSettings {
    type Error = DecodeError;

    fn try_from(settings: pb::AllocationSettings) -> Result<Self, DecodeError> {
        Ok(Self {
            vcpu_ratio: ratio("vcpu_ratio", settings.vcpu_ratio)?,
            memory_ratio: ratio("memory_ratio", settings.memory_ratio)?,
            disk_ratio: ratio("disk_ratio", settings.disk_ratio)?,
            reserved_memory_bytes: settings.reserved_memory_bytes.map(Bytes),
            reserved_disk_bytes: settings.reserved_disk_bytes.map(Bytes),
            dedicated_cpus: cpus("dedicated_cpus", settings.dedicated_cpus.as_deref())?,
            mixed_numa: settings.mixed_numa,
        })
    }
}

fn ratio(field: &str, number: Option<f64>) -> Result<Option<Ratio>, DecodeError> {
    number.map(|number| Ratio::try_from(number).map_err(|e| DecodeError::new(field, e))).transpose()
}

impl From<Setting> for pb::AllocationSetting {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::VcpuRatio => Self::VcpuRatio,
            Setting::MemoryRatio => Self::MemoryRatio,
            Setting::DiskRatio => Self::DiskRatio,
            Setting::ReservedMemoryBytes => Self::ReservedMemoryBytes,
            Setting::ReservedDiskBytes => Self::ReservedDiskBytes,
            Setting::DedicatedCpus => Self::DedicatedCpus,
            Setting::MixedNuma => Self::MixedNuma,
        }
    }
}

/// A setting from the wire.
///
/// # Errors
/// Not set, or not known.
pub fn setting(field: &str, number: i32) -> Result<Setting, DecodeError> {
    let refused = || DecodeError::new(field, format!("{number} is not a setting"));
    match pb::AllocationSetting::try_from(number).map_err(|_| refused())? {
        pb::AllocationSetting::Unspecified => Err(refused()),
        pb::AllocationSetting::VcpuRatio => Ok(Setting::VcpuRatio),
        pb::AllocationSetting::MemoryRatio => Ok(Setting::MemoryRatio),
        pb::AllocationSetting::DiskRatio => Ok(Setting::DiskRatio),
        pb::AllocationSetting::ReservedMemoryBytes => Ok(Setting::ReservedMemoryBytes),
        pb::AllocationSetting::ReservedDiskBytes => Ok(Setting::ReservedDiskBytes),
        pb::AllocationSetting::DedicatedCpus => Ok(Setting::DedicatedCpus),
        pb::AllocationSetting::MixedNuma => Ok(Setting::MixedNuma),
    }
}

impl From<&HostSettings> for pb::HostSettings {
    fn from(settings: &HostSettings) -> Self {
        let values = pb::AllocationSettings {
            vcpu_ratio: Some(settings.vcpu_ratio.to_f64()),
            memory_ratio: Some(settings.memory_ratio.to_f64()),
            disk_ratio: Some(settings.disk_ratio.to_f64()),
            reserved_memory_bytes: Some(settings.reserved_memory_bytes.0),
            reserved_disk_bytes: Some(settings.reserved_disk_bytes.0),
            dedicated_cpus: Some(settings.dedicated_cpus.to_string()),
            mixed_numa: Some(settings.mixed_numa),
        };
        let sources = settings.sources.iter().map(|(setting, source)| pb::SettingSource {
            setting: pb::AllocationSetting::from(*setting).into(),
            own: *source == SettingSource::Host,
            labels: match source {
                SettingSource::Host => Default::default(),
                SettingSource::Labels(labels) => labels.clone().into_iter().collect(),
            },
        });
        Self { values: Some(values), sources: sources.collect() }
    }
}

impl TryFrom<pb::HostSettings> for HostSettings {
    type Error = DecodeError;

    fn try_from(settings: pb::HostSettings) -> Result<Self, DecodeError> {
        let unset = |field: &str| DecodeError::new(field, "not set");
        let values = settings.values.ok_or_else(|| unset("values"))?;
        let values = AllocationSettings::try_from(values).map_err(|e| e.within("values"))?;
        if settings.sources.len() > LIST_MAX {
            return Err(DecodeError::new("sources", format!("{} entries", settings.sources.len())));
        }
        let mut sources = std::collections::BTreeMap::new();
        for (i, source) in settings.sources.into_iter().enumerate() {
            // A setting that only a newer coordinator knows is none of those above either.
            let Ok(setting) = setting("setting", source.setting) else { continue };
            let from = if source.own {
                SettingSource::Host
            } else {
                let labels = text_map("labels", source.labels).map_err(|e| e.at("sources", i))?;
                SettingSource::Labels(labels)
            };
            sources.insert(setting, from);
        }
        Ok(Self {
            vcpu_ratio: values.vcpu_ratio.ok_or_else(|| unset("values.vcpu_ratio"))?,
            memory_ratio: values.memory_ratio.ok_or_else(|| unset("values.memory_ratio"))?,
            disk_ratio: values.disk_ratio.ok_or_else(|| unset("values.disk_ratio"))?,
            reserved_memory_bytes: values
                .reserved_memory_bytes
                .ok_or_else(|| unset("values.reserved_memory_bytes"))?,
            reserved_disk_bytes: values
                .reserved_disk_bytes
                .ok_or_else(|| unset("values.reserved_disk_bytes"))?,
            dedicated_cpus: values.dedicated_cpus.ok_or_else(|| unset("values.dedicated_cpus"))?,
            mixed_numa: values.mixed_numa.ok_or_else(|| unset("values.mixed_numa"))?,
            sources,
        })
    }
}

impl From<&HostRegistration> for pb::HostRegistration {
    fn from(registration: &HostRegistration) -> Self {
        Self {
            origin: origin_to_pb(registration.origin).into(),
            labels: registration.labels.clone().into_iter().collect(),
            maintenance: registration.maintenance,
            settings: Some((&registration.settings).into()),
            machine_id: registration.machine_id.clone(),
        }
    }
}

impl TryFrom<pb::HostRegistration> for HostRegistration {
    type Error = DecodeError;

    fn try_from(registration: pb::HostRegistration) -> Result<Self, DecodeError> {
        Ok(Self {
            origin: origin(registration.origin()),
            labels: text_map("labels", registration.labels)?,
            maintenance: registration.maintenance,
            settings: section("settings", registration.settings)?
                .ok_or_else(|| DecodeError::new("settings", "not set"))?,
            machine_id: optional_text("machine_id", registration.machine_id)?,
        })
    }
}
