//! Hosts added, changed and removed.

use std::sync::Arc;

use tokio::time::Instant;
use tonic::{Request, Response, Status};
use vmuster_proto::{
    convert::{self, DecodeError},
    model::AllocationSettings,
    pb,
    transport::{Peer, PeerAddress},
};

use super::{ClusterApi, time_for_call};
use crate::{
    cluster::{RegisterError, read_within},
    hosts::{ChangeError, HostChange, NewHost},
    status::{claims_error, invalid, live_claims, register_error, scope_error},
};

pub(super) async fn add(
    api: &ClusterApi,
    request: Request<pb::AddHostRequest>,
) -> Result<Response<pb::AddHostResponse>, Status> {
    let (deadline, by) = (deadline(api, &request), who(&request));
    let new = new_host(request.into_inner()).map_err(|error| invalid(&error))?;
    let name = api.cluster.add_host(new, deadline).await.map_err(|error| register_error(&error))?;
    tracing::info!(host = name, by, "registered a host");
    Ok(Response::new(pb::AddHostResponse { host: Some(summary(api, &name, deadline).await?) }))
}

pub(super) async fn update(
    api: &ClusterApi,
    request: Request<pb::UpdateHostRequest>,
) -> Result<Response<pb::UpdateHostResponse>, Status> {
    let (deadline, by) = (deadline(api, &request), who(&request));
    let (name, change) = host_change(request.into_inner()).map_err(|error| invalid(&error))?;
    let changed = api.cluster.update_host(name, change, deadline).await;
    let name = changed.map_err(|error| register_error(&error))?;
    tracing::info!(host = name, by, "changed a host");
    Ok(Response::new(pb::UpdateHostResponse { host: Some(summary(api, &name, deadline).await?) }))
}

pub(super) async fn remove(
    api: &ClusterApi,
    request: Request<pb::RemoveHostRequest>,
) -> Result<Response<pb::RemoveHostResponse>, Status> {
    let (deadline, by) = (deadline(api, &request), who(&request));
    let pb::RemoveHostRequest { name, force } = request.into_inner();
    let claims = api.scheduler.as_ref().map(|scheduler| scheduler.claims_on(&name.to_ascii_lowercase()));
    let claims = claims.unwrap_or_default();
    if !claims.is_empty() && !force {
        return Err(live_claims(&name, claims.len()));
    }
    let name = match api.cluster.remove_host(name.clone(), deadline).await {
        Ok(name) => name,
        // It went before, and its claims could not be released then: by force they can be now.
        Err(RegisterError::Change(ChangeError::NotRegistered(_))) if !claims.is_empty() => {
            name.to_ascii_lowercase()
        }
        Err(error) => return Err(register_error(&error)),
    };
    tracing::info!(host = name, by, "removed a host");
    if force && let Some(scheduler) = &api.scheduler {
        // The host first: nothing is placed there any more.
        let released = scheduler.release_host(&name, deadline).await.map_err(|error| claims_error(&error))?;
        tracing::info!(host = name, by, released, "released the claims of a removed host");
    }
    Ok(Response::new(pb::RemoveHostResponse { name }))
}

fn deadline<T>(api: &ClusterApi, request: &Request<T>) -> Instant {
    read_within(None, time_for_call(request.metadata(), api.default_deadline)).deadline
}

/// For the log.
fn who<T>(request: &Request<T>) -> String {
    request.extensions().get::<Peer>().map(|peer| peer.description.clone()).unwrap_or_default()
}

async fn summary(api: &ClusterApi, name: &str, deadline: Instant) -> Result<pb::HostSummary, Status> {
    let options = crate::cache::ReadOptions { max_age: None, deadline };
    let summary = Arc::clone(&api.cluster).summary_of(name, options).await;
    Ok((&summary.map_err(|error| scope_error(&error))?).into())
}

fn address(text: &str) -> Result<PeerAddress, DecodeError> {
    if text.len() > convert::TEXT_MAX_BYTES {
        return Err(wrong("address", &format!("{} bytes, limit {}", text.len(), convert::TEXT_MAX_BYTES)));
    }
    text.parse().map_err(|error| wrong("address", &error))
}

fn wrong(field: &str, problem: &dyn std::fmt::Display) -> DecodeError {
    DecodeError { field: field.to_owned(), problem: problem.to_string() }
}

fn settings(settings: Option<pb::AllocationSettings>) -> Result<AllocationSettings, DecodeError> {
    let settings = AllocationSettings::try_from(settings.unwrap_or_default());
    settings.map_err(|error| DecodeError { field: format!("settings.{}", error.field), ..error })
}

fn new_host(message: pb::AddHostRequest) -> Result<NewHost, DecodeError> {
    Ok(NewHost {
        name: message.name,
        address: Some(address(&message.address)?),
        labels: message.labels.into_iter().collect(),
        maintenance: message.maintenance,
        settings: settings(message.settings)?,
        machine_id: message.machine_id,
    })
}

fn host_change(message: pb::UpdateHostRequest) -> Result<(String, HostChange), DecodeError> {
    let reset = message.reset_settings.iter();
    let change = HostChange {
        set_labels: message.set_labels.into_iter().collect(),
        remove_labels: message.remove_labels.into_iter().collect(),
        address: message.address.as_deref().map(address).transpose()?,
        maintenance: message.maintenance,
        settings: settings(message.settings)?,
        reset_settings: reset
            .map(|number| convert::setting("reset_settings", *number))
            .collect::<Result<_, _>>()?,
        machine_id: message.machine_id,
    };
    Ok((message.name, change))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named() {
        let add = |message: pb::AddHostRequest| new_host(message).expect_err("refused").field;
        let host = |address: &str| pb::AddHostRequest { address: address.to_owned(), ..Default::default() };
        for bad in ["", "nowhere", "unix:relative", &"x".repeat(5000)] {
            assert_eq!(add(host(bad)), "address");
        }
        let ratio = Some(pb::AllocationSettings { vcpu_ratio: Some(0.0), ..Default::default() });
        assert_eq!(add(pb::AddHostRequest { settings: ratio, ..host("h:1") }), "settings.vcpu_ratio");
        let reset = pb::UpdateHostRequest { reset_settings: vec![0], ..Default::default() };
        assert_eq!(host_change(reset).expect_err("refused").field, "reset_settings");
        let (_, nothing) = host_change(pb::UpdateHostRequest::default()).expect("nothing is fine");
        assert_eq!(nothing, HostChange::default());
    }
}
