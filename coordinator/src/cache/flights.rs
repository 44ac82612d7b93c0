//! One flight per key however many ask.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::runtime::Handle;

type Flight<V> = Shared<BoxFuture<'static, Option<V>>>;

/// Work under way, by key. A caller that gives up does not end the work for the others: it runs in a task of its own.
#[derive(Debug)]
pub struct Flights<K, V: Clone> {
    under_way: Arc<Mutex<HashMap<K, Flight<V>>>>,
    /// Where the work is done; None: where it is asked for.
    runtime: Option<Handle>,
}

impl<K, V> Default for Flights<K, V>
where
    V: Clone,
{
    fn default() -> Self {
        Self { under_way: Arc::default(), runtime: None }
    }
}

impl<K, V> Flights<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Flights whose work is done there: however much of it there is, who asks for something else does not queue behind it.
    #[must_use]
    pub fn on(runtime: Option<Handle>) -> Self {
        Self { runtime, ..Self::default() }
    }

    /// Joins the flight of this key, or starts `work` as a new one. None if the work panicked.
    pub async fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let flight = {
            // The map is never left half-changed, so a poisoned lock is as good as any.
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            match under_way.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    let flight = self.start(key.clone(), work());
                    under_way.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    fn start(&self, key: K, work: impl Future<Output = V> + Send + 'static) -> Flight<V> {
        let under_way = Arc::clone(&self.under_way);
        let work = async move {
            // A guard, so that a panic in the work also ends the flight.
            let _landing = Landing { under_way, key };
            work.await
        };
        let task = match &self.runtime {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        };
        async move { task.await.ok() }.boxed().shared()
    }
}

struct Landing<K: Eq + Hash, V: Clone> {
    under_way: Arc<Mutex<HashMap<K, Flight<V>>>>,
    key: K,
}

impl<K: Eq + Hash, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_hundred_callers_share_one_flight_and_the_next_starts_anew() {
        let flights = Flights::<&str, usize>::default();
        let count = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Notify::new());
        let work = || {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            async move {
                gate.notified().await;
                count.fetch_add(1, Ordering::SeqCst) + 1
            }
        };
        let callers = futures::future::join_all((0..100).map(|_| flights.join("host", work)));
        let (answers, ()) = futures::join!(callers, async { gate.notify_one() });
        assert_eq!(answers, vec![Some(1); 100]);
        gate.notify_one();
        assert_eq!(flights.join("host", work).await, Some(2));
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_does_not_end_the_flight() {
        let flights = Flights::<&str, u32>::default();
        let gate = Arc::new(Notify::new());
        let work = {
            let gate = Arc::clone(&gate);
            || async move {
                gate.notified().await;
                7
            }
        };
        let mut first = Box::pin(flights.join("host", work));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        gate.notify_one();
        let second = flights.join("host", || async { unreachable!("joins the first") });
        assert_eq!(second.await, Some(7));
    }

    #[tokio::test]
    async fn a_panic_ends_the_flight_for_its_callers_only() {
        let flights = Flights::<&str, u32>::default();
        assert_eq!(flights.join("host", || async { panic!("as meant by this test") }).await, None);
        assert_eq!(flights.join("host", || async { 1 }).await, Some(1));
    }
}
