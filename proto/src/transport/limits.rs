//! Every limit on what a peer may cost.

use std::time::Duration;

/// Requests to either daemon. The largest names 10,000 hosts of 253 bytes.
pub const REQUEST_MAX_BYTES: usize = 4 << 20;

/// An agent's reply. An inventory of 8,192 CPUs has about 300 KiB; a lying agent must not cost more than this.
pub const AGENT_REPLY_MAX_BYTES: usize = 8 << 20;

/// A coordinator's reply. 10,000 hosts with their classes have about 3 MiB.
pub const CLUSTER_REPLY_MAX_BYTES: usize = 32 << 20;

/// To connect to a peer, name resolution included. A whole call has its own, longer deadline.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// What connections may cost a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once on each listener; more wait in the kernel's backlog. Keeps descriptors for the work.
    pub max_connections: usize,
    /// From connect to the whole HTTP/2 preface. A silent peer costs one descriptor for this long.
    pub preface_deadline: Duration,
    /// Pause after a failed accept: without one, a process out of descriptors spins.
    pub accept_backoff: Duration,
    /// Calls at once on one connection.
    pub max_streams_per_connection: u32,
    /// A whole call, by the server's will; a caller's own deadline is usually shorter.
    pub call_deadline: Duration,
    /// Ping an idle peer, and wait this long for its answer: frees what half-dead peers hold.
    pub keepalive_interval: Duration,
    /// See `keepalive_interval`.
    pub keepalive_timeout: Duration,
    /// Request headers; ours have under 1 KiB.
    pub max_header_bytes: u32,
    /// Streams reset before they were served (CVE-2023-44487) until the connection is cut.
    pub max_pending_resets: usize,
    /// Questions to the user database at once: each holds a thread, for as long as the database hangs.
    pub max_user_lookups: usize,
    /// How long a connection may live: peers that hold one and ask nothing make room for others. Asking again is cheap.
    pub max_connection_age: Duration,
    /// From the shutdown signal to the end, for calls under way.
    pub shutdown_grace: Duration,
}

impl Limits {
    /// An agent: a handful of coordinators ask it.
    pub const AGENT: Self = Self {
        max_connections: 64,
        preface_deadline: Duration::from_secs(3),
        accept_backoff: Duration::from_millis(100),
        max_streams_per_connection: 16,
        call_deadline: Duration::from_secs(30),
        keepalive_interval: Duration::from_secs(10),
        keepalive_timeout: Duration::from_secs(5),
        max_header_bytes: 16 << 10,
        max_pending_resets: 8,
        max_user_lookups: 8,
        max_connection_age: Duration::from_secs(3600),
        shutdown_grace: Duration::from_secs(5),
    };

    /// A coordinator: schedulers and people ask it, and a refresh of all hosts may take minutes.
    pub const COORDINATOR: Self = Self {
        max_connections: 1024,
        max_streams_per_connection: 256,
        call_deadline: Duration::from_secs(600),
        ..Self::AGENT
    };
}
