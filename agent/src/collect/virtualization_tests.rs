//! Machines and what tells of the hypervisor below them.

use super::*;
use crate::testing::RecordedTree;

fn x86<'a>(flag: Option<bool>, signature: Option<&'a str>, dmi: &[&str]) -> Evidence<'a> {
    let dmi = dmi.iter().map(|text| (*text).to_owned()).collect();
    Evidence { is_x86: true, cpu: CpuHints { flag, signature }, dmi, ..Evidence::default() }
}

fn other(dmi: &[&str]) -> Evidence<'static> {
    Evidence { is_x86: false, ..x86(None, None, dmi) }
}

fn nameless(text: &str) -> Verdict {
    Verdict::Nameless(Some(text.to_owned()))
}

#[test]
fn x86_by_signature_and_flag() {
    for (text, name) in SIGNATURES {
        assert_eq!(decide(&x86(Some(true), Some(text), &[])), Verdict::Is(name));
    }
    assert_eq!(decide(&x86(Some(true), Some("KVMKVMKVM\0\0\0"), &["QEMU"])), Verdict::Is("kvm"));
    assert_eq!(decide(&x86(Some(true), Some("bhyve bhyve "), &[])), Verdict::Is("bhyve"));
    assert_eq!(decide(&x86(Some(true), Some("NewVMMNewVMM"), &[])), nameless("NewVMMNewVMM"));
    assert_eq!(decide(&x86(Some(true), None, &["Maker"])), Verdict::Nameless(None));
    assert_eq!(decide(&x86(Some(false), None, &["Dell Inc."])), Verdict::Is("none"));
    assert_eq!(
        decide(&x86(Some(false), Some("\u{7}@@"), &[])),
        Verdict::Is("none"),
        "what a real CPU answers there"
    );
    assert_eq!(decide(&x86(None, None, &["Dell Inc."])), Verdict::Unknown);
}

#[test]
fn by_the_firmwares_texts() {
    let decided = |texts: &[&str]| decide(&x86(Some(true), None, texts));
    assert_eq!(decided(&["Standard PC (Q35 + ICH9, 2009)", "QEMU"]), Verdict::Is("qemu"));
    assert_eq!(decided(&["KVM", "Red Hat"]), Verdict::Is("kvm"));
    assert_eq!(decided(&["VMware Virtual Platform", "VMware, Inc."]), Verdict::Is("vmware"));
    assert_eq!(decided(&["Virtual Machine", "Microsoft Corporation"]), Verdict::Is("microsoft"));
    assert_eq!(decided(&["Surface Pro", "Microsoft Corporation"]), Verdict::Nameless(None));
    assert_eq!(
        decide(&x86(Some(false), None, &["ORACLE SERVER X8-2", "Oracle Corporation"])),
        Verdict::Is("none")
    );
    assert_eq!(
        decide(&other(&["QEMU Virtual Machine", "QEMU"])),
        Verdict::Is("qemu"),
        "arm64 guests have DMI, too"
    );
    assert_eq!(decide(&other(&["XA320 V2", "Huawei"])), Verdict::Unknown);
}

#[test]
fn products_built_on_other_hypervisors_go_by_their_own_name() {
    let kvm = Some("KVMKVMKVM");
    assert_eq!(decide(&x86(Some(true), kvm, &["VirtualBox", "innotek GmbH"])), Verdict::Is("oracle"));
    assert_eq!(decide(&x86(Some(true), kvm, &["c5.large", "Amazon EC2"])), Verdict::Is("amazon"));
    assert_eq!(decide(&x86(Some(true), kvm, &["Google Compute Engine", "Google"])), Verdict::Is("google"));
}

#[test]
fn clouds_rent_machines_without_hypervisor() {
    assert_eq!(decide(&x86(Some(false), None, &["m5.metal", "Amazon EC2"])), Verdict::Is("none"));
    assert_eq!(decide(&x86(Some(false), None, &["Google Compute Engine"])), Verdict::Is("none"));
    assert_eq!(decide(&other(&["c6g.metal", "Amazon EC2"])), Verdict::Is("none"));
    assert_eq!(decide(&other(&["m7i.metal-24xl", "Amazon EC2"])), Verdict::Is("none"));
    assert_eq!(decide(&other(&["c6g.large", "Amazon EC2"])), Verdict::Is("amazon"));
}

#[test]
fn xens_first_domain_is_the_host() {
    let guest =
        Evidence { hypervisor_type: Some("xen".to_owned()), ..x86(Some(true), Some("XenVMMXenVMM"), &[]) };
    assert_eq!(decide(&guest), Verdict::Is("xen"));
    assert_eq!(decide(&Evidence { is_xen_control: Some(false), ..guest.clone() }), Verdict::Is("xen"));
    assert_eq!(decide(&Evidence { is_xen_control: Some(true), ..guest.clone() }), Verdict::Is("none"));
    assert_eq!(
        decide(&Evidence { is_xen_control: Some(true), hypervisor_type: None, ..guest }),
        Verdict::Is("none")
    );
}

#[test]
fn mainframes() {
    let decided = |program: Option<&str>| {
        let sysinfo = Sysinfo { control_program: program.map(str::to_owned), ..Sysinfo::default() };
        decide(&Evidence { sysinfo: Some(&sysinfo), ..Evidence::default() })
    };
    assert_eq!(decided(Some("KVM/Linux")), Verdict::Is("kvm"));
    assert_eq!(decided(Some("z/VM 6.4.0")), Verdict::Is("zvm"));
    assert_eq!(decided(None), Verdict::Is("none"), "a partition");
    assert_eq!(decided(Some("New/VM")), nameless("New/VM"));
}

#[test]
fn device_trees() {
    let decided = |hypervisor: Option<&str>, machine: &str, is_power_partition| {
        let (tree_hypervisor, tree_machine) = (hypervisor.map(str::to_owned), Some(machine.to_owned()));
        decide(&Evidence { tree_hypervisor, tree_machine, is_power_partition, ..Evidence::default() })
    };
    assert_eq!(decided(Some("linux,kvm"), "linux,dummy-virt", false), Verdict::Is("kvm"));
    assert_eq!(decided(Some("xen,xen-4.17\nxen,xen"), "xen,xenvm-4.17", false), Verdict::Is("xen"));
    assert_eq!(decided(None, "qemu,pseries", true), Verdict::Is("qemu"));
    assert_eq!(decided(None, "IBM,8233-E8B", true), Verdict::Is("powervm"));
    assert_eq!(decided(None, "ibm,powernv", false), Verdict::Is("none"));
    assert_eq!(decided(None, "raspberrypi,4-model-b", false), Verdict::Unknown);
}

fn collected(tree: &RecordedTree, cpu: CpuHints<'_>) -> (Option<String>, Vec<(String, IssueKind)>) {
    let root = tree.root();
    let mut reading = Reading::new(&root);
    let name = collect(&mut reading, Some("x86_64"), cpu, Vec::new(), None);
    (name, reading.finish().into_iter().map(|issue| (issue.source, issue.kind)).collect())
}

#[test]
fn reads_what_tells() {
    let virtual_cpu = CpuHints { flag: Some(true), signature: None };
    let told = vec![("/proc/cpuinfo".to_owned(), IssueKind::Missing)];
    assert_eq!(collected(&RecordedTree::new(), virtual_cpu), (None, told));
    let xen = || RecordedTree::new().file("/sys/hypervisor/type", "xen\n");
    assert_eq!(collected(&xen(), virtual_cpu), (Some("xen".to_owned()), vec![]));
    let first = xen().file("/proc/xen/capabilities", "control_d\n");
    assert_eq!(collected(&first, virtual_cpu), (Some("none".to_owned()), vec![]));
    for (features, name) in [("000028f7\n", "none"), ("0000000000002705\n", "xen"), ("1000020f7\n", "xen")] {
        let tree = xen().file("/sys/hypervisor/properties/features", features);
        assert_eq!(collected(&tree, virtual_cpu), (Some(name.to_owned()), vec![]), "{features}");
    }
    let tree = RecordedTree::new().file("/proc/device-tree/hypervisor/compatible", "linux,kvm\0");
    assert_eq!(collected(&tree, CpuHints::default()), (Some("kvm".to_owned()), vec![]));
    let (name, told) =
        collected(&tree.file("/proc/device-tree/hypervisor/compatible", "linux,k"), CpuHints::default());
    assert_eq!((name, told.len()), (None, 2), "cut off, and nothing else tells");
}
