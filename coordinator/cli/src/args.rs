//! The command line.

mod place;
mod register;
mod topology;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use vmuster_coordinator::{cpu_map::DEFAULT_CPU_MAP, flags::PARTS_MAX};
use vmuster_proto::model::parse_duration;

pub(crate) use place::{
    CapacityArguments, ClaimsCommand, FlavorArguments, PlaceArguments, ProfileArgument, StateArgument,
};
pub(crate) use register::{AddArguments, RemoveArguments, Said, SetArguments, Switch};
pub(crate) use topology::{PagesArgument, TopologyArguments, equal_cells};

/// CPU flags, capacity and placement across libvirt/KVM hosts that are never all the same.
///
/// Exit codes: 0 answered in full; 1 answered "no"; 2 wrong use or configuration; 3 answered, but some host's data is
/// missing or stale; 4 could not answer; 5 not allowed.
#[derive(Debug, Parser)]
#[command(name = "vmuster", version, subcommand_precedence_over_arg = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where to ask. Works before or after the command; a command word ends a list.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to ask")]
pub(crate) struct Source {
    /// A coordinator: unix:/path or HOST:PORT [default: VMUSTER_COORDINATOR, else the configured one, else
    /// unix:/run/vmuster/coordinator.sock]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) coordinator: Option<String>,
    /// Agents, without a coordinator: unix:/path or HOST:PORT, separated by commas or spaces
    #[arg(long, global = true, value_name = "ADDR", value_delimiter = ',', num_args = 1..)]
    pub(crate) agents: Vec<String>,
    /// Saved snapshots (vmuster-agent collect -o json), or directories of them; nothing is asked
    #[arg(long, global = true, value_name = "FILE|DIR", value_delimiter = ',', num_args = 1..)]
    pub(crate) snapshots: Vec<PathBuf>,
    /// libvirt's cpu_map files of this machine: what CPU models stand for where no libvirt is asked
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_CPU_MAP)]
    pub(crate) cpu_map: PathBuf,
    /// Ask hosts again whose facts are this old (0s: all) [default: the coordinator's TTL, one day]
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) max_age: Option<Duration>,
    /// Answer within this time, without the hosts that did not
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The CPU flags that every host has
    #[command(subcommand_precedence_over_arg = true)]
    Flags(FlagsArguments),
    /// A CPU for guests that can run on every host, for libvirt, QEMU and others
    Baseline(BaselineArguments),
    /// The hosts and what is known of them
    #[command(subcommand, subcommand_precedence_over_arg = true)]
    Hosts(HostsCommand),
    /// Where a guest can go
    #[command(subcommand, subcommand_precedence_over_arg = true)]
    Migrate(MigrateCommand),
    /// Which hosts have room for instances; with --claim it is promised
    ///
    /// Exit codes: 0 all that was asked for found a host; 1 it did not; 3 it did not, but some hosts are not known.
    Place(Box<PlaceArguments>),
    /// How many instances of one sort still fit
    Capacity(CapacityArguments),
    /// What is promised
    #[command(subcommand, subcommand_precedence_over_arg = true)]
    Claims(ClaimsCommand),
}

#[derive(Debug, Args)]
pub(crate) struct FlagsArguments {
    #[command(subcommand)]
    pub(crate) command: Option<FlagsCommand>,
    /// guest: what the hypervisors can give a guest, libvirt names; host: what the kernels show, kernel names
    #[arg(long, global = true, value_enum, default_value = "guest")]
    pub(crate) layer: LayerArgument,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    /// Tell which hosts have FLAG, by libvirt's, Linux's or QEMU's name, and which lack it
    #[arg(long, value_name = "FLAG", conflicts_with_all = ["matrix", "suggest", "what_if"])]
    pub(crate) why: Option<String>,
    /// Show flags that differ, against classes of like hosts
    #[arg(long, conflicts_with_all = ["suggest", "what_if"])]
    pub(crate) matrix: bool,
    /// Show how the hosts could be divided, in 2 to at most PARTS parts, and what each part would gain [default: 4]
    #[arg(long, value_name = "PARTS", num_args = 0..=1, default_missing_value = "4", conflicts_with = "what_if",
        value_parser = clap::value_parser!(u32).range(2..=i64::from(PARTS_MAX)))]
    pub(crate) suggest: Option<u32>,
    /// Show what the others would gain without these hosts
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) what_if: Vec<String>,
    /// How to show the answer; plain prints one flag a line and nothing else
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct BaselineArguments {
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    /// Do not have hosts' libvirt propose a model and compare it; go by what hosts reported
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Do not look for guests that have more features
    #[arg(long)]
    pub(crate) no_guests: bool,
    /// How to show the answer: all of it, or the definition alone as others write it
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: BaselineOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BaselineOutput {
    Table,
    /// libvirt's `<cpu>` element
    Xml,
    /// The value of QEMU's -cpu
    Qemu,
    /// A stanza of Proxmox VE's cpu-models.conf
    Proxmox,
    /// The `[libvirt]` section of nova.conf
    Nova,
    /// Settings of an Incus cluster group
    Incus,
    Json,
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FlagsCommand {
    /// What one host has and another has not
    Diff {
        /// As `hosts list` shows it
        a: String,
        /// The other one
        b: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LayerArgument {
    Host,
    Guest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Plain,
    Json,
    Yaml,
}

#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct ScopeArguments {
    /// Only these hosts
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,
    /// Only hosts with this label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,
    /// Leave this host out
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Only hosts of this architecture, as uname -m prints it
    #[arg(long)]
    pub(crate) arch: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// All hosts, one a line
    List {
        #[command(flatten)]
        scope: ScopeArguments,
        /// How to show the answer; plain prints one name a line
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Everything known of one host; json and yaml print a snapshot
    Show {
        /// As `hosts list` shows it
        host: String,
        /// How to show the answer
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Ask hosts again now
    Refresh {
        /// Which hosts [default: all]
        hosts: Vec<String>,
        /// All hosts, said outright
        #[arg(long, conflicts_with = "hosts")]
        all: bool,
        /// How to show the answer
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Register a host with the coordinator
    Add(Box<AddArguments>),
    /// Change a host that was added; what is not said stays
    Set(Box<SetArguments>),
    /// Forget a host that was added, and all that is known of it
    Remove(RemoveArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// For each host whether a guest can move there as it is now, and every reason why not
    ///
    /// Exit codes: 0 a host can take it; 3 none for sure, but of some it is not known; 1 none can; others as always.
    Check(MigrateCheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct MigrateCheckArguments {
    /// The guest: its UUID, or its name on the host
    #[arg(long, value_name = "UUID|NAME", requires = "from", required_unless_present = "xml")]
    pub(crate) domain: Option<String>,
    /// The host it is on
    #[arg(long, value_name = "HOST", requires = "domain")]
    pub(crate) from: Option<String>,
    /// A guest's definition (virsh dumpxml), wherever it is; - reads standard input
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["domain", "from"])]
    pub(crate) xml: Option<PathBuf>,
    /// Only to these hosts [default: all others]
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) to: Vec<String>,
    /// Only to hosts with this label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,
    /// Leave this host out
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// How to show the answer; plain prints the names of hosts that can take it, one a line
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

impl MigrateCheckArguments {
    /// The candidates.
    pub(crate) fn scope(&self) -> ScopeArguments {
        ScopeArguments {
            hosts: self.to.clone(),
            labels: self.labels.clone(),
            exclude: self.exclude.clone(),
            arch: None,
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    fn parse(line: &str) -> Arguments {
        let words = ["vmuster"].into_iter().chain(line.split_whitespace());
        Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn options_of_where_work_before_and_after_the_command() {
        for line in [
            "--snapshots a.json b.json flags",
            "--snapshots a.json,b.json flags",
            "--snapshots a.json --snapshots b.json flags",
            "flags --snapshots a.json b.json",
            "--snapshots a.json b.json hosts list",
            "hosts --snapshots a.json b.json list",
            "hosts list --snapshots a.json,b.json",
        ] {
            let arguments = parse(line);
            assert_eq!(
                arguments.source.snapshots,
                [PathBuf::from("a.json"), PathBuf::from("b.json")],
                "{line}"
            );
        }
        for line in ["--agents h:1,h:2 flags", "flags --agents h:1 h:2", "--agents h:1 h:2 hosts show x"] {
            assert_eq!(parse(line).source.agents, ["h:1", "h:2"], "{line}");
        }
        for line in ["--max-age 1h --timeout 2s flags", "flags --max-age 1h --timeout 2s"] {
            let source = parse(line).source;
            assert_eq!(
                (source.max_age, source.timeout),
                (Some(Duration::from_secs(3600)), Duration::from_secs(2))
            );
        }
        for line in [
            "--snapshots a b flags diff x y --layer host -o json",
            "flags --layer host --snapshots a b diff x y -o json",
        ] {
            let arguments = parse(line);
            assert_eq!(arguments.source.snapshots.len(), 2, "{line}");
            let Command::Flags(flags) = arguments.command else { panic!("{line}") };
            assert!(matches!(flags.layer, LayerArgument::Host) && flags.output == Output::Json, "{line}");
            assert!(
                matches!(flags.command, Some(FlagsCommand::Diff { a, b }) if a == "x" && b == "y"),
                "{line}"
            );
        }
        for (line, parts) in
            [("flags --suggest -o json", 4), ("flags --suggest 8", 8), ("flags --suggest=2", 2)]
        {
            assert!(
                matches!(parse(line).command, Command::Flags(flags) if flags.suggest == Some(parts)),
                "{line}"
            );
        }
        assert!(matches!(
            parse("hosts refresh --all").command,
            Command::Hosts(HostsCommand::Refresh { hosts, all: true, .. }) if hosts.is_empty()
        ));
        let both = Arguments::try_parse_from(["vmuster", "hosts", "refresh", "a", "--all"]);
        assert!(both.is_err(), "all, or those named");
        let refresh = parse("hosts refresh a b --coordinator h:1");
        assert!(
            matches!(refresh.command, Command::Hosts(HostsCommand::Refresh { hosts, .. }) if hosts == ["a", "b"])
        );
    }
}
