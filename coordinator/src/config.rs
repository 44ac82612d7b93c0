//! The coordinator's configuration: TOML, every key known.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;
use vmuster_proto::{
    daemon::{human_duration, listen_addresses},
    transport::ListenAddress,
};

use crate::{
    accounting::Profile,
    cpu_map::DEFAULT_CPU_MAP,
    fetch::{DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE},
};

/// How long an inventory holds unless the host says otherwise.
pub const DEFAULT_TTL: Duration = Duration::from_secs(86_400);

/// How long a failed host is not asked again: long enough that a burst of questions waits for it once.
pub const DEFAULT_FAILURE_TTL: Duration = Duration::from_secs(5);

/// Guests come and go by the second, and what is promised here is counted as well: half a minute is for what others do.
pub const DEFAULT_USAGE_MAX_AGE: Duration = Duration::from_secs(30);

/// For callers that set no deadline.
pub const DEFAULT_CALL_DEADLINE: Duration = Duration::from_secs(30);

/// Each fetch holds a descriptor; more than this only queue elsewhere.
pub const FETCH_CONCURRENCY_MAX: usize = 4096;

/// Where the configuration is by default.
pub const DEFAULT_CONFIG_PATH: &str = "/etc/vmuster/coordinator.toml";

/// Where a coordinator listens by default; the CLI looks here.
pub const DEFAULT_SOCKET: &str = "unix:/run/vmuster/coordinator.sock";

/// All settings, each with its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Unix sockets (unix:/path) and loopback addresses (IP:PORT).
    #[serde(deserialize_with = "listen_addresses")]
    pub listen: Vec<ListenAddress>,
    /// Allows listening beyond this machine without TLS.
    pub insecure: bool,
    /// Group of the Unix sockets: its members may ask.
    pub socket_group: Option<String>,
    /// Where metrics are served over HTTP; loopback addresses and Unix sockets only. Empty: nowhere.
    #[serde(deserialize_with = "listen_addresses")]
    pub metrics_listen: Vec<ListenAddress>,
    /// Groups whose members may promise resources.
    pub operator_groups: Vec<String>,
    /// Groups whose members may change who is in the cluster.
    pub admin_groups: Vec<String>,
    /// Who is in the cluster; read again on SIGHUP.
    pub hosts_file: PathBuf,
    /// Hosts that were registered by API; made 0700.
    pub state_dir: PathBuf,
    /// Entries of hosts; made 0700.
    pub cache_dir: PathBuf,
    /// Write entries through to the disk. An entry can be fetched again, so off.
    pub cache_fsync: bool,
    /// How long an inventory holds ("1day", "12h").
    #[serde(deserialize_with = "human_duration")]
    pub ttl: Duration,
    /// How long a failed host is not asked again.
    #[serde(deserialize_with = "human_duration")]
    pub failure_ttl: Duration,
    /// One fetch as a whole.
    #[serde(deserialize_with = "human_duration")]
    pub host_deadline: Duration,
    /// Calls whose caller sets no deadline.
    #[serde(deserialize_with = "human_duration")]
    pub call_deadline: Duration,
    /// Fetches under way at once.
    pub fetch_concurrency: usize,
    /// By whose rule hosts are filled, with its default ratios: "standard" or "kilo".
    pub accounting: Profile,
    /// Usage this old is asked for again before resources of its host are promised.
    #[serde(deserialize_with = "human_duration")]
    pub usage_max_age: Duration,
    /// Names of pools by storage class; of several on a host the first with room is taken.
    pub storage_classes: BTreeMap<String, Vec<String>>,
    /// libvirt's cpu_map files: what CPU models stand for where no libvirt is asked. They need not be there.
    pub cpu_map_directory: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: DEFAULT_SOCKET.parse().into_iter().collect(),
            insecure: false,
            socket_group: None,
            metrics_listen: Vec::new(),
            operator_groups: Vec::new(),
            admin_groups: Vec::new(),
            hosts_file: "/etc/vmuster/hosts.toml".into(),
            state_dir: "/var/lib/vmuster-coordinator".into(),
            cache_dir: "/var/cache/vmuster-coordinator".into(),
            cache_fsync: false,
            ttl: DEFAULT_TTL,
            failure_ttl: DEFAULT_FAILURE_TTL,
            host_deadline: DEFAULT_HOST_DEADLINE,
            call_deadline: DEFAULT_CALL_DEADLINE,
            fetch_concurrency: DEFAULT_CONCURRENCY,
            accounting: Profile::default(),
            usage_max_age: DEFAULT_USAGE_MAX_AGE,
            storage_classes: BTreeMap::new(),
            cpu_map_directory: DEFAULT_CPU_MAP.into(),
        }
    }
}

/// A value that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` must not be {value}")]
pub struct InvalidValue {
    key: &'static str,
    value: &'static str,
}

impl Config {
    /// Looks for values that parse and cannot work.
    ///
    /// # Errors
    /// The first such value.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let wrong = [
            ("listen", "empty", self.listen.is_empty()),
            ("host_deadline", "zero", self.host_deadline.is_zero()),
            ("call_deadline", "zero", self.call_deadline.is_zero()),
            (
                "fetch_concurrency",
                "zero or over 4096",
                !(1..=FETCH_CONCURRENCY_MAX).contains(&self.fetch_concurrency),
            ),
        ];
        let first = wrong.into_iter().find(|(.., is_wrong)| *is_wrong);
        first.map_or(Ok(()), |(key, value, _)| Err(InvalidValue { key, value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_default_and_a_wrong_one_is_named() {
        let config =
            toml::from_str::<Config>("ttl = \"12h\"\nlisten = [\"unix:/run/c.sock\", \"127.0.0.1:0\"]")
                .expect("valid");
        assert_eq!(config.ttl, Duration::from_secs(43_200));
        assert_eq!(config.listen.len(), 2);
        assert_eq!(toml::from_str::<Config>("").expect("empty is valid").ttl, DEFAULT_TTL);
        for bad in [
            "listen = []",
            "host_deadline = '0s'",
            "fetch_concurrency = 0",
            "fetch_concurrency = 9000000000000000000",
        ] {
            let key = bad.split(' ').next().expect("a key");
            let config = toml::from_str::<Config>(bad).expect("parses");
            assert!(config.check().expect_err("refused").to_string().contains(key), "{bad}");
        }
        for (text, word) in [("tls = 1", "tls"), ("ttl = \"soon\"", "ttl"), ("listen = [\"x\"]", "listen")] {
            assert!(
                toml::from_str::<Config>(text).expect_err("refused").to_string().contains(word),
                "{text}"
            );
        }
    }
}
