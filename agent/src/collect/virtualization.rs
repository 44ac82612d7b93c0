//! What this host itself runs under: a hypervisor's name as systemd-detect-virt writes it, or "none".
//!
//! [`decide`] is pure; [`collect`] reads what it needs. Nothing here asks the CPU: the caller has.

use vmuster_proto::model::{Cpu, Issue, IssueKind};

use super::{cpuid::CpuidFacts, identity::SYSINFO, reading::Reading};
use crate::{host_root::HostRoot, parse::sysinfo::Sysinfo};

const SECTION: &str = "system.virtualization";

/// What the CPU tells, by CPUID or /proc/cpuinfo. x86 only; elsewhere None.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CpuHints<'a> {
    /// The flag `hypervisor`.
    pub(crate) flag: Option<bool>,
    /// CPUID 0x40000000: "KVMKVMKVM". Without a hypervisor real CPUs answer something else there.
    pub(crate) signature: Option<&'a str>,
}

impl<'a> CpuHints<'a> {
    /// From what was collected of the CPU. Leaf 1 has the flag and the family; cpuinfo of other architectures has none.
    pub(crate) fn new(cpuid: Option<&CpuidFacts>, cpu: Option<&Cpu>, signature: Option<&'a str>) -> Self {
        let by_leaf =
            cpuid.and_then(|facts| facts.identity.family.map(|_| facts.features.contains("hypervisor")));
        let by_cpuinfo = || cpu?.host_flags.as_ref().map(|flags| flags.contains("hypervisor"));
        Self { flag: by_leaf.or_else(by_cpuinfo), signature }
    }
}

/// Everything that may tell. None: it is not there or was not read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Evidence<'a> {
    is_x86: bool,
    cpu: CpuHints<'a>,
    sysinfo: Option<&'a Sysinfo>,
    /// Texts of the firmware, in the order they are looked at.
    dmi: Vec<String>,
    /// /sys/hypervisor/type.
    hypervisor_type: Option<String>,
    /// Whether it is the domain that controls Xen; None if neither place tells.
    is_xen_control: Option<bool>,
    /// `hypervisor/compatible` of the device tree.
    tree_hypervisor: Option<String>,
    /// `compatible` of the device tree's root.
    tree_machine: Option<String>,
    /// IBM's firmware made this a partition of the machine.
    is_power_partition: bool,
}

/// What the evidence says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Is(&'static str),
    /// There is one; the text it goes by, if any.
    Nameless(Option<String>),
    /// Nothing tells of one, nor that there is none.
    Unknown,
}

/// CPUID 0x40000000.
const SIGNATURES: [(&str, &str); 11] = [
    ("ACRNACRNACRN", "acrn"),
    ("Apple VZ", "apple"),
    ("KVMKVMKVM", "kvm"),
    ("Linux KVM Hv", "kvm"),
    ("Microsoft Hv", "microsoft"),
    ("QNXQVMBSQG", "qnx"),
    ("SRESRESRESRE", "sre"),
    ("TCGTCGTCGTCG", "qemu"),
    ("VMwareVMware", "vmware"),
    ("XenVMMXenVMM", "xen"),
    ("bhyve bhyve", "bhyve"),
];

/// How a text of DMI begins. "Oracle Corporation" and "Microsoft Corporation" also make machines that are none.
const DMI: [(&str, &str); 16] = [
    ("Amazon EC2", "amazon"),
    ("Apple Virtualization", "apple"),
    ("BHYVE", "bhyve"),
    ("Bochs", "bochs"),
    ("Google Compute Engine", "google"),
    ("Hyper-V", "microsoft"),
    ("KVM", "kvm"),
    ("KubeVirt", "kvm"),
    ("OpenStack", "kvm"),
    ("Parallels", "parallels"),
    ("QEMU", "qemu"),
    ("VMW", "vmware"),
    ("VMware", "vmware"),
    ("VirtualBox", "oracle"),
    ("Xen", "xen"),
    ("innotek GmbH", "oracle"),
];

/// Products built on another's hypervisor, whose signature they show: DMI names them, CPUID what is below.
const BUILT_ON_OTHERS: [&str; 4] = ["amazon", "google", "oracle", "parallels"];

/// Clouds that also rent machines without a hypervisor, with the same texts in DMI.
const ALSO_BARE: [&str; 2] = ["amazon", "google"];

fn decide(evidence: &Evidence<'_>) -> Verdict {
    let found = xen(evidence)
        .or_else(|| mainframe(evidence))
        .or_else(|| by_dmi(evidence).filter(|name| BUILT_ON_OTHERS.contains(name)))
        .or_else(|| by_signature(evidence))
        .or_else(|| by_dmi(evidence))
        .or_else(|| by_device_tree(evidence));
    if let Some(name) = found {
        return Verdict::Is(name);
    }
    if let Some(program) = evidence.sysinfo.and_then(|sysinfo| sysinfo.control_program.clone()) {
        return Verdict::Nameless(Some(program));
    }
    match evidence.cpu.flag.filter(|_| evidence.is_x86) {
        Some(true) => Verdict::Nameless(evidence.cpu.signature.map(str::to_owned)),
        Some(false) => Verdict::Is("none"),
        None => Verdict::Unknown,
    }
}

/// The domain that controls Xen is the host's own system, though Xen runs below it and CPUID says so.
fn xen(evidence: &Evidence<'_>) -> Option<&'static str> {
    let is_xen = evidence.hypervisor_type.as_deref() == Some("xen") || evidence.is_xen_control == Some(true);
    is_xen.then_some(if evidence.is_xen_control == Some(true) { "none" } else { "xen" })
}

/// s390x: a partition (LPAR) counts as the machine itself, as everything on it runs in one.
fn mainframe(evidence: &Evidence<'_>) -> Option<&'static str> {
    match evidence.sysinfo?.control_program.as_deref() {
        None => Some("none"),
        Some(program) if program.starts_with("KVM") => Some("kvm"),
        Some(program) if program.starts_with("z/VM") => Some("zvm"),
        Some(_) => None,
    }
}

fn by_signature(evidence: &Evidence<'_>) -> Option<&'static str> {
    let signature = evidence.cpu.signature?.trim_matches(['\0', ' ']);
    SIGNATURES.iter().find(|(text, _)| *text == signature).map(|(_, name)| *name)
}

fn by_dmi(evidence: &Evidence<'_>) -> Option<&'static str> {
    let texts = &evidence.dmi;
    let named = |text: &String| DMI.iter().find(|(start, _)| text.starts_with(start)).map(|(_, name)| *name);
    let hyper_v = || {
        let has = |wanted: &str| texts.iter().any(|text| text == wanted);
        (has("Microsoft Corporation") && has("Virtual Machine")).then_some("microsoft")
    };
    let name = texts.iter().find_map(named).or_else(hyper_v)?;
    let is_bare = evidence.cpu.flag.filter(|_| evidence.is_x86) == Some(false)
        || texts.iter().any(|text| text.ends_with(".metal") || text.contains(".metal-"));
    if !ALSO_BARE.contains(&name) || !is_bare {
        return Some(name);
    }
    Some("none")
}

fn by_device_tree(evidence: &Evidence<'_>) -> Option<&'static str> {
    let has = |text: &Option<String>, wanted: &str| text.as_deref().is_some_and(|text| text.contains(wanted));
    let hypervisors = [("linux,kvm", "kvm"), ("xen", "xen"), ("vmware", "vmware")];
    if let Some((_, name)) = hypervisors.iter().find(|(wanted, _)| has(&evidence.tree_hypervisor, wanted)) {
        return Some(name);
    }
    if has(&evidence.tree_machine, "qemu,pseries") {
        return Some("qemu");
    }
    if evidence.is_power_partition {
        return Some("powervm");
    }
    has(&evidence.tree_machine, "ibm,powernv").then_some("none")
}

/// The name, or None with an issue.
pub(super) fn collect(
    reading: &mut Reading<'_>,
    arch: Option<&str>,
    cpu: CpuHints<'_>,
    dmi: Vec<String>,
    sysinfo: Option<&Sysinfo>,
) -> Option<String> {
    let hypervisor_type = reading.text_if_there(SECTION, "/sys/hypervisor/type");
    let tree = device_tree(reading.root);
    let mut property = |name: &str| match tree {
        Some(tree) => string_list(reading, SECTION, &format!("{tree}/{name}")),
        None => None,
    };
    let (tree_hypervisor, tree_machine) = (property("hypervisor/compatible"), property("compatible"));
    let in_tree = |name: &str| tree.is_some_and(|tree| reading.root.exists(&format!("{tree}/{name}")));
    let is_power_partition = in_tree("ibm,partition-name") && in_tree("hmc-managed?");
    let verdict = decide(&Evidence {
        is_x86: matches!(arch, Some("x86_64" | "i386" | "i486" | "i586" | "i686")),
        cpu,
        sysinfo,
        dmi,
        is_xen_control: is_xen_control(reading),
        hypervisor_type,
        tree_hypervisor,
        tree_machine,
        is_power_partition,
    });
    let (source, detail) = match verdict {
        Verdict::Is(name) => return Some(name.to_owned()),
        Verdict::Nameless(Some(text)) => {
            ("CPUID 0x40000000", format!("a hypervisor that calls itself '{text}'"))
        }
        Verdict::Nameless(None) => ("/proc/cpuinfo", "a hypervisor that does not say its name".to_owned()),
        Verdict::Unknown => {
            ("/proc/cpuinfo", "nothing tells of a hypervisor, and nothing that there is none".to_owned())
        }
    };
    let source = if arch == Some("s390x") { SYSINFO } else { source };
    reading.issue(Issue::new(SECTION, source, IssueKind::Missing, detail));
    None
}

/// Bit of Xen's features: this is the first domain, which controls the others.
const XENFEAT_DOM0: u32 = 1 << 11;

fn is_xen_control(reading: &mut Reading<'_>) -> Option<bool> {
    let path = "/sys/hypervisor/properties/features";
    if let Some(text) = reading.text_if_there(SECTION, path) {
        // One word for each 32 features, the last first; these are among the first.
        let word = text.get(text.len().saturating_sub(8)..).unwrap_or_default();
        let features =
            u32::from_str_radix(word, 16).map_err(|_| format!("'{text}' is no hexadecimal number"));
        return reading.parsed(SECTION, path, features).map(|features| features & XENFEAT_DOM0 != 0);
    }
    // Where xenfs is mounted; its files end without a line end in some versions.
    match reading.bytes("/proc/xen/capabilities") {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).contains("control_d")),
        Err(error) if error.is_absent() => None,
        Err(error) => {
            reading.failed(SECTION, &error);
            None
        }
    }
}

/// Where the firmware's device tree is, on machines that have one.
pub(super) fn device_tree(root: &HostRoot) -> Option<&'static str> {
    ["/sys/firmware/devicetree/base", "/proc/device-tree"].into_iter().find(|path| root.exists(path))
}

/// A property of texts, each with a NUL at its end; a list of several has line ends between them here.
pub(super) fn string_list(reading: &mut Reading<'_>, section: &str, path: &str) -> Option<String> {
    let bytes = match reading.bytes(path) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return None,
        Err(error) => {
            reading.failed(section, &error);
            return None;
        }
    };
    let Some(texts) = bytes.strip_suffix(b"\0").and_then(|texts| std::str::from_utf8(texts).ok()) else {
        reading.malformed(section, path, "it is not text with a NUL at its end");
        return None;
    };
    Some(texts.replace('\0', "\n"))
}

#[cfg(test)]
#[path = "virtualization_tests.rs"]
mod tests;
