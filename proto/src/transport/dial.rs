//! Connects to a peer.

use std::{error::Error, io, time::Duration};

use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint};

use super::{ByteStream, PeerAddress};

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
    /// This machine has no descriptors, ports or memory left for it; says nothing about the peer.
    #[error(
        "cannot connect to {address}: this machine is out of resources ({reason}); raise LimitNOFILE, or ask less at once"
    )]
    Exhausted {
        /// Where.
        address: PeerAddress,
        /// The system's words.
        reason: String,
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
    connect_through(address, deadline, open).await
}

/// The same through another network than this machine's.
///
/// # Errors
/// See [`DialError`].
pub async fn connect_through<F>(
    address: &PeerAddress,
    deadline: Duration,
    open: impl Fn(PeerAddress) -> F + Clone + Send + 'static,
) -> Result<Channel, DialError>
where
    F: Future<Output = io::Result<Box<dyn ByteStream>>> + Send,
{
    let target = address.clone();
    let connector = tower::service_fn(move |_: http::Uri| {
        let (target, open) = (target.clone(), open.clone());
        async move { Ok::<_, io::Error>(TokioIo::new(open(target).await?)) }
    });
    // The URI only fills the :authority header; the connector decides where to go.
    let endpoint = Endpoint::from_static("http://vmuster");
    match tokio::time::timeout(deadline, endpoint.connect_with_connector(connector)).await {
        Err(_) => Err(DialError::TimedOut { address: address.clone(), deadline }),
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(explain(address, &error)),
    }
}

async fn open(target: PeerAddress) -> io::Result<Box<dyn ByteStream>> {
    match target {
        PeerAddress::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        PeerAddress::Tcp { host, port } => {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
    }
}

fn explain(address: &PeerAddress, error: &(dyn Error + 'static)) -> DialError {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let (address, reason) = (address.clone(), cause.to_string());
    match cause.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::PermissionDenied => DialError::Denied { address },
        Some(error) if is_exhaustion(error) => DialError::Exhausted { address, reason },
        _ => DialError::Unreachable { address, reason },
    }
}

/// connect(2) and socket(2): what is missing is on this side.
fn is_exhaustion(error: &io::Error) -> bool {
    const OURS: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|number| OURS.iter().any(|errno| errno.raw_os_error() == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is() {
        let address: PeerAddress = "127.0.0.1:1".parse().expect("an address");
        let explained = |errno: Errno| explain(&address, &io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!(matches!(explained(Errno::MFILE), DialError::Exhausted { .. }));
        assert!(matches!(explained(Errno::ADDRNOTAVAIL), DialError::Exhausted { .. }));
        assert!(matches!(explained(Errno::ACCESS), DialError::Denied { .. }));
        assert!(matches!(explained(Errno::CONNREFUSED), DialError::Unreachable { .. }));
        assert!(matches!(explained(Errno::NOENT), DialError::Unreachable { .. }));
    }
}
