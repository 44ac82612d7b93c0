//! How vmuster's processes reach and admit each other.
//!
//! Knows addresses, sockets, limits and roles; both daemons and the CLI use it, so that they agree. Must not know what is
//! asked. tonic as shipped has no connection cap, no deadline for a peer that connects and stays silent, and spins when
//! descriptors run out; the accept loop here closes those holes.

mod accept;
mod address;
mod connection;
mod dial;
mod limits;
mod listen;
mod role;
mod serve;

pub use accept::incoming;
pub use address::{ListenAddress, ParseAddressError, PeerAddress};
pub use connection::{ByteStream, Connection};
pub use dial::{DialError, connect, connect_through};
pub use limits::{
    AGENT_REPLY_MAX_BYTES, CLUSTER_REPLY_MAX_BYTES, CONNECT_DEADLINE, Limits, REQUEST_MAX_BYTES,
};
pub use listen::{ListenError, Listener, bind};
pub use role::{Peer, Role, RolePolicy, UnknownGroup, error_status, group_id, not_implemented, require_role};
pub use serve::{ServeError, serve, standard_routes};
