//! One host's inventory, usage and issues, put together.
//!
//! Knows which sections there are, which depend on another, and when an earlier inventory still holds. Must not know
//! file formats, who asks, or how an answer travels. Everything here blocks: run it on a thread of its own.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use vmuster_proto::model::{Filesystem, Inventory, Issue, IssueKind, Usage, sort_issues};

pub use crate::host::{Host, HostSource};
use crate::{
    collect::{
        self, Origin,
        cpu::{CpuReading, KeptCpus},
        cpuid,
        filesystems::{self, KeptMounts, Statvfs, StatvfsError},
        own_process::OwnFigures,
        pci::KeptPci,
        virtualization::CpuHints,
    },
    fingerprint::{ANNOUNCEMENT, CheapInputs, fingerprint, has_kvm},
    host_root::{HostRoot, KeptFiles},
    hypervisor::{HouseRead, placement, protocol::Guesthouse},
    watch::{Step, Watch},
};

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

/// Collects from one host. What cannot change without notice is kept from one collection to the next.
#[derive(Debug)]
pub struct Collector {
    host: Arc<Host>,
    /// Of files that are read for each usage; this machine's only.
    kept_files: Option<KeptFiles>,
    kept_cpus: KeptCpus,
    kept_pci: KeptPci,
    kept_mounts: KeptMounts,
    own: OwnFigures,
}

/// The sections of one inventory as they are read.
struct Sections<'a> {
    watch: &'a dyn Watch,
    issues: Vec<Issue>,
}

impl Sections<'_> {
    /// As [`Self::read`], of devices that may come and go meanwhile: once more if something is missing and the kernel
    /// announced a change since `before`, so that the section is of one moment.
    fn read_settled<T>(
        &mut self,
        name: &'static str,
        root: &HostRoot,
        before: Option<&str>,
        mut collect: impl FnMut() -> (T, Vec<Issue>),
    ) -> Option<T> {
        self.read(name, || {
            let (section, issues) = collect();
            let is_missing = issues.iter().any(|issue| issue.kind == IssueKind::Missing);
            let has_changed = || before.is_some_and(|before| announcement(root).as_deref() != Some(before));
            if is_missing && has_changed() { collect() } else { (section, issues) }
        })
    }

    /// Reads a section, unless an earlier reading of it hangs.
    fn read<T>(&mut self, name: &'static str, collect: impl FnOnce() -> (T, Vec<Issue>)) -> Option<T> {
        self.read_as(Step::Section(name), name, collect)
    }

    /// As [`Self::read`], by a step with another deadline.
    fn read_as<T>(
        &mut self,
        step: Step,
        name: &'static str,
        collect: impl FnOnce() -> (T, Vec<Issue>),
    ) -> Option<T> {
        match self.watch.enter(step) {
            Ok(()) => {
                let begin = Instant::now();
                let (section, issues) = collect();
                let microseconds = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                tracing::debug!(section = name, microseconds, issues = issues.len(), "read");
                self.issues.extend(issues);
                Some(section)
            }
            Err(barred) => {
                self.issues.push(barred.issue(name, "agent"));
                None
            }
        }
    }
}

impl Collector {
    /// For one host, with nothing kept yet.
    #[must_use]
    pub fn new(host: Arc<Host>) -> Self {
        let kept_files = (host.source.origin() == Origin::Live).then(KeptFiles::default);
        Self {
            host,
            kept_files,
            kept_cpus: KeptCpus::default(),
            kept_pci: KeptPci::default(),
            kept_mounts: KeptMounts::default(),
            own: OwnFigures::default(),
        }
    }

    /// Reads every section.
    pub fn collect_inventory(&mut self, watch: &dyn Watch) -> Collected {
        let host = Arc::clone(&self.host);
        let root = host.source.root();
        let origin = host.source.origin();
        let mut sections = Sections { watch, issues: Vec::new() };
        // Before everything else: what changes while the rest is read is then seen by the next usage.
        let kvm = sections.read("hypervisor.kvm_parameters", || collect::kvm::collect(root));
        let kvm = kvm.map(Arc::new);
        let memory = sections.read("memory", || {
            let (memory, meminfo, issues) = collect::memory::collect(root);
            let mut text = |path: &str| collect::small_text(root, None, path);
            let inputs = CheapInputs::read(root, origin, &mut text, meminfo.as_ref(), None, kvm.as_ref());
            ((memory, inputs), issues)
        });
        let (memory, inputs) = memory.map_or((None, None), |(memory, inputs)| (memory, Some(inputs)));
        let mut inventory = Inventory { memory, ..Inventory::default() };
        self.read_machine(&mut sections, &mut inventory);
        let standing = self.read_guests(&mut sections, &mut inventory, kvm.as_deref());
        let inputs = inputs.map(|inputs| inputs.with_hypervisor(standing));
        let online = inventory.cpu.as_ref().and_then(|cpu| cpu.online.as_ref());
        let before = inputs.as_ref().and_then(CheapInputs::announcement);
        let numa = || collect::numa::collect(root, online);
        inventory.numa = sections.read_settled("numa", root, before, numa).flatten().map(Arc::new);
        if let (Some(cpu), Some(numa)) = (&mut inventory.cpu, &inventory.numa) {
            collect::cpu::place_on_nodes(Arc::make_mut(cpu), numa);
        }
        let kept_pci = &mut self.kept_pci;
        let pci = || collect::pci::collect(root, before, kept_pci);
        inventory.pci = sections.read_settled("pci", root, before, pci).flatten().map(Arc::from);
        inventory.disks =
            sections.read_settled("disks", root, before, || collect::disks::collect(root)).flatten();
        inventory.nics =
            sections.read_settled("nics", root, before, || collect::nics::collect(root)).flatten();
        inventory.collected_at = match &host.source {
            HostSource::Live(_) => Some(host.clock.now()),
            HostSource::Recorded(host) => host.facts.captured_at,
        };
        env!("CARGO_PKG_VERSION").clone_into(&mut inventory.agent_version);
        let mut issues = sections.issues;
        match fingerprint(&inventory) {
            Ok(digest) => inventory.fingerprint = digest,
            Err(error) => {
                issues.push(Issue::new("fingerprint", "agent", IssueKind::Malformed, error.to_string()));
            }
        }
        sort_issues(&mut issues);
        // What a reader that was given up brings after all, nobody receives: it must not count as the last.
        if watch.enter(Step::Section("fingerprint")).is_ok() {
            *host.last() = inputs.map(|inputs| (inputs, inventory.fingerprint.clone()));
        }
        Collected { name: host.name(), inventory: Arc::new(inventory), issues }
    }

    /// Processors and the machine they are in.
    fn read_machine(&mut self, sections: &mut Sections<'_>, inventory: &mut Inventory) {
        let root = self.host.source.root();
        let origin = self.host.source.origin();
        let leaves = match &self.host.source {
            HostSource::Live(_) => Ok(cpuid::live()),
            HostSource::Recorded(host) => cpuid::recorded(&host.root).map(Some),
        };
        let is_own = match &self.host.source {
            HostSource::Live(_) => true,
            HostSource::Recorded(host) => host.facts.is_own_capture,
        };
        let facts = leaves.as_ref().ok().and_then(|leaves| cpuid::facts(leaves.as_ref()?, is_own));
        let kept = &mut self.kept_cpus;
        let reading = sections.read("cpu", || {
            let CpuReading { cpu, issues, arch, .. } =
                collect::cpu::collect(root, facts.as_ref(), origin, kept);
            ((cpu, arch), issues)
        });
        let (cpu, arch) = reading.unwrap_or_default();
        inventory.cpu = cpu.map(Arc::new);
        let signature = facts.as_ref().and_then(|facts| facts.hypervisor_signature.as_deref());
        let hints = CpuHints::new(facts.as_ref(), inventory.cpu.as_deref(), signature);
        let system = sections.read("system", || match &self.host.source {
            HostSource::Live(root) => collect::system::live(root, hints),
            HostSource::Recorded(host) => {
                collect::system::recorded(&host.root, &host.facts, arch, facts.is_some(), hints)
            }
        });
        inventory.system = system.flatten();
        if let HostSource::Recorded(host) = &self.host.source {
            sections.issues.extend(host.issues.iter().cloned());
        }
        let is_x86 = inventory.arch() == Some("x86_64");
        if let (HostSource::Recorded(_), Ok(Some(leaves))) = (&self.host.source, &leaves) {
            sections.issues.extend(cpuid::missing_leaves(leaves));
        }
        sections.issues.extend(leaves.err().filter(|issue| is_x86 || issue.kind != IssueKind::Missing));
    }

    /// Reads what changes by the second, and whether the last inventory still holds.
    pub fn collect_usage(&mut self, watch: &dyn Watch) -> CollectedUsage {
        let host = Arc::clone(&self.host);
        let root = host.source.root();
        let origin = host.source.origin();
        let mut sections = Sections { watch, issues: Vec::new() };
        let read = sections.read("usage", || {
            let (usage, meminfo, mut issues) = collect::usage::collect(root, self.kept_files.as_mut());
            let mut text = |path: &str| collect::small_text(root, self.kept_files.as_mut(), path);
            let last = host.last().as_ref().map(|(inputs, _)| inputs.clone());
            let inputs = CheapInputs::read(root, origin, &mut text, meminfo.as_ref(), last.as_ref(), None);
            let own = (origin == Origin::Live).then(|| self.own.collect());
            let (agent, own_issues) = own.unwrap_or_default();
            issues.extend(own_issues);
            ((Usage { agent, ..usage }, inputs), issues)
        });
        let (mut usage, inputs) =
            read.map_or((Usage::default(), None), |(usage, inputs)| (usage, Some(inputs)));
        usage.collected_at = match &host.source {
            HostSource::Live(_) => Some(host.clock.now()),
            HostSource::Recorded(host) => host.facts.captured_at,
        };
        usage.filesystems = self.filesystems(&mut sections);
        let standing_of_guests = self.read_house(&mut sections, &mut usage);
        let inputs = inputs.map(|inputs| inputs.with_hypervisor(standing_of_guests));
        let counts = watch.enter(Step::Section("fingerprint")).is_ok();
        let standing = standing(&host, inputs.filter(|_| counts));
        let mut issues = sections.issues;
        sort_issues(&mut issues);
        CollectedUsage { name: host.name(), usage, issues, standing }
    }
}

impl Collector {
    /// What guests can be given, into the inventory; what that depends on.
    fn read_guests(
        &self,
        sections: &mut Sections<'_>,
        inventory: &mut Inventory,
        kvm: Option<&BTreeMap<String, String>>,
    ) -> Option<String> {
        let host = &self.host;
        let root = host.source.root();
        let microcode = inventory.cpu.as_ref().and_then(|cpu| cpu.microcode.as_deref());
        let dependencies = format!("{microcode:?} {kvm:?} {}", has_kvm(root));
        let read = sections.read_as(Step::Hypervisor, "hypervisor", || {
            let mut read = host.hypervisor.guests(root, &dependencies, host.clock.now());
            let issues = std::mem::take(&mut read.guests.issues);
            (read, issues)
        })?;
        if let Some(guest) = read.guests.guest {
            Arc::make_mut(inventory.cpu.get_or_insert_default()).guest = Some(guest);
        }
        let mut hypervisor = read.guests.hypervisor;
        if let Some(kvm) = kvm.filter(|kvm| !kvm.is_empty()) {
            hypervisor.get_or_insert_default().kvm_parameters.clone_from(kvm);
        }
        inventory.hypervisor = hypervisor.map(Arc::new);
        read.standing
    }

    /// Guests and storage, into the usage; what the guest layer depends on.
    fn read_house(&self, sections: &mut Sections<'_>, usage: &mut Usage) -> Option<String> {
        let host = &self.host;
        let mounts_hang = sections
            .issues
            .iter()
            .any(|issue| issue.kind == IssueKind::Timeout && issue.section.starts_with("usage.filesystems"));
        let read = sections.read_as(Step::Hypervisor, "usage.domains", || {
            let mut read = host.hypervisor.house(host.source.root(), host.clock.now(), mounts_hang);
            let issues = std::mem::take(&mut read.house.issues);
            (read, issues)
        })?;
        let HouseRead { house, collected_at, standing } = read;
        let Guesthouse { domains, pools, images, promised, issues: _ } = house;
        (usage.domains, usage.pools, usage.images, usage.promised) = (domains, pools, images, promised);
        usage.hypervisor_collected_at = collected_at;
        placement::place(host.source.root(), host.source.origin(), sections.watch, usage);
        self.read_images(sections, usage);
        standing
    }

    /// Images of directories, beside those of pools. A directory may be a dead server's.
    fn read_images(&self, sections: &mut Sections<'_>, usage: &mut Usage) {
        let host = &self.host;
        let directories = host.hypervisor.settings().map(|settings| settings.image_directories.as_slice());
        let Some(directories) = directories.filter(|directories| !directories.is_empty()) else { return };
        let root = host.source.root();
        let listed = sections.read("usage.images", || collect::images::collect(root, directories)).flatten();
        if let Some(listed) = listed {
            let images = usage.images.get_or_insert_default();
            images.extend(listed);
            images.sort_unstable_by(|a, b| (&a.location, &a.id).cmp(&(&b.location, &b.id)));
        }
    }

    /// Each mount is a step of its own: a dead server's costs its size and nothing else.
    fn filesystems(&mut self, sections: &mut Sections<'_>) -> Option<Vec<Filesystem>> {
        let watch = sections.watch;
        let host = Arc::clone(&self.host);
        let root = host.source.root();
        let measured = |path: &str| {
            watch.enter(Step::Mount(path.to_owned())).map_err(|barred| {
                let Issue { kind, detail, .. } = barred.issue("", path);
                StatvfsError { kind, detail }
            })?;
            root.note_statvfs(path);
            host.mounts.ask(path)
        };
        let statvfs = match &host.source {
            HostSource::Live(_) => Statvfs::Live(&measured),
            HostSource::Recorded(_) => Statvfs::Recorded,
        };
        let kept = self.kept_files.as_mut();
        let kept_mounts = &mut self.kept_mounts;
        sections
            .read("usage.filesystems", || filesystems::collect(root, kept, kept_mounts, statvfs))
            .flatten()
    }
}

/// Number of the kernel's last announcement of a device that came, went or changed.
fn announcement(root: &HostRoot) -> Option<String> {
    collect::small_text(root, None, ANNOUNCEMENT)
}

fn standing(host: &Host, now: Option<CheapInputs>) -> InventoryStanding {
    let mut last = host.last();
    let (Some((then, fingerprint)), Some(now)) = (&mut *last, now) else {
        return InventoryStanding::Changed(Vec::new());
    };
    let differing = then.differing(&now);
    if differing.is_empty() {
        // Something may have been announced that is no part of an inventory.
        *then = now.or_hypervisor_of(then);
        InventoryStanding::Holds(fingerprint.clone())
    } else {
        InventoryStanding::Changed(differing)
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
