//! Amounts of memory and disk.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A number of bytes. JSON and wire: the plain integer; [`fmt::Display`]: binary units for humans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Suffixes and their powers of 1024, largest first.
const UNITS: [(&str, u32); 6] = [("EiB", 6), ("PiB", 5), ("TiB", 4), ("GiB", 3), ("MiB", 2), ("KiB", 1)];

impl Bytes {
    /// From the kernel's "kB", which are units of 1024 bytes. None on overflow.
    #[must_use]
    pub const fn from_kib(kib: u64) -> Option<Self> {
        match kib.checked_mul(1024) {
            Some(bytes) => Some(Self(bytes)),
            None => None,
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = UNITS.iter().find(|(_, power)| self.0 >= 1u64 << (10 * power));
        let Some((suffix, power)) = largest else { return f.pad(&format!("{} B", self.0)) };
        let unit = 1u128 << (10 * power);
        // Tenths by integers, rounded down: a host never looks larger than it is.
        let tenths = u128::from(self.0) * 10 / unit;
        f.pad(&format!("{}.{} {suffix}", tenths / 10, tenths % 10))
    }
}

/// Text that is not an amount of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a size: write bytes, or a number with KiB, MiB, GiB, TiB, PiB or EiB (K, M, G, T, P, E mean the same)"
)]
pub struct ParseBytesError(String);

impl FromStr for Bytes {
    type Err = ParseBytesError;

    /// "1073741824", "1GiB", "1G", "1 g": binary units only, whole numbers only.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseBytesError(text.to_owned());
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (digits, suffix) = trimmed.split_at(end);
        let number: u64 = digits.parse().map_err(|_| error())?;
        let suffix = suffix.trim();
        let power = if suffix.is_empty() || suffix.eq_ignore_ascii_case("b") {
            0
        } else {
            let named =
                |name: &str| suffix.eq_ignore_ascii_case(name) || suffix.eq_ignore_ascii_case(&name[..1]);
            UNITS.iter().find(|(name, _)| named(name)).map(|(_, power)| *power).ok_or_else(error)?
        };
        number.checked_mul(1u64 << (10 * power)).map(Self).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_binary_units_rounded_down() {
        let shown = |n: u64| Bytes(n).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1024), "1.0 KiB");
        assert_eq!(shown(1024 * 1024 - 1), "1023.9 KiB");
        assert_eq!(shown(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn reads_sizes_and_refuses_the_rest() {
        assert_eq!("2G".parse(), Ok(Bytes(2 << 30)));
        assert_eq!(" 512 MiB ".parse(), Ok(Bytes(512 << 20)));
        assert_eq!("17".parse(), Ok(Bytes(17)));
        for bad in ["", "G", "1.5G", "-1", "1GB", "16E", "99999999999999999999"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kernel_kilobytes_overflow_is_none() {
        assert_eq!(Bytes::from_kib(4), Some(Bytes(4096)));
        assert_eq!(Bytes::from_kib(u64::MAX / 2), None);
    }
}
