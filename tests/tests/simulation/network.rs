//! turmoil's network under gRPC.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::{Channel, server::Connected};
use turmoil::net::{TcpListener, TcpStream};
use vmuster_coordinator::fetch::Dial;
use vmuster_proto::transport::{ByteStream, DialError, PeerAddress, connect_through};
use vmuster_tests::scripted::ScriptedAgent;

pub const PORT: u16 = 9440;

/// tonic must know whose connection it is.
struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Connects where turmoil says.
#[derive(Debug)]
pub struct SimulatedNetwork;

async fn open(address: PeerAddress) -> io::Result<Box<dyn ByteStream>> {
    let PeerAddress::Tcp { host, port } = address else { panic!("simulated hosts have TCP only") };
    Ok(Box::new(TcpStream::connect((host, port)).await?))
}

impl Dial for SimulatedNetwork {
    fn dial<'a>(
        &'a self,
        address: &'a PeerAddress,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        connect_through(address, deadline, open).boxed()
    }
}

/// Serves the agent on its simulated host for ever.
pub async fn serve(agent: ScriptedAgent) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(agent.clone().serve(Accepted(stream)));
    }
}
