//! A coordinator's answers about flags, and the same bytes ready-made.

use std::{path::Path, sync::Arc, time::Duration};

use prost::bytes::Bytes;
use vmuster_coordinator::{cluster::Cluster, service::ClusterApi};
use vmuster_proto::{
    pb::cluster_service_server::{ClusterServiceServer, SERVICE_NAME},
    transport::CLUSTER_REPLY_MAX_BYTES,
};
pub use vmuster_tests::ready::RawClient;
use vmuster_tests::ready::{ReadyMade, serve_on};

const METHOD: &str = "/vmuster.v1.ClusterService/ComputeCommonCpuFlags";

/// The service whose place is taken.
struct Named;

impl tonic::server::NamedService for Named {
    const NAME: &'static str = SERVICE_NAME;
}

/// Serves a coordinator's API on a Unix socket, as a coordinator does.
pub async fn serve_cluster(cluster: Arc<Cluster>, socket: &Path) -> RawClient {
    let api = ClusterApi::new(cluster, Duration::from_secs(60));
    let service = ClusterServiceServer::new(api).max_encoding_message_size(CLUSTER_REPLY_MAX_BYTES);
    serve_on(socket, SERVICE_NAME, |routes| {
        routes.add_service(service);
    })
    .await;
    client(socket).await
}

/// Serves ready-made bytes in the same way.
pub async fn serve_ready(answer: Bytes, socket: &Path) -> RawClient {
    serve_on(socket, SERVICE_NAME, |routes| {
        routes.add_service(ReadyMade::<Named>::new(answer));
    })
    .await;
    client(socket).await
}

/// On a connection of its own.
pub async fn client(socket: &Path) -> RawClient {
    vmuster_tests::ready::client(socket, METHOD).await
}
