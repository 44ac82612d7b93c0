//! The life of a claim: held, confirmed, observed, released.
//!
//! Pure: each function takes a claim and an event and says what it is then. Must not know the clock nor other claims.
//!
//! A claim ends in three ways only: somebody releases it; it was held, its time is over, and an answer to a question asked
//! after that does not show its guest; it was observed, and two answers, asked a minute apart, do not show its guest. Time
//! that passes ends nothing by itself: the host may be silent while the guest is being made.

use std::time::Duration;

use vmuster_proto::model::Timestamp;

use super::claim::{Claim, ClaimState};

/// How long a claim is held where nobody says otherwise: an image can be copied and a guest started in it.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(600);

/// The longest a claim can be held at once. Who needs longer renews it: a caller that died must not hold a host for ever.
pub const HOLD_MAX: Duration = Duration::from_secs(86_400);

/// How long a guest must be missing. In a hard reboot a transient guest is gone for seconds.
pub const MISSING_FOR: Duration = Duration::from_secs(60);

/// A hold that is longer than [`HOLD_MAX`], or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a claim is held for 1 s to {} s, not {} s; renew it while you need it", HOLD_MAX.as_secs(), .0.as_secs())]
pub struct HoldOutOfRange(pub Duration);

/// When a claim that is made or renewed now ends.
///
/// # Errors
/// Less than a second or longer than [`HOLD_MAX`].
pub fn hold_until(now: Timestamp, hold: Option<Duration>) -> Result<Timestamp, HoldOutOfRange> {
    let hold = hold.unwrap_or(DEFAULT_HOLD);
    let in_range = (Duration::from_secs(1)..=HOLD_MAX).contains(&hold);
    if in_range { Ok(now.saturating_add(hold)) } else { Err(HoldOutOfRange(hold)) }
}

/// What a host's answer says of a claim on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// When the question was sent, by this coordinator's clock, less the age the list of guests had when it came: at that
    /// time at the earliest the guest was there or not.
    pub asked_at: Timestamp,
    /// Whether the guest is on the host, running or not.
    pub present: bool,
}

/// What a claim is after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// As it was.
    Same,
    /// This.
    Changed(Box<Claim>),
    /// No more.
    Released,
}

/// Held until then, if that is later than now; others have no end and keep none.
#[must_use]
pub fn renew(claim: &Claim, until: Timestamp) -> Next {
    match (claim.state, claim.expires_at) {
        // Never earlier: a clock that went back must not shorten what was promised.
        (ClaimState::Held, Some(expires_at)) if until > expires_at => {
            Next::Changed(Box::new(Claim { expires_at: Some(until), ..claim.clone() }))
        }
        _ => Next::Same,
    }
}

/// Kept until it is released, or until its guest comes and goes.
#[must_use]
pub fn confirm(claim: &Claim) -> Next {
    match claim.state {
        ClaimState::Held => {
            let confirmed = Claim { state: ClaimState::Confirmed, expires_at: None, ..claim.clone() };
            Next::Changed(Box::new(confirmed))
        }
        ClaimState::Confirmed | ClaimState::Observed => Next::Same,
    }
}

/// What an answer of its host makes of it.
#[must_use]
pub fn seen(claim: &Claim, observation: Observation) -> Next {
    let Observation { asked_at, present } = observation;
    // What was there before the claim says nothing of it.
    if asked_at <= claim.created_at || claim.observed_at.max(claim.first_missing_at) > Some(asked_at) {
        return Next::Same;
    }
    match (claim.state, present) {
        (ClaimState::Held | ClaimState::Confirmed, true) => observed(claim, asked_at),
        (ClaimState::Held, false) => {
            if claim.expires_at.is_some_and(|expires_at| asked_at > expires_at) {
                Next::Released
            } else {
                Next::Same
            }
        }
        (ClaimState::Confirmed, false) => Next::Same,
        (ClaimState::Observed, true) => match claim.first_missing_at {
            Some(_) => observed(claim, asked_at),
            None => Next::Same,
        },
        (ClaimState::Observed, false) => match claim.first_missing_at {
            None => {
                let missing = Claim { first_missing_at: Some(asked_at), ..claim.clone() };
                Next::Changed(Box::new(missing))
            }
            Some(first) if asked_at.since(first).is_some_and(|gone| gone >= MISSING_FOR) => Next::Released,
            Some(_) => Next::Same,
        },
    }
}

fn observed(claim: &Claim, asked_at: Timestamp) -> Next {
    Next::Changed(Box::new(Claim {
        state: ClaimState::Observed,
        expires_at: None,
        observed_at: Some(asked_at),
        first_missing_at: None,
        ..claim.clone()
    }))
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
