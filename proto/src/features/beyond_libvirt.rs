//! Bits that libvirt has no name for, by the words Linux or QEMU have. Data.
//!
//! Positions are as in `cpuid.rs`; KVM's leaf 0x40000001 is its own. Must not know how leaves are read.

use super::Register::{self, Eax, Ebx, Ecx, Edx};

/// A CPUID bit without a libvirt name.
pub(super) struct Unnamed {
    pub(super) leaf: u32,
    pub(super) subleaf: u32,
    pub(super) register: Register,
    pub(super) bit: u8,
    /// As /proc/cpuinfo shows it; None: it does not.
    pub(super) linux: Option<&'static str>,
    /// A `-cpu` property; None: there is none.
    pub(super) qemu: Option<&'static str>,
}

const fn linux(leaf: u32, subleaf: u32, register: Register, bit: u8, word: &'static str) -> Unnamed {
    Unnamed { leaf, subleaf, register, bit, linux: Some(word), qemu: None }
}

/// KVM's own, for paravirtualized guests.
const fn kvm(register: Register, bit: u8, word: &'static str) -> Unnamed {
    Unnamed { leaf: 0x4000_0001, subleaf: 0, register, bit, linux: None, qemu: Some(word) }
}

/// VIA's, which libvirt leaves out.
const fn via(bit: u8, linux: &'static str, qemu: &'static str) -> Unnamed {
    Unnamed { leaf: 0xc000_0001, subleaf: 0, register: Edx, bit, linux: Some(linux), qemu: Some(qemu) }
}

/// By place, Linux's first.
#[rustfmt::skip]
pub(super) const UNNAMED: &[Unnamed] = &[
    linux(0x1, 0, Ecx, 11, "sdbg"),
    linux(0x6, 0, Eax, 0, "dtherm"), linux(0x6, 0, Eax, 1, "ida"), linux(0x6, 0, Eax, 4, "pln"),
    linux(0x6, 0, Eax, 6, "pts"), linux(0x6, 0, Eax, 7, "hwp"), linux(0x6, 0, Eax, 8, "hwp_notify"),
    linux(0x6, 0, Eax, 9, "hwp_act_window"), linux(0x6, 0, Eax, 10, "hwp_epp"), linux(0x6, 0, Eax, 11, "hwp_pkg_req"),
    linux(0x6, 0, Eax, 19, "hfi"), linux(0x6, 0, Ecx, 0, "aperfmperf"), linux(0x6, 0, Ecx, 3, "epb"),
    linux(0x7, 0, Ebx, 15, "rdt_a"), linux(0x7, 0, Ecx, 13, "tme"), linux(0x7, 0, Ecx, 29, "enqcmd"),
    linux(0x7, 1, Eax, 6, "lass"), linux(0x7, 1, Ebx, 0, "intel_ppin"),
    linux(0xf, 0, Edx, 1, "cqm_llc"), linux(0xf, 1, Edx, 0, "cqm_occup_llc"),
    linux(0x10, 0, Ebx, 1, "cat_l3"), linux(0x10, 0, Ebx, 2, "cat_l2"), linux(0x10, 1, Ecx, 2, "cdp_l3"),
    linux(0x10, 2, Ecx, 2, "cdp_l2"),
    linux(0x8000_0001, 0, Ecx, 26, "bpext"), linux(0x8000_0001, 0, Ecx, 27, "ptsc"),
    linux(0x8000_0001, 0, Ecx, 28, "perfctr_llc"), linux(0x8000_0001, 0, Ecx, 29, "mwaitx"),
    linux(0x8000_0001, 0, Edx, 19, "mp"),
    linux(0x8000_0007, 0, Ebx, 3, "smca"), linux(0x8000_0007, 0, Edx, 7, "hw_pstate"),
    linux(0x8000_0007, 0, Edx, 9, "cpb"), linux(0x8000_0007, 0, Edx, 11, "proc_feedback"),
    linux(0x8000_0007, 0, Edx, 12, "acc_power"), linux(0x8000_0007, 0, Edx, 14, "rapl"),
    linux(0x8000_0008, 0, Ebx, 1, "irperf"), linux(0x8000_0008, 0, Ebx, 4, "rdpru"),
    linux(0x8000_0008, 0, Ebx, 23, "amd_ppin"), linux(0x8000_0008, 0, Ebx, 27, "cppc"),
    linux(0x8000_0008, 0, Ebx, 31, "brs"),
    linux(0x8000_000a, 0, Edx, 18, "x2avic"), linux(0x8000_000a, 0, Edx, 20, "v_spec_ctrl"),
    linux(0x8000_001f, 0, Eax, 0, "sme"), linux(0x8000_001f, 0, Eax, 1, "sev"), linux(0x8000_001f, 0, Eax, 3, "sev_es"),
    linux(0x8000_001f, 0, Eax, 4, "sev_snp"), linux(0x8000_001f, 0, Eax, 14, "debug_swap"),
    linux(0x8000_001f, 0, Eax, 28, "svsm"),
    linux(0x8000_0022, 0, Eax, 1, "amd_lbr_v2"), linux(0x8000_0022, 0, Eax, 2, "amd_lbr_pmc_freeze"),
    linux(0x8086_0001, 0, Edx, 0, "recovery"), linux(0x8086_0001, 0, Edx, 1, "longrun"),
    linux(0x8086_0001, 0, Edx, 3, "lrti"),
    via(2, "rng", "xstore"), via(3, "rng_en", "xstore-en"), via(6, "ace", "xcrypt"), via(7, "ace_en", "xcrypt-en"),
    via(8, "ace2", "ace2"), via(9, "ace2_en", "ace2-en"), via(10, "phe", "phe"), via(11, "phe_en", "phe-en"),
    via(12, "pmm", "pmm"), via(13, "pmm_en", "pmm-en"),
    // KVM has had two clocks; QEMU switches both with one property. This is the newer.
    kvm(Eax, 3, "kvmclock"), kvm(Eax, 1, "kvm-nopiodelay"), kvm(Eax, 2, "kvm-mmu"), kvm(Eax, 4, "kvm-asyncpf"),
    kvm(Eax, 5, "kvm-steal-time"), kvm(Eax, 6, "kvm-pv-eoi"), kvm(Eax, 7, "kvm-pv-unhalt"),
    kvm(Eax, 9, "kvm-pv-tlb-flush"), kvm(Eax, 10, "kvm-asyncpf-vmexit"), kvm(Eax, 11, "kvm-pv-ipi"),
    kvm(Eax, 12, "kvm-poll-control"), kvm(Eax, 13, "kvm-pv-sched-yield"), kvm(Eax, 14, "kvm-asyncpf-int"),
    kvm(Eax, 15, "kvm-msi-ext-dest-id"), kvm(Eax, 24, "kvmclock-stable-bit"), kvm(Edx, 0, "kvm-hint-dedicated"),
];

/// (MSR, bit, property): bits of MSRs that QEMU names and libvirt leaves out.
pub(super) const UNNAMED_MSR_BITS: &[(u32, u8, &str)] = &[(0x345, 13, "full-width-write")];
