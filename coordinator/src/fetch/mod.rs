//! One question to one agent.
//!
//! Knows how an agent is asked: its turn, connection, deadline that covers the body, size limit, what each failure means and
//! whether to try again. Must not know what is cached. A connection is made for each fetch: with a TTL of a day a pool would only hold memory.

mod cpu;
mod dial;
mod error;
mod gate;
mod limit;
mod retry;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};
use tonic::Request;
use vmuster_proto::{
    convert,
    model::{Inventory, Issue, Problem, Usage},
    pb::{self, agent_service_client::AgentServiceClient},
    transport::{AGENT_REPLY_MAX_BYTES, CONNECT_DEADLINE, DialError, PeerAddress},
};

pub use cpu::CpuRefused;
pub use dial::{Dial, Sockets};
pub use gate::IN_FLIGHT_MAX;
pub use limit::Bounds;

use crate::statistics::Statistics;
use error::FetchError;
use gate::Gate;
use limit::Load;

/// Fetches under way at first. 5,000 pooled connections cost 300 MB in a trial; 64 keep two cores busy.
pub const DEFAULT_CONCURRENCY: usize = 64;

/// One fetch as a whole: connect, collect (a cold host takes a second), receive, and try again.
pub const DEFAULT_HOST_DEADLINE: Duration = Duration::from_secs(5);

/// An agent's answer about its inventory.
#[derive(Debug, Clone, PartialEq)]
pub enum Fetched {
    /// A new one.
    Inventory {
        /// The name the host reports.
        reported_name: String,
        /// Facts.
        inventory: Arc<Inventory>,
        /// What is absent from them.
        issues: Vec<Issue>,
    },
    /// The known fingerprint still holds.
    Unchanged {
        /// The name the host reports.
        reported_name: String,
    },
}

/// An agent's answer about its usage.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchedUsage {
    /// The name the host reports.
    pub reported_name: String,
    /// Figures.
    pub usage: Usage,
    /// What is absent from them.
    pub issues: Vec<Issue>,
    /// The fingerprint of the inventory that still holds; None if it changed.
    pub inventory_fingerprint: Option<String>,
}

/// Asks agents, so many at once.
#[derive(Debug)]
pub struct Fetcher {
    gate: Gate,
    dialer: Arc<dyn Dial>,
    deadline: Duration,
    /// Of the pauses before further attempts.
    chance: Mutex<fastrand::Rng>,
}

impl Fetcher {
    /// As many at once as turns out to be good, around `concurrency` (see [`Bounds::around`]); each within `deadline`.
    #[must_use]
    pub fn new(concurrency: usize, deadline: Duration) -> Self {
        Self::bounded_by(Bounds::around(concurrency), deadline)
    }

    /// As many at once as turns out to be good between these; each within `deadline`.
    #[must_use]
    pub fn bounded_by(bounds: Bounds, deadline: Duration) -> Self {
        let chance = Mutex::new(fastrand::Rng::new());
        Self { gate: Gate::new(bounds), dialer: Arc::new(Sockets), deadline, chance }
    }

    /// On another network than this machine's, and with chance from a seed.
    #[must_use]
    pub fn with_dialer(self, dialer: Arc<dyn Dial>, seed: u64) -> Self {
        Self { dialer, chance: Mutex::new(fastrand::Rng::with_seed(seed)), ..self }
    }

    /// Counts what it does here.
    #[must_use]
    pub fn with_statistics(mut self, statistics: Arc<Statistics>) -> Self {
        self.gate.count_in(statistics);
        self
    }

    /// As long as one fetch may take once it is its turn.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The host's inventory.
    ///
    /// # Errors
    /// Why the agent could not be asked or made no sense.
    pub async fn inventory(
        &self,
        address: &PeerAddress,
        known_fingerprint: &str,
    ) -> Result<Fetched, Problem> {
        let call = || async {
            let request = pb::GetInventoryRequest { known_fingerprint: known_fingerprint.to_owned() };
            let mut client = self.client(address).await?;
            let reply = client.get_inventory(self.request(request)).await.map_err(FetchError::of_status)?;
            decode_inventory(reply.into_inner(), known_fingerprint)
        };
        self.ask(address, call).await
    }

    /// The host's usage now.
    ///
    /// # Errors
    /// Why the agent could not be asked or made no sense.
    pub async fn usage(&self, address: &PeerAddress) -> Result<FetchedUsage, Problem> {
        let call = || async {
            let mut client = self.client(address).await?;
            let request = self.request(pb::GetUsageRequest {});
            let reply = client.get_usage(request).await.map_err(FetchError::of_status)?.into_inner();
            let usage = reply.usage.ok_or(FetchError::Incomplete("usage"))?;
            let inventory_fingerprint = match reply.standing {
                Some(pb::get_usage_response::Standing::InventoryFingerprint(fingerprint)) => {
                    Some(fingerprint)
                }
                Some(pb::get_usage_response::Standing::InventoryChanged(_)) | None => None,
            };
            if reply.name.len() > convert::TEXT_MAX_BYTES {
                return Err(FetchError::Incomplete("a host name of reasonable length"));
            }
            Ok(FetchedUsage {
                reported_name: reply.name,
                usage: usage.try_into().map_err(FetchError::Decode)?,
                issues: convert::issues(reply.issues).map_err(FetchError::Decode)?,
                inventory_fingerprint,
            })
        };
        self.ask(address, call).await
    }

    async fn client(
        &self,
        address: &PeerAddress,
    ) -> Result<AgentServiceClient<tonic::transport::Channel>, FetchError> {
        let deadline = CONNECT_DEADLINE.min(self.deadline);
        let channel = self.dialer.dial(address, deadline).await.map_err(FetchError::Dial)?;
        Ok(AgentServiceClient::new(channel).max_decoding_message_size(AGENT_REPLY_MAX_BYTES))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request
    }

    /// The call and its further attempts, all under one deadline that begins when it is its turn. tonic's own ends at the
    /// headers, and a stalled body would hang on.
    async fn ask<T, C>(&self, address: &PeerAddress, call: impl Fn() -> C) -> Result<T, Problem>
    where
        C: Future<Output = Result<T, FetchError>>,
    {
        let mut began: Option<Instant> = None;
        let mut earlier = None;
        let mut attempt = 0;
        let ended = loop {
            let once = async {
                let start = began.unwrap_or_else(Instant::now);
                if earlier.is_some() && start.elapsed() >= self.deadline {
                    // Its turn came too late: what it failed of before is what is known.
                    return (start, None);
                }
                // On the heap, and only now: a call takes 10 KB, and thousands wait for their turn.
                let answer = timeout_at(start + self.deadline, Box::pin(call())).await;
                (start, Some(answer.unwrap_or(Err(FetchError::TimedOut(self.deadline)))))
            };
            let (start, answer) = self.gate.pass(once, load_of).await;
            began = Some(start);
            let answer = answer.or_else(|| earlier.take().map(Err));
            let answer = answer.unwrap_or(Err(FetchError::TimedOut(self.deadline)));
            let error = match answer {
                Ok(answer) => break Ok(answer),
                Err(error) => error,
            };
            let pause = retry::pause(attempt, self.chance());
            let left = self.deadline.saturating_sub(start.elapsed());
            if !error.is_passing() || attempt >= retry::RETRIES_MAX || pause >= left {
                break Err(error);
            }
            attempt += 1;
            earlier = Some(error);
            self.gate.statistics.fetch_retried();
            sleep(pause).await;
        };
        let took = began.as_ref().map_or(Duration::ZERO, Instant::elapsed);
        match ended {
            Ok(answer) => {
                self.gate.statistics.fetched(took);
                Ok(answer)
            }
            Err(error) => {
                let problem = error.problem(address);
                self.gate.statistics.fetch_failed(problem.kind, took);
                Err(problem)
            }
        }
    }

    /// 0 to 1.
    fn chance(&self) -> f64 {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

/// Only answers tell how fast answers come: a site that refuses is faster than any.
fn load_of<T>(ended: &(Instant, Option<Result<T, FetchError>>), took: Load) -> Option<Load> {
    match &ended.1 {
        Some(Ok(_)) => Some(took),
        Some(Err(FetchError::Dial(DialError::Exhausted { .. }))) => Some(Load::Exhausted),
        _ => None,
    }
}

fn decode_inventory(reply: pb::GetInventoryResponse, known_fingerprint: &str) -> Result<Fetched, FetchError> {
    let reported_name = reply.name;
    if reported_name.len() > convert::TEXT_MAX_BYTES {
        return Err(FetchError::Incomplete("a host name of reasonable length"));
    }
    match reply.outcome {
        Some(pb::get_inventory_response::Outcome::Unchanged(unchanged)) => {
            if known_fingerprint.is_empty() || unchanged.fingerprint != known_fingerprint {
                return Err(FetchError::WrongFingerprint);
            }
            Ok(Fetched::Unchanged { reported_name })
        }
        Some(pb::get_inventory_response::Outcome::Collected(collected)) => {
            let inventory = collected.inventory.ok_or(FetchError::Incomplete("inventory"))?;
            Ok(Fetched::Inventory {
                reported_name,
                inventory: Arc::new(inventory.try_into().map_err(FetchError::Decode)?),
                issues: convert::issues(collected.issues).map_err(FetchError::Decode)?,
            })
        }
        None => Err(FetchError::Incomplete("outcome")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_waits_for_its_turn_takes_little_memory() {
        let fetcher = Fetcher::new(DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE);
        let address: PeerAddress = "127.0.0.1:1".parse().expect("an address");
        assert!(size_of_val(&fetcher.inventory(&address, "")) <= 2048);
        assert!(size_of_val(&fetcher.usage(&address)) <= 2048);
    }
}
