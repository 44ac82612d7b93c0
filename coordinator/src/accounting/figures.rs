//! One resource of one host in figures.

use serde::{Deserialize, Serialize};
use vmuster_proto::model::Ratio;

use super::{KILO_MEMORY_RATIO, KILO_VCPU_RATIO, MEMORY_RATIO, VCPU_RATIO};

/// By whose rule a host is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What is reserved is never promised: (total − reserved) × ratio. `OpenStack`'s since Placement.
    #[default]
    Standard,
    /// `OpenStack`'s Kilo: total × ratio − reserved, and 16 vCPUs and 1.5 bytes for each.
    Kilo,
}

impl Profile {
    /// vCPUs for each CPU where nobody says otherwise.
    #[must_use]
    pub const fn vcpu_ratio(self) -> Ratio {
        match self {
            Self::Standard => VCPU_RATIO,
            Self::Kilo => KILO_VCPU_RATIO,
        }
    }

    /// Promised memory for each byte where nobody says otherwise.
    #[must_use]
    pub const fn memory_ratio(self) -> Ratio {
        match self {
            Self::Standard => MEMORY_RATIO,
            Self::Kilo => KILO_MEMORY_RATIO,
        }
    }
}

/// What there is of one resource, and what is promised of it: vCPUs, or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// All of it.
    pub total: u64,
    /// Never promised.
    pub reserved: u64,
    /// How often the rest may be promised.
    pub ratio: Ratio,
    /// To guests, in whatever state, and to claims.
    pub promised: u64,
}

impl Figures {
    /// What may be promised in all.
    #[must_use]
    pub fn promisable(&self, profile: Profile) -> u64 {
        match profile {
            Profile::Standard => self.ratio.of(self.total.saturating_sub(self.reserved)),
            Profile::Kilo => self.ratio.of(self.total).saturating_sub(self.reserved),
        }
    }

    /// What is left of what there really is: total − reserved − promised. Below zero where more is promised than there is,
    /// and guests may fit all the same.
    #[must_use]
    pub fn free_physical(&self) -> i64 {
        difference(self.total.saturating_sub(self.reserved), self.promised)
    }

    /// What may still be promised, by which it is decided. Below zero where a ratio was lowered, or a claim forced.
    #[must_use]
    pub fn headroom(&self, profile: Profile) -> i64 {
        difference(self.promisable(profile), self.promised)
    }
}

fn difference(all: u64, part: u64) -> i64 {
    let exact = i128::from(all) - i128::from(part);
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn memory(total: u64, reserved: u64, hundredths: u32, promised: u64) -> Figures {
        let ratio = Ratio::from_hundredths(hundredths);
        Figures { total: total * GIB, reserved: reserved * GIB, ratio, promised: promised * GIB }
    }

    #[test]
    fn a_host_of_100_gib_with_10_reserved_and_half_more_promised() {
        let empty = memory(100, 10, 150, 0);
        assert_eq!(empty.promisable(Profile::Standard), 135 * GIB, "the reserve is kept out of the ratio");
        assert_eq!(empty.promisable(Profile::Kilo), 140 * GIB);
        let full = memory(100, 10, 150, 120);
        assert_eq!(full.free_physical(), -30 * (1 << 30), "more is promised than there is,");
        assert_eq!(
            full.headroom(Profile::Standard),
            15 * (1 << 30),
            "and a guest of 15 GiB fits all the same"
        );
        assert_eq!(full.headroom(Profile::Kilo), 20 * (1 << 30));
    }

    #[test]
    fn a_lowered_ratio_leaves_less_than_nothing() {
        assert_eq!(memory(100, 10, 100, 120).headroom(Profile::Standard), -30 * (1 << 30));
        assert_eq!(memory(1, 2, 100, 0).promisable(Profile::Standard), 0, "a host smaller than its reserve");
        let vast =
            Figures { total: u64::MAX, reserved: 0, ratio: Ratio::from_hundredths(10_000), promised: 0 };
        assert_eq!(vast.headroom(Profile::Standard), i64::MAX, "no sum wraps around");
        let promised = Figures { total: 0, promised: u64::MAX, ..vast };
        assert_eq!(promised.free_physical(), i64::MIN);
    }
}
