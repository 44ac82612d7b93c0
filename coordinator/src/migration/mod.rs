//! Can this guest go to that host?
//!
//! Knows the rules, one after another, and what each needs to know. Must not know where facts come from, the wire or the
//! clock. Absence has a reason, and unknown is never yes.

mod address_bits;
mod capacity;
mod cpu;
mod cpu_features;
mod cpu_of_host;
mod devices;
mod host;
mod host_bound;
mod layout;
mod storage;
mod storage_places;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use vmuster_proto::model::{
    ClaimReport, Cpu, CpuComparison, Domain, Finding, GuestCpu, HostSettings, Hypervisor, Inventory, Issue,
    Problem, Usage, VerdictKind,
};

use crate::accounting::{AccountedHost, ClaimedBy, Profile, Room, room_for};

pub use cpu::comparable;

/// libvirt's own verdict on the guest's CPU, or why it gave none.
pub type Comparison = Result<(CpuComparison, String), NoComparison>;

/// Why libvirt compared nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoComparison {
    /// It does not take such a definition at all; in its words.
    #[error("{0}")]
    Refused(String),
    /// Nobody answered.
    #[error("{}: {}", .0.kind, .0.detail)]
    Unanswered(Problem),
}

/// What is known of a guest.
#[derive(Debug, Clone, Copy)]
pub struct GuestFacts<'a> {
    /// Its definition; of a running one as it runs.
    pub domain: &'a Domain,
}

/// What is known of a host.
#[derive(Debug, Clone, Copy)]
pub struct HostFacts<'a> {
    /// As registered.
    pub name: &'a str,
    /// As it was last known.
    pub inventory: &'a Inventory,
    /// As it is now; None: it did not say.
    pub usage: Option<&'a Usage>,
    /// Why parts of either are not there.
    pub issues: &'a [Issue],
    /// Why the inventory may be out of date, or the usage is not there.
    pub doubt: Option<&'a str>,
    /// Whether it is barred from new guests.
    pub maintenance: bool,
    /// How much of it may be promised.
    pub settings: &'a HostSettings,
    /// By whose rule it is filled.
    pub profile: Profile,
    /// What of it is promised beside its guests; those of them that have one included.
    pub claims: &'a [ClaimReport],
    /// None: libvirt was not asked.
    pub comparison: Option<&'a Comparison>,
}

/// A guest, where it is and where it would go.
#[derive(Debug)]
struct Case<'a> {
    domain: &'a Domain,
    source: Option<HostFacts<'a>>,
    target: HostFacts<'a>,
    /// What the target has for it.
    room: Room,
}

/// What a rule says beside a plain yes.
type Said = Vec<(VerdictKind, String)>;

/// A rule by its name.
struct Rule {
    name: &'static str,
    judge: fn(&Case<'_>) -> Said,
}

const fn rule(name: &'static str, judge: fn(&Case<'_>) -> Said) -> Rule {
    Rule { name, judge }
}

/// In the order in which findings are shown: what bars everything first.
const RULES: [Rule; 17] = [
    rule("freshness", host::freshness),
    rule("maintenance", host::maintenance),
    rule("name", host::name),
    rule("arch", host::arch),
    rule("hypervisor", host::hypervisor),
    rule("version", host::version),
    rule("machine", host::machine),
    rule("vendor", cpu::vendor),
    rule("cpu", cpu::cpu),
    rule("address_bits", address_bits::judge),
    rule("vcpus", capacity::vcpus),
    rule("memory", capacity::memory),
    rule("numa", layout::numa),
    rule("hugepages", layout::hugepages),
    rule("pci", devices::pci),
    rule("devices", host_bound::judge),
    rule("storage", storage::judge),
];

/// What each rule finds, in the rules' order: all but plain yeses.
#[must_use]
pub fn check(guest: &GuestFacts<'_>, source: Option<&HostFacts<'_>>, target: &HostFacts<'_>) -> Vec<Finding> {
    let case = Case::new(guest.domain, source.copied(), *target);
    let of = |rule: &Rule| {
        let name = rule.name;
        (rule.judge)(&case).into_iter().map(move |(verdict, detail)| Finding::new(name, verdict, detail))
    };
    RULES.iter().flat_map(of).collect()
}

impl<'a> Case<'a> {
    fn new(domain: &'a Domain, source: Option<HostFacts<'a>>, target: HostFacts<'a>) -> Self {
        let HostFacts { name, settings, inventory, usage, .. } = target;
        let host = AccountedHost { name, settings, inventory, usage };
        let room = room_for(&domain.uuid, host, target.claims.iter().map(ClaimedBy::from));
        Self { domain, source, target, room }
    }

    /// Whether it has a state that must survive the move.
    fn is_running(&self) -> bool {
        is_running(self.domain)
    }

    /// Whether QEMU computes its CPU: then the host's own does not matter.
    fn is_emulated(&self) -> bool {
        self.domain.virt_type.as_deref() == Some("qemu")
    }
}

/// Whether it has a state that would be lost, or at work twice. What libvirt does not say is taken for running.
#[must_use]
pub fn is_running(domain: &Domain) -> bool {
    !matches!(domain.state.as_deref(), Some("shut_off" | "crashed"))
}

impl<'a> HostFacts<'a> {
    fn cpu(&self) -> Option<&'a Cpu> {
        self.inventory.cpu.as_deref()
    }

    fn guest_cpu(&self) -> Option<&'a GuestCpu> {
        self.cpu()?.guest.as_ref()
    }

    fn driver(&self) -> Option<&'a Hypervisor> {
        self.inventory.hypervisor.as_deref()
    }

    /// "the host does not report what", with the reason it gave: the field's own, else its section's.
    fn silent(&self, section: &str, what: &str) -> Said {
        // `freshness` has said why.
        if section.starts_with("usage") && self.usage.is_none() && self.doubt.is_some() {
            return Said::new();
        }
        let parent = section.rsplit_once('.').map_or(section, |(parent, _)| parent);
        let about = |section: &str| self.issues.iter().find(|issue| issue.section == section);
        let why = about(section).or_else(|| about(parent));
        let why = why.map_or(String::new(), |issue| format!(" ({}: {})", issue.source, issue.detail));
        unknown(format!("the host does not report {what}{why}"))
    }
}

fn yes(note: impl Into<String>) -> Said {
    vec![(VerdictKind::Yes, note.into())]
}

fn no(why: impl Into<String>) -> Said {
    vec![(VerdictKind::No, why.into())]
}

fn unknown(missing: impl Into<String>) -> Said {
    vec![(VerdictKind::Unknown, missing.into())]
}

/// Names in a sentence, no more than one can read.
fn named(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
