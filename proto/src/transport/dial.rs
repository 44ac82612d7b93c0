//! Connects to a peer.

use std::{error::Error, io, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint};

use super::PeerAddress;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody there, or no way there.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable {
        /// Where.
        address: PeerAddress,
        /// The system's words.
        reason: String,
    },
    /// Nothing came back in time.
    #[error("cannot connect to {address}: no answer within {} s", .deadline.as_secs_f32())]
    TimedOut {
        /// Where.
        address: PeerAddress,
        /// How long we waited.
        deadline: Duration,
    },
    /// Not allowed to open the socket.
    #[error("not allowed to connect to {address}: join the socket's group, or ask as root")]
    Denied {
        /// Where.
        address: PeerAddress,
    },
}

/// Connects within the deadline, name resolution included.
///
/// # Errors
/// See [`DialError`].
pub async fn connect(address: &PeerAddress, deadline: Duration) -> Result<Channel, DialError> {
    let target = address.clone();
    let connector = tower::service_fn(move |_: http::Uri| {
        let target = target.clone();
        async move {
            match target {
                PeerAddress::Unix(path) => Ok::<_, io::Error>(TokioIo::new(Box::new(
                    UnixStream::connect(path).await?,
                ) as BoxedStream)),
                PeerAddress::Tcp { host, port } => {
                    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                    let stream = TcpStream::connect((host, port)).await?;
                    stream.set_nodelay(true)?;
                    Ok(TokioIo::new(Box::new(stream) as BoxedStream))
                }
            }
        }
    });
    // The URI only fills the :authority header; the connector decides where to go.
    let endpoint = Endpoint::from_static("http://vmuster");
    match tokio::time::timeout(deadline, endpoint.connect_with_connector(connector)).await {
        Err(_) => Err(DialError::TimedOut { address: address.clone(), deadline }),
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(explain(address, &error)),
    }
}

type BoxedStream = Box<dyn super::ByteStream>;

fn explain(address: &PeerAddress, error: &(dyn Error + 'static)) -> DialError {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::PermissionDenied) => DialError::Denied { address: address.clone() },
        _ => DialError::Unreachable { address: address.clone(), reason: cause.to_string() },
    }
}
