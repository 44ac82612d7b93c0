//! PlacementService: the wire on one side, [`Scheduler`] on the other.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use vmuster_proto::{
    convert::{self, DecodeError, instance_uuid},
    model::{ClaimReport, InstanceTemplate, PlaceAnswer},
    pb::{self, placement_service_server::PlacementService},
    transport::{Role, require_role},
};

use super::request::{scope, time_for_call};
use crate::{
    claims::{ClaimFilter, ClaimId, InstanceId},
    scheduler::{AnswerCodec, Scheduler, Whose},
    status::{claims_error, invalid, place_error},
};

/// Claims on a page when the caller does not say.
const PAGE_DEFAULT: usize = 1000;

/// Claims on a page at most, and in one call; one has some 250 bytes.
const CLAIMS_MAX: usize = 10_000;

/// Answers are kept as they are sent.
pub const ANSWER_CODEC: AnswerCodec = AnswerCodec {
    encode: |answer| pb::PlaceResponse::from(answer.clone()).encode_to_vec(),
    decode: |bytes| PlaceAnswer::try_from(pb::PlaceResponse::decode(bytes).ok()?).ok(),
};

/// The API of a scheduler.
#[derive(Debug, Clone)]
pub struct PlacementApi {
    scheduler: Arc<Scheduler>,
    default_deadline: Duration,
}

impl PlacementApi {
    /// An API over this scheduler.
    #[must_use]
    pub fn new(scheduler: Arc<Scheduler>, default_deadline: Duration) -> Self {
        Self { scheduler, default_deadline }
    }

    fn deadline<T>(&self, request: &Request<T>) -> Instant {
        Instant::now() + time_for_call(request.metadata(), self.default_deadline)
    }
}

#[tonic::async_trait]
impl PlacementService for PlacementApi {
    async fn place(&self, request: Request<pb::PlaceRequest>) -> Result<Response<pb::PlaceResponse>, Status> {
        let message = request.get_ref();
        require_role(
            &request,
            match (message.mode(), message.ignore_capacity) {
                (_, true) => Role::Admin,
                (pb::PlaceMode::Claim, false) => Role::Operator,
                (pb::PlaceMode::DryRun | pb::PlaceMode::Unspecified, false) => Role::Reader,
            },
        )?;
        let deadline = self.deadline(&request);
        let message = request.into_inner();
        let digest = Sha256::digest(message.encode_to_vec()).into();
        let asked = convert::place_request(message, || uuid::Uuid::new_v4().hyphenated().to_string());
        let asked = asked.map_err(|error| invalid(&error))?;
        let answer = self.scheduler.place(&asked, digest, deadline).await;
        Ok(Response::new(answer.map_err(|error| place_error(&error))?.into()))
    }

    async fn list_claims(
        &self,
        request: Request<pb::ListClaimsRequest>,
    ) -> Result<Response<pb::ListClaimsResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let message = request.into_inner();
        let (filter, after, page_size) = page(&message).map_err(|error| invalid(&error))?;
        let listed = self.scheduler.list_claims(&filter, after, page_size);
        let (claims, next) = listed.map_err(|error| claims_error(&error))?;
        Ok(Response::new(pb::ListClaimsResponse {
            claims: to_pb(&claims),
            next_page_token: next.map(|id| id.to_string()).unwrap_or_default(),
        }))
    }

    async fn confirm_claims(
        &self,
        request: Request<pb::ConfirmClaimsRequest>,
    ) -> Result<Response<pb::ConfirmClaimsResponse>, Status> {
        require_role(&request, Role::Operator)?;
        let deadline = self.deadline(&request);
        let ids = claim_ids(&request.get_ref().claim_ids).map_err(|error| invalid(&error))?;
        let claims = self.scheduler.confirm(&ids, deadline).await.map_err(|error| claims_error(&error))?;
        Ok(Response::new(pb::ConfirmClaimsResponse { claims: to_pb(&claims) }))
    }

    async fn renew_claims(
        &self,
        request: Request<pb::RenewClaimsRequest>,
    ) -> Result<Response<pb::RenewClaimsResponse>, Status> {
        require_role(&request, Role::Operator)?;
        let deadline = self.deadline(&request);
        let ids = claim_ids(&request.get_ref().claim_ids).map_err(|error| invalid(&error))?;
        let hold = convert::duration("hold", request.get_ref().hold).map_err(|error| invalid(&error))?;
        let claims =
            self.scheduler.renew(&ids, hold, deadline).await.map_err(|error| claims_error(&error))?;
        Ok(Response::new(pb::RenewClaimsResponse { claims: to_pb(&claims) }))
    }

    async fn release_claims(
        &self,
        request: Request<pb::ReleaseClaimsRequest>,
    ) -> Result<Response<pb::ReleaseClaimsResponse>, Status> {
        require_role(&request, Role::Operator)?;
        let deadline = self.deadline(&request);
        let message = request.get_ref();
        let ids = if message.claim_ids.is_empty() { Ok(Vec::new()) } else { claim_ids(&message.claim_ids) };
        let ids = ids.map_err(|error| invalid(&error))?;
        let instances = instances(&message.uuids).map_err(|error| invalid(&error))?;
        if ids.is_empty() && instances.is_empty() {
            return Err(invalid(&wrong("claim_ids", "either they or uuids must be set")));
        }
        let released = self.scheduler.release(&ids, &instances, deadline).await;
        let released = released.map_err(|error| claims_error(&error))?;
        let released_claim_ids = released.iter().map(ToString::to_string).collect();
        Ok(Response::new(pb::ReleaseClaimsResponse { released_claim_ids }))
    }

    async fn list_instances(
        &self,
        request: Request<pb::ListInstancesRequest>,
    ) -> Result<Response<pb::ListInstancesResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let deadline = self.deadline(&request);
        let whose = whose(request.into_inner()).map_err(|error| invalid(&error))?;
        let answer = self.scheduler.instances(&whose, deadline).await;
        Ok(Response::new((&answer.map_err(|error| place_error(&error))?).into()))
    }

    async fn estimate_capacity(
        &self,
        request: Request<pb::EstimateCapacityRequest>,
    ) -> Result<Response<pb::EstimateCapacityResponse>, Status> {
        require_role(&request, Role::Reader)?;
        let deadline = self.deadline(&request);
        let message = request.into_inner();
        let template = template(message.template).map_err(|error| invalid(&error))?;
        let scope = scope(message.scope).map_err(|error| invalid(&error))?;
        let answer = self.scheduler.capacity(&template, &scope, deadline).await;
        Ok(Response::new((&answer.map_err(|error| place_error(&error))?).into()))
    }
}

fn wrong(field: &str, problem: &str) -> DecodeError {
    DecodeError { field: field.to_owned(), problem: problem.to_owned() }
}

fn to_pb(claims: &[ClaimReport]) -> Vec<pb::Claim> {
    claims.iter().map(Into::into).collect()
}

fn template(template: Option<pb::InstanceTemplate>) -> Result<InstanceTemplate, DecodeError> {
    let template = template.ok_or_else(|| wrong("template", "must be set"))?;
    let template = InstanceTemplate::try_from(template);
    template.map_err(|error| DecodeError { field: format!("template.{}", error.field), ..error })
}

fn claim_ids(ids: &[String]) -> Result<Vec<ClaimId>, DecodeError> {
    if ids.is_empty() || ids.len() > CLAIMS_MAX {
        return Err(wrong("claim_ids", &format!("{}; 1 to {CLAIMS_MAX} in one call", ids.len())));
    }
    ids.iter().map(|id| id.parse().map_err(|error| wrong("claim_ids", &format!("{error}")))).collect()
}

fn instances(uuids: &[String]) -> Result<Vec<InstanceId>, DecodeError> {
    if uuids.len() > CLAIMS_MAX {
        return Err(wrong("uuids", &format!("{}; at most {CLAIMS_MAX} in one call", uuids.len())));
    }
    uuids.iter().map(|uuid| instance("uuids", uuid)).collect()
}

fn instance(field: &str, uuid: &str) -> Result<InstanceId, DecodeError> {
    let uuid = instance_uuid(field, uuid)?;
    uuid.parse().map_err(|error| wrong(field, &format!("{error}")))
}

fn whose(message: pb::ListInstancesRequest) -> Result<Whose, DecodeError> {
    match (message.host.is_empty(), message.uuid.is_empty()) {
        (false, true) => Ok(Whose::Host(message.host)),
        (true, false) => Ok(Whose::Instance(instance("uuid", &message.uuid)?)),
        _ => Err(wrong("host", "either it or uuid must be set, and only one of them")),
    }
}

fn page(message: &pb::ListClaimsRequest) -> Result<(ClaimFilter, Option<ClaimId>, usize), DecodeError> {
    let page_size = match message.page_size as usize {
        0 => PAGE_DEFAULT,
        size if size <= CLAIMS_MAX => size,
        size => return Err(wrong("page_size", &format!("{size} is more than {CLAIMS_MAX}"))),
    };
    let state = message.state().into();
    let uuid = Some(&message.uuid).filter(|uuid| !uuid.is_empty());
    let filter = ClaimFilter {
        host: Some(message.host.to_ascii_lowercase()).filter(|host| !host.is_empty()),
        instance: uuid.map(|uuid| instance("uuid", uuid)).transpose()?,
        state,
    };
    let after = Some(&message.page_token).filter(|token| !token.is_empty());
    let after = after.map(|token| token.parse().map_err(|error| wrong("page_token", &format!("{error}"))));
    Ok((filter, after.transpose()?, page_size))
}
