//! The hosts file: TOML with one `[[host]]` table a host, and `[[settings]]` tables of hosts with certain labels.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer};
use vmuster_proto::{
    daemon::toml_problem,
    model::{AllocationSettings, Bytes, CpuSet, HostOrigin, Ratio},
    transport::{ParseAddressError, PeerAddress},
};

use crate::text_file::read_text;

use super::{
    DuplicateHost, HostEntry, InvalidHostName, InvalidMachineId, LabelSettings, Registry, host_name,
    machine_id,
};

/// 100,000 hosts with labels have about 20 MiB.
const FILE_MAX_BYTES: u64 = 64 << 20;

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
    #[error(transparent)]
    Name(#[from] InvalidHostName),
    /// A machine id that is not one.
    #[error("host '{host}': {source}")]
    MachineId {
        /// Which host.
        host: String,
        /// Why.
        source: InvalidMachineId,
    },
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
    /// Labels in a host's own settings would choose nothing.
    #[error("host '{0}': labels stand beside its settings, not among them")]
    LabelsOfSettings(String),
    /// Two hosts of one name.
    #[error(transparent)]
    Duplicate(#[from] DuplicateHost),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostsFile {
    #[serde(default)]
    host: Vec<HostTable>,
    #[serde(default)]
    settings: Vec<SettingsTable>,
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
    #[serde(default)]
    settings: SettingsTable,
    machine_id: Option<String>,
}

/// As [`AllocationSettings`], with sizes as people write them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SettingsTable {
    /// Only of a `[[settings]]` table.
    labels: BTreeMap<String, String>,
    vcpu_ratio: Option<Ratio>,
    memory_ratio: Option<Ratio>,
    disk_ratio: Option<Ratio>,
    #[serde(deserialize_with = "size")]
    reserved_memory: Option<Bytes>,
    #[serde(deserialize_with = "size")]
    reserved_disk: Option<Bytes>,
    dedicated_cpus: Option<CpuSet>,
    mixed_numa: Option<bool>,
}

/// "2GiB", or a number of bytes.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a size: \"2GiB\", or a number of bytes")]
    enum Size {
        Number(u64),
        Text(String),
    }
    match Size::deserialize(deserializer)? {
        Size::Number(bytes) => Ok(Some(Bytes(bytes))),
        Size::Text(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

impl From<SettingsTable> for AllocationSettings {
    fn from(table: SettingsTable) -> Self {
        Self {
            vcpu_ratio: table.vcpu_ratio,
            memory_ratio: table.memory_ratio,
            disk_ratio: table.disk_ratio,
            reserved_memory_bytes: table.reserved_memory,
            reserved_disk_bytes: table.reserved_disk,
            dedicated_cpus: table.dedicated_cpus,
            mixed_numa: table.mixed_numa,
        }
    }
}

/// A registry from a hosts file's text. Names are lower-cased, as DNS compares them.
///
/// # Errors
/// See [`HostsError`].
pub fn parse_hosts_file(text: &str) -> Result<Registry, HostsError> {
    let file: HostsFile =
        toml::from_str(text).map_err(|error| HostsError::Syntax(toml_problem(text, &error)))?;
    let entries = file.host.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let mut by_address = BTreeMap::new();
    for entry in &entries {
        // One machine counted twice, and another not at all: the slip of a hand that copies lines.
        if let Some(other) = by_address.insert(&entry.address, &entry.name) {
            return Err(HostsError::SameAddress(other.clone(), entry.name.clone()));
        }
    }
    let rules = file.settings.into_iter().map(|mut table| {
        let labels = std::mem::take(&mut table.labels);
        LabelSettings { labels, settings: table.into() }
    });
    let rules = rules.collect();
    Ok(Registry::new(entries)?.with_rules(rules))
}

fn entry(table: HostTable) -> Result<HostEntry, HostsError> {
    let name = host_name(&table.name)?;
    if !table.settings.labels.is_empty() {
        return Err(HostsError::LabelsOfSettings(name));
    }
    let address: PeerAddress =
        table.address.parse().map_err(|source| HostsError::Address { host: name.clone(), source })?;
    let machine_id = table.machine_id.as_deref().map(machine_id).transpose();
    let machine_id = machine_id.map_err(|source| HostsError::MachineId { host: name.clone(), source })?;
    Ok(HostEntry {
        name,
        machine_id,
        address: Some(address),
        labels: table.labels,
        maintenance: table.maintenance,
        settings: table.settings.into(),
        origin: Some(HostOrigin::File),
    })
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
        let pinned = |id: &str| host("a", "h:1") + &format!("machine_id = \"{id}\"");
        assert!(refusal(&pinned("12")).contains("host 'a': '12' is not a machine id"));
        let twice = host("a", "h:1") + &host("A", "h:2");
        assert_eq!(refusal(&twice), "host 'a' is listed twice");
        let same = host("a", "h:1") + &host("b", "h:1");
        assert_eq!(refusal(&same), "hosts 'a' and 'b' have the same address");
        let of_host = |settings: &str| host("a", "h:1") + &format!("settings = {{ {settings} }}");
        assert!(refusal(&of_host("labels = { a = 'b' }")).contains("host 'a': labels stand beside"));
        for (settings, words) in [
            ("vcpu_ratio = 0", "line 4: 0 is not a ratio"),
            ("disk_ratio = 1.005", "1.005 is not a ratio"),
            ("reserved_memory = '2GB'", "'2GB' is not a size"),
            ("reserved_memory = -1", "a size: \"2GiB\", or a number of bytes"),
            ("dedicated_cpus = '7-2'", "7-2"),
            ("ratio = 1", "unknown field `ratio`"),
        ] {
            assert!(
                refusal(&of_host(settings)).contains(words),
                "{settings}: {}",
                refusal(&of_host(settings))
            );
        }
    }

    #[test]
    fn settings_are_of_a_host_or_of_labels() {
        let registry = parse_hosts_file(
            r#"
            [[settings]]
            vcpu_ratio = 2
            [[settings]]
            labels = { rack = "7" }
            reserved_memory = "4GiB"
            reserved_disk = 0
            mixed_numa = true
            [[host]]
            name = "a"
            address = "h:1"
            labels = { rack = "7" }
            settings = { vcpu_ratio = 1.5, dedicated_cpus = "2-7" }
            [[host]]
            name = "b"
            address = "h:2"
            "#,
        )
        .expect("valid");
        let of = |host: &str| registry.settings_of(registry.get(host).expect("there"));
        let (a, b) = (of("a"), of("b"));
        assert_eq!((a.vcpu_ratio.hundredths(), b.vcpu_ratio.hundredths()), (150, 200));
        assert_eq!((a.reserved_memory_bytes, b.reserved_memory_bytes), (Bytes(4 << 30), Bytes(2 << 30)));
        assert_eq!((a.reserved_disk_bytes, a.mixed_numa, b.mixed_numa), (Bytes(0), true, false));
        assert_eq!((a.dedicated_cpus.to_string().as_str(), b.dedicated_cpus.is_empty()), ("2-7", true));
    }
}
