//! The command line of hosts that are added, changed and removed.

use std::{fmt, str::FromStr};

use clap::{Args, ValueEnum};
use vmuster_proto::model::{AllocationSettings, Bytes, CpuSet, Ratio, Setting};

use super::{Output, key_value};

#[derive(Debug, Args)]
pub(crate) struct AddArguments {
    /// Unique in the cluster: letters, digits and '-', joined by dots
    pub(crate) name: String,
    /// Where its agent listens: unix:/path or HOST:PORT
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,
    /// A label; repeat it for more
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,
    /// Bar new placements from the start
    #[arg(long)]
    pub(crate) maintenance: bool,
    /// Only this machine: 32 hexadecimal digits, as in its /etc/machine-id
    #[arg(long, value_name = "ID")]
    pub(crate) machine_id: Option<String>,
    /// How to show the new host; plain prints its name
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
    /// Guests that are bound to NUMA cells and guests that are not may share it
    #[arg(long)]
    pub(crate) mixed_numa: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetArguments {
    /// As `hosts list` shows it
    pub(crate) name: String,
    /// Add a label, or give it another value; repeat it for more
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,
    /// Take a label away
    #[arg(long = "remove-label", value_name = "KEY", value_delimiter = ',')]
    pub(crate) remove_labels: Vec<String>,
    /// Bar new placements, or allow them again; answers about flags count the host all the same
    #[arg(long, value_name = "on|off", value_enum)]
    pub(crate) maintenance: Option<Switch>,
    /// Where its agent listens now
    #[arg(long, value_name = "ADDR")]
    pub(crate) address: Option<String>,
    /// Only this machine: 32 hexadecimal digits, as in its /etc/machine-id; "any": whichever has the name
    #[arg(long, value_name = "ID|any")]
    pub(crate) machine_id: Option<String>,
    /// How to show the changed host; plain prints its name
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
    /// Guests that are bound to NUMA cells and guests that are not may share it
    #[arg(long, value_name = "on|off|default")]
    pub(crate) mixed_numa: Option<Said<Switch>>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// As `hosts list` shows it
    pub(crate) name: String,
    /// Also if it has claims; they are released
    #[arg(long)]
    pub(crate) force: bool,
    /// How to show the answer; plain prints the name
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// "default" instead of a value: that of the host's labels in the hosts file, else vmuster's.
#[derive(Debug, Args)]
#[command(next_help_heading = "How much of it may be promised (\"default\": what others say)")]
pub(crate) struct SettingsArguments {
    /// vCPUs of guests for each CPU [default: 4]
    #[arg(long, value_name = "RATIO")]
    pub(crate) vcpu_ratio: Option<Said<Ratio>>,
    /// Memory of guests for each byte beyond the reserve [default: 1]
    #[arg(long, value_name = "RATIO")]
    pub(crate) memory_ratio: Option<Said<Ratio>>,
    /// Disk of guests for each byte beyond the reserve [default: 1]
    #[arg(long, value_name = "RATIO")]
    pub(crate) disk_ratio: Option<Said<Ratio>>,
    /// Memory that is never promised, as 2GiB or 512M [default: 2GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) reserved_memory: Option<Said<Bytes>>,
    /// Disk that is never promised [default: 20GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) reserved_disk: Option<Said<Bytes>>,
    /// CPUs for pinned guests only, as 2-7,10; none [default: none]
    #[arg(long, value_name = "LIST")]
    pub(crate) dedicated_cpus: Option<Said<Cpus>>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("write on, off or default".to_owned()),
        }
    }
}

/// A set of CPUs, "none" for the empty one: nobody forgets a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cpus(CpuSet);

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(CpuSet::default()));
        }
        match text.parse::<CpuSet>() {
            Ok(cpus) if !cpus.is_empty() => Ok(Self(cpus)),
            Ok(_) => Err("write a list as 2-7,10, or none".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A value, or that it is no longer said of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said<T> {
    Default,
    Value(T),
}

impl<T: FromStr<Err: fmt::Display>> FromStr for Said<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self::Default);
        }
        text.parse().map(Self::Value).map_err(|error: T::Err| error.to_string())
    }
}

impl SettingsArguments {
    /// What is said of the host, and what is no longer.
    pub(crate) fn said(&self, mixed_numa: Option<&Said<Switch>>) -> (AllocationSettings, Vec<Setting>) {
        let mut reset = Vec::new();
        let settings = AllocationSettings {
            vcpu_ratio: one(self.vcpu_ratio.as_ref(), Setting::VcpuRatio, &mut reset),
            memory_ratio: one(self.memory_ratio.as_ref(), Setting::MemoryRatio, &mut reset),
            disk_ratio: one(self.disk_ratio.as_ref(), Setting::DiskRatio, &mut reset),
            reserved_memory_bytes: one(
                self.reserved_memory.as_ref(),
                Setting::ReservedMemoryBytes,
                &mut reset,
            ),
            reserved_disk_bytes: one(self.reserved_disk.as_ref(), Setting::ReservedDiskBytes, &mut reset),
            dedicated_cpus: one(self.dedicated_cpus.as_ref(), Setting::DedicatedCpus, &mut reset)
                .map(|cpus| cpus.0),
            mixed_numa: one(mixed_numa, Setting::MixedNuma, &mut reset).map(|switch| switch == Switch::On),
        };
        (settings, reset)
    }
}

fn one<T: Clone>(said: Option<&Said<T>>, setting: Setting, reset: &mut Vec<Setting>) -> Option<T> {
    match said {
        None => None,
        Some(Said::Default) => {
            reset.push(setting);
            None
        }
        Some(Said::Value(value)) => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command, HostsCommand};

    fn hosts(line: &str) -> Result<HostsCommand, String> {
        let words = ["vmuster", "hosts"].into_iter().chain(line.split_whitespace());
        let parsed = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
        let Command::Hosts(hosts) = parsed.command else { panic!("{line}") };
        Ok(hosts)
    }

    #[test]
    fn what_is_said_and_what_is_no_longer() {
        let line = "set kvm-01 --vcpu-ratio 1.5 --memory-ratio default --reserved-memory 4GiB --reserved-disk 512M \
                    --dedicated-cpus none --mixed-numa default --label a=b=c --remove-label d,e --maintenance off";
        let Ok(HostsCommand::Set(set)) = hosts(line) else { panic!("{:?}", hosts(line)) };
        let (settings, reset) = set.settings.said(set.mixed_numa.as_ref());
        let expected = AllocationSettings {
            vcpu_ratio: Some(Ratio::from_hundredths(150)),
            reserved_memory_bytes: Some(Bytes(4 << 30)),
            reserved_disk_bytes: Some(Bytes(512 << 20)),
            dedicated_cpus: Some(CpuSet::default()),
            ..AllocationSettings::default()
        };
        assert_eq!((settings, reset), (expected, vec![Setting::MemoryRatio, Setting::MixedNuma]));
        assert_eq!(set.labels, [("a".to_owned(), "b=c".to_owned())]);
        assert_eq!(
            (set.remove_labels, set.maintenance),
            (vec!["d".to_owned(), "e".to_owned()], Some(Switch::Off))
        );
    }

    #[test]
    fn where_to_ask_may_stand_anywhere() {
        for line in [
            "add kvm-01 h:1 --maintenance --coordinator c:1",
            "--coordinator c:1 add --mixed-numa kvm-01 h:1 --label a=b",
        ] {
            let Ok(HostsCommand::Add(add)) = hosts(line) else { panic!("{line}") };
            assert_eq!((add.name.as_str(), add.address.as_str()), ("kvm-01", "h:1"));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_way_to_write_it() {
        for (line, words) in [
            ("add kvm-01", "<ADDR>"),
            ("set kvm-01 --vcpu-ratio 0", "from 0.01 to 100"),
            ("set kvm-01 --reserved-memory 2GB", "GiB"),
            ("set kvm-01 --dedicated-cpus 7-2", "7-2"),
            ("set kvm-01 --mixed-numa maybe", "write on, off or default"),
            ("set kvm-01 --maintenance", "on"),
            ("set kvm-01 --label x", "write KEY=VALUE"),
            ("remove", "<NAME>"),
        ] {
            let refused = hosts(line).expect_err(line);
            assert!(refused.contains(words), "{line}: {refused}");
        }
    }
}
