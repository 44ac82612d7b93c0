//! The hosts file: TOML with one `[[host]]` table a host.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use vmuster_proto::{
    daemon::toml_problem,
    transport::{ParseAddressError, PeerAddress},
};

use crate::text_file::read_text;

use super::{DuplicateHost, HostEntry, Registry};

/// 100,000 hosts with labels have about 20 MiB.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// RFC 1123: 253 characters in all, 63 a label.
const NAME_MAX_BYTES: usize = 253;
const NAME_LABEL_MAX_BYTES: usize = 63;

/// Why a hosts file was refused. The registry in use stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum HostsFileError {
    /// The system refused.
    #[error("cannot read the hosts file {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was read and makes no sense.
    #[error("the hosts file {path} is not valid")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: HostsError,
    },
}

/// Why a hosts file's text makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// Not TOML, or a key that is not known.
    #[error("{0}")]
    Syntax(String),
    /// A name that is not a host name.
    #[error(
        "'{0}' is not a host name: letters, digits and '-' in parts of at most 63 characters, joined by dots"
    )]
    Name(String),
    /// An address that is not one.
    #[error("host '{host}'")]
    Address {
        /// Which host.
        host: String,
        /// Why.
        #[source]
        source: ParseAddressError,
    },
    /// Two hosts at one address.
    #[error("hosts '{0}' and '{1}' have the same address")]
    SameAddress(String, String),
    /// Two hosts of one name.
    #[error(transparent)]
    Duplicate(#[from] DuplicateHost),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostsFile {
    #[serde(default)]
    host: Vec<HostTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostTable {
    name: String,
    address: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    maintenance: bool,
}

/// A registry from a hosts file's text. Names are lower-cased, as DNS compares them.
///
/// # Errors
/// See [`HostsError`].
pub fn parse_hosts_file(text: &str) -> Result<Registry, HostsError> {
    let file: HostsFile =
        toml::from_str(text).map_err(|error| HostsError::Syntax(toml_problem(text, &error)))?;
    let entries = file.host.into_iter().map(|table| {
        let name = table.name.to_ascii_lowercase();
        if !is_rfc_1123(&name) {
            return Err(HostsError::Name(table.name));
        }
        let address: PeerAddress =
            table.address.parse().map_err(|source| HostsError::Address { host: name.clone(), source })?;
        Ok(HostEntry { name, address: Some(address), labels: table.labels, maintenance: table.maintenance })
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let mut by_address = BTreeMap::new();
    for entry in &entries {
        // One machine counted twice, and another not at all: the slip of a hand that copies lines.
        if let Some(other) = by_address.insert(&entry.address, &entry.name) {
            return Err(HostsError::SameAddress(other.clone(), entry.name.clone()));
        }
    }
    Ok(Registry::new(entries)?)
}

/// Reads and parses a hosts file.
///
/// # Errors
/// See [`HostsFileError`].
pub fn read_hosts_file(path: &Path) -> Result<Registry, HostsFileError> {
    let text = read_text(path, FILE_MAX_BYTES)
        .map_err(|source| HostsFileError::Read { path: path.to_owned(), source })?;
    parse_hosts_file(&text).map_err(|source| HostsFileError::Invalid { path: path.to_owned(), source })
}

fn is_rfc_1123(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=NAME_LABEL_MAX_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= NAME_MAX_BYTES && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts() {
        let registry = parse_hosts_file(
            r#"
            [[host]]
            name = "KVM-02.example.org"
            address = "10.0.0.2:9440"
            [[host]]
            name = "kvm-01"
            address = "unix:/run/vmuster/agent.sock"
            labels = { zone = "a" }
            maintenance = true
            "#,
        )
        .expect("valid");
        let names: Vec<_> = registry.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["kvm-01", "kvm-02.example.org"]);
        assert!(registry.get("kvm-01").expect("there").maintenance);
        assert!(parse_hosts_file("").expect("no hosts is valid").is_empty());
    }

    #[test]
    fn refuses_with_the_reason() {
        let refusal = |text: &str| {
            let error = parse_hosts_file(text).expect_err("refused");
            format!("{:#}", anyhow::Error::new(error))
        };
        let host =
            |name: &str, address: &str| format!("[[host]]\nname = \"{name}\"\naddress = \"{address}\"\n");
        assert!(refusal("\n[[hosts]]").contains("line 2: unknown field `hosts`"));
        assert!(refusal(&host("../../etc", "h:1")).contains("not a host name"));
        assert!(refusal(&host("a", "nowhere")).contains("host 'a': 'nowhere' is not an address"));
        let twice = host("a", "h:1") + &host("A", "h:2");
        assert_eq!(refusal(&twice), "host 'a' is listed twice");
        let same = host("a", "h:1") + &host("b", "h:1");
        assert_eq!(refusal(&same), "hosts 'a' and 'b' have the same address");
        for bad in ["", ".", "-a", "a-", "a..b", "ä", "a b", "a/b", &"x".repeat(64), &"x.".repeat(140)] {
            assert!(refusal(&host(bad, "h:1")).contains("not a host name"), "{bad}");
        }
    }
}
