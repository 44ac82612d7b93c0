//! A connection to libvirt's daemon: opened when it is needed, and again when it broke.

mod events;
pub(crate) mod failure;
pub(crate) mod raw;
pub(crate) mod stats;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use virt::{
    connect::Connect,
    error::{Error, ErrorNumber, clear_error_callback},
};
use vmuster_proto::model::Issue;

use self::{
    events::{Changed, EventLoop},
    failure::issue,
    raw::Changes,
};
use crate::limits::{CALL_LIMIT, Limits};

/// Where daemons listen, the modular one first: on a host with both it is the one that runs guests.
const DAEMON_SOCKETS: [&str; 2] = ["/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"];

/// Characters of a path that stand for themselves in a URI.
const PLAIN: &[u8] = b"-._~/";

/// The daemon, through one connection.
pub(crate) struct Daemon {
    socket: Option<String>,
    limits: Limits,
    events: EventLoop,
    changed: Arc<Changed>,
    connection: Option<Connection>,
    /// How many connections there were: what is known of changes ends with one.
    opened: u64,
}

pub(crate) struct Connection {
    pub(crate) connect: Connect,
    /// Why it is read-only, if it is.
    pub(crate) refused: Option<Issue>,
    callbacks: Vec<i32>,
    opened_at: Instant,
}

/// A connection that may only read is tried anew after this long: the right may have been given, and at boot everything
/// comes up at once.
const READ_ONLY_MAX: Duration = Duration::from_secs(60);

impl Daemon {
    /// `socket`: the daemon's; None: the first there is.
    ///
    /// # Errors
    /// libvirt cannot be set up.
    pub(crate) fn new(socket: Option<String>, limits: Limits) -> Result<Self, Error> {
        clear_error_callback();
        let events = EventLoop::start()?;
        Ok(Self { socket, limits, events, changed: Arc::default(), connection: None, opened: 0 })
    }

    /// An open connection.
    ///
    /// # Errors
    /// The daemon refuses, or there is none.
    pub(crate) fn connection(&mut self) -> Result<&Connection, Issue> {
        let is_over = |open: &Connection| {
            let is_old = open.refused.is_some() && open.opened_at.elapsed() > READ_ONLY_MAX;
            is_old || !open.connect.is_alive().unwrap_or(false)
        };
        if self.connection.as_ref().is_some_and(is_over) {
            self.disconnect();
        }
        match self.connection {
            Some(ref open) => Ok(open),
            None => {
                let open = self.open()?;
                self.opened += 1;
                Ok(self.connection.insert(open))
            }
        }
    }

    fn open(&self) -> Result<Connection, Issue> {
        let first = || DAEMON_SOCKETS.into_iter().find(|path| Path::new(path).exists());
        let socket = self.socket.as_deref().or_else(first).unwrap_or(DAEMON_SOCKETS[1]);
        let uri = uri(socket);
        let open = || Connect::open(Some(&uri));
        let (connect, refused) = match self.limits.call("virConnectOpen", CALL_LIMIT, open) {
            Ok(connect) => (connect, None),
            Err(error) => {
                // Whoever names the socket in the URI is asked for as many rights there, whatever is to be done.
                let uri = self::uri(&format!("{socket}-ro"));
                let open = || Connect::open_read_only(Some(&uri));
                match self.limits.call("virConnectOpenReadOnly", CALL_LIMIT, open) {
                    // There is a daemon: it is the right that is missing.
                    Ok(connect) => (connect, Some(failure::denied("virConnectOpen", &error))),
                    Err(_) if may_connect(socket) => return Err(issue("virConnectOpen", &error)),
                    Err(_) => return Err(failure::denied("virConnectOpen", &error)),
                }
            }
        };
        let changes: Arc<dyn Changes> = Arc::<Changed>::clone(&self.changed);
        let watch = || raw::watch_domains(&connect, &changes);
        let (callbacks, watched) = self.limits.call("virConnectDomainEventRegisterAny", CALL_LIMIT, watch);
        if let Err(error) = watched {
            tracing::warn!(%error, "libvirt does not tell of changes: they are seen by their age");
        }
        tracing::info!(socket, read_only = refused.is_some(), "connected");
        Ok(Connection { connect, refused, callbacks, opened_at: Instant::now() })
    }

    /// Closes the connection; the next question opens another.
    pub(crate) fn disconnect(&mut self) {
        if let Some(open) = self.connection.take() {
            self.limits.call("virConnectClose", CALL_LIMIT, || {
                raw::unwatch_domains(&open.connect, &open.callbacks);
                drop(open);
            });
        }
    }

    /// One call on the connection, within its limit.
    ///
    /// # Errors
    /// What libvirt said.
    pub(crate) fn call<T>(
        &mut self,
        name: &'static str,
        limit: Duration,
        call: impl Fn(&Connect) -> Result<T, Error>,
    ) -> Result<T, Issue> {
        self.try_call(name, limit, call).map_err(|error| match error {
            CallError::NotOpen(issue) => issue,
            CallError::Refused(error) => issue(name, &error),
        })
    }

    /// The same, with libvirt's error as it is.
    ///
    /// # Errors
    /// See [`CallError`].
    pub(crate) fn try_call<T>(
        &mut self,
        name: &'static str,
        limit: Duration,
        call: impl Fn(&Connect) -> Result<T, Error>,
    ) -> Result<T, CallError> {
        // A daemon that was restarted is noticed by the call that fails.
        for is_last in [false, true] {
            let limits = self.limits.clone();
            let open = self.connection().map_err(CallError::NotOpen)?;
            let result = limits.call(name, limit, || call(&open.connect));
            let broke = result.is_err() && !open.connect.is_alive().unwrap_or(false);
            if !broke || is_last {
                return result.map_err(CallError::Refused);
            }
            self.disconnect();
        }
        Err(CallError::Refused(Error::last_error()))
    }

    /// How many connections there were; with another number, changes may have been missed.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Domains that libvirt said have changed.
    pub(crate) fn changes(&self) -> std::collections::BTreeSet<String> {
        self.events.settle();
        self.changed.take()
    }

    /// Runs something that asks libvirt in other ways, within a limit.
    pub(crate) fn within<T>(&self, name: &'static str, limit: Duration, call: impl FnOnce() -> T) -> T {
        self.limits.call(name, limit, call)
    }
}

/// Why a call gave nothing.
pub(crate) enum CallError {
    /// There is no connection.
    NotOpen(Issue),
    /// libvirt's own.
    Refused(Error),
}

impl CallError {
    /// Whether libvirt compared CPUs and found that they do not fit.
    pub(crate) fn is_incompatible(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code().is(ErrorNumber::CpuIncompatible))
    }

    /// Whether libvirt cannot do this at all here.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code().is(ErrorNumber::NoSupport))
    }

    /// Whether libvirt has no such kind of guest, or no such call.
    pub(crate) fn is_not_offered(&self) -> bool {
        let codes = [ErrorNumber::InvalidArg, ErrorNumber::ConfigUnsupported, ErrorNumber::NoSupport];
        matches!(self, Self::Refused(error) if codes.into_iter().any(|code| error.code().is(code)))
    }

    /// As an issue without a section.
    pub(crate) fn issue(&self, call: &str) -> Issue {
        match self {
            Self::NotOpen(issue) => issue.clone(),
            Self::Refused(error) => issue(call, error),
        }
    }

    /// libvirt's words.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::NotOpen(issue) => &issue.detail,
            Self::Refused(error) => error.message(),
        }
    }
}

/// Whether the socket's mode allows it; that it does not, libvirt tells like any other failure.
fn may_connect(socket: &str) -> bool {
    rustix::fs::access(socket, rustix::fs::Access::WRITE_OK) != Err(rustix::io::Errno::ACCESS)
}

/// Of a daemon that listens there.
fn uri(socket: &str) -> String {
    let mut uri = "qemu+unix:///system?socket=".to_owned();
    for byte in socket.bytes() {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri += &format!("%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_one_part_of_the_uri() {
        assert_eq!(uri("/run/libvirt/libvirt-sock"), "qemu+unix:///system?socket=/run/libvirt/libvirt-sock");
        assert_eq!(uri("/a b&command=x"), "qemu+unix:///system?socket=/a%20b%26command%3Dx");
    }
}
