//! What an agent's libvirt says of a CPU definition.

use vmuster_proto::{
    convert,
    model::{CpuComparison, Problem},
    pb,
    transport::PeerAddress,
};

use super::{FetchError, Fetcher};

impl Fetcher {
    /// Whether the host can run the CPU of this libvirt `<cpu>` element, and in libvirt's words why not.
    ///
    /// # Errors
    /// Why the agent or its libvirt gave no verdict.
    pub async fn compare_cpu(
        &self,
        address: &PeerAddress,
        cpu_xml: &str,
    ) -> Result<(CpuComparison, String), Problem> {
        let call = async {
            let request = self.request(pb::CompareCpuRequest { cpu_xml: cpu_xml.to_owned() });
            let mut client = self.client(address).await?;
            let reply = client.compare_cpu(request).await.map_err(FetchError::Cpu)?.into_inner();
            let comparison =
                convert::cpu_comparison("comparison", reply.comparison).map_err(FetchError::Decode)?;
            // Shown in an answer, where it is cut and made printable.
            Ok((comparison, reply.detail))
        };
        self.bounded(address, call).await
    }
}
