//! AgentService for all hosts at once: the address that was called says which host is asked.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use prost::bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_stream::{Stream, StreamExt as _, wrappers::WatchStream};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
    transport::server::TcpConnectInfo,
};
use vmuster_proto::{pb::agent_service_server::SERVICE_NAME, transport::AGENT_REPLY_MAX_BYTES};

use super::host::{Manner, SimulatedHost};
use crate::raw::Raw;

/// Of connections nobody speaks on: beyond that the oldest are closed.
const SILENT_CONNECTIONS_MAX: usize = 64;

/// The hosts, and which of them listens where.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) all: Vec<SimulatedHost>,
    pub(super) by_address: HashMap<SocketAddr, usize>,
}

impl Hosts {
    /// The host that listens where the connection was made to.
    fn called(&self, connection: Option<&TcpConnectInfo>) -> Option<&SimulatedHost> {
        let address = connection.and_then(TcpConnectInfo::local_addr)?;
        self.by_address.get(&address).map(|index| &self.all[*index])
    }
}

/// Hands on the host's connections, or keeps them without a word.
pub(super) async fn accept(
    listener: TcpListener,
    hosts: Arc<Hosts>,
    index: usize,
    door: mpsc::Sender<io::Result<TcpStream>>,
) {
    let host = &hosts.all[index];
    let mut silent: Vec<TcpStream> = Vec::new();
    // Without descriptors there is nothing to go on with; whoever asks sees a host that does not answer.
    while let Ok((stream, _)) = listener.accept().await {
        host.counters.connections.fetch_add(1, Ordering::SeqCst);
        if host.manner() == Manner::Silent {
            silent.truncate(SILENT_CONNECTIONS_MAX - 1);
            silent.insert(0, stream);
            continue;
        }
        silent.clear();
        // Fails for a connection that is over already.
        let _ = stream.set_nodelay(true);
        if door.send(Ok(stream)).await.is_err() {
            return;
        }
    }
}

/// The agents' side.
#[derive(Debug, Clone)]
pub(super) struct Agents {
    pub(super) hosts: Arc<Hosts>,
    /// Calls that hang end with the fleet.
    pub(super) stopped: watch::Receiver<()>,
}

/// One call that came in.
struct Call {
    agents: Agents,
    method: String,
}

impl Agents {
    async fn answer(mut self, method: &str, request: Request<Bytes>) -> Result<Bytes, Status> {
        let hosts = Arc::clone(&self.hosts);
        let called = request.extensions().get::<TcpConnectInfo>();
        let host = hosts.called(called).ok_or_else(|| Status::internal("no such host"))?;
        host.counters.calls.fetch_add(1, Ordering::SeqCst);
        let (manner, latency) = (host.manner(), host.latency());
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let speaker = match manner {
            Manner::Answers | Manner::Stalls | Manner::Silent | Manner::Gone => host,
            Manner::LiesAs(other) => &hosts.all[other],
            Manner::Fails(code) => return Err(Status::new(code, "as the simulation was told")),
            Manner::Hangs => {
                // Ends when the sender is dropped.
                let _ = self.stopped.changed().await;
                return Err(Status::unavailable("the fleet was stopped"));
            }
            Manner::Oversize => return Ok(Bytes::from(vec![0; AGENT_REPLY_MAX_BYTES + 1])),
            Manner::Malformed => return Ok(Bytes::from_static(&[0xff; 64])),
        };
        match method {
            "GetInventory" => speaker
                .inventory(request.get_ref())
                .map_err(|error| Status::invalid_argument(error.to_string())),
            "GetUsage" => Ok(speaker.usage()),
            other => Err(Status::unimplemented(format!("simulated hosts know no {other}"))),
        }
    }
}

impl NamedService for Agents {
    const NAME: &'static str = SERVICE_NAME;
}

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;
    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (agents, method) = (self.agents.clone(), std::mem::take(&mut self.method));
        Box::pin(async move { agents.answer(&method, request).await.map(Response::new) })
    }
}

/// A message, and no end of the stream before the fleet's own.
type Unended = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl ServerStreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = Unended;
    type Future = BoxFuture<Response<Unended>, Status>;
    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (agents, method) = (self.agents.clone(), std::mem::take(&mut self.method));
        Box::pin(async move {
            let stopped = WatchStream::from_changes(agents.stopped.clone()).filter_map(|()| None);
            let answer = agents.answer(&method, request).await;
            let unended: Unended = Box::pin(tokio_stream::once(answer).chain(stopped));
            Ok(Response::new(unended))
        })
    }
}

impl Service<http::Request<Body>> for Agents {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let manner =
            self.hosts.called(request.extensions().get::<TcpConnectInfo>()).map(SimulatedHost::manner);
        let call = Call { agents: self.clone(), method };
        Box::pin(async move {
            let mut answering = Grpc::new(Raw);
            Ok(if manner == Some(Manner::Stalls) {
                answering.server_streaming(call, request).await
            } else {
                answering.unary(call, request).await
            })
        })
    }
}
