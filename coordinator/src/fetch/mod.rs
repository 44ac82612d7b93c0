//! One question to one agent.
//!
//! Knows how an agent is asked: connection, deadline that covers the body, size limit, and what each failure means. Must
//! not know what is cached. A connection is made for each fetch: with a TTL of a day a pool would only hold memory.

mod cpu;
mod error;

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};
use tonic::Request;
use vmuster_proto::{
    convert,
    model::{Inventory, Issue, Problem, Usage},
    pb::{self, agent_service_client::AgentServiceClient},
    transport::{AGENT_REPLY_MAX_BYTES, CONNECT_DEADLINE, PeerAddress, connect},
};

use crate::statistics::Statistics;
pub use cpu::CpuRefused;
use error::FetchError;

/// Fetches under way at once. 5,000 pooled connections cost 300 MB in a trial; 64 keep two cores busy.
pub const DEFAULT_CONCURRENCY: usize = 64;

/// One fetch as a whole: connect, collect (a cold host takes a second), receive.
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
    permits: Semaphore,
    deadline: Duration,
    statistics: Arc<Statistics>,
}

impl Fetcher {
    /// At most `concurrency` (at least 1) at once, each within `deadline`.
    #[must_use]
    pub fn new(concurrency: usize, deadline: Duration) -> Self {
        Self { permits: Semaphore::new(concurrency.max(1)), deadline, statistics: Arc::default() }
    }

    /// Counts what it does here.
    #[must_use]
    pub fn with_statistics(self, statistics: Arc<Statistics>) -> Self {
        Self { statistics, ..self }
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
        let call = async {
            let request = pb::GetInventoryRequest { known_fingerprint: known_fingerprint.to_owned() };
            let mut client = self.client(address).await?;
            let reply = client.get_inventory(self.request(request)).await.map_err(FetchError::Status)?;
            decode_inventory(reply.into_inner(), known_fingerprint)
        };
        self.bounded(address, call).await
    }

    /// The host's usage now.
    ///
    /// # Errors
    /// Why the agent could not be asked or made no sense.
    pub async fn usage(&self, address: &PeerAddress) -> Result<FetchedUsage, Problem> {
        let call = async {
            let mut client = self.client(address).await?;
            let request = self.request(pb::GetUsageRequest {});
            let reply = client.get_usage(request).await.map_err(FetchError::Status)?.into_inner();
            let usage = reply.usage.ok_or(FetchError::Incomplete("usage"))?;
            let inventory_fingerprint = match reply.standing {
                Some(pb::get_usage_response::Standing::InventoryFingerprint(fingerprint)) => {
                    Some(fingerprint)
                }
                Some(pb::get_usage_response::Standing::InventoryChanged(_)) | None => None,
            };
            Ok(FetchedUsage {
                usage: usage.try_into().map_err(FetchError::Decode)?,
                issues: convert::issues(reply.issues).map_err(FetchError::Decode)?,
                inventory_fingerprint,
            })
        };
        self.bounded(address, call).await
    }

    async fn client(
        &self,
        address: &PeerAddress,
    ) -> Result<AgentServiceClient<tonic::transport::Channel>, FetchError> {
        let channel =
            connect(address, CONNECT_DEADLINE.min(self.deadline)).await.map_err(FetchError::Dial)?;
        Ok(AgentServiceClient::new(channel).max_decoding_message_size(AGENT_REPLY_MAX_BYTES))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request
    }

    /// The whole call under one deadline: tonic's own ends at the headers, and a stalled body would hang on.
    async fn bounded<T>(
        &self,
        address: &PeerAddress,
        call: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, Problem> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let ended = timeout(self.deadline, call).await;
        ended.unwrap_or(Err(FetchError::TimedOut(self.deadline))).map_err(|error| error.problem(address))
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
