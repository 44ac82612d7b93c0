//! The command line of a guest's NUMA cells.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use vmuster_proto::model::{
    Bytes, CpuPolicy, EmulatorThreads, GuestTopology, GuestTopologyCell, PageChoice, ThreadPolicy,
};

/// Any of them binds the instance to NUMA cells of its host.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "NUMA cells (any of these binds it to cells; else it floats)")]
pub(crate) struct TopologyArguments {
    /// Cells, each on a NUMA cell of its own, with equal shares of vCPUs and memory [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) numa_cells: Option<u32>,
    /// What its vCPUs run on: CPUs of their own, or those that a cell shares [default: shared]
    #[arg(long, value_enum)]
    pub(crate) cpu_policy: Option<CpuPolicyArgument>,
    /// What dedicated vCPUs want of a core's threads [default: prefer]
    #[arg(long, value_enum)]
    pub(crate) thread_policy: Option<ThreadPolicyArgument>,
    /// Where the emulator's own threads run [default: float]
    #[arg(long, value_enum)]
    pub(crate) emulator_threads: Option<EmulatorThreadsArgument>,
    /// Pages of its memory: a size as 2MiB, or small, large, any
    #[arg(long, value_name = "SIZE|SORT")]
    pub(crate) pages: Option<PagesArgument>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CpuPolicyArgument {
    Shared,
    Dedicated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ThreadPolicyArgument {
    Prefer,
    Isolate,
    Require,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EmulatorThreadsArgument {
    Float,
    Share,
    Isolate,
}

/// "2MiB", "small", "large", "any".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PagesArgument(pub(crate) PageChoice);

impl FromStr for PagesArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "small" => PageChoice::Small,
            "large" => PageChoice::Large,
            "any" => PageChoice::Any,
            size => PageChoice::Bytes(
                size.parse().map_err(|error| format!("{error}; or write small, large or any"))?,
            ),
        }))
    }
}

impl TopologyArguments {
    /// Of an instance of this size. None: it floats.
    pub(crate) fn topology(&self, vcpus: u32, memory: Bytes) -> Result<Option<GuestTopology>, String> {
        let Self { numa_cells, cpu_policy, thread_policy, emulator_threads, pages } = self;
        let says_nothing = numa_cells.is_none()
            && cpu_policy.is_none()
            && thread_policy.is_none()
            && emulator_threads.is_none()
            && pages.is_none();
        if says_nothing {
            return Ok(None);
        }
        Ok(Some(GuestTopology {
            cells: equal_cells(numa_cells.unwrap_or(1), vcpus, memory)?,
            cpu_policy: match cpu_policy {
                Some(CpuPolicyArgument::Dedicated) => CpuPolicy::Dedicated,
                Some(CpuPolicyArgument::Shared) | None => CpuPolicy::Shared,
            },
            thread_policy: match thread_policy {
                Some(ThreadPolicyArgument::Isolate) => ThreadPolicy::Isolate,
                Some(ThreadPolicyArgument::Require) => ThreadPolicy::Require,
                Some(ThreadPolicyArgument::Prefer) | None => ThreadPolicy::Prefer,
            },
            emulator_threads: match emulator_threads {
                Some(EmulatorThreadsArgument::Share) => EmulatorThreads::Share,
                Some(EmulatorThreadsArgument::Isolate) => EmulatorThreads::Isolate,
                Some(EmulatorThreadsArgument::Float) | None => EmulatorThreads::Float,
            },
            pages: pages.map_or(PageChoice::Ordinary, |pages| pages.0),
        }))
    }
}

/// Shares that are not equal are somebody's choice: a request file says which.
pub(crate) fn equal_cells(count: u32, vcpus: u32, memory: Bytes) -> Result<Vec<GuestTopologyCell>, String> {
    if count == 0 || !vcpus.is_multiple_of(count) || !memory.0.is_multiple_of(u64::from(count)) {
        return Err(format!(
            "{vcpus} vCPUs and {memory} cannot be shared equally by {count} cells: a request file (--file) can say \
             what each cell has"
        ));
    }
    let cell = GuestTopologyCell {
        vcpus: vcpus / count,
        memory_bytes: Bytes(memory.0 / u64::from(count)),
        dedicated_vcpus: 0,
    };
    Ok(vec![cell; count as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_equal_shares_or_there_are_none() {
        let none = TopologyArguments::default().topology(4, Bytes(8));
        assert_eq!(none, Ok(None));
        let two = TopologyArguments { numa_cells: Some(2), ..TopologyArguments::default() };
        let cells = two.topology(4, Bytes(8)).expect("equal").expect("bound").cells;
        let half = GuestTopologyCell { vcpus: 2, memory_bytes: Bytes(4), dedicated_vcpus: 0 };
        assert_eq!(cells, [half, half]);
        for (vcpus, memory) in [(3, 8), (4, 7)] {
            assert!(two.topology(vcpus, Bytes(memory)).expect_err("not equal").contains("--file"));
        }
    }

    #[test]
    fn pages_are_a_size_or_a_sort() {
        let pages = |text: &str| text.parse::<PagesArgument>().map(|pages| pages.0);
        assert_eq!(pages("2MiB"), Ok(PageChoice::Bytes(Bytes(2 << 20))));
        assert_eq!(pages("any"), Ok(PageChoice::Any));
        assert!(pages("huge").expect_err("no size").contains("small, large or any"));
    }
}
