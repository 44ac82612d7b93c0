//! Questions to a host's libvirt about CPUs, by way of its agent.

use vmuster_proto::{
    convert::cpu_comparison,
    model::{CpuComparison, Problem},
    pb,
    transport::PeerAddress,
};

use super::{Fetcher, error::FetchError};

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
        let call = async {
            let mut client = self.client(address).await?;
            let request =
                pb::AgentServiceComputeCpuBaselineRequest { cpu_xml: cpus.to_vec(), expand_features };
            let reply = client.compute_cpu_baseline(self.request(request)).await;
            Ok(reply.map_err(FetchError::Status)?.into_inner().cpu_xml)
        };
        self.bounded(address, call).await
    }

    /// Whether this host can run a CPU, and in its libvirt's words why not.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub async fn compare_cpu(
        &self,
        address: &PeerAddress,
        cpu: &str,
    ) -> Result<(CpuComparison, String), Problem> {
        let call = async {
            let mut client = self.client(address).await?;
            let request = pb::CompareCpuRequest { cpu_xml: cpu.to_owned() };
            let reply =
                client.compare_cpu(self.request(request)).await.map_err(FetchError::Status)?.into_inner();
            Ok((cpu_comparison("comparison", reply.comparison).map_err(FetchError::Decode)?, reply.detail))
        };
        self.bounded(address, call).await
    }
}
