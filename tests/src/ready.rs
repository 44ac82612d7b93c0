//! An answer that is there already: the least that an RPC with an answer of so many bytes can cost. And a client that does
//! not look into answers, so that only the way there and back and the server's work are measured.

use std::{
    convert::Infallible,
    future::Ready as ReadyNow,
    marker::PhantomData,
    path::Path,
    task::{Context, Poll},
};

use prost::bytes::Bytes;
use tonic::{
    Request, Response, Status,
    client::Grpc,
    codegen::{BoxFuture, Service, http},
    server::{NamedService, UnaryService},
    service::RoutesBuilder,
    transport::Channel,
};
use vmuster_proto::transport::{
    CLUSTER_REPLY_MAX_BYTES, CONNECT_DEADLINE, Limits, ListenAddress, RolePolicy, bind, connect, serve,
    standard_routes,
};

use crate::raw::Raw;

/// Answers everything that is asked of a service with the same bytes.
#[derive(Debug)]
pub struct ReadyMade<N> {
    answer: Bytes,
    of: PhantomData<fn() -> N>,
}

impl<N> ReadyMade<N> {
    /// With these.
    #[must_use]
    pub fn new(answer: Bytes) -> Self {
        Self { answer, of: PhantomData }
    }
}

impl<N> Clone for ReadyMade<N> {
    fn clone(&self) -> Self {
        Self::new(self.answer.clone())
    }
}

impl<N: NamedService> NamedService for ReadyMade<N> {
    const NAME: &'static str = N::NAME;
}

impl<N> UnaryService<Bytes> for ReadyMade<N> {
    type Response = Bytes;
    type Future = ReadyNow<Result<Response<Bytes>, Status>>;
    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.answer.clone())))
    }
}

impl<N: 'static> Service<http::Request<tonic::body::Body>> for ReadyMade<N> {
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

/// Serves on a Unix socket as a coordinator does, until the runtime ends.
///
/// # Panics
/// It cannot.
pub async fn serve_on(socket: &Path, service: &str, add: impl FnOnce(&mut RoutesBuilder)) {
    let mut routes = standard_routes(service).await.expect("routes");
    add(&mut routes);
    let listener = bind(&ListenAddress::Unix(socket.to_owned()), false, None).await.expect("a socket");
    let policy = RolePolicy::from_groups(&[], &[]).expect("no groups");
    tokio::spawn(async move {
        serve(routes.routes(), vec![listener], &policy, Limits::COORDINATOR, std::future::pending())
            .await
            .expect("serves");
    });
}

/// On a connection of its own.
///
/// # Panics
/// Nobody listens there.
pub async fn client(socket: &Path, method: &'static str) -> RawClient {
    let address = format!("unix:{}", socket.display()).parse().expect("an address");
    let channel = connect(&address, CONNECT_DEADLINE).await.expect("connects");
    RawClient { rpc: Grpc::new(channel).max_decoding_message_size(CLUSTER_REPLY_MAX_BYTES), method }
}

/// Asks one question and takes the answer as it comes.
#[derive(Debug, Clone)]
pub struct RawClient {
    rpc: Grpc<Channel>,
    method: &'static str,
}

impl RawClient {
    /// The answer's bytes.
    ///
    /// # Panics
    /// There is none.
    pub async fn ask(&mut self, request: Bytes) -> Bytes {
        self.rpc.ready().await.expect("ready");
        let path = http::uri::PathAndQuery::from_static(self.method);
        self.rpc.unary(Request::new(request), path, Raw).await.expect("an answer").into_inner()
    }
}
