//! What an agent's libvirt says of CPU definitions.

use vmuster_proto::{
    convert,
    model::{CpuComparison, Problem, ProblemKind},
    pb,
    transport::PeerAddress,
};

use super::{FetchError, Fetcher};
use crate::status::reason_of;

/// libvirt does not take such a definition at all; in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CpuRefused(pub String);

impl Fetcher {
    /// A CPU that all of these `<cpu>` elements' hosts can run, by this host's libvirt, as a `<cpu>` element.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn compute_cpu_baseline(
        &self,
        address: &PeerAddress,
        cpus: &[String],
        expand_features: bool,
    ) -> Result<String, Problem> {
        let call = || async {
            let mut client = self.client(address).await?;
            let request =
                pb::AgentServiceComputeCpuBaselineRequest { cpu_xml: cpus.to_vec(), expand_features };
            let reply = client.compute_cpu_baseline(self.request(request)).await;
            Ok(reply.map_err(FetchError::Cpu)?.into_inner().cpu_xml)
        };
        self.ask(address, call).await
    }

    /// Whether the host can run the CPU of this libvirt `<cpu>` element, and in libvirt's words why not.
    ///
    /// # Errors
    /// Why the agent or its libvirt gave no verdict.
    pub async fn compare_cpu(
        &self,
        address: &PeerAddress,
        cpu_xml: &str,
    ) -> Result<(CpuComparison, String), Problem> {
        let refused = |CpuRefused(words)| Problem::new(ProblemKind::Failed, format!("{address}: {words}"));
        self.try_cpu(address, cpu_xml).await?.map_err(refused)
    }

    /// The same, telling apart a libvirt that does not take the definition at all.
    ///
    /// # Errors
    /// Why the agent or its libvirt gave no verdict.
    pub async fn try_cpu(
        &self,
        address: &PeerAddress,
        cpu_xml: &str,
    ) -> Result<Result<(CpuComparison, String), CpuRefused>, Problem> {
        let call = || async {
            let request = self.request(pb::CompareCpuRequest { cpu_xml: cpu_xml.to_owned() });
            let mut client = self.client(address).await?;
            let reply = match client.compare_cpu(request).await {
                Ok(reply) => reply.into_inner(),
                Err(status) if reason_of(&status).as_deref() == Some("CPU_REFUSED") => {
                    return Ok(Err(CpuRefused(status.message().to_owned())));
                }
                Err(status) => return Err(FetchError::Cpu(status)),
            };
            let comparison =
                convert::cpu_comparison("comparison", reply.comparison).map_err(FetchError::Decode)?;
            // Shown in an answer, where it is cut and made printable.
            Ok(Ok((comparison, reply.detail)))
        };
        self.ask(address, call).await
    }
}
