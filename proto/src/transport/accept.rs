//! The accept loop: caps, deadlines and back-off that tonic does not have.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{Connection, Limits, Listener, Peer, Role, RolePolicy, connection::ByteStream, listen::Socket};

enum Accepted {
    Tcp(TcpStream, String),
    Unix(UnixStream),
}

/// Accepts until the returned stream is dropped; the task then ends and closes the listener. Only peers that are known
/// and speak HTTP/2 come out of the stream.
#[must_use]
pub fn incoming(
    listener: Listener,
    policy: RolePolicy,
    limits: Limits,
) -> (ReceiverStream<io::Result<Connection>>, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(1);
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let (policy, lookups) = (Arc::new(policy), Arc::new(Semaphore::new(limits.max_user_lookups)));
    let accepting = tokio::spawn(async move {
        loop {
            // The slot comes first: beyond the cap, peers wait in the kernel's backlog and cost no descriptor.
            let accepted = tokio::select! {
                () = sender.closed() => return,
                accepted = accept(&listener, &slots) => accepted,
            };
            let (accepted, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(address = %listener.address(), %error, "cannot accept a connection");
                    pause(limits.accept_backoff).await;
                    continue;
                }
            };
            let (sender, policy, lookups) = (sender.clone(), Arc::clone(&policy), Arc::clone(&lookups));
            tokio::spawn(async move {
                match timeout(limits.preface_deadline, admit(accepted, permit, policy, lookups)).await {
                    // Fails only when the server is going down.
                    Ok(Ok(connection)) => drop(sender.send(Ok(connection)).await),
                    Ok(Err(error)) => tracing::debug!(%error, "dropped a connection"),
                    Err(_) => tracing::debug!("dropped a silent connection"),
                }
            });
        }
    });
    (ReceiverStream::new(receiver), accepting)
}

async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

async fn accept(listener: &Listener, slots: &Arc<Semaphore>) -> io::Result<(Accepted, OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let accepted = match &listener.socket {
        Socket::Tcp(socket) => {
            let (stream, peer) = socket.accept().await?;
            // Without it a first call waits for a delayed acknowledgement: 46 ms instead of 1.
            stream.set_nodelay(true)?;
            Accepted::Tcp(stream, peer.to_string())
        }
        Socket::Unix(socket) => Accepted::Unix(socket.accept().await?.0),
    };
    Ok((accepted, permit))
}

async fn admit(
    accepted: Accepted,
    permit: OwnedSemaphorePermit,
    policy: Arc<RolePolicy>,
    lookups: Arc<Semaphore>,
) -> io::Result<Connection> {
    let (stream, peer): (Box<dyn ByteStream>, Peer) = match accepted {
        Accepted::Tcp(stream, description) => (Box::new(stream), Peer { role: Role::Reader, description }),
        Accepted::Unix(stream) => {
            let credentials = stream.peer_cred()?;
            let (uid, gid) = (credentials.uid(), credentials.gid());
            // The user database may hang, and its thread with it: so many and no more.
            let lookup = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let role = tokio::task::spawn_blocking(move || {
                let role = policy.role_of(uid, gid);
                drop(lookup);
                role
            });
            let role = role.await?;
            (Box::new(stream), Peer { role, description: format!("uid {uid}") })
        }
    };
    Connection::open(stream, peer, permit).await
}
