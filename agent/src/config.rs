//! The agent's configuration: TOML, every key known.

use std::time::Duration;

use serde::Deserialize;
use vmuster_proto::{
    daemon::{human_duration, listen_addresses},
    transport::ListenAddress,
};

/// Where the configuration is by default.
pub const DEFAULT_CONFIG_PATH: &str = "/etc/vmuster/agent.toml";

/// Where an agent listens by default.
pub const DEFAULT_SOCKET: &str = "unix:/run/vmuster/agent.sock";

/// A coordinator gives a host 5 s in all by default; an answer later than this would come too late.
pub const DEFAULT_COLLECT_DEADLINE: Duration = Duration::from_secs(4);

/// All settings, each with its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name this host goes by; None: its host name.
    pub name: Option<String>,
    /// Unix sockets (unix:/path) and loopback addresses (IP:PORT).
    #[serde(deserialize_with = "listen_addresses")]
    pub listen: Vec<ListenAddress>,
    /// Allows listening beyond this machine without TLS.
    pub insecure: bool,
    /// Group of the Unix sockets: its members may ask.
    pub socket_group: Option<String>,
    /// One collection as a whole.
    #[serde(deserialize_with = "human_duration")]
    pub collect_deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            listen: DEFAULT_SOCKET.parse().into_iter().collect(),
            insecure: false,
            socket_group: None,
            collect_deadline: DEFAULT_COLLECT_DEADLINE,
        }
    }
}
