//! An answer that is there already: the least that an RPC with an answer of so many bytes can cost. And a client that does
//! not look into answers, so that only the way there and back and the server's work are measured.

use std::{
    convert::Infallible,
    future::Ready as ReadyNow,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
};

use prost::bytes::Bytes;
use tonic::{
    Request, Response, Status,
    client::Grpc,
    codegen::{BoxFuture, Service, http},
    server::{NamedService, UnaryService},
    transport::Channel,
};
use vmuster_proto::{
    pb::cluster_service_server::{ClusterServiceServer, SERVICE_NAME},
    transport::{
        CLUSTER_REPLY_MAX_BYTES, CONNECT_DEADLINE, Limits, ListenAddress, RolePolicy, bind, connect, serve,
        standard_routes,
    },
};
use vmuster_tests::raw::Raw;

const METHOD: &str = "/vmuster.v1.ClusterService/ComputeCommonCpuFlags";

/// Answers everything with the same bytes.
#[derive(Clone)]
pub struct ReadyMade(pub Bytes);

impl NamedService for ReadyMade {
    const NAME: &'static str = SERVICE_NAME;
}

impl UnaryService<Bytes> for ReadyMade {
    type Response = Bytes;
    type Future = ReadyNow<Result<Response<Bytes>, Status>>;
    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.0.clone())))
    }
}

impl Service<http::Request<tonic::body::Body>> for ReadyMade {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let answer = self.clone();
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).unary(answer, request).await) })
    }
}

/// Serves a coordinator's API on a Unix socket, as a coordinator does.
pub async fn serve_cluster(cluster: Arc<vmuster_coordinator::cluster::Cluster>, socket: &Path) -> RawClient {
    let api = vmuster_coordinator::service::ClusterApi::new(cluster, std::time::Duration::from_secs(60));
    let service = ClusterServiceServer::new(api).max_encoding_message_size(CLUSTER_REPLY_MAX_BYTES);
    let mut routes = standard_routes(SERVICE_NAME).await.expect("routes");
    routes.add_service(service);
    served(routes.routes(), socket).await
}

/// Serves ready-made bytes in the same way.
pub async fn serve_ready(answer: Bytes, socket: &Path) -> RawClient {
    let mut routes = standard_routes(SERVICE_NAME).await.expect("routes");
    routes.add_service(ReadyMade(answer));
    served(routes.routes(), socket).await
}

async fn served(routes: tonic::service::Routes, socket: &Path) -> RawClient {
    let listener = bind(&ListenAddress::Unix(socket.to_owned()), false, None).await.expect("a socket");
    let policy = RolePolicy::from_groups(&[], &[]).expect("no groups");
    tokio::spawn(async move {
        serve(routes, vec![listener], &policy, Limits::COORDINATOR, std::future::pending())
            .await
            .expect("serves");
    });
    client(socket).await
}

/// On a connection of its own.
pub async fn client(socket: &Path) -> RawClient {
    let address = format!("unix:{}", socket.display()).parse().expect("an address");
    let channel = connect(&address, CONNECT_DEADLINE).await.expect("connects");
    RawClient(Grpc::new(channel).max_decoding_message_size(CLUSTER_REPLY_MAX_BYTES))
}

/// Asks one question and takes the answer as it comes.
#[derive(Clone)]
pub struct RawClient(Grpc<Channel>);

impl RawClient {
    pub async fn ask(&mut self, request: Bytes) -> Bytes {
        self.0.ready().await.expect("ready");
        let path = http::uri::PathAndQuery::from_static(METHOD);
        self.0.unary(Request::new(request), path, Raw).await.expect("an answer").into_inner()
    }
}
