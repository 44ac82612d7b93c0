//! The question about a baseline.

use std::time::Duration;

use vmuster_proto::{convert::duration_to_pb, model::BaselineAnswer, pb};

use super::{Client, nonsense, scope};
use crate::{args::ScopeArguments, exit::Failure};

/// What to ask for.
pub(crate) struct BaselineRequest<'a> {
    pub(crate) scope: &'a ScopeArguments,
    pub(crate) include_domains: bool,
    pub(crate) verify: bool,
}

impl Client {
    pub(crate) async fn baseline(
        &mut self,
        question: &BaselineRequest<'_>,
        max_age: Option<Duration>,
    ) -> Result<BaselineAnswer, Failure> {
        let request = self.request(pb::ClusterServiceComputeCpuBaselineRequest {
            scope: Some(scope(question.scope)?),
            max_age: max_age.map(duration_to_pb),
            include_domains: question.include_domains,
            known_generation: String::new(),
            verify: question.verify,
        });
        let mut rpc = self.rpc.clone();
        let reply = self.bounded(rpc.compute_cpu_baseline(request)).await?;
        BaselineAnswer::try_from(reply.into_inner()).map_err(nonsense)
    }
}
