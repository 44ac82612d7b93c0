//! Placement, capacity and claims.

use std::time::Duration;

use vmuster_proto::{
    convert::{self, duration_to_pb},
    model::{CapacityAnswer, ClaimReport, ClaimState, InstanceTemplate, PlaceAnswer, PlaceRequest},
    pb,
};

use super::{Client, nonsense, scope};
use crate::{args::ScopeArguments, exit::Failure};

/// Which claims.
#[derive(Debug, Default)]
pub(crate) struct WantedClaims {
    pub(crate) host: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) state: Option<ClaimState>,
}

impl Client {
    pub(crate) async fn place(&mut self, request: &PlaceRequest) -> Result<PlaceAnswer, Failure> {
        let request = self.request(pb::PlaceRequest::from(request));
        let mut rpc = self.placement.clone();
        PlaceAnswer::try_from(self.bounded(rpc.place(request)).await?.into_inner()).map_err(nonsense)
    }

    pub(crate) async fn capacity(
        &mut self,
        template: &InstanceTemplate,
        wanted: &ScopeArguments,
    ) -> Result<CapacityAnswer, Failure> {
        let request = self.request(pb::EstimateCapacityRequest {
            template: Some(template.into()),
            scope: Some(scope(wanted)?),
        });
        let mut rpc = self.placement.clone();
        let reply = self.bounded(rpc.estimate_capacity(request)).await?;
        CapacityAnswer::try_from(reply.into_inner()).map_err(nonsense)
    }

    /// All pages.
    pub(crate) async fn claims(&mut self, wanted: &WantedClaims) -> Result<Vec<ClaimReport>, Failure> {
        let mut claims = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = self.request(pb::ListClaimsRequest {
                host: wanted.host.clone().unwrap_or_default(),
                uuid: wanted.uuid.clone().unwrap_or_default(),
                state: wanted.state.map(pb::ClaimState::from).unwrap_or_default().into(),
                page_size: 0,
                page_token,
            });
            let mut rpc = self.placement.clone();
            let page = self.bounded(rpc.list_claims(request)).await?.into_inner();
            claims.extend(convert::claims(page.claims).map_err(nonsense)?);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(claims);
            }
        }
    }

    pub(crate) async fn confirm_claims(
        &mut self,
        claim_ids: Vec<String>,
    ) -> Result<Vec<ClaimReport>, Failure> {
        let request = self.request(pb::ConfirmClaimsRequest { claim_ids });
        let mut rpc = self.placement.clone();
        let reply = self.bounded(rpc.confirm_claims(request)).await?;
        convert::claims(reply.into_inner().claims).map_err(nonsense)
    }

    pub(crate) async fn renew_claims(
        &mut self,
        claim_ids: Vec<String>,
        hold: Option<Duration>,
    ) -> Result<Vec<ClaimReport>, Failure> {
        let request = self.request(pb::RenewClaimsRequest { claim_ids, hold: hold.map(duration_to_pb) });
        let mut rpc = self.placement.clone();
        let reply = self.bounded(rpc.renew_claims(request)).await?;
        convert::claims(reply.into_inner().claims).map_err(nonsense)
    }

    /// Gives the ids of those that were there.
    pub(crate) async fn release_claims(
        &mut self,
        claim_ids: Vec<String>,
        uuids: Vec<String>,
    ) -> Result<Vec<String>, Failure> {
        let request = self.request(pb::ReleaseClaimsRequest { claim_ids, uuids });
        let mut rpc = self.placement.clone();
        Ok(self.bounded(rpc.release_claims(request)).await?.into_inner().released_claim_ids)
    }
}
