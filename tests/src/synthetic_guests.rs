//! Recorded guests in any number, each with the devices that management tools give one.

use std::{fmt::Write as _, fs, path::Path};

use vmuster_agent::hypervisor::figures::{DiskFigures, DomainFigures, FIGURES_JSON, Figures, PoolFigures};
use vmuster_proto::model::Bytes;

/// What each guest has.
const MEBIBYTES: u64 = 4096;
const VCPUS: u32 = 2;
const DISK_BYTES: u64 = 40 << 30;

/// Writes libvirt's answers of a host with so many guests below a recorded host's directory.
pub fn write(directory: &Path, count: usize) {
    let libvirt = directory.join("libvirt");
    for part in ["domains", "pools"] {
        fs::create_dir_all(libvirt.join(part)).expect("a directory");
    }
    let mut figures = Figures::default();
    for number in 0..count {
        let uuid = format!("6f1d2c3b-0000-4000-8000-{number:012x}");
        fs::write(libvirt.join(format!("domains/{uuid}.xml")), definition(number, &uuid)).expect("a file");
        figures.domains.insert(uuid, figures_of(number));
    }
    let pool = "<pool type='dir'><name>default</name><capacity unit='bytes'>4000787030016</capacity>\
        <allocation unit='bytes'>2000000000000</allocation><available unit='bytes'>2000787030016</available>\
        <target><path>/var/lib/libvirt/images</path></target></pool>\n";
    fs::write(libvirt.join("pools/default.xml"), pool).expect("a file");
    let running = PoolFigures { state: Some("running".to_owned()), identity: None };
    figures.pools.insert("default".to_owned(), running);
    let json = serde_json::to_string(&figures).expect("JSON");
    fs::write(directory.join(FIGURES_JSON), json).expect("a file");
}

fn figures_of(number: usize) -> DomainFigures {
    let disk =
        DiskFigures { virtual_bytes: Some(Bytes(DISK_BYTES)), allocation_bytes: Some(Bytes(DISK_BYTES / 8)) };
    DomainFigures {
        state: Some(["running", "paused", "shut_off"][number % 3].to_owned()),
        persistent: Some(true),
        vcpus: Some(VCPUS),
        vcpus_max: Some(VCPUS),
        memory_bytes: Some(Bytes(MEBIBYTES << 20)),
        memory_max_bytes: Some(Bytes(MEBIBYTES << 20)),
        disks: [("vda".to_owned(), disk), ("vdb".to_owned(), disk)].into(),
    }
}

fn definition(number: usize, uuid: &str) -> String {
    let id = if number % 3 < 2 { format!(" id='{}'", number + 1) } else { String::new() };
    let mut xml = format!(
        "<domain type='kvm'{id}>\n  <name>guest-{number}</name>\n  <uuid>{uuid}</uuid>\n  <metadata>\n    \
         <example:owner xmlns:example='http://example.org/owner'>team-{}</example:owner>\n  </metadata>\n  \
         <memory unit='KiB'>{}</memory>\n  <currentMemory unit='KiB'>{}</currentMemory>\n  \
         <vcpu placement='static'>{VCPUS}</vcpu>\n  <cputune>\n    <shares>1024</shares>\n  </cputune>\n  \
         <os>\n    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n    <boot dev='hd'/>\n  </os>\n  \
         <features>\n    <acpi/>\n    <apic/>\n  </features>\n  <cpu mode='custom' match='exact' check='full'>\n    \
         <model fallback='forbid'>Cascadelake-Server</model>\n    <vendor>Intel</vendor>\n",
        number % 17,
        MEBIBYTES << 10,
        MEBIBYTES << 10,
    );
    for feature in FEATURES {
        let _ = writeln!(xml, "    <feature policy='require' name='{feature}'/>");
    }
    xml += "  </cpu>\n  <clock offset='utc'>\n    <timer name='rtc' tickpolicy='catchup'/>\n  </clock>\n  <devices>\n    \
        <emulator>/usr/bin/qemu-system-x86_64</emulator>\n";
    for (target, slot) in [("vda", 4), ("vdb", 5)] {
        let _ = write!(
            xml,
            "    <disk type='file' device='disk'>\n      <driver name='qemu' type='qcow2' cache='none'/>\n      \
             <source file='/var/lib/libvirt/images/guest-{number}-{target}.qcow2' index='2'/>\n      \
             <backingStore/>\n      <target dev='{target}' bus='virtio'/>\n      <alias name='virtio-disk0'/>\n      \
             <address type='pci' domain='0x0000' bus='0x{slot:02x}' slot='0x00' function='0x0'/>\n    </disk>\n"
        );
    }
    for index in 0..14 {
        let _ = write!(
            xml,
            "    <controller type='pci' index='{index}' model='pcie-root-port'>\n      \
             <model name='pcie-root-port'/>\n      <target chassis='{index}' port='0x10'/>\n      \
             <alias name='pci.{index}'/>\n      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' \
             function='0x0'/>\n    </controller>\n"
        );
    }
    xml + "    <interface type='bridge'>\n      <mac address='52:54:00:00:00:01'/>\n      <source bridge='br0'/>\n      \
        <model type='virtio'/>\n    </interface>\n    <serial type='pty'>\n      <target type='isa-serial' port='0'/>\n    \
        </serial>\n    <graphics type='vnc' port='-1' autoport='yes'/>\n    <memballoon model='virtio'/>\n    \
        <rng model='virtio'>\n      <backend model='random'>/dev/urandom</backend>\n    </rng>\n  </devices>\n</domain>\n"
}

/// Some of those a host-model guest has beside its model.
const FEATURES: [&str; 16] = [
    "ss",
    "vmx",
    "pdcm",
    "hypervisor",
    "tsc_adjust",
    "umip",
    "pku",
    "md-clear",
    "stibp",
    "arch-capabilities",
    "ssbd",
    "xsaves",
    "ibpb",
    "amd-ssbd",
    "rdctl-no",
    "ibrs-all",
];
