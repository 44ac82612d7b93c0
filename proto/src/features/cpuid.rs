//! Which CPUID bit has which of libvirt's names. Data.
//!
//! Positions are the vendors' (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E). Four names are false friends
//! of Linux's: `ssbd` and `stibp` are Intel's bits here, `ibrs` and `ibpb` AMD's. Must not know how leaves are read.

use super::{Register, RegisterBits};

const fn bits(
    leaf: u32,
    subleaf: u32,
    register: Register,
    features: &'static [(u8, &'static str)],
) -> RegisterBits {
    RegisterBits { leaf, subleaf, register, features }
}

/// What libvirt 11.3 names, by place. A feature that two leaves show (AMD repeats leaf 1 in 0x80000001) is here once,
/// under the first.
#[rustfmt::skip]
pub(super) const REGISTERS: &[RegisterBits] = &[
    bits(0x1, 0, Register::Ecx, &[
        (0, "pni"), (1, "pclmuldq"), (2, "dtes64"), (3, "monitor"), (4, "ds_cpl"), (5, "vmx"), (6, "smx"), (7, "est"),
        (8, "tm2"), (9, "ssse3"), (10, "cid"), (12, "fma"), (13, "cx16"), (14, "xtpr"), (15, "pdcm"), (17, "pcid"),
        (18, "dca"), (19, "sse4.1"), (20, "sse4.2"), (21, "x2apic"), (22, "movbe"), (23, "popcnt"),
        (24, "tsc-deadline"), (25, "aes"), (26, "xsave"), (27, "osxsave"), (28, "avx"), (29, "f16c"), (30, "rdrand"),
        (31, "hypervisor"),
    ]),
    bits(0x1, 0, Register::Edx, &[
        (0, "fpu"), (1, "vme"), (2, "de"), (3, "pse"), (4, "tsc"), (5, "msr"), (6, "pae"), (7, "mce"), (8, "cx8"),
        (9, "apic"), (11, "sep"), (12, "mtrr"), (13, "pge"), (14, "mca"), (15, "cmov"), (16, "pat"), (17, "pse36"),
        (18, "pn"), (19, "clflush"), (21, "ds"), (22, "acpi"), (23, "mmx"), (24, "fxsr"), (25, "sse"), (26, "sse2"),
        (27, "ss"), (28, "ht"), (29, "tm"), (30, "ia64"), (31, "pbe"),
    ]),
    bits(0x6, 0, Register::Eax, &[(2, "arat")]),
    bits(0x7, 0, Register::Ebx, &[
        (0, "fsgsbase"), (1, "tsc_adjust"), (2, "sgx"), (3, "bmi1"), (4, "hle"), (5, "avx2"), (6, "fdp-excptn-only"),
        (7, "smep"), (8, "bmi2"), (9, "erms"), (10, "invpcid"), (11, "rtm"), (12, "cmt"), (13, "zero-fcs-fds"),
        (14, "mpx"), (16, "avx512f"), (17, "avx512dq"), (18, "rdseed"), (19, "adx"), (20, "smap"), (21, "avx512ifma"),
        (22, "pcommit"), (23, "clflushopt"), (24, "clwb"), (25, "intel-pt"), (26, "avx512pf"), (27, "avx512er"),
        (28, "avx512cd"), (29, "sha-ni"), (30, "avx512bw"), (31, "avx512vl"),
    ]),
    bits(0x7, 0, Register::Ecx, &[
        (1, "avx512vbmi"), (2, "umip"), (3, "pku"), (4, "ospke"), (5, "waitpkg"), (6, "avx512vbmi2"), (8, "gfni"),
        (9, "vaes"), (10, "vpclmulqdq"), (11, "avx512vnni"), (12, "avx512bitalg"), (14, "avx512-vpopcntdq"),
        (16, "la57"), (22, "rdpid"), (24, "bus-lock-detect"), (25, "cldemote"), (27, "movdiri"), (28, "movdir64b"),
        (30, "sgxlc"), (31, "pks"),
    ]),
    bits(0x7, 0, Register::Edx, &[
        (2, "avx512-4vnniw"), (3, "avx512-4fmaps"), (4, "fsrm"), (8, "avx512-vp2intersect"), (10, "md-clear"),
        (14, "serialize"), (16, "tsx-ldtrk"), (18, "pconfig"), (19, "arch-lbr"), (22, "amx-bf16"), (23, "avx512-fp16"),
        (24, "amx-tile"), (25, "amx-int8"), (26, "spec-ctrl"), (27, "stibp"), (28, "flush-l1d"),
        (29, "arch-capabilities"), (30, "core-capability"), (31, "ssbd"),
    ]),
    bits(0x7, 1, Register::Eax, &[
        (0, "sha512"), (1, "sm3"), (2, "sm4"), (4, "avx-vnni"), (5, "avx512-bf16"), (7, "cmpccxadd"), (10, "fzrm"),
        (11, "fsrs"), (12, "fsrc"), (17, "fred"), (18, "lkgs"), (19, "wrmsrns"), (21, "amx-fp16"), (23, "avx-ifma"),
        (26, "lam"),
    ]),
    bits(0x7, 1, Register::Edx, &[
        (4, "avx-vnni-int8"), (5, "avx-ne-convert"), (8, "amx-complex"), (10, "avx-vnni-int16"), (14, "prefetchiti"),
        (19, "avx10"),
    ]),
    bits(0x7, 2, Register::Edx, &[
        (0, "intel-psfd"), (1, "ipred-ctrl"), (2, "rrsba-ctrl"), (3, "ddpd-u"), (4, "bhi-ctrl"), (5, "mcdt-no"),
    ]),
    bits(0xd, 1, Register::Eax, &[(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1"), (3, "xsaves"), (4, "xfd")]),
    bits(0xf, 1, Register::Edx, &[(1, "mbm_total"), (2, "mbm_local")]),
    bits(0x12, 0, Register::Eax, &[(0, "sgx1"), (1, "sgx2"), (11, "sgx-edeccssa")]),
    bits(0x12, 0, Register::Ebx, &[(0, "sgx-exinfo")]),
    bits(0x12, 1, Register::Eax, &[
        (1, "sgx-debug"), (2, "sgx-mode64"), (4, "sgx-provisionkey"), (5, "sgx-tokenkey"), (7, "sgx-kss"),
        (10, "sgx-aex-notify"),
    ]),
    bits(0x14, 0, Register::Ecx, &[(31, "intel-pt-lip")]),
    bits(0x24, 0, Register::Ebx, &[(16, "avx10-128"), (17, "avx10-256"), (18, "avx10-512")]),
    bits(0x8000_0001, 0, Register::Ecx, &[
        (0, "lahf_lm"), (1, "cmp_legacy"), (2, "svm"), (3, "extapic"), (4, "cr8legacy"), (5, "abm"), (6, "sse4a"),
        (7, "misalignsse"), (8, "3dnowprefetch"), (9, "osvw"), (10, "ibs"), (11, "xop"), (12, "skinit"), (13, "wdt"),
        (15, "lwp"), (16, "fma4"), (17, "tce"), (18, "cvt16"), (19, "nodeid_msr"), (21, "tbm"), (22, "topoext"),
        (23, "perfctr_core"), (24, "perfctr_nb"),
    ]),
    bits(0x8000_0001, 0, Register::Edx, &[
        (11, "syscall"), (20, "nx"), (22, "mmxext"), (25, "fxsr_opt"), (26, "pdpe1gb"), (27, "rdtscp"), (29, "lm"),
        (30, "3dnowext"), (31, "3dnow"),
    ]),
    bits(0x8000_0007, 0, Register::Ebx, &[(0, "overflow-recov"), (1, "succor")]),
    bits(0x8000_0007, 0, Register::Edx, &[(8, "invtsc")]),
    bits(0x8000_0008, 0, Register::Ebx, &[
        (0, "clzero"), (2, "xsaveerptr"), (9, "wbnoinvd"), (12, "ibpb"), (14, "ibrs"), (15, "amd-stibp"),
        (17, "stibp-always-on"), (24, "amd-ssbd"), (25, "virt-ssbd"), (26, "amd-no-ssb"), (28, "amd-psfd"),
    ]),
    bits(0x8000_000a, 0, Register::Edx, &[
        (0, "npt"), (1, "lbrv"), (2, "svm-lock"), (3, "nrip-save"), (4, "tsc-scale"), (5, "vmcb-clean"),
        (6, "flushbyasid"), (7, "decodeassists"), (10, "pause-filter"), (12, "pfthreshold"), (13, "avic"),
        (15, "v-vmsave-vmload"), (16, "vgif"), (25, "vnmi"), (28, "svme-addr-chk"),
    ]),
    bits(0x8000_0021, 0, Register::Eax, &[
        (0, "no-nested-data-bp"), (2, "lfence-always-serializing"), (6, "null-sel-clr-base"), (8, "auto-ibrs"),
        (24, "eraps"), (27, "sbpb"), (28, "ibpb-brtype"), (29, "srso-no"), (30, "srso-user-kernel-no"),
    ]),
    bits(0x8000_0022, 0, Register::Eax, &[(0, "perfmon-v2")]),
];

/// What got its name after libvirt 11.3; older ones refuse these names. libvirt takes them from QEMU's list of feature
/// words by a script, so the newest are QEMU 11.1's.
#[rustfmt::skip]
pub(super) const LATER: &[RegisterBits] = &[
    bits(0x7, 0, Register::Ecx, &[(7, "cet-ss")]),
    bits(0x7, 0, Register::Edx, &[(20, "cet-ibt")]),
    bits(0x7, 1, Register::Eax, &[(31, "movrs")]),
    bits(0x7, 1, Register::Ecx, &[(5, "msr-imm")]),
    bits(0x7, 1, Register::Edx, &[(21, "apxf")]),
    bits(0x1e, 1, Register::Eax, &[
        (0, "amx-int8-alias"), (1, "amx-bf16-alias"), (2, "amx-complex-alias"), (3, "amx-fp16-alias"), (4, "amx-fp8"),
        (6, "amx-tf32"), (7, "amx-avx512"), (8, "amx-movrs"),
    ]),
    bits(0x24, 1, Register::Ecx, &[(2, "avx10-vnni-int")]),
    bits(0x29, 0, Register::Ebx, &[(0, "apx-nci-ndd-nf")]),
    bits(0x8000_000a, 0, Register::Edx, &[(17, "gmet")]),
    bits(0x8000_0021, 0, Register::Eax, &[(1, "fs-gs-base-ns"), (5, "verw-clear"), (20, "prefetchi")]),
    bits(0x8000_0021, 0, Register::Ecx, &[(1, "tsa-sq-no"), (2, "tsa-l1-no")]),
];
