//! Runs a gRPC server on listeners, within limits, until told to stop.

use std::{future::Future, io, pin::pin};

use tokio_stream::{StreamExt as _, StreamMap, wrappers::ReceiverStream};
use tonic::{
    service::{Routes, RoutesBuilder},
    transport::Server,
};

use super::{Connection, Limits, Listener, RolePolicy, incoming};
use crate::pb;

/// Why a server ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is nothing to listen on.
    #[error("no listener is configured; set `listen`")]
    NoListener,
    /// The schema in this binary is broken.
    #[error("cannot set up reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The HTTP/2 server failed.
    #[error("the server failed")]
    Transport(#[source] tonic::transport::Error),
}

/// Routes with `grpc.health.v1` (SERVING from the start, for the server as a whole and for `service`) and reflection.
///
/// # Errors
/// The schema in this binary is broken.
pub async fn standard_routes(service: &str) -> Result<RoutesBuilder, ServeError> {
    let mut routes = RoutesBuilder::default();
    // A section that cannot be read is an issue in the answer, so a running server is a serving one.
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes.add_service(health);
    routes.add_service(builder().build_v1().map_err(ServeError::Reflection)?);
    // Older grpcurl asks only this one.
    routes.add_service(builder().build_v1alpha().map_err(ServeError::Reflection)?);
    Ok(routes)
}

/// Serves until `shutdown` resolves, then gives calls under way [`Limits::shutdown_grace`]. When it returns, nothing
/// listens any more.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    routes: Routes,
    listeners: Vec<Listener>,
    policy: &RolePolicy,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    if listeners.is_empty() {
        return Err(ServeError::NoListener);
    }
    let (mut connections, mut accepting) = (StreamMap::new(), Vec::new());
    for (index, listener) in listeners.into_iter().enumerate() {
        let (incoming, task) = incoming(listener, policy.clone(), limits);
        connections.insert(index, incoming);
        accepting.push(task);
    }
    let ended = serve_connections(routes, connections, limits, shutdown).await;
    for task in accepting {
        // Fails only if the task panicked, and then its listener is closed as well.
        let _ = task.await;
    }
    ended
}

type Connections = StreamMap<usize, ReceiverStream<io::Result<Connection>>>;

async fn serve_connections(
    routes: Routes,
    connections: Connections,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        .timeout(limits.call_deadline)
        .max_concurrent_streams(limits.max_streams_per_connection)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_header_list_size(limits.max_header_bytes)
        .http2_max_pending_accept_reset_streams(Some(limits.max_pending_resets))
        .max_connection_age(limits.max_connection_age)
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections.map(|(_, connection)| connection), async {
            // An error means that the sender is gone: stop as well.
            let _ = stopped.await;
        });
    let mut server = pin!(server);
    tokio::select! {
        ended = &mut server => return ended.map_err(ServeError::Transport),
        () = shutdown => {}
    }
    drop(stop);
    match tokio::time::timeout(limits.shutdown_grace, server).await {
        Ok(ended) => ended.map_err(ServeError::Transport),
        Err(_) => {
            tracing::warn!("calls were still under way at shutdown and were cut");
            Ok(())
        }
    }
}
