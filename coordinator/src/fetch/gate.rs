//! Lets so many fetches through at once as [`Limit`] says.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::limit::{Bounds, Limit, Load};
use crate::statistics::Statistics;

/// Fetches under way, those included that wait for hosts that say nothing. Each holds a descriptor and some 50 KB.
pub const IN_FLIGHT_MAX: usize = 1024;

/// Looks at a fetch until it counts as stalled; with more a timer's resolution of a millisecond would show.
const SLICES: u32 = 5;

#[derive(Debug)]
struct State {
    limit: Limit,
    /// Places that were given out: as many as the limit, but for the debt.
    places: usize,
    /// Places to take back as they become free: the limit fell while they were in use.
    debt: usize,
}

/// Where fetches wait for their turn, first come, first served.
#[derive(Debug)]
pub(super) struct Gate {
    places: Semaphore,
    in_flight: Semaphore,
    in_flight_max: usize,
    /// For their turn.
    waiting: AtomicUsize,
    state: Mutex<State>,
    pub(super) statistics: Arc<Statistics>,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Self {
        let limit = Limit::new(bounds);
        let places = limit.now();
        let in_flight_max = IN_FLIGHT_MAX.max(bounds.max);
        Self {
            places: Semaphore::new(places),
            in_flight: Semaphore::new(in_flight_max),
            in_flight_max,
            waiting: AtomicUsize::new(0),
            state: Mutex::new(State { limit, places, debt: 0 }),
            statistics: Arc::default(),
        }
    }

    /// Does the work when its turn comes. `load_of` says what its end means.
    pub(super) async fn pass<T>(
        &self,
        work: impl Future<Output = T>,
        load_of: impl Fn(&T, Load) -> Option<Load>,
    ) -> T {
        let waiting = Waiting::new(self);
        // Neither semaphore is ever closed.
        let permit = self.places.acquire().await.ok();
        let mut place = Some(Place { gate: self, permit });
        let permit = self.in_flight.acquire().await.ok();
        drop(waiting);
        let in_flight = InFlight { gate: self, permit };
        self.count();
        let (start, stall_after) = (Instant::now(), self.state().limit.stall_after());
        let mut work = pin!(work);
        let ended = match within(stall_after, work.as_mut()).await {
            Some(ended) => ended,
            None => {
                place.take();
                work.await
            }
        };
        if let Some(load) = load_of(&ended, Load::Took(start.elapsed())) {
            self.ended(load);
        }
        drop(place);
        drop(in_flight);
        ended
    }

    /// Counts what it does there.
    pub(super) fn count_in(&mut self, statistics: Arc<Statistics>) {
        self.statistics = statistics;
        self.count();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) {
        let limit = self.state().limit.now();
        let free = self.in_flight.available_permits();
        let waiting = self.waiting.load(Ordering::Relaxed);
        self.statistics.fetching(self.in_flight_max - free, waiting, limit);
    }

    fn ended(&self, load: Load) {
        let mut state = self.state();
        state.limit.ended(load);
        let wanted = state.limit.now();
        let now = state.places - state.debt;
        if wanted > now {
            let forgiven = state.debt.min(wanted - now);
            state.debt -= forgiven;
            let added = wanted - now - forgiven;
            state.places += added;
            self.places.add_permits(added);
        } else {
            let taken = self.places.forget_permits(now - wanted);
            state.places -= taken;
            state.debt += now - wanted - taken;
        }
    }
}

/// The end of the work, if it comes in this much of the time in which this process gets to run: a slice counts as long as it
/// was meant to be, however late it ends. Where the machine is behind with its work hosts are not stalled, and more under way
/// would put it further behind, until all are past their deadlines.
async fn within<W: Future>(patience: Duration, mut work: Pin<&mut W>) -> Option<W::Output> {
    for _ in 0..SLICES {
        if let Ok(ended) = timeout(patience / SLICES, work.as_mut()).await {
            return Some(ended);
        }
    }
    None
}

/// Waits for its turn.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Is under way; counted also when it ends.
struct InFlight<'a> {
    gate: &'a Gate,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.gate.count();
    }
}

/// A place; given back or, if there are too many, taken out.
struct Place<'a> {
    gate: &'a Gate,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.gate.state();
        if state.debt > 0 {
            state.debt -= 1;
            state.places -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        task::JoinSet,
        time::{advance, sleep},
    };

    use super::*;

    const HANGS: Duration = Duration::from_secs(5);

    fn as_it_took<T>(_: &T, took: Load) -> Option<Load> {
        Some(took)
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_that_hang_do_not_hold_up_the_others() {
        let gate = Arc::new(Gate::new(Bounds::fixed(10)));
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for host in 0..110 {
            let gate = Arc::clone(&gate);
            tasks.spawn(async move {
                let time = if host < 100 { HANGS } else { Duration::from_millis(1) };
                gate.pass(async { sleep(time).await }, as_it_took).await;
                (host, start.elapsed())
            });
        }
        let ended = tasks.join_all().await;
        let last = |is_asked: fn(usize) -> bool| {
            ended.iter().filter(|(host, _)| is_asked(*host)).map(|(_, at)| *at).max().expect("some")
        };
        // Ten rounds of a quarter of a second, until all that hang have left their places; not ten of five seconds.
        let (others, hanging) = (last(|host| host >= 100), last(|host| host < 100));
        assert!((2450..2600).contains(&others.as_millis()), "{others:?}");
        assert!((7200..7400).contains(&hanging.as_millis()), "{hanging:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_is_behind_takes_no_host_for_stalled() {
        // Each step of this machine's takes longer than the whole patience: what ends at the fourth is not stalled.
        let mut work = pin!(async {
            for _ in 0..4 {
                advance(HANGS).await;
            }
        });
        assert_eq!(within(Duration::from_millis(50), work.as_mut()).await, Some(()));
        let mut silent = pin!(std::future::pending::<()>());
        assert_eq!(within(Duration::from_millis(50), silent.as_mut()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_at_once_than_the_limit_and_none_is_forgotten() {
        let gate = Arc::new(Gate::new(Bounds { min: 2, start: 8, max: 24 }));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for host in 0..2000_u64 {
            let (gate, now, most) = (Arc::clone(&gate), Arc::clone(&now), Arc::clone(&most));
            tasks.spawn(async move {
                let work = async {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // Fast, then slow, then fast again: the limit rises, falls and rises.
                    sleep(Duration::from_millis(if (500..900).contains(&host) { 60 } else { 5 })).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                };
                let exhausted = host % 97 == 0;
                gate.pass(work, move |(), took| Some(if exhausted { Load::Exhausted } else { took })).await;
            });
        }
        tasks.join_all().await;
        assert!((9..=24).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        let state = gate.state();
        assert_eq!(state.places - state.debt, state.limit.now());
        assert_eq!(gate.places.available_permits(), state.places - state.debt, "all came back");
        assert_eq!(gate.in_flight.available_permits(), gate.in_flight_max);
        let metrics = gate.statistics.text().expect("text");
        for zero in ["vmuster_fetches_in_flight 0\n", "vmuster_fetches_waiting 0\n"] {
            assert!(metrics.contains(zero), "{zero}{metrics}");
        }
    }
}
