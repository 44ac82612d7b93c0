//! How a connection to an agent is made.

use std::{fmt, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tonic::transport::Channel;
use vmuster_proto::transport::{DialError, PeerAddress, connect};

/// Makes connections; simulations have their own network.
pub trait Dial: fmt::Debug + Send + Sync + 'static {
    /// A connection to this agent within the deadline.
    fn dial<'a>(
        &'a self,
        address: &'a PeerAddress,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>>;
}

/// This machine's TCP and Unix sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sockets;

impl Dial for Sockets {
    fn dial<'a>(
        &'a self,
        address: &'a PeerAddress,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        connect(address, deadline).boxed()
    }
}
