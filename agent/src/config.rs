//! The agent's configuration: TOML, every key known.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use vmuster_proto::{
    daemon::{human_duration, listen_addresses},
    transport::ListenAddress,
};

use crate::hypervisor::{self, ReaderSettings};

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
    /// Where the reader process listens, which talks to libvirt. Absolute.
    pub hypervisor_socket: PathBuf,
    /// Storage pools of libvirt's whose volumes are images.
    pub image_pools: Vec<String>,
    /// Directories whose files are images. Absolute.
    pub image_directories: Vec<PathBuf>,
}

impl Config {
    /// Whom to ask about guests.
    #[must_use]
    pub fn reader(&self) -> ReaderSettings {
        ReaderSettings {
            socket: self.hypervisor_socket.clone(),
            image_pools: self.image_pools.clone(),
            image_directories: self.image_directories.clone(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            listen: DEFAULT_SOCKET.parse().into_iter().collect(),
            insecure: false,
            socket_group: None,
            collect_deadline: DEFAULT_COLLECT_DEADLINE,
            hypervisor_socket: hypervisor::DEFAULT_SOCKET.into(),
            image_pools: Vec::new(),
            image_directories: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_is_the_configured_one() {
        assert_eq!(Config::default().reader(), ReaderSettings::default());
        let text = "hypervisor_socket = \"/run/other.sock\"\nimage_pools = [\"images\"]\n\
            image_directories = [\"/srv/images\"]\n";
        let config: Config = toml::from_str(text).expect("a configuration");
        let reader = config.reader();
        assert_eq!(reader.socket, PathBuf::from("/run/other.sock"));
        assert_eq!(
            (reader.image_pools, reader.image_directories),
            (vec!["images".to_owned()], vec![PathBuf::from("/srv/images")])
        );
    }
}
