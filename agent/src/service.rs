//! AgentService: the wire on one side, the collector's thread on the other.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tonic::{Code, Request, Response, Status};
use vmuster_proto::{
    convert::issues_to_pb,
    pb::{
        self, agent_service_server::AgentService, get_inventory_response::Outcome,
        get_usage_response::Standing,
    },
    transport::{Role, error_status, require_role},
};

use crate::{
    collector_thread::{CollectError, CollectorThread},
    cpu_questions::{CpuError, CpuQuestions},
    snapshot::InventoryStanding,
};

/// Calls answered, for tests and, later, metrics.
#[derive(Debug, Default)]
pub struct CallCounters {
    /// GetInventory answered with a body.
    pub inventories: AtomicU64,
    /// GetInventory answered with "unchanged".
    pub unchanged: AtomicU64,
    /// GetUsage.
    pub usages: AtomicU64,
}

/// Answers coordinators.
#[derive(Debug, Clone)]
pub struct AgentApi {
    thread: CollectorThread,
    cpus: CpuQuestions,
    calls: Arc<CallCounters>,
}

impl AgentApi {
    /// An API over this thread and these answers about CPUs.
    #[must_use]
    pub fn new(thread: CollectorThread, cpus: CpuQuestions) -> Self {
        Self { thread, cpus, calls: Arc::default() }
    }

    /// Calls answered so far.
    #[must_use]
    pub fn calls(&self) -> Arc<CallCounters> {
        Arc::clone(&self.calls)
    }
}

fn collect_error(error: CollectError) -> Status {
    let (code, reason) = match error {
        CollectError::TimedOut(_) => (Code::DeadlineExceeded, "COLLECTION_TIMED_OUT"),
        CollectError::Busy => (Code::ResourceExhausted, "TOO_MANY_QUESTIONS"),
        CollectError::Ended => (Code::Internal, "COLLECTOR_ENDED"),
    };
    tracing::error!(%error, reason, "cannot collect");
    error_status(code, error.to_string(), reason)
}

fn cpu_error(error: &CpuError) -> Status {
    let (code, reason) = match error {
        CpuError::Invalid { .. } | CpuError::Count(_) | CpuError::Different(_) => {
            (Code::InvalidArgument, "INVALID_CPU")
        }
        CpuError::Refused(_) => (Code::FailedPrecondition, "CPU_REFUSED"),
        CpuError::Unavailable(_) => (Code::Unavailable, "HYPERVISOR_UNAVAILABLE"),
        CpuError::Busy => (Code::ResourceExhausted, "TOO_MANY_QUESTIONS"),
    };
    error_status(code, error.to_string(), reason)
}

#[tonic::async_trait]
impl AgentService for AgentApi {
    async fn get_inventory(
        &self,
        request: Request<pb::GetInventoryRequest>,
    ) -> Result<Response<pb::GetInventoryResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let collected = self.thread.inventory().await.map_err(collect_error)?;
        let fingerprint = &collected.inventory.fingerprint;
        let known = &request.get_ref().known_fingerprint;
        let outcome = if !known.is_empty() && known == fingerprint {
            self.calls.unchanged.fetch_add(1, Ordering::Relaxed);
            Outcome::Unchanged(pb::UnchangedInventory { fingerprint: fingerprint.clone() })
        } else {
            self.calls.inventories.fetch_add(1, Ordering::Relaxed);
            Outcome::Collected(Box::new(pb::CollectedInventory {
                inventory: Some((&*collected.inventory).into()),
                issues: issues_to_pb(&collected.issues),
            }))
        };
        Ok(Response::new(pb::GetInventoryResponse { name: collected.name.clone(), outcome: Some(outcome) }))
    }

    async fn get_usage(
        &self,
        request: Request<pb::GetUsageRequest>,
    ) -> Result<Response<pb::GetUsageResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let collected = self.thread.usage().await.map_err(collect_error)?;
        self.calls.usages.fetch_add(1, Ordering::Relaxed);
        let standing = match &collected.standing {
            InventoryStanding::Holds(fingerprint) => Standing::InventoryFingerprint(fingerprint.clone()),
            InventoryStanding::Changed(inputs) => Standing::InventoryChanged(pb::InventoryChanged {
                inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
            }),
        };
        Ok(Response::new(pb::GetUsageResponse {
            name: collected.name.clone(),
            usage: Some((&collected.usage).into()),
            issues: issues_to_pb(&collected.issues),
            standing: Some(standing),
        }))
    }

    async fn compute_cpu_baseline(
        &self,
        request: Request<pb::AgentServiceComputeCpuBaselineRequest>,
    ) -> Result<Response<pb::AgentServiceComputeCpuBaselineResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let pb::AgentServiceComputeCpuBaselineRequest { cpu_xml, expand_features } = request.into_inner();
        let cpu_xml =
            self.cpus.baseline(cpu_xml, expand_features).await.map_err(|error| cpu_error(&error))?;
        Ok(Response::new(pb::AgentServiceComputeCpuBaselineResponse { cpu_xml }))
    }

    async fn compare_cpu(
        &self,
        request: Request<pb::CompareCpuRequest>,
    ) -> Result<Response<pb::CompareCpuResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let compared = self.cpus.compare(request.into_inner().cpu_xml).await;
        let (comparison, detail) = compared.map_err(|error| cpu_error(&error))?;
        let comparison = pb::CpuComparison::from(comparison).into();
        Ok(Response::new(pb::CompareCpuResponse { comparison, detail }))
    }
}
