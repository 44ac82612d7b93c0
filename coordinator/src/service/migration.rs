//! CheckMigration.

use tonic::{Request, Response, Status};
use vmuster_proto::pb;

use super::{
    ClusterApi,
    request::{migrating_guest, scope},
};
use crate::{
    cluster::MigrationQuestion,
    status::{invalid, migration_error},
};

pub(super) async fn check(
    api: &ClusterApi,
    request: Request<pb::CheckMigrationRequest>,
) -> Result<Response<pb::CheckMigrationResponse>, Status> {
    let options = api.options(&request, request.get_ref().max_age)?;
    let message = request.into_inner();
    let guest = migrating_guest(message.guest).map_err(|error| invalid(&error))?;
    let scope = scope(message.scope).map_err(|error| invalid(&error))?;
    // Without a scheduler nobody here promises anything.
    let claims_on =
        |host: &str| api.scheduler.as_ref().map(|scheduler| scheduler.claims_on(host)).unwrap_or_default();
    let checked = api.cluster.check_migration(&MigrationQuestion { guest, scope }, &claims_on, options).await;
    Ok(Response::new((&checked.map_err(|error| migration_error(&error))?).into()))
}
