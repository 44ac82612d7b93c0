//! The command line of placement, capacity and claims.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use vmuster_proto::model::{Bytes, DiskDemand, DiskPlace, parse_duration};

use super::{Output, TopologyArguments, key_value};

/// What one instance needs.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What one instance needs")]
pub(crate) struct FlavorArguments {
    /// vCPUs it may have at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) vcpus: Option<u32>,
    /// Memory it may have at most, as 8GiB or 512M
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,
    /// A disk, as 40GiB, in the default pool; 40GiB@pool:NAME or 40GiB@class:NAME elsewhere. Repeat it for more
    #[arg(long = "disk", value_name = "SIZE[@PLACE]")]
    pub(crate) disks: Vec<DiskArgument>,
    /// Guest features it needs, libvirt's names
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    pub(crate) require: Vec<String>,
    /// Guest features its host must not give
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    pub(crate) forbid: Vec<String>,
    /// A CPU model that its host must be able to give as it is
    #[arg(long, value_name = "MODEL")]
    pub(crate) cpu_model: Option<String>,
    /// Architecture, as uname -m prints it
    #[arg(long)]
    pub(crate) arch: Option<String>,
    /// A label its host must have; repeat it for more
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) topology: TopologyArguments,
}

/// "40GiB", "40GiB@pool:fast", "40GiB@class:ssd".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskArgument(pub(crate) DiskDemand);

impl FromStr for DiskArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (size, on) = match text.split_once('@') {
            None => (text, DiskPlace::Default),
            Some((size, place)) => match place.split_once(':') {
                Some(("pool", name)) if !name.is_empty() => (size, DiskPlace::Pool(name.to_owned())),
                Some(("class", name)) if !name.is_empty() => (size, DiskPlace::StorageClass(name.to_owned())),
                _ => return Err(format!("'{place}' is no place: write pool:NAME or class:NAME")),
            },
        };
        let size_bytes: Bytes = size.parse().map_err(|error| format!("{error}"))?;
        if size_bytes.0 == 0 {
            return Err("a disk has a size".to_owned());
        }
        Ok(Self(DiskDemand { size_bytes, on }))
    }
}

#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    #[command(flatten)]
    pub(crate) flavor: FlavorArguments,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) count: u32,
    /// Their UUIDs [default: made from the request id, else new ones]
    #[arg(long, value_name = "UUID", value_delimiter = ',', conflicts_with = "count")]
    pub(crate) uuid: Vec<String>,
    /// Several sorts of instances at once: a request as YAML (docs/placement.md)
    #[arg(long, value_name = "FILE|-", conflicts_with_all = [
        "vcpus", "memory", "disks", "require", "forbid", "cpu_model", "arch", "labels", "count", "uuid",
        "numa_cells", "cpu_policy", "thread_policy", "emulator_threads", "pages"
    ])]
    pub(crate) file: Option<PathBuf>,
    /// Instead: what this host has, or had when it was last asked, on other hosts; as many as find one. It stops nothing there
    #[arg(long, value_name = "HOST", conflicts_with_all = [
        "vcpus", "memory", "disks", "require", "forbid", "cpu_model", "arch", "labels", "count", "uuid", "file",
        "affinity", "anti_affinity", "soft_affinity", "soft_anti_affinity", "moving", "force_host", "numa_cells",
        "cpu_policy", "thread_policy", "emulator_threads", "pages"
    ])]
    pub(crate) evacuate: Option<String>,
    /// On the host that has members of this group, or @LABEL: where hosts have the same value of this label
    #[arg(long, value_name = "GROUP[@LABEL]", conflicts_with = "file")]
    pub(crate) affinity: Vec<String>,
    /// On a host, or where hosts have a value of this label, that has no member of this group; they become members
    #[arg(long, value_name = "GROUP[@LABEL]", conflicts_with = "file")]
    pub(crate) anti_affinity: Vec<String>,
    /// As --affinity, if any host allows it
    #[arg(long, value_name = "GROUP[@LABEL]", conflicts_with = "file")]
    pub(crate) soft_affinity: Vec<String>,
    /// Where as few members of this group are as possible
    #[arg(long, value_name = "GROUP[@LABEL]", conflicts_with = "file")]
    pub(crate) soft_anti_affinity: Vec<String>,
    /// Promise it; else only tell
    #[arg(long)]
    pub(crate) claim: bool,
    /// The same request again has the same answer, for a day [default: a new one]
    #[arg(long, value_name = "ID", requires = "claim")]
    pub(crate) request_id: Option<String>,
    /// How long it is promised unless confirmed, renewed or seen as a guest [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "claim")]
    pub(crate) hold: Option<Duration>,
    /// The instances move: they may be guests, or have a claim, elsewhere
    #[arg(long = "move", requires = "claim")]
    pub(crate) moving: bool,
    /// As many as find a host, rather than all or none
    #[arg(long, conflicts_with = "min_count")]
    pub(crate) best_effort: bool,
    /// At least so many, or none
    #[arg(long, value_name = "N")]
    pub(crate) min_count: Option<u32>,
    /// Only these hosts
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,
    /// Not this host
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// On this host: room counts, labels, features and maintenance do not
    #[arg(long, value_name = "HOST", conflicts_with_all = ["hosts", "exclude"])]
    pub(crate) force_host: Option<String>,
    /// On the forced host even without room (administrators)
    #[arg(long, requires = "force_host")]
    pub(crate) ignore_capacity: bool,
    /// Which hosts are better: the emptiest or the fullest
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileArgument>,
    /// Another multiplier of a weigher: cpu, ram, balance, disk, rare_features, starting
    #[arg(long = "weigh", value_name = "WEIGHER=NUMBER", value_parser = weigher)]
    pub(crate) weighers: Vec<(String, f64)>,
    /// These are being stopped or moved away: tell which hosts it would get once they are gone
    #[arg(long, value_name = "UUID", value_delimiter = ',')]
    pub(crate) releasing: Vec<String>,
    /// Look first at the hosts that an earlier answer nominated: what it printed with -o json
    #[arg(long, value_name = "FILE")]
    pub(crate) hints: Option<PathBuf>,
    /// Tell the best hosts as well
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) candidates: Option<u32>,
    /// Tell what each filter rejects and which hosts nearly suit, also where nothing is refused
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print what goes into the domains' XML instead: pins, cells and pages
    #[arg(long, conflicts_with = "output")]
    pub(crate) libvirt_xml: bool,
    /// How to show the answer; plain prints "UUID HOST CLAIM", one a line
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArgument {
    Spread,
    Pack,
}

fn weigher(text: &str) -> Result<(String, f64), String> {
    let (name, number) = key_value(text)?;
    let number = number.parse().map_err(|_| format!("'{number}' is no number"))?;
    Ok((name, number))
}

#[derive(Debug, Args)]
pub(crate) struct CapacityArguments {
    #[command(flatten)]
    pub(crate) flavor: FlavorArguments,
    /// Only these hosts
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,
    /// Leave this host out
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// How to show the answer; plain prints the number
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClaimsCommand {
    /// All claims; plain prints their ids, json is what jq wants
    List {
        /// Only on this host
        #[arg(long)]
        host: Option<String>,
        /// Only of this instance
        #[arg(long)]
        uuid: Option<String>,
        /// Only those that stand so
        #[arg(long, value_enum)]
        state: Option<StateArgument>,
        /// How to show the answer; plain prints one id a line
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Give claims back
    Release {
        /// As `claims list` shows them
        #[arg(value_name = "ID", required_unless_present = "uuid")]
        ids: Vec<String>,
        /// All claims of this instance
        #[arg(long, value_delimiter = ',')]
        uuid: Vec<String>,
    },
    /// Keep claims until they are released or their guests are gone
    Confirm {
        /// As `claims list` shows them
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Hold claims longer
    Renew {
        /// As `claims list` shows them
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        /// From now [default: 10m]
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        hold: Option<Duration>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArgument {
    Held,
    Confirmed,
    Observed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_says_how_large_and_where() {
        let disk = |text: &str| text.parse::<DiskArgument>().map(|disk| disk.0);
        let of = |gib: u64, on| Ok(DiskDemand { size_bytes: Bytes(gib << 30), on });
        assert_eq!(disk("40GiB"), of(40, DiskPlace::Default));
        assert_eq!(disk("1GiB@pool:fast"), of(1, DiskPlace::Pool("fast".to_owned())));
        assert_eq!(disk("1GiB@class:ssd"), of(1, DiskPlace::StorageClass("ssd".to_owned())));
        for bad in ["", "0", "x", "1GiB@", "1GiB@fast", "1GiB@pool:", "@pool:fast"] {
            assert!(disk(bad).is_err(), "{bad}");
        }
    }
}
