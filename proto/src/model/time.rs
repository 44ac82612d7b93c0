//! Points in time, to the millisecond.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01 UTC; up to the end of year 9999. JSON: RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// Beyond what RFC 3339 can write: before 1970 or after 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time is before 1970 or after 9999")]
pub struct TimestampOutOfRange;

/// 9999-12-31T23:59:59.999Z.
const MAX_UNIX_MILLIS: u64 = 253_402_300_799_999;

impl Timestamp {
    /// 1970-01-01.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since 1970.
    ///
    /// # Errors
    /// After the end of year 9999.
    pub const fn from_unix_millis(millis: u64) -> Result<Self, TimestampOutOfRange> {
        if millis > MAX_UNIX_MILLIS { Err(TimestampOutOfRange) } else { Ok(Self(millis)) }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to this; None if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_millis)
    }

    /// Later by this much; ends at the last time there is.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(MAX_UNIX_MILLIS))
    }

    /// Earlier by this much; ends at 1970.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = TimestampOutOfRange;

    fn try_from(time: SystemTime) -> Result<Self, Self::Error> {
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| TimestampOutOfRange)?;
        u64::try_from(since.as_millis()).map_err(|_| TimestampOutOfRange).and_then(Self::from_unix_millis)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(time.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, with a fraction only where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            f.pad(&humantime::format_rfc3339_seconds((*self).into()).to_string())
        } else {
            f.pad(&humantime::format_rfc3339_millis((*self).into()).to_string())
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = String;

    /// RFC 3339 in UTC; finer than milliseconds is cut off.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = humantime::parse_rfc3339(text)
            .map_err(|e| format!("'{text}' is not an RFC 3339 time in UTC: {e}"))?;
        Self::try_from(time).map_err(|e| e.to_string())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A hundred years: longer than any wait or age, and far from where times overflow.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a duration: write a number and a unit, as in 500ms, 30s, 5m, 12h or 1day")]
pub struct ParseDurationError(String);

/// A duration as people write it.
///
/// # Errors
/// No number, no unit, or too long.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let parsed = humantime::parse_duration(text).ok().filter(|duration| *duration <= DURATION_MAX);
    parsed.ok_or_else(|| ParseDurationError(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_rfc_3339() {
        let time = Timestamp::from_unix_millis(1_795_378_252_123).expect("in range");
        assert_eq!(time.to_string(), "2026-11-22T20:10:52.123Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let last = Timestamp::EPOCH.saturating_add(Duration::MAX);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(last.to_string().parse(), Ok(last));
        assert_eq!(Timestamp::EPOCH.since(last), None);
        assert_eq!(Timestamp::EPOCH.saturating_sub(Duration::from_secs(1)), Timestamp::EPOCH);
    }
}
