//! How Linux and QEMU spell what libvirt names, where they do not spell it alike, and words of Linux's own. Data.
//!
//! Linux's words are those of the line "flags" in /proc/cpuinfo; the line "vmx flags" has a vocabulary of its own, which
//! is not here. QEMU's are properties of `-cpu`. Must not know bits.

/// (libvirt, QEMU) where a '_' for each '-' does not make them equal, or QEMU has none.
pub(super) const QEMU_DIFFERS: &[(&str, Option<&str>)] = &[
    ("pclmuldq", Some("pclmulqdq")),
    ("vmx-invvpid-single-context-noglobals", Some("vmx-invept-single-context-noglobals")),
    // QEMU's property vmx-invept-single-context stands for two bits; libvirt gives that name to the other one.
    ("vmx-invvpid-single-context", None),
    ("vmx-ept-uc", None),
    ("vmx-ept-wb", None),
    // Set by the guest itself or the kernel, or of no use to a guest.
    ("osxsave", None),
    ("ospke", None),
    ("cmt", None),
    ("mbm_total", None),
    ("mbm_local", None),
    ("pconfig", None),
    ("cvt16", None),
];

/// (QEMU's other spelling, its usual one).
pub(super) const QEMU_ALIASES: &[(&str, &str)] = &[
    ("sse3", "pni"),
    ("pclmuldq", "pclmulqdq"),
    ("sse4-1", "sse4.1"),
    ("sse4_1", "sse4.1"),
    ("sse4-2", "sse4.2"),
    ("sse4_2", "sse4.2"),
    ("xd", "nx"),
    ("ffxsr", "fxsr-opt"),
    ("i64", "lm"),
    ("ds_cpl", "ds-cpl"),
    ("tsc_adjust", "tsc-adjust"),
    ("fxsr_opt", "fxsr-opt"),
    ("lahf_lm", "lahf-lm"),
    ("cmp_legacy", "cmp-legacy"),
    ("nodeid_msr", "nodeid-msr"),
    ("perfctr_core", "perfctr-core"),
    ("perfctr_nb", "perfctr-nb"),
    ("svm_lock", "svm-lock"),
    ("nrip_save", "nrip-save"),
    ("tsc_scale", "tsc-scale"),
    ("vmcb_clean", "vmcb-clean"),
    ("pause_filter", "pause-filter"),
    ("kvm_nopiodelay", "kvm-nopiodelay"),
    ("kvm_mmu", "kvm-mmu"),
    ("kvm_asyncpf", "kvm-asyncpf"),
    ("kvm_asyncpf_int", "kvm-asyncpf-int"),
    ("kvm_steal_time", "kvm-steal-time"),
    ("kvm_pv_eoi", "kvm-pv-eoi"),
    ("kvm_pv_unhalt", "kvm-pv-unhalt"),
    ("kvm_poll_control", "kvm-poll-control"),
];

/// (libvirt, Linux): the same bit. Every other CPUID feature is spelled alike, or is in [`LINUX_HIDES`].
pub(super) const LINUX_DIFFERS: &[(&str, &str)] = &[
    ("ds", "dts"),
    ("pclmuldq", "pclmulqdq"),
    ("sse4.1", "sse4_1"),
    ("sse4.2", "sse4_2"),
    ("tsc-deadline", "tsc_deadline_timer"),
    ("cr8legacy", "cr8_legacy"),
    ("cmt", "cqm"),
    ("mbm_total", "cqm_mbm_total"),
    ("mbm_local", "cqm_mbm_local"),
    ("intel-pt", "intel_pt"),
    ("sha-ni", "sha_ni"),
    ("avx-vnni", "avx_vnni"),
    ("avx512-bf16", "avx512_bf16"),
    ("avx512-fp16", "avx512_fp16"),
    ("avx512vbmi2", "avx512_vbmi2"),
    ("avx512vnni", "avx512_vnni"),
    ("avx512bitalg", "avx512_bitalg"),
    ("avx512-vpopcntdq", "avx512_vpopcntdq"),
    ("avx512-4vnniw", "avx512_4vnniw"),
    ("avx512-4fmaps", "avx512_4fmaps"),
    ("avx512-vp2intersect", "avx512_vp2intersect"),
    ("amx-bf16", "amx_bf16"),
    ("amx-tile", "amx_tile"),
    ("amx-int8", "amx_int8"),
    ("bus-lock-detect", "bus_lock_detect"),
    ("sgxlc", "sgx_lc"),
    ("md-clear", "md_clear"),
    ("tsx-ldtrk", "tsxldtrk"),
    ("arch-lbr", "arch_lbr"),
    ("cet-ibt", "ibt"),
    ("flush-l1d", "flush_l1d"),
    ("arch-capabilities", "arch_capabilities"),
    ("overflow-recov", "overflow_recov"),
    ("virt-ssbd", "virt_ssbd"),
    ("svm-lock", "svm_lock"),
    ("nrip-save", "nrip_save"),
    ("tsc-scale", "tsc_scale"),
    ("vmcb-clean", "vmcb_clean"),
    ("pause-filter", "pausefilter"),
    ("v-vmsave-vmload", "v_vmsave_vmload"),
    ("perfmon-v2", "perfmon_v2"),
];

/// CPUID features for which cpuinfo has no word of their own. For some the kernel sets one of [`KERNEL_WORDS`].
#[rustfmt::skip]
pub(super) const LINUX_HIDES: &[&str] = &[
    "osxsave", "fdp-excptn-only", "zero-fcs-fds", "pks", "core-capability", "spec-ctrl", "stibp", "ssbd", "cet-ss",
    "sha512", "sm3", "sm4", "cmpccxadd", "fzrm", "fsrs", "fsrc", "lkgs", "wrmsrns", "amx-fp16", "avx-ifma", "movrs",
    "msr-imm", "avx-vnni-int8", "avx-ne-convert", "amx-complex", "avx-vnni-int16", "prefetchiti", "avx10", "apxf",
    "intel-psfd", "ipred-ctrl", "rrsba-ctrl", "ddpd-u", "bhi-ctrl", "mcdt-no", "xfd", "sgx1", "sgx2", "sgx-edeccssa",
    "sgx-exinfo", "sgx-debug", "sgx-mode64", "sgx-provisionkey", "sgx-tokenkey", "sgx-kss", "sgx-aex-notify",
    "intel-pt-lip", "amx-int8-alias", "amx-bf16-alias", "amx-complex-alias", "amx-fp16-alias", "amx-fp8", "amx-tf32",
    "amx-avx512", "amx-movrs", "avx10-128", "avx10-256", "avx10-512", "avx10-vnni-int", "apx-nci-ndd-nf", "cvt16",
    "invtsc", "ibpb", "ibrs", "amd-stibp", "stibp-always-on", "amd-ssbd", "amd-no-ssb", "amd-psfd", "gmet", "vnmi",
    "svme-addr-chk", "no-nested-data-bp", "fs-gs-base-ns", "lfence-always-serializing", "verw-clear",
    "null-sel-clr-base", "auto-ibrs", "prefetchi", "eraps", "sbpb", "ibpb-brtype", "srso-no", "srso-user-kernel-no",
    "tsa-sq-no", "tsa-l1-no",
];

/// (a word of older kernels, what is meant: libvirt's name, or Linux's present word where libvirt has none).
pub(super) const LINUX_FORMERLY: &[(&str, &str)] = &[
    ("spec_ctrl", "spec-ctrl"),
    ("intel_stibp", "stibp"),
    ("hwp_noitfy", "hwp_notify"),
    ("perfctr_l2", "perfctr_llc"),
];

/// Words that the kernel sets itself, by no bit of the same meaning; with each, libvirt's names of the bits that make it
/// do so, any one of them. None: it looks at none that libvirt names, at several together, or at its own settings.
#[rustfmt::skip]
pub(super) const KERNEL_WORDS: &[(&str, &[&str])] = &[
    // False friends: libvirt has features of the same names, and each means one vendor's bit.
    ("ssbd", &["ssbd", "amd-ssbd", "virt-ssbd"]),
    ("ibrs", &["spec-ctrl", "ibrs"]),
    ("ibpb", &["spec-ctrl", "ibpb"]),
    ("stibp", &["stibp", "amd-stibp"]),
    // AMD's bit from 6.4 on; before 5.6 Intel's control.
    ("vnmi", &["vnmi", "vmx-vnmi"]),
    ("constant_tsc", &["invtsc"]), ("nonstop_tsc", &["invtsc"]),
    ("ibrs_enhanced", &["ibrs-all", "auto-ibrs"]),
    ("user_shstk", &["cet-ss"]),
    ("split_lock_detect", &["split-lock-detect"]),
    ("ept", &["vmx-ept"]), ("ept_ad", &["vmx-eptad"]), ("vpid", &["vmx-vpid"]),
    // libvirt's vmx-flexpriority is the shadow of the task priority alone; Linux's flexpriority asks for more.
    ("tpr_shadow", &["vmx-flexpriority"]), ("flexpriority", &[]),
    // Intel and AMD count it in different leaves.
    ("mba", &[]),
    ("nonstop_tsc_s3", &[]), ("art", &[]), ("arch_perfmon", &[]), ("pebs", &[]), ("bts", &[]), ("rep_good", &[]),
    ("nopl", &[]), ("xtopology", &[]), ("cpuid", &[]), ("extd_apicid", &[]), ("amd_dcm", &[]), ("tsc_known_freq", &[]),
    ("tsc_reliable", &[]), ("cpuid_fault", &[]), ("ring3mwait", &[]), ("pti", &[]), ("vmmcall", &[]),
    ("tdx_guest", &[]), ("tdx_host_platform", &[]), ("up", &[]), ("cxmmx", &[]), ("k6_mtrr", &[]), ("cyrix_arr", &[]),
    ("centaur_mcr", &[]),
    // Of older kernels.
    ("invpcid_single", &[]), ("eagerfpu", &[]), ("kaiser", &[]), ("retpoline", &[]), ("retpoline_amd", &[]),
    ("rsb_ctxsw", &[]), ("ibpb_support", &[]),
];
