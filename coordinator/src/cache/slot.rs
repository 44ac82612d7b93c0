//! What memory holds of a host, and when one that failed is asked again. Pure: times in, verdict out.

use std::{sync::Arc, time::Duration};

use vmuster_proto::model::{Problem, Timestamp};

use super::HostRecord;

/// The longest pause, in first pauses: a host that is down for days costs one fetch every 40 s at the default of 5 s, and
/// one that comes back is not kept out for longer than an operator waits.
const PAUSE_MAX_FACTOR: u32 = 8;

#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// The store was looked at, or a flight ended, which knows better.
    pub(super) loaded: bool,
    pub(super) record: Option<Arc<HostRecord>>,
    pub(super) failure: Option<Failure>,
}

/// The last flight of a host, which failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When it ended, by the cache's clock.
    pub when: Timestamp,
    /// Who was asked: another address, or another machine, may do better.
    pub target: String,
    /// Why.
    pub problem: Problem,
    /// Flights to this target that failed one after another, at least 1.
    pub consecutive_count: u32,
}

impl Failure {
    /// A flight that failed after this one.
    #[must_use]
    pub fn after(earlier: Option<Self>, when: Timestamp, target: String, problem: Problem) -> Self {
        let before = earlier.filter(|earlier| earlier.target == target);
        let consecutive_count = before.map_or(0, |before| before.consecutive_count).saturating_add(1);
        Self { when, target, problem, consecutive_count }
    }

    /// How long the host is left alone yet: `first` after one failure, twice as long after each further one, up to eight
    /// times. A clock that was set back says nothing about the host, so it is asked.
    #[must_use]
    pub fn pause_left(&self, first: Duration, now: Timestamp) -> Duration {
        let doubled = 1_u32.checked_shl(self.consecutive_count.saturating_sub(1)).unwrap_or(PAUSE_MAX_FACTOR);
        let pause = first.saturating_mul(doubled.min(PAUSE_MAX_FACTOR));
        now.since(self.when).map_or(Duration::ZERO, |elapsed| pause.saturating_sub(elapsed))
    }
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::ProblemKind;

    use super::*;

    const FIRST: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_000_000_000_000 + seconds * 1000).expect("in range")
    }

    fn failing(times: u32) -> Failure {
        let problem = || Problem::new(ProblemKind::Timeout, "no answer");
        let once = |earlier, _| Some(Failure::after(earlier, at(0), "a:1".to_owned(), problem()));
        (0..times).fold(None, once).expect("at least once")
    }

    #[test]
    fn a_host_that_goes_on_failing_is_left_alone_for_longer_and_never_for_long() {
        for (times, seconds) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 40), (1000, 40)] {
            assert_eq!(failing(times).pause_left(FIRST, at(0)), Duration::from_secs(seconds), "{times}");
            assert_eq!(failing(times).pause_left(FIRST, at(seconds - 1)), Duration::from_secs(1));
            assert_eq!(failing(times).pause_left(FIRST, at(seconds)), Duration::ZERO);
        }
        assert_eq!(failing(9).pause_left(Duration::ZERO, at(0)), Duration::ZERO);
    }

    #[test]
    fn a_clock_set_back_or_another_address_forgets_earlier_failures() {
        let earlier = failing(3);
        let before = Timestamp::from_unix_millis(999_999_999_999).expect("in range");
        assert_eq!(earlier.pause_left(FIRST, before), Duration::ZERO);
        let elsewhere = Failure::after(Some(earlier.clone()), at(9), "b:1".to_owned(), earlier.problem);
        assert_eq!(elsewhere.consecutive_count, 1);
    }
}
