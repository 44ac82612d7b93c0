//! Wall-clock time as an argument: decisions take a [`Timestamp`], whoever runs them holds a [`Clock`].

use std::{sync::Arc, time::SystemTime};

use crate::model::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// The wall-clock time now. May go backwards.
    fn now(&self) -> Timestamp;
}

/// A clock that is passed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    fn now(&self) -> Timestamp {
        // A clock set before 1970 is as good as 1970: everything validated later is then from the future, hence stale.
        Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::EPOCH)
    }
}
