//! Opens listening sockets by the policy: Unix sockets and loopback, anything else only on the operator's written word.

use std::{
    fs::Permissions,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::{ByteStream, ListenAddress};

/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Why a daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Plaintext beyond this machine.
    #[error(
        "refusing to listen on {0} without TLS: other machines can reach it and anyone there could read and alter \
         answers. Listen on a Unix socket or a loopback address, or write `insecure = true` if the network is trusted"
    )]
    Insecure(ListenAddress),
    /// A live process holds the socket.
    #[error("{0} is in use by a running process; stop it or choose another path")]
    InUse(PathBuf),
    /// The path is taken by something that is not a socket.
    #[error("{0} exists and is not a socket; remove it or choose another path")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot listen on {address}")]
    Io {
        /// Where.
        address: ListenAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A listening socket. A Unix socket's file is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Socket,
    address: ListenAddress,
    /// Device and inode of a Unix socket's file: another's, bound later to the same path, must not be removed.
    file: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Where it listens, with the port the kernel chose.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The next connection, for what speaks no gRPC: whoever may connect may ask.
    ///
    /// # Errors
    /// As of accept(2).
    pub async fn accept_bytes(&self) -> io::Result<Box<dyn ByteStream>> {
        Ok(match &self.socket {
            Socket::Tcp(socket) => Box::new(socket.accept().await?.0),
            Socket::Unix(socket) => Box::new(socket.accept().await?.0),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let ListenAddress::Unix(path) = &self.address
            && self.file.is_some()
            && file_at(path) == self.file
        {
            // Best effort: a socket file left behind is taken over at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opens a listening socket. `group` (a gid) becomes the group of a Unix socket.
///
/// # Errors
/// See [`ListenError`].
pub async fn bind(
    address: &ListenAddress,
    insecure: bool,
    group: Option<u32>,
) -> Result<Listener, ListenError> {
    if !address.is_local() && !insecure {
        return Err(ListenError::Insecure(address.clone()));
    }
    if !address.is_local() {
        tracing::warn!(%address, "listening for other machines without TLS, as `insecure = true` says");
    }
    let io = |source| ListenError::Io { address: address.clone(), source };
    match address {
        ListenAddress::Tcp(wanted) => {
            let listener = TcpListener::bind(wanted).await.map_err(io)?;
            let address = ListenAddress::Tcp(listener.local_addr().map_err(io)?);
            Ok(Listener { socket: Socket::Tcp(listener), address, file: None })
        }
        ListenAddress::Unix(path) => {
            refuse_if_taken(address, path).await?;
            let listener = bind_unix(path, group).map_err(io)?;
            Ok(Listener { socket: Socket::Unix(listener), address: address.clone(), file: file_at(path) })
        }
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A socket nobody listens on any more is left from a killed process and may be replaced.
async fn refuse_if_taken(address: &ListenAddress, path: &Path) -> Result<(), ListenError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
        Err(_) => return Ok(()),
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ListenError::InUse(path.to_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(())
        }
        // A full backlog, or no right to ask: somebody may be there.
        Err(source) => Err(ListenError::Io { address: address.clone(), source }),
    }
}

/// Binds beside the path, sets mode and group, and renames: at no time can somebody connect who should not.
fn bind_unix(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary)?;
    let finish = || {
        if group.is_some() {
            chown(&temporary, None, group)?;
        }
        std::fs::set_permissions(&temporary, Permissions::from_mode(SOCKET_MODE))?;
        std::fs::rename(&temporary, path)
    };
    finish().inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })?;
    Ok(listener)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests set the scene")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refuses_other_machines_without_the_operators_word() {
        let any = ListenAddress::Tcp(([0, 0, 0, 0], 0).into());
        assert!(matches!(bind(&any, false, None).await, Err(ListenError::Insecure(_))));
        let loopback = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let listener = bind(&loopback, false, None).await.expect("loopback");
        assert!(matches!(listener.address(), ListenAddress::Tcp(a) if a.port() != 0));
    }

    #[tokio::test]
    async fn a_unix_socket_is_group_only_replaces_a_dead_one_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.sock");
        let address = ListenAddress::Unix(path.clone());
        let first = bind(&address, false, None).await.expect("bind");
        assert_eq!(std::fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, SOCKET_MODE);
        assert!(matches!(bind(&address, false, None).await, Err(ListenError::InUse(_))));
        drop(first);
        assert!(!path.exists());
        let replaced = bind(&address, false, None).await.expect("bind");
        std::fs::remove_file(&path).expect("somebody removes it");
        let _another = std::os::unix::net::UnixListener::bind(&path).expect("somebody else binds it");
        drop(replaced);
        assert!(path.exists(), "another's socket stays");
        std::fs::remove_file(&path).expect("removed");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a dead socket"));
        assert!(path.exists());
        drop(bind(&address, false, None).await.expect("takes over a dead socket"));
    }

    #[tokio::test]
    async fn never_replaces_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("data");
        std::fs::write(&path, "keep").expect("a file");
        let error = bind(&ListenAddress::Unix(path.clone()), false, None).await.expect_err("refused");
        assert!(matches!(error, ListenError::NotASocket(_)));
        assert!(path.exists());
    }
}
