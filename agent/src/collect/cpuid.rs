//! What the CPUID instruction shows: vendor, signature, address sizes, features. x86 only.

use std::collections::BTreeSet;

use raw_cpuid::{CpuId, CpuIdReader, CpuIdResult};
use vmuster_proto::model::{FeatureSet, Issue, IssueKind};

use super::cpuid_features;
use crate::{
    host_root::HostRoot,
    parse::{
        cpuid_dump::{self, CpuidLeaves},
        cpuinfo::Identity,
    },
};

/// A recorded host's leaves, as `cpuid -r` prints them.
pub(crate) const RECORDED: &str = "cpuid.txt";

const SECTION: &str = "cpu.cpuid_features";

/// What one CPU says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CpuidFacts {
    /// As cpuinfo has it; no microcode.
    pub(crate) identity: Identity,
    pub(crate) features: FeatureSet,
    /// What a hypervisor calls itself; None on bare metal, and where it does not say.
    pub(crate) hypervisor_signature: Option<String>,
    /// Whether the leaves are surely this host's, not of another CPU like its.
    pub(crate) is_own: bool,
}

/// Asks the CPU this runs on, which stands for all: flags that differ between CPUs are told from cpuinfo.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn live() -> Option<CpuidLeaves> {
    let mut leaves = CpuidLeaves::default();
    let mut places = cpuid_features::leaves();
    places.extend(IDENTITY_LEAVES);
    places.sort_unstable();
    places.dedup();
    // Under a hypervisor each costs an exit to it, some microseconds: only what is used is asked.
    for (leaf, subleaf) in places {
        leaves.insert(leaf, subleaf, raw_cpuid::native_cpuid::cpuid_count(leaf, subleaf));
    }
    Some(leaves)
}

/// Other architectures have no such instruction.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub fn live() -> Option<CpuidLeaves> {
    None
}

/// First leaf of the range that hypervisors answer; without one it answers as another leaf.
const HYPERVISOR_BASE: u32 = 0x4000_0000;

/// Ranges' last leaves, signature, brand string, address sizes.
#[cfg(target_arch = "x86_64")]
const IDENTITY_LEAVES: [(u32, u32); 8] = [
    (0, 0),
    (1, 0),
    (cpuid_dump::EXTENDED_BASE, 0),
    (0x8000_0002, 0),
    (0x8000_0003, 0),
    (0x8000_0004, 0),
    (0x8000_0008, 0),
    (HYPERVISOR_BASE, 0),
];

/// A recorded host's leaves, or why there are none; that there is no such file matters of an x86 host only.
pub(crate) fn recorded(root: &HostRoot) -> Result<CpuidLeaves, Issue> {
    let malformed = |detail: String| Issue::new(SECTION, RECORDED, IssueKind::Malformed, detail);
    let bytes = root.read(RECORDED).map_err(|error| error.issue(SECTION))?;
    let leaves =
        cpuid_dump::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| malformed(error.to_string()))?;
    if leaves.is_empty() { Err(malformed("it has no leaf".to_owned())) } else { Ok(leaves) }
}

/// That leaves are not there which the first leaf of their range says there are: the file was cut off.
pub(crate) fn missing_leaves(leaves: &CpuidLeaves) -> Option<Issue> {
    let of_interest = cpuid_features::leaves().into_iter().chain([(1, 0)]);
    let first_subleaves = of_interest.filter(|(_, subleaf)| *subleaf == 0);
    let missing: BTreeSet<u32> =
        first_subleaves.map(|(leaf, _)| leaf).filter(|leaf| leaves.lacks(*leaf)).collect();
    let named: Vec<String> = missing.iter().map(|leaf| format!("{leaf:#x}")).collect();
    let detail = format!("it lacks leaves that the CPU has: {}", named.join(", "));
    (!named.is_empty()).then(|| Issue::new(SECTION, RECORDED, IssueKind::Missing, detail))
}

/// What the leaves mean; None where not even leaf 0 is.
pub(crate) fn facts(leaves: &CpuidLeaves, is_own: bool) -> Option<CpuidFacts> {
    leaves.get(0, 0)?;
    let cpuid = CpuId::with_cpuid_reader(LeafReader(leaves));
    let said = |text: &str| Some(text.trim_matches(['\0', ' ']).to_owned()).filter(|text| !text.is_empty());
    let sizes = cpuid.get_processor_capacity_feature_info();
    let bits = |bits: u8| Some(u32::from(bits)).filter(|bits| *bits > 0);
    let signature = leaves.get(1, 0).map(|answer| Signature::of(answer.eax));
    let identity = Identity {
        vendor: cpuid.get_vendor_info().and_then(|vendor| said(vendor.as_str())),
        model_name: cpuid.get_processor_brand_string().and_then(|brand| said(brand.as_str())),
        family: signature.map(|signature| signature.family),
        model: signature.map(|signature| signature.model),
        stepping: signature.map(|signature| signature.stepping),
        microcode: None,
        physical_address_bits: sizes.as_ref().and_then(|sizes| bits(sizes.physical_address_bits())),
        virtual_address_bits: sizes.as_ref().and_then(|sizes| bits(sizes.linear_address_bits())),
    };
    Some(CpuidFacts {
        identity,
        features: cpuid_features::of(leaves),
        hypervisor_signature: hypervisor(leaves),
        is_own,
    })
}

/// Twelve bytes in three registers, if leaf 1 says that there is a hypervisor.
fn hypervisor(leaves: &CpuidLeaves) -> Option<String> {
    const HYPERVISOR_BIT: u32 = 1 << 31;
    leaves.get(1, 0).filter(|answer| answer.ecx & HYPERVISOR_BIT != 0)?;
    let CpuIdResult { ebx, ecx, edx, .. } = leaves.get(HYPERVISOR_BASE, 0)?;
    let bytes = [ebx, ecx, edx].map(u32::to_le_bytes).concat();
    let text = std::str::from_utf8(&bytes).ok()?.trim_end_matches('\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Leaf 1, EAX. raw-cpuid has it too, but adds the family's two parts in eight bits, which a recorded leaf can overflow,
/// and leaves the model's upper part out for vendors other than Intel and AMD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    family: u32,
    model: u32,
    stepping: u32,
}

impl Signature {
    /// By Linux's rule, so that it equals cpuinfo's.
    fn of(eax: u32) -> Self {
        let base_family = eax >> 8 & 0xf;
        let family = if base_family == 0xf { base_family + (eax >> 20 & 0xff) } else { base_family };
        let base_model = eax >> 4 & 0xf;
        let model = if family >= 6 { (eax >> 16 & 0xf) << 4 | base_model } else { base_model };
        Self { family, model, stepping: eax & 0xf }
    }
}

/// Leaves a CPU does not have read as zeros, as AMD's CPUs answer them.
#[derive(Clone, Copy)]
struct LeafReader<'a>(&'a CpuidLeaves);

impl CpuIdReader for LeafReader<'_> {
    fn cpuid2(&self, eax: u32, ecx: u32) -> CpuIdResult {
        self.0.get(eax, ecx).unwrap_or(CpuIdResult { eax: 0, ebx: 0, ecx: 0, edx: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordedTree;

    const DUMP: &str = "CPU 0:\n\
        0x00000000 0x00: eax=0x00000001 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69\n\
        0x00000001 0x00: eax=0x0005065b ebx=0x00000000 ecx=0x00000001 edx=0x00000001\n\
        0x00000007 0x00: eax=0x00000000 ebx=0xffffffff ecx=0x00000000 edx=0x00000000\n\
        0x80000000 0x00: eax=0x80000008 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n\
        0x80000008 0x00: eax=0x0000302e ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n";

    #[test]
    fn reads_a_recorded_cpu() {
        let tree = RecordedTree::new().file("/cpuid.txt", DUMP);
        let leaves = recorded(&tree.root()).expect("leaves");
        let facts = facts(&leaves, false).expect("facts");
        assert_eq!(facts.features.names(), ["fpu", "pni"], "leaf 7 is beyond the last");
        let identity = facts.identity;
        assert_eq!((identity.vendor.as_deref(), identity.model_name), (Some("GenuineIntel"), None));
        assert_eq!((identity.family, identity.model, identity.stepping), (Some(6), Some(0x55), Some(11)));
        assert_eq!((identity.physical_address_bits, identity.virtual_address_bits), (Some(46), Some(48)));
    }

    #[test]
    fn says_why_there_are_none() {
        let kind =
            |tree: RecordedTree| recorded(&tree.root()).map_err(|issue| issue.kind).expect_err("an issue");
        assert_eq!(kind(RecordedTree::new()), IssueKind::Missing);
        assert_eq!(kind(RecordedTree::new().file("/cpuid.txt", "hello\n")), IssueKind::Malformed);
        assert_eq!(kind(RecordedTree::new().file("/cpuid.txt", "CPU 0:\n")), IssueKind::Malformed);
    }

    #[test]
    fn signatures_by_linuxs_rule() {
        let of = |eax| {
            let Signature { family, model, stepping } = Signature::of(eax);
            (family, model, stepping)
        };
        assert_eq!(of(0x0080_0f12), (23, 1, 2));
        assert_eq!(of(0x0000_06fb), (6, 15, 11));
        assert_eq!(of(0x0000_0513), (5, 1, 3));
        assert_eq!(of(0xffff_ffff), (270, 255, 15));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn this_machine_has_a_vendor() {
        let facts = facts(&live().expect("leaves"), true).expect("facts");
        assert!(facts.identity.vendor.is_some() && facts.features.contains("sse2"), "{facts:?}");
    }
}
