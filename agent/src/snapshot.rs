//! One host's inventory, usage and issues, put together.
//!
//! Knows which sections there are, which depend on another, and when an earlier inventory still holds. Must not know
//! file formats, who asks, or how an answer travels. Everything here blocks: run it on a thread of its own.

use std::{path::Path, sync::Arc};

use vmuster_proto::{
    clock::SharedClock,
    model::{Inventory, Issue, IssueKind, SNAPSHOT_SCHEMA, Snapshot, Usage, sort_issues},
};

use crate::{
    collect::{self, Origin, cpu::CpuReading, cpuid, virtualization::CpuHints},
    fingerprint::{CheapInputs, fingerprint},
    host_root::{HostRoot, RootError},
    recorded::RecordedHost,
};

/// Name of a host that has none: neither configured, nor recorded, nor a host name.
const NAMELESS: &str = "unnamed";

/// The host to collect from.
#[derive(Debug)]
pub enum HostSource {
    /// This machine.
    Live(HostRoot),
    /// A recorded one; nothing is then asked of this machine.
    Recorded(RecordedHost),
}

impl HostSource {
    /// This machine.
    ///
    /// # Errors
    /// `/` cannot be opened.
    pub fn live() -> Result<Self, RootError> {
        HostRoot::live().map(Self::Live)
    }

    /// A recorded host's directory.
    ///
    /// # Errors
    /// It does not exist or is not a directory.
    pub fn recorded(directory: &Path) -> Result<Self, RootError> {
        RecordedHost::open(directory).map(Self::Recorded)
    }

    fn root(&self) -> &HostRoot {
        match self {
            Self::Live(root) => root,
            Self::Recorded(host) => &host.root,
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Live(_) => Origin::Live,
            Self::Recorded(_) => Origin::Recorded,
        }
    }
}

/// An inventory and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The name the host goes by.
    pub name: String,
    /// With its fingerprint.
    pub inventory: Arc<Inventory>,
    /// Sorted.
    pub issues: Vec<Issue>,
}

/// A usage, what is wrong with it, and whether the last inventory still holds.
#[derive(Debug, Clone)]
pub struct CollectedUsage {
    /// The name the host goes by.
    pub name: String,
    /// With the time of reading.
    pub usage: Usage,
    /// Sorted.
    pub issues: Vec<Issue>,
    /// Judged by the cheap inputs alone.
    pub standing: InventoryStanding,
}

/// Whether the inventory collected last still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryStanding {
    /// Nothing says otherwise: its fingerprint.
    Holds(String),
    /// These inputs changed since; empty: none was collected yet.
    Changed(Vec<&'static str>),
}

/// Collects from one host, each time anew.
#[derive(Debug)]
pub struct Collector {
    source: HostSource,
    configured_name: Option<String>,
    clock: SharedClock,
    /// What the last inventory depended on, and its fingerprint.
    last: Option<(CheapInputs, String)>,
}

impl Collector {
    /// For one host. `name`: the one configured, before any that the host has itself.
    #[must_use]
    pub fn new(source: HostSource, name: Option<String>, clock: SharedClock) -> Self {
        Self { source, configured_name: name, clock, last: None }
    }

    /// The name the host goes by: as configured, else as recorded, else its host name.
    #[must_use]
    pub fn name(&self) -> String {
        let own = || match &self.source {
            HostSource::Live(_) => Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
            HostSource::Recorded(host) => host.facts.name.clone().or_else(|| host.directory_name.clone()),
        };
        let name = self.configured_name.clone().or_else(own).filter(|name| !name.is_empty());
        name.unwrap_or_else(|| NAMELESS.to_owned())
    }

    /// Reads every section.
    pub fn collect_inventory(&mut self) -> Collected {
        let root = self.source.root();
        // Before everything else: what changes while the rest is read is then seen by the next usage.
        let (memory, meminfo, memory_issues) = collect::memory::collect(root);
        let inputs = CheapInputs::read(root, self.source.origin() == Origin::Live, meminfo.as_ref());
        let (mut inventory, mut issues) = match &self.source {
            HostSource::Live(root) => live_sections(root),
            HostSource::Recorded(host) => recorded_sections(host),
        };
        inventory.memory = memory;
        issues.extend(memory_issues);
        if self.source.origin() == Origin::Live {
            inventory.collected_at = Some(self.clock.now());
        }
        env!("CARGO_PKG_VERSION").clone_into(&mut inventory.agent_version);
        match fingerprint(&inventory) {
            Ok(digest) => inventory.fingerprint = digest,
            Err(error) => {
                issues.push(Issue::new("fingerprint", "agent", IssueKind::Malformed, error.to_string()));
            }
        }
        sort_issues(&mut issues);
        self.last = Some((inputs, inventory.fingerprint.clone()));
        Collected { name: self.name(), inventory: Arc::new(inventory), issues }
    }

    /// Reads what changes by the second, and whether the last inventory still holds.
    pub fn collect_usage(&mut self) -> CollectedUsage {
        let origin = self.source.origin();
        let root = self.source.root();
        let (mut usage, meminfo, mut issues) = collect::usage::collect(root);
        usage.collected_at = match &self.source {
            HostSource::Live(_) => Some(self.clock.now()),
            HostSource::Recorded(host) => host.facts.captured_at,
        };
        if origin == Origin::Live {
            let (own, own_issues) = collect::own_process::collect();
            usage.agent = own;
            issues.extend(own_issues);
        }
        let inputs = CheapInputs::read(root, origin == Origin::Live, meminfo.as_ref());
        sort_issues(&mut issues);
        CollectedUsage { name: self.name(), usage, issues, standing: self.standing(&inputs) }
    }

    /// Inventory and usage in one document.
    pub fn snapshot(&mut self) -> Snapshot {
        let Collected { name, inventory, mut issues } = self.collect_inventory();
        let CollectedUsage { name: _, usage, issues: usage_issues, standing: _ } = self.collect_usage();
        issues.extend(usage_issues);
        sort_issues(&mut issues);
        let inventory = Arc::unwrap_or_clone(inventory);
        Snapshot { schema: SNAPSHOT_SCHEMA.to_owned(), name, inventory, usage: Some(usage), issues }
    }

    fn standing(&self, now: &CheapInputs) -> InventoryStanding {
        let Some((then, fingerprint)) = &self.last else {
            return InventoryStanding::Changed(Vec::new());
        };
        let differing = then.differing(now);
        if differing.is_empty() {
            InventoryStanding::Holds(fingerprint.clone())
        } else {
            InventoryStanding::Changed(differing)
        }
    }
}

fn live_sections(root: &HostRoot) -> (Inventory, Vec<Issue>) {
    let facts = cpuid::live().and_then(|leaves| cpuid::facts(&leaves));
    let CpuReading { cpu, mut issues, .. } = collect::cpu::collect(root, facts.as_ref(), Origin::Live);
    let hints = CpuHints::new(facts.as_ref(), cpu.as_ref(), None);
    let (system, system_issues) = collect::system::live(root, hints);
    issues.extend(system_issues);
    let inventory = with_nodes(root, Inventory { system, cpu, ..Inventory::default() }, &mut issues);
    (inventory, issues)
}

fn recorded_sections(host: &RecordedHost) -> (Inventory, Vec<Issue>) {
    let root = &host.root;
    let leaves = cpuid::recorded(root);
    let facts = leaves.as_ref().ok().and_then(cpuid::facts);
    let CpuReading { cpu, mut issues, arch, .. } =
        collect::cpu::collect(root, facts.as_ref(), Origin::Recorded);
    let hints = CpuHints::new(facts.as_ref(), cpu.as_ref(), None);
    let (system, system_issues) = collect::system::recorded(root, &host.facts, arch, facts.is_some(), hints);
    issues.extend(host.issues.iter().cloned());
    issues.extend(system_issues);
    let is_x86 = system.as_ref().is_some_and(|system| system.arch.as_deref() == Some("x86_64"));
    issues.extend(leaves.err().filter(|issue| is_x86 || issue.kind != IssueKind::Missing));
    let collected_at = host.facts.captured_at;
    let inventory = Inventory { collected_at, system, cpu, ..Inventory::default() };
    (with_nodes(root, inventory, &mut issues), issues)
}

/// Nodes list CPUs, and CPUs have a node: both from one reading.
fn with_nodes(root: &HostRoot, mut inventory: Inventory, issues: &mut Vec<Issue>) -> Inventory {
    let online = inventory.cpu.as_ref().and_then(|cpu| cpu.online.as_ref());
    let (numa, numa_issues) = collect::numa::collect(root, online);
    issues.extend(numa_issues);
    if let (Some(cpu), Some(numa)) = (&mut inventory.cpu, &numa) {
        collect::cpu::place_on_nodes(cpu, numa);
    }
    Inventory { numa, ..inventory }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
