//! How much of a host may be promised to guests, and who says so.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Bytes, CpuSet};

/// How often what a host has may be promised, in hundredths: an integer, so that what fits is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

/// `OpenStack`'s largest default is 16. A hundred guests' CPUs on one are a slip of the hand.
const RATIO_MAX_HUNDREDTHS: u32 = 10_000;

/// A number that is no ratio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a ratio: a number from 0.01 to 100 with at most two decimals")]
pub struct InvalidRatio(String);

impl Ratio {
    /// A ratio of so many hundredths. For constants: one that is out of range becomes the nearest.
    #[must_use]
    pub const fn from_hundredths(hundredths: u32) -> Self {
        match hundredths {
            0 => Self(1),
            1..=RATIO_MAX_HUNDREDTHS => Self(hundredths),
            _ => Self(RATIO_MAX_HUNDREDTHS),
        }
    }

    /// In hundredths.
    #[must_use]
    pub const fn hundredths(self) -> u32 {
        self.0
    }

    /// As a number.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// So much of this amount, rounded down.
    #[must_use]
    pub fn of(self, amount: u64) -> u64 {
        u64::try_from(u128::from(amount) * u128::from(self.0) / 100).unwrap_or(u64::MAX)
    }
}

impl TryFrom<f64> for Ratio {
    type Error = InvalidRatio;

    fn try_from(number: f64) -> Result<Self, InvalidRatio> {
        let refused = || InvalidRatio(number.to_string());
        let hundredths = (number * 100.0).round();
        if !(1.0..=f64::from(RATIO_MAX_HUNDREDTHS)).contains(&hundredths) {
            return Err(refused());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range: just checked")]
        let ratio = Self(hundredths as u32);
        // What was written is what counts: 1.005 is refused, not rounded.
        if (ratio.to_f64() - number).abs() < 1e-9 { Ok(ratio) } else { Err(refused()) }
    }
}

impl FromStr for Ratio {
    type Err = InvalidRatio;

    fn from_str(text: &str) -> Result<Self, InvalidRatio> {
        let number = text.trim().parse::<f64>().map_err(|_| InvalidRatio(format!("'{text}'")))?;
        Self::try_from(number)
    }
}

impl fmt::Display for Ratio {
    /// "4", "1.5", "0.75".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_f64().to_string())
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What somebody says of a host; None: nothing. Fields are explained in cluster_service.proto.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct AllocationSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpu_ratio: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_ratio: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_ratio: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_memory_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_disk_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedicated_cpus: Option<CpuSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixed_numa: Option<bool>,
}

impl AllocationSettings {
    /// Those that are said.
    #[must_use]
    pub fn said(&self) -> Vec<Setting> {
        let is_said = |setting: &Setting| match setting {
            Setting::VcpuRatio => self.vcpu_ratio.is_some(),
            Setting::MemoryRatio => self.memory_ratio.is_some(),
            Setting::DiskRatio => self.disk_ratio.is_some(),
            Setting::ReservedMemoryBytes => self.reserved_memory_bytes.is_some(),
            Setting::ReservedDiskBytes => self.reserved_disk_bytes.is_some(),
            Setting::DedicatedCpus => self.dedicated_cpus.is_some(),
            Setting::MixedNuma => self.mixed_numa.is_some(),
        };
        Setting::ALL.into_iter().filter(is_said).collect()
    }

    /// Without one of them.
    pub fn clear(&mut self, setting: Setting) {
        match setting {
            Setting::VcpuRatio => self.vcpu_ratio = None,
            Setting::MemoryRatio => self.memory_ratio = None,
            Setting::DiskRatio => self.disk_ratio = None,
            Setting::ReservedMemoryBytes => self.reserved_memory_bytes = None,
            Setting::ReservedDiskBytes => self.reserved_disk_bytes = None,
            Setting::DedicatedCpus => self.dedicated_cpus = None,
            Setting::MixedNuma => self.mixed_numa = None,
        }
    }

    /// These, and where they say nothing, the others.
    #[must_use]
    pub fn over(&self, others: &Self) -> Self {
        Self {
            vcpu_ratio: self.vcpu_ratio.or(others.vcpu_ratio),
            memory_ratio: self.memory_ratio.or(others.memory_ratio),
            disk_ratio: self.disk_ratio.or(others.disk_ratio),
            reserved_memory_bytes: self.reserved_memory_bytes.or(others.reserved_memory_bytes),
            reserved_disk_bytes: self.reserved_disk_bytes.or(others.reserved_disk_bytes),
            dedicated_cpus: self.dedicated_cpus.clone().or_else(|| others.dedicated_cpus.clone()),
            mixed_numa: self.mixed_numa.or(others.mixed_numa),
        }
    }
}

/// One of [`AllocationSettings`]' fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields' names")]
pub enum Setting {
    VcpuRatio,
    MemoryRatio,
    DiskRatio,
    ReservedMemoryBytes,
    ReservedDiskBytes,
    DedicatedCpus,
    MixedNuma,
}

impl Setting {
    /// All, in the fields' order.
    pub const ALL: [Self; 7] = [
        Self::VcpuRatio,
        Self::MemoryRatio,
        Self::DiskRatio,
        Self::ReservedMemoryBytes,
        Self::ReservedDiskBytes,
        Self::DedicatedCpus,
        Self::MixedNuma,
    ];
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::VcpuRatio => "vcpu_ratio",
            Self::MemoryRatio => "memory_ratio",
            Self::DiskRatio => "disk_ratio",
            Self::ReservedMemoryBytes => "reserved_memory_bytes",
            Self::ReservedDiskBytes => "reserved_disk_bytes",
            Self::DedicatedCpus => "dedicated_cpus",
            Self::MixedNuma => "mixed_numa",
        })
    }
}

/// Where a setting comes from that is no default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingSource {
    /// Said of this host.
    Host,
    /// Said in the hosts file of all hosts with these labels; of all hosts, if there are none.
    Labels(BTreeMap<String, String>),
}

/// What counts of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct HostSettings {
    pub vcpu_ratio: Ratio,
    pub memory_ratio: Ratio,
    pub disk_ratio: Ratio,
    pub reserved_memory_bytes: Bytes,
    pub reserved_disk_bytes: Bytes,
    pub dedicated_cpus: CpuSet,
    pub mixed_numa: bool,
    /// Of those that are not defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<Setting, SettingSource>,
}

/// Who says that a host is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostOrigin {
    /// The coordinator's hosts file.
    File,
    /// `AddHost`.
    Api,
}

impl fmt::Display for HostOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::File => "hosts file",
            Self::Api => "vmuster hosts add",
        })
    }
}

/// What the registry says of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in cluster_service.proto")]
pub struct HostRegistration {
    pub origin: Option<HostOrigin>,
    pub labels: BTreeMap<String, String>,
    pub maintenance: bool,
    pub settings: HostSettings,
    pub machine_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_what_was_written() {
        for (text, hundredths, shown) in [
            ("4", 400, "4"),
            ("1.5", 150, "1.5"),
            ("0.01", 1, "0.01"),
            ("16.0", 1600, "16"),
            ("100", 10_000, "100"),
        ] {
            let ratio: Ratio = text.parse().expect("a ratio");
            assert_eq!((ratio.hundredths(), ratio.to_string().as_str()), (hundredths, shown));
        }
        for bad in ["", "x", "0", "-1", "100.01", "1.005", "NaN", "inf", "1e9"] {
            assert!(bad.parse::<Ratio>().is_err(), "{bad}");
        }
        for hundredths in 1..=RATIO_MAX_HUNDREDTHS {
            assert_eq!(Ratio::try_from(Ratio(hundredths).to_f64()), Ok(Ratio(hundredths)));
        }
        assert_eq!(Ratio(150).of(3), 4, "rounded down");
        assert_eq!(Ratio(400).of(u64::MAX), u64::MAX);
    }

    #[test]
    fn what_is_said_can_be_cleared_and_covers_the_rest() {
        let all = AllocationSettings {
            vcpu_ratio: Some(Ratio(400)),
            memory_ratio: Some(Ratio(100)),
            disk_ratio: Some(Ratio(100)),
            reserved_memory_bytes: Some(Bytes(1)),
            reserved_disk_bytes: Some(Bytes(2)),
            dedicated_cpus: Some(CpuSet::default()),
            mixed_numa: Some(false),
        };
        assert_eq!(all.said(), Setting::ALL);
        for setting in Setting::ALL {
            let mut cleared = all.clone();
            cleared.clear(setting);
            assert_eq!(cleared.said().len(), Setting::ALL.len() - 1);
            assert_eq!(cleared.over(&all), all);
            assert_eq!(serde_json::to_value(setting).expect("JSON"), setting.to_string());
        }
    }
}
