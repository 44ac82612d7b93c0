//! ClusterService: the wire on one side, [`Cluster`] on the other.

mod migration;
mod placement;
mod register;
mod request;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status};
use vmuster_proto::{
    convert::{baseline_answer_to_pb, flags_answer_to_pb, issues_to_pb},
    model::HostStanding,
    pb::{self, cluster_service_server::ClusterService},
    transport::{Role, require_role},
};

use crate::{
    cache::{HostView, Outcome, ReadOptions},
    cluster::{BaselineQuestion, Cluster, FlagsQuestion, read_within},
    scheduler::Scheduler,
    status::{cluster_error, invalid, scope_error},
};
pub use placement::{ANSWER_CODEC, PlacementApi};
use request::{flags_detail, flags_layer, max_age, page, scope, time_for_call};

/// Answers schedulers and people.
#[derive(Debug, Clone)]
pub struct ClusterApi {
    cluster: Arc<Cluster>,
    /// Asked for the claims of a host that is removed, or that a guest would move to; None: nobody promises anything here.
    scheduler: Option<Arc<Scheduler>>,
    /// For callers that set no deadline.
    default_deadline: Duration,
}

impl ClusterApi {
    /// An API over this cluster.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, default_deadline: Duration) -> Self {
        Self { cluster, scheduler: None, default_deadline }
    }

    /// Hosts with claims are not removed unless by force, and have no room for guests that would move into what is claimed.
    #[must_use]
    pub fn with_scheduler(self, scheduler: Arc<Scheduler>) -> Self {
        Self { scheduler: Some(scheduler), ..self }
    }

    fn options<T>(
        &self,
        request: &Request<T>,
        age: Option<prost_types::Duration>,
    ) -> Result<ReadOptions, Status> {
        let age = max_age(age).map_err(|error| invalid(&error))?;
        Ok(read_within(age, time_for_call(request.metadata(), self.default_deadline)))
    }
}

type RefreshStream = Pin<Box<dyn Stream<Item = Result<pb::RefreshHostsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ClusterService for ClusterApi {
    type RefreshHostsStream = RefreshStream;

    async fn list_hosts(
        &self,
        request: Request<pb::ListHostsRequest>,
    ) -> Result<Response<pb::ListHostsResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let options = self.options(&request, request.get_ref().max_age)?;
        let message = request.into_inner();
        let (after, page_size) = page(&message).map_err(|error| invalid(&error))?;
        let scope = scope(message.scope).map_err(|error| invalid(&error))?;
        let listed = self.cluster.list(&scope, options, after.as_deref(), page_size).await;
        let (hosts, host_count, next) = listed.map_err(|error| scope_error(&error))?;
        Ok(Response::new(pb::ListHostsResponse {
            hosts: hosts.iter().map(Into::into).collect(),
            next_page_token: next.unwrap_or_default(),
            host_count: u32::try_from(host_count).unwrap_or(u32::MAX),
            issues: issues_to_pb(&self.cluster.issues()),
        }))
    }

    async fn get_host(
        &self,
        request: Request<pb::GetHostRequest>,
    ) -> Result<Response<pb::GetHostResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let options = self.options(&request, request.get_ref().max_age)?;
        let message = request.into_inner();
        let shown = self.cluster.show(&message.name, options, message.include_usage).await;
        let report = shown.map_err(|error| cluster_error(&error))?;
        Ok(Response::new(pb::GetHostResponse {
            standing: Some((&report.view.standing()).into()),
            inventory: report.view.record.as_ref().map(|record| (&*record.inventory).into()),
            usage: report.usage.as_ref().map(Into::into),
            issues: issues_to_pb(&report.issues),
            registration: report.registration.as_ref().map(Into::into),
        }))
    }

    async fn refresh_hosts(
        &self,
        request: Request<pb::RefreshHostsRequest>,
    ) -> Result<Response<RefreshStream>, Status> {
        require_role(&request, Role::Reader)?;
        // Unset means "ask all" here, not the TTL.
        let age = request.get_ref().max_age.unwrap_or_default();
        let options = self.options(&request, Some(age))?;
        let scope = scope(request.into_inner().scope).map_err(|error| invalid(&error))?;
        let (count, views) = self.cluster.refresh(&scope, options).map_err(|error| cluster_error(&error))?;
        let host_count = u32::try_from(count).unwrap_or(u32::MAX);
        let first = pb::RefreshHostsResponse { host_count, ..Default::default() };
        let rest = views.enumerate().map(move |(index, view)| refreshed(index, host_count, &view));
        Ok(Response::new(Box::pin(stream::iter([Ok(first)]).chain(rest.map(Ok)))))
    }

    async fn compute_common_cpu_flags(
        &self,
        request: Request<pb::ComputeCommonCpuFlagsRequest>,
    ) -> Result<Response<pb::ComputeCommonCpuFlagsResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let options = self.options(&request, request.get_ref().max_age)?;
        let message = request.into_inner();
        let layer = flags_layer(&message).map_err(|error| invalid(&error))?;
        let detail = flags_detail(&message).map_err(|error| invalid(&error))?;
        let scope = scope(message.scope).map_err(|error| invalid(&error))?;
        let question = FlagsQuestion { layer, scope, detail };
        let answered = self.cluster.common_flags(&question, options).await;
        let answered = answered.map_err(|error| scope_error(&error))?;
        let (answer, generation) = &*answered;
        if !message.known_generation.is_empty() && message.known_generation == *generation {
            return Ok(Response::new(pb::ComputeCommonCpuFlagsResponse {
                cluster_generation: generation.clone(),
                unchanged: true,
                ..Default::default()
            }));
        }
        Ok(Response::new(flags_answer_to_pb(answer, generation.clone())))
    }

    async fn add_host(
        &self,
        request: Request<pb::AddHostRequest>,
    ) -> Result<Response<pb::AddHostResponse>, Status> {
        require_role(&request, Role::Admin)?;
        register::add(self, request).await
    }

    async fn update_host(
        &self,
        request: Request<pb::UpdateHostRequest>,
    ) -> Result<Response<pb::UpdateHostResponse>, Status> {
        require_role(&request, Role::Admin)?;
        register::update(self, request).await
    }

    async fn remove_host(
        &self,
        request: Request<pb::RemoveHostRequest>,
    ) -> Result<Response<pb::RemoveHostResponse>, Status> {
        require_role(&request, Role::Admin)?;
        register::remove(self, request).await
    }

    async fn compute_cpu_baseline(
        &self,
        request: Request<pb::ClusterServiceComputeCpuBaselineRequest>,
    ) -> Result<Response<pb::ClusterServiceComputeCpuBaselineResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let options = self.options(&request, request.get_ref().max_age)?;
        let message = request.into_inner();
        let scope = scope(message.scope).map_err(|error| invalid(&error))?;
        let (include_domains, verify) = (message.include_domains, message.verify);
        let question = BaselineQuestion { scope, include_domains, verify };
        let answered = self.cluster.baseline(&question, options).await;
        let (answer, generation) = answered.map_err(|error| scope_error(&error))?;
        if !message.known_generation.is_empty() && message.known_generation == generation {
            return Ok(Response::new(pb::ClusterServiceComputeCpuBaselineResponse {
                cluster_generation: generation,
                unchanged: true,
                ..Default::default()
            }));
        }
        Ok(Response::new(baseline_answer_to_pb(&answer, generation)))
    }

    async fn check_migration(
        &self,
        request: Request<pb::CheckMigrationRequest>,
    ) -> Result<Response<pb::CheckMigrationResponse>, Status> {
        require_role(&request, Role::Reader)?;
        migration::check(self, request).await
    }
}

fn refreshed(index: usize, host_count: u32, view: &HostView) -> pb::RefreshHostsResponse {
    let standing: HostStanding = view.standing();
    let outcome = match view.outcome {
        Outcome::Fetched => pb::RefreshOutcome::Fetched,
        Outcome::Unchanged => pb::RefreshOutcome::Unchanged,
        Outcome::StillFresh => pb::RefreshOutcome::StillFresh,
        Outcome::Failed => pb::RefreshOutcome::Failed,
    };
    pb::RefreshHostsResponse {
        done_count: u32::try_from(index + 1).unwrap_or(u32::MAX),
        host_count,
        standing: Some((&standing).into()),
        outcome: outcome.into(),
    }
}
