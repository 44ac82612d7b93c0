//! How many fetches at once: additive increase, multiplicative decrease. Pure: ends of fetches in, a limit out.
//!
//! What is limited is this machine's work. While answers come as fast as they did, more may be under way; when they come
//! slower because they wait for each other, fewer. The signal is the median of a window, so that a few slow or dead hosts
//! say nothing about the others.

use std::time::Duration;

use super::gate::IN_FLIGHT_MAX;

/// Between these the limit moves, and here it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// At least 1.
    pub min: usize,
    /// At first.
    pub start: usize,
    /// At most.
    pub max: usize,
}

/// A limit that never moves below this: with fewer a handful of slow hosts would hold up all others.
const MIN: usize = 8;

/// How far the limit may rise, in starts: at the default 64 to 256, beyond which two cores gained nothing.
const MAX_FACTOR: usize = 4;

impl Bounds {
    /// Around a start: down to 8, up to four times as many.
    #[must_use]
    pub fn around(start: usize) -> Self {
        let start = start.max(1);
        Self {
            min: MIN.min(start),
            start,
            max: start.saturating_mul(MAX_FACTOR).min(IN_FLIGHT_MAX.max(start)),
        }
    }

    /// A limit that does not move.
    #[must_use]
    pub fn fixed(limit: usize) -> Self {
        let limit = limit.max(1);
        Self { min: limit, start: limit, max: limit }
    }
}

/// How a fetch ended, as far as it says something about this machine's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// The host said something after so long, or nothing for so long.
    Took(Duration),
    /// This machine had no descriptor, port or memory for it.
    Exhausted,
}

/// Ends that make a window, at least; a median of fewer is noise.
const WINDOW_MIN: usize = 16;

/// Added after a window that was as fast as ever.
const INCREASE: usize = 8;

/// Medians up to this many times the fastest are as fast as ever: hosts differ more than that among themselves.
const TOLERANCE: u32 = 2;

/// Added to the tolerance: scheduling alone costs as much, which on a loopback is many times the fastest.
const SLACK: Duration = Duration::from_millis(5);

/// The fastest median is forgotten by a sixteenth a window: a moment of unusual speed is not held against the rest of the
/// day.
const FORGETTING: u32 = 16;

/// Before anything is known, and at most: the time after which a fetch no longer holds a place. With 64 places 1,000 hosts
/// that all hang are then asked within 4 s.
const STALL_MAX: Duration = Duration::from_millis(250);
/// At least: a host that collects anew is not stalled.
const STALL_MIN: Duration = Duration::from_millis(50);
/// In fastest medians.
const STALL_FACTOR: u32 = 8;

/// The limit now.
#[derive(Debug)]
pub(super) struct Limit {
    bounds: Bounds,
    now: usize,
    fastest: Option<Duration>,
    window: Vec<Duration>,
    /// The machine was out of something in this window: that counts once.
    was_exhausted: bool,
    /// The median that made it fall in the window before.
    too_slow: Option<Duration>,
}

impl Limit {
    /// At its start.
    #[must_use]
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            now: bounds.start,
            fastest: None,
            window: Vec::new(),
            was_exhausted: false,
            too_slow: None,
        }
    }

    /// Fetches that may be under way.
    #[must_use]
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// A fetch that takes longer than this waits for its host, not for this machine: it leaves its place to another. So a
    /// hundred hosts that hang do not hold up those that answer.
    #[must_use]
    pub(super) fn stall_after(&self) -> Duration {
        self.fastest.map_or(STALL_MAX, |fastest| (fastest * STALL_FACTOR).clamp(STALL_MIN, STALL_MAX))
    }

    /// Takes note of the end of a fetch.
    pub(super) fn ended(&mut self, load: Load) {
        match load {
            Load::Exhausted if self.was_exhausted => return,
            Load::Exhausted => {
                self.was_exhausted = true;
                self.now = (self.now / 2).max(self.bounds.min);
                return;
            }
            Load::Took(time) => self.window.push(time),
        }
        if self.window.len() < self.now.max(WINDOW_MIN) {
            return;
        }
        let median = self.close_window();
        let fastest = self.fastest.map_or(median, |fastest| (fastest + fastest / FORGETTING).min(median));
        self.fastest = Some(fastest);
        let is_slow = median > fastest * TOLERANCE + SLACK;
        if is_slow && self.too_slow.is_some_and(|before| median > before / 10 * 9) {
            // Fewer were not faster: it is the hosts that have become slower, for good.
            self.fastest = Some(median);
            self.too_slow = None;
        } else if is_slow {
            // Three quarters: one slow window does not undo ten good ones.
            self.now = (self.now - self.now / 4).max(self.bounds.min);
            self.too_slow = Some(median);
        } else {
            self.too_slow = None;
            if !self.was_exhausted {
                self.now = (self.now + INCREASE).min(self.bounds.max);
            }
        }
        self.was_exhausted = false;
    }

    fn close_window(&mut self) -> Duration {
        let middle = self.window.len() / 2;
        let (_, median, _) = self.window.select_nth_unstable(middle);
        let median = *median;
        self.window.clear();
        median
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAST: Duration = Duration::from_millis(10);

    fn after(limit: &mut Limit, windows: usize, load: Load) -> usize {
        for _ in 0..windows {
            for _ in 0..limit.now().max(WINDOW_MIN) {
                limit.ended(load);
            }
        }
        limit.now()
    }

    #[test]
    fn rises_by_steps_while_answers_are_fast_and_falls_by_a_part_when_they_slow_down() {
        let mut limit = Limit::new(Bounds::around(64));
        assert_eq!(after(&mut limit, 1, Load::Took(FAST)), 72);
        assert_eq!(after(&mut limit, 100, Load::Took(FAST)), 256, "its maximum");
        assert_eq!(after(&mut limit, 1, Load::Took(FAST * 3)), 192);
        assert_eq!(after(&mut limit, 1, Load::Took(FAST)), 200);
    }

    #[test]
    fn a_tenth_of_hosts_that_time_out_changes_nothing() {
        let mut limit = Limit::new(Bounds::around(64));
        for i in 0..10_000 {
            let time = if i % 10 == 0 { Duration::from_secs(5) } else { FAST };
            limit.ended(Load::Took(time));
        }
        assert_eq!(limit.now(), 256);
        assert_eq!(limit.stall_after(), Duration::from_millis(80));
    }

    #[test]
    fn a_machine_without_descriptors_asks_half_as_many_once_a_window() {
        let mut limit = Limit::new(Bounds::around(64));
        (0..10).for_each(|_| limit.ended(Load::Exhausted));
        assert_eq!(limit.now(), 32);
        assert_eq!(after(&mut limit, 1, Load::Took(FAST)), 32, "no rise in such a window");
        assert_eq!(after(&mut limit, 1, Load::Took(FAST)), 40);
        for _ in 0..20 {
            limit.ended(Load::Exhausted);
            after(&mut limit, 1, Load::Took(FAST));
        }
        assert_eq!(limit.now(), 8, "its minimum");
    }

    #[test]
    fn a_fleet_that_has_become_slower_for_good_gets_its_places_back() {
        let mut limit = Limit::new(Bounds::around(64));
        assert_eq!(after(&mut limit, 30, Load::Took(FAST)), 256);
        assert_eq!(after(&mut limit, 1, Load::Took(FAST * 50)), 192);
        assert_eq!(after(&mut limit, 1, Load::Took(FAST * 50)), 192, "fewer were not faster");
        assert_eq!(after(&mut limit, 8, Load::Took(FAST * 50)), 256);
    }

    #[test]
    fn where_fetches_wait_for_each_other_it_settles_and_does_not_fall_to_its_minimum() {
        let mut limit = Limit::new(Bounds::around(64));
        let mut seen = Vec::new();
        for _ in 0..400 {
            // Each takes a turn of this machine: the more at once, the longer.
            let waits = Duration::from_millis(limit.now() as u64);
            seen.push(after(&mut limit, 1, Load::Took(waits)));
        }
        let (least, most) = (seen.iter().min().expect("some"), seen.iter().max().expect("some"));
        assert!(*least >= 64 && *most <= 256, "{least} to {most}");
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(
            start in 0_usize..300,
            loads in prop::collection::vec(prop::option::of(0_u64..6000), 0..2000),
        ) {
            for bounds in [Bounds::around(start), Bounds::fixed(start)] {
                let mut limit = Limit::new(bounds);
                for load in &loads {
                    limit.ended(load.map_or(Load::Exhausted, |ms| Load::Took(Duration::from_millis(ms))));
                    prop_assert!((bounds.min..=bounds.max).contains(&limit.now()));
                    prop_assert!(limit.now() >= 1);
                    prop_assert!((STALL_MIN..=STALL_MAX).contains(&limit.stall_after()));
                }
            }
        }
    }
}
