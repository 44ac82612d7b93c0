//! Whether a record still holds. Pure: times in, verdict out.

use std::time::Duration;

use vmuster_proto::model::Timestamp;

/// A record validated further ahead of the clock than this was written by a wrong clock. NTP steps stay far below.
pub const CLOCK_SKEW_TOLERANCE: Duration = Duration::from_secs(300);

/// How old a record is, against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Younger than the limit.
    Fresh,
    /// As old as the limit, or older; or nobody knows.
    Stale,
    /// Validated at a time that has not come yet.
    FromTheFuture,
}

/// The age of a record validated then, now. `limit` None: never too old; zero: always too old.
#[must_use]
pub fn age(validated_at: Option<Timestamp>, now: Timestamp, limit: Option<Duration>) -> Age {
    let Some(limit) = limit else { return Age::Fresh };
    let Some(validated_at) = validated_at else { return Age::Stale };
    match now.since(validated_at) {
        Some(elapsed) if elapsed < limit => Age::Fresh,
        Some(_) => Age::Stale,
        None => match validated_at.since(now) {
            Some(ahead) if ahead > CLOCK_SKEW_TOLERANCE => Age::FromTheFuture,
            // The clock was set back by at least this much, so the record is at least this old.
            Some(ahead) if ahead < limit => Age::Fresh,
            _ => Age::Stale,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_000_000_000_000 + seconds * 1000).expect("in range")
    }

    #[test]
    fn a_record_holds_until_the_limit() {
        let validated = Some(at(0));
        for (now, limit, expected) in [
            (at(0), DAY, Age::Fresh),
            (at(86_399), DAY, Age::Fresh),
            (at(86_400), DAY, Age::Stale),
            (at(86_401), DAY, Age::Stale),
            (at(10), Duration::from_secs(10), Age::Stale),
            (at(0), Duration::ZERO, Age::Stale),
            (at(5), Duration::ZERO, Age::Stale),
        ] {
            assert_eq!(age(validated, now, Some(limit)), expected, "{now} {limit:?}");
        }
    }

    #[test]
    fn a_clock_set_back_a_little_is_tolerated_and_a_lot_is_not() {
        assert_eq!(age(Some(at(300)), at(0), Some(DAY)), Age::Fresh);
        assert_eq!(age(Some(at(301)), at(0), Some(DAY)), Age::FromTheFuture);
        assert_eq!(age(Some(at(2 * 86_400)), at(0), Some(DAY)), Age::FromTheFuture);
        assert_eq!(age(Some(at(100)), at(0), Some(Duration::ZERO)), Age::Stale);
        assert_eq!(age(Some(at(100)), at(0), Some(Duration::from_secs(100))), Age::Stale);
        assert_eq!(age(Some(at(100)), at(0), Some(Duration::from_secs(101))), Age::Fresh);
    }

    #[test]
    fn saved_snapshots_never_expire_unless_asked() {
        assert_eq!(age(None, at(0), None), Age::Fresh);
        assert_eq!(age(Some(at(0)), at(10_000_000), None), Age::Fresh);
        assert_eq!(age(None, at(0), Some(DAY)), Age::Stale);
    }
}
