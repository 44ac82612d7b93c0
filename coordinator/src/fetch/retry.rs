//! When a host is asked once more. Pure: chance in, pause out.

use std::time::Duration;

/// Further attempts: an agent that is being restarted is back within half a second or not for a while.
pub(super) const RETRIES_MAX: u32 = 2;

/// Before the first of them, at most; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Before the attempt of this number (0 is the first further one): half to all of the pause, by chance (0 to 1), so that a
/// thousand hosts of a switch that came back are not asked in step.
pub(super) fn pause(attempt: u32, chance: f64) -> Duration {
    let most = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
    most.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_spread() {
        assert_eq!(pause(0, 0.0), Duration::from_millis(50));
        assert_eq!(pause(0, 1.0), Duration::from_millis(100));
        assert_eq!(pause(1, 0.0), Duration::from_millis(100));
        assert_eq!(pause(1, 1.0), Duration::from_millis(200));
        assert_eq!(pause(1, 7.0), Duration::from_millis(200));
    }
}
