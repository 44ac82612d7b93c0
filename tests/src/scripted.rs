//! An agent that says what a test tells it, over any stream: simulated networks, pipes. What is asked and answered goes
//! through gRPC as ever.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{
    Code, Request, Response, Status,
    transport::{Server, server::Connected},
};
use vmuster_proto::{
    model::{Cpu, FeatureSet, Inventory, System},
    pb::{
        self,
        agent_service_server::{AgentService, AgentServiceServer},
        get_inventory_response::Outcome,
    },
};

/// What it does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Act {
    /// Answers.
    #[default]
    Answer,
    /// Ends the call with this code.
    Fail(Code),
    /// Never answers.
    Hang,
}

#[derive(Debug)]
struct Script {
    act: Act,
    name: String,
    /// Of the facts; another one is another fingerprint.
    version: u64,
    calls: u64,
}

/// One agent; its clones are the same.
#[derive(Debug, Clone)]
pub struct ScriptedAgent(Arc<Mutex<Script>>);

impl ScriptedAgent {
    /// One that answers.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let (act, name) = (Act::Answer, name.into());
        Self(Arc::new(Mutex::new(Script { act, name, version: 1, calls: 0 })))
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on.
    pub fn act(&self, act: Act) {
        self.script().act = act;
    }

    /// It has other facts, as after a reboot.
    pub fn reboot(&self) {
        self.script().version += 1;
    }

    /// Which facts it has.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.script().version
    }

    /// Calls that reached it.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.script().calls
    }

    /// The facts of a version.
    #[must_use]
    pub fn inventory(name: &str, version: u64) -> Inventory {
        let host_flags = FeatureSet::from_names(["fpu", "sse2"]).ok();
        Inventory {
            fingerprint: version.to_string(),
            system: Some(System {
                arch: Some("x86_64".to_owned()),
                hostname: Some(name.to_owned()),
                boot_id: Some(version.to_string()),
                ..System::default()
            }),
            cpu: Some(Arc::new(Cpu { host_flags, ..Cpu::default() })),
            ..Inventory::default()
        }
    }

    /// Answers on this connection until it ends.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn serve<S>(self, stream: S) -> Result<(), tonic::transport::Error>
    where
        S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let incoming = tokio_stream::once(Ok::<_, io::Error>(stream));
        Server::builder().add_service(AgentServiceServer::new(self)).serve_with_incoming(incoming).await
    }

    async fn turn(&self) -> Result<(String, u64), Status> {
        let (act, name, version) = {
            let mut script = self.script();
            script.calls += 1;
            (script.act, script.name.clone(), script.version)
        };
        match act {
            Act::Answer => Ok((name, version)),
            Act::Fail(code) => Err(Status::new(code, "as the test says")),
            Act::Hang => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl AgentService for ScriptedAgent {
    async fn get_inventory(
        &self,
        request: Request<pb::GetInventoryRequest>,
    ) -> Result<Response<pb::GetInventoryResponse>, Status> {
        let (name, version) = self.turn().await?;
        let outcome = if request.get_ref().known_fingerprint == version.to_string() {
            Outcome::Unchanged(pb::UnchangedInventory { fingerprint: version.to_string() })
        } else {
            let inventory = Some((&Self::inventory(&name, version)).into());
            Outcome::Collected(Box::new(pb::CollectedInventory { inventory, issues: Vec::new() }))
        };
        Ok(Response::new(pb::GetInventoryResponse { name, outcome: Some(outcome) }))
    }

    async fn get_usage(
        &self,
        _: Request<pb::GetUsageRequest>,
    ) -> Result<Response<pb::GetUsageResponse>, Status> {
        Err(Status::unimplemented("tests of usage have agents of recorded hosts"))
    }

    async fn compute_cpu_baseline(
        &self,
        _: Request<pb::AgentServiceComputeCpuBaselineRequest>,
    ) -> Result<Response<pb::AgentServiceComputeCpuBaselineResponse>, Status> {
        Err(Status::unimplemented("there is no libvirt here"))
    }

    async fn compare_cpu(
        &self,
        _: Request<pb::CompareCpuRequest>,
    ) -> Result<Response<pb::CompareCpuResponse>, Status> {
        Err(Status::unimplemented("there is no libvirt here"))
    }
}
