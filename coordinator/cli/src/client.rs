//! ClusterService's client, over a socket or in this process. The only place of the CLI that knows the wire.

mod baseline;
mod placement;
mod register;

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use futures::{FutureExt as _, Stream};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Request, Status, Streaming, body::Body};
use tower::{ServiceExt as _, util::BoxCloneSyncService};
use vmuster_coordinator::{
    cluster::Cluster,
    config::Config,
    server::scheduler_of,
    service::{ClusterApi, PlacementApi},
};
use vmuster_proto::{
    convert::{self, DecodeError, duration_to_pb},
    model::{
        FlagsAnswer, HostRegistration, HostStanding, HostSummary, Inventory, Issue, Layer, MigrationAnswer,
        Usage,
    },
    pb::{
        self,
        cluster_service_client::ClusterServiceClient,
        cluster_service_server::ClusterServiceServer,
        placement_service_client::PlacementServiceClient,
        placement_service_server::{PlacementServiceServer, SERVICE_NAME as PLACEMENT},
    },
    transport::{CLUSTER_REPLY_MAX_BYTES, CONNECT_DEADLINE, DialError, Peer, PeerAddress, connect},
};

pub(crate) use baseline::BaselineRequest;
pub(crate) use placement::WantedClaims;
pub(crate) use register::{HostChange, NewHost};

use crate::{args::ScopeArguments, exit::Failure};

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, AnyError>;

/// Longer than any TTL: "whatever the coordinator takes for fresh".
const ANY_AGE: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Somebody who answers questions about the cluster.
#[derive(Clone)]
pub(crate) struct Client {
    rpc: ClusterServiceClient<Transport>,
    placement: PlacementServiceClient<Transport>,
    timeout: Duration,
    /// When the command must have its answer, however many calls it takes.
    deadline: Instant,
    /// Whether it is worth showing how far it is.
    progress: bool,
}

/// One host in full.
pub(crate) struct HostReport {
    pub(crate) standing: HostStanding,
    pub(crate) inventory: Inventory,
    pub(crate) usage: Option<Usage>,
    pub(crate) issues: Vec<Issue>,
    /// None: it is in no registry.
    pub(crate) registration: Option<HostRegistration>,
}

/// The hosts in scope.
pub(crate) struct HostList {
    pub(crate) hosts: Vec<HostSummary>,
    /// What is wrong with the coordinator itself.
    pub(crate) issues: Vec<Issue>,
}

/// One step of a refresh.
pub(crate) struct Refreshed {
    pub(crate) done: u32,
    pub(crate) of: u32,
    /// None in the first step.
    pub(crate) host: Option<(HostStanding, &'static str)>,
}

/// A question about flags.
pub(crate) struct FlagsRequest<'a> {
    pub(crate) layer: Layer,
    pub(crate) scope: &'a ScopeArguments,
    pub(crate) absent: bool,
    /// What the others would gain without these.
    pub(crate) without: &'a [String],
    /// 0: do not divide.
    pub(crate) suggest_parts_max: u32,
}

/// A guest that may move.
pub(crate) enum Guest {
    /// On a host.
    Domain { host: String, domain: String },
    /// By its definition.
    Xml(String),
}

impl Client {
    /// To a coordinator.
    pub(crate) async fn connect(address: &PeerAddress, timeout: Duration) -> Result<Self, Failure> {
        let deadline = Instant::now() + timeout;
        match connect(address, CONNECT_DEADLINE.min(timeout)).await {
            Ok(channel) => {
                Ok(Self::over(BoxCloneSyncService::new(channel.map_err(AnyError::from)), timeout, deadline))
            }
            Err(error @ DialError::Denied { .. }) => Err(Failure::denied(error)),
            Err(error) => Err(Failure::cannot_answer(format!(
                "{error}. Is the coordinator running? Name another with --coordinator, or ask with --agents or --snapshots"
            ))),
        }
    }

    /// In this process, as its own administrator.
    pub(crate) fn embedded(cluster: Arc<Cluster>, timeout: Duration) -> Self {
        // Nothing is promised without a coordinator that keeps it.
        let scheduler = scheduler_of(&Config::default(), &cluster, None);
        let placement = PlacementServiceServer::new(PlacementApi::new(scheduler, timeout))
            .max_encoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        let server = ClusterServiceServer::new(ClusterApi::new(cluster, timeout))
            .max_encoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        let service = tower::service_fn(move |mut request: http::Request<Body>| {
            request.extensions_mut().insert(Peer::own_process());
            let is_placement = request.uri().path().split('/').nth(1) == Some(PLACEMENT);
            if is_placement {
                placement.clone().oneshot(request).left_future()
            } else {
                server.clone().oneshot(request).right_future()
            }
        });
        let deadline = Instant::now() + timeout;
        Self::over(BoxCloneSyncService::new(service.map_err(AnyError::from)), timeout, deadline)
    }

    fn over(transport: Transport, timeout: Duration, deadline: Instant) -> Self {
        let placement =
            PlacementServiceClient::new(transport.clone()).max_decoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        let rpc = ClusterServiceClient::new(transport).max_decoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        Self { rpc, placement, timeout, deadline, progress: true }
    }

    /// Whether to show how far it is, where somebody looks.
    pub(crate) fn set_progress(&mut self, progress: bool) {
        self.progress = progress;
    }

    pub(crate) fn shows_progress(&self) -> bool {
        self.progress
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline.saturating_duration_since(Instant::now()));
        request
    }

    /// The whole call under one deadline, body included.
    async fn bounded<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Failure> {
        match timeout_at(self.deadline, call).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(status)) if matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded) => {
                Err(self.timed_out())
            }
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(self.timed_out()),
        }
    }

    fn timed_out(&self) -> Failure {
        timed_out(self.timeout)
    }

    pub(crate) async fn flags(
        &mut self,
        question: &FlagsRequest<'_>,
        max_age: Option<Duration>,
    ) -> Result<FlagsAnswer, Failure> {
        let request = self.request(pb::ComputeCommonCpuFlagsRequest {
            layer: pb::CpuFeatureLayer::from(question.layer).into(),
            scope: Some(scope(question.scope)?),
            max_age: max_age.map(duration_to_pb),
            include_hosts: true,
            include_absent: question.absent,
            known_generation: String::new(),
            without: question.without.to_vec(),
            suggest_parts_max: question.suggest_parts_max,
        });
        let mut rpc = self.rpc.clone();
        let reply = self.bounded(rpc.compute_common_cpu_flags(request)).await?;
        FlagsAnswer::try_from(reply.into_inner()).map_err(nonsense)
    }

    /// All pages.
    pub(crate) async fn list(
        &mut self,
        wanted: &ScopeArguments,
        max_age: Option<Duration>,
    ) -> Result<HostList, Failure> {
        let mut hosts = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = self.request(pb::ListHostsRequest {
                scope: Some(scope(wanted)?),
                max_age: max_age.map(duration_to_pb),
                page_size: 0,
                page_token,
            });
            let mut rpc = self.rpc.clone();
            let page = self.bounded(rpc.list_hosts(request)).await?.into_inner();
            for host in page.hosts {
                hosts.push(HostSummary::try_from(host).map_err(nonsense)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                let issues = convert::issues(page.issues).map_err(nonsense)?;
                return Ok(HostList { hosts, issues });
            }
        }
    }

    pub(crate) async fn show(
        &mut self,
        host: &str,
        max_age: Option<Duration>,
    ) -> Result<HostReport, Failure> {
        let max_age = max_age.map(duration_to_pb);
        let request =
            self.request(pb::GetHostRequest { name: host.to_owned(), max_age, include_usage: true });
        let mut rpc = self.rpc.clone();
        let reply = self.bounded(rpc.get_host(request)).await?.into_inner();
        let lacks =
            |field: &str| Failure::cannot_answer(format!("the answer makes no sense: it lacks {field}"));
        let standing = reply.standing.ok_or_else(|| lacks("standing"))?;
        let inventory = reply.inventory.ok_or_else(|| lacks("inventory"))?;
        Ok(HostReport {
            standing: standing.try_into().map_err(nonsense)?,
            inventory: inventory.try_into().map_err(nonsense)?,
            usage: reply.usage.map(Usage::try_from).transpose().map_err(nonsense)?,
            issues: convert::issues(reply.issues).map_err(nonsense)?,
            registration: reply.registration.map(HostRegistration::try_from).transpose().map_err(nonsense)?,
        })
    }

    pub(crate) async fn check_migration(
        &mut self,
        guest: Guest,
        candidates: &ScopeArguments,
        max_age: Option<Duration>,
    ) -> Result<MigrationAnswer, Failure> {
        use pb::check_migration_request::Guest as Asked;
        let guest = match guest {
            Guest::Domain { host, domain } => Asked::Domain(pb::DomainOfHost { host, domain }),
            Guest::Xml(xml) => Asked::DomainXml(xml),
        };
        let request = self.request(pb::CheckMigrationRequest {
            guest: Some(guest),
            scope: Some(scope(candidates)?),
            max_age: max_age.map(duration_to_pb),
        });
        let mut rpc = self.rpc.clone();
        let reply = self.bounded(rpc.check_migration(request)).await?;
        MigrationAnswer::try_from(reply.into_inner()).map_err(nonsense)
    }

    /// Asks hosts again that are at least `max_age` old (None: whatever the coordinator takes for stale).
    pub(crate) async fn refresh(
        &mut self,
        wanted: &ScopeArguments,
        max_age: Option<Duration>,
    ) -> Result<impl Stream<Item = Result<Refreshed, Failure>> + Unpin + use<>, Failure> {
        let max_age = Some(duration_to_pb(max_age.unwrap_or(ANY_AGE)));
        let request = self.request(pb::RefreshHostsRequest { scope: Some(scope(wanted)?), max_age });
        let mut rpc = self.rpc.clone();
        let steps = self.bounded(rpc.refresh_hosts(request)).await?.into_inner();
        let (timeout, deadline) = (self.timeout, self.deadline);
        let next = move |mut steps: Streaming<pb::RefreshHostsResponse>| async move {
            let step = match timeout_at(deadline, steps.message()).await {
                Ok(Ok(None)) => return None,
                Ok(Ok(Some(step))) => refreshed(step),
                Ok(Err(status)) => Err(status.into()),
                Err(_) => Err(timed_out(timeout)),
            };
            Some((step, steps))
        };
        Ok(Box::pin(futures::stream::unfold(steps, next)))
    }
}

fn timed_out(timeout: Duration) -> Failure {
    let seconds = timeout.as_secs_f32();
    Failure::cannot_answer(format!("no answer within {seconds} s; allow more time with --timeout"))
}

fn refreshed(step: pb::RefreshHostsResponse) -> Result<Refreshed, Failure> {
    let outcome = match step.outcome() {
        pb::RefreshOutcome::Fetched => "fetched",
        pb::RefreshOutcome::Unchanged => "unchanged",
        pb::RefreshOutcome::StillFresh => "still_fresh",
        pb::RefreshOutcome::Failed => "failed",
        pb::RefreshOutcome::Unspecified => "",
    };
    let standing = step.standing.map(HostStanding::try_from).transpose().map_err(nonsense)?;
    Ok(Refreshed { done: step.done_count, of: step.host_count, host: standing.map(|host| (host, outcome)) })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn nonsense(error: DecodeError) -> Failure {
    Failure::cannot_answer(format!("the answer makes no sense: {error}"))
}

fn scope(arguments: &ScopeArguments) -> Result<pb::HostScope, Failure> {
    let mut labels = BTreeMap::new();
    for (key, value) in &arguments.labels {
        if labels.insert(key.clone(), value.clone()).is_some_and(|other| other != *value) {
            return Err(Failure::usage(format!("no host can have two values of label '{key}'; give one")));
        }
    }
    Ok(pb::HostScope {
        names: arguments.hosts.clone(),
        labels: labels.into_iter().collect(),
        exclude: arguments.exclude.clone(),
        arch: arguments.arch.clone().unwrap_or_default(),
    })
}
