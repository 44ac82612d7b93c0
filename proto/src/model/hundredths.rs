//! Figures the kernel prints with two decimals.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A figure that the kernel prints with two decimals, load averages and pressure, kept exactly. JSON and wire: the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hundredths(pub u32);

/// Not a figure with two decimals in range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a number from 0 to 42949672.95 with two decimals")]
pub struct ParseHundredthsError(String);

impl Hundredths {
    /// As a number.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// From a number, rounded to hundredths; None if it is negative, too large or none at all.
    #[must_use]
    pub fn from_f64(number: f64) -> Option<Self> {
        let hundredths = (number * 100.0).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range: just checked")]
        (0.0..=f64::from(u32::MAX)).contains(&hundredths).then_some(Self(hundredths as u32))
    }
}

impl FromStr for Hundredths {
    type Err = ParseHundredthsError;

    /// "0.52": the kernel prints two decimals, always.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (whole, decimals) = text.split_once('.')?;
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number(whole) || !is_number(decimals) || decimals.len() != 2 {
                return None;
            }
            let hundredths = whole.parse::<u32>().ok()?.checked_mul(100)?;
            hundredths.checked_add(decimals.parse().ok()?).map(Self)
        };
        read().ok_or_else(|| ParseHundredthsError(text.to_owned()))
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:02}", self.0 / 100, self.0 % 100))
    }
}

impl Serialize for Hundredths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }
}

impl<'de> Deserialize<'de> for Hundredths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::from_f64(number)
            .ok_or_else(|| serde::de::Error::custom(ParseHundredthsError(number.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_prints_and_nothing_else() {
        assert_eq!("0.52".parse(), Ok(Hundredths(52)));
        assert_eq!("1234.00".parse(), Ok(Hundredths(123_400)));
        for bad in ["", "1", "1.", ".5", "0.5", "0.525", "-0.50", "+1.00", "99999999.00", "NaN"] {
            assert!(bad.parse::<Hundredths>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_figure_survives_as_a_number() {
        for figure in [0, 1, 29, 57, 99, 100, 12_345, u32::MAX].map(Hundredths) {
            assert_eq!(Hundredths::from_f64(figure.to_f64()), Some(figure));
        }
        for bad in [f64::NAN, f64::INFINITY, -0.1, 5e7] {
            assert_eq!(Hundredths::from_f64(bad), None, "{bad}");
        }
    }
}
