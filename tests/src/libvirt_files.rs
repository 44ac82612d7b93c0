//! A small DIR/libvirt, of two guests and two pools, for recorded hosts that were captured without libvirt.

use std::{fs, path::Path};

/// Files below `libvirt/`, of a host of `arch`.
#[must_use]
pub fn libvirt_files(arch: &str) -> Vec<(&'static str, String)> {
    let files = [
        ("capabilities.xml", CAPABILITIES),
        ("domcapabilities.xml", DOMAIN_CAPABILITIES),
        ("host-model-expanded.xml", EXPANDED),
        ("version.json", "{\"driver\":\"QEMU\",\"libvirt_version\":9000000,\"qemu_version\":\"7.2.22\"}\n"),
        ("domains/7c9f57ce-50b5-4207-9f43-89aac77ba169.xml", RUNNING),
        ("domains/other.xml", SHUT_OFF),
        ("pools/default.xml", DIRECTORY_POOL),
        ("pools/ceph.xml", CEPH_POOL),
        ("figures.json", FIGURES),
    ];
    files.map(|(path, content)| (path, content.replace("x86_64", arch))).to_vec()
}

/// Writes them into a recorded host.
pub fn write_libvirt(root: &Path, arch: &str) {
    for (path, content) in libvirt_files(arch) {
        let whole = root.join("libvirt").join(path);
        fs::create_dir_all(whole.parent().expect("a parent")).expect("a directory");
        fs::write(whole, content).expect("written");
    }
}

const CAPABILITIES: &str = "<capabilities><host><uuid>9f2c4c1e-55aa-4b6f-8a51-2f9d3c4b5a60</uuid>\
    <cpu><arch>x86_64</arch></cpu></host><guest><os_type>hvm</os_type><arch name='x86_64'>\
    <emulator>/usr/bin/qemu-system-x86_64</emulator><machine maxCpus='288'>pc-q35-7.2</machine>\
    <machine canonical='pc-q35-7.2'>q35</machine><machine maxCpus='255' deprecated='yes'>pc-i440fx-2.0</machine>\
    <domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>\n";

const DOMAIN_CAPABILITIES: &str = "<domainCapabilities><path>/usr/bin/qemu-system-x86_64</path><domain>kvm</domain>\
    <machine>pc-q35-7.2</machine><arch>x86_64</arch><os supported='yes'><enum name='firmware'><value>efi</value>\
    </enum></os><cpu><mode name='host-model' supported='yes'><model fallback='forbid'>Skylake-Server</model>\
    <vendor>Intel</vendor><maxphysaddr mode='passthrough' limit='46'/><feature policy='require' name='x2apic'/></mode>\
    <mode name='custom' supported='yes'><model usable='yes' vendor='Intel' canonical='Skylake-Server-v1'>Skylake-Server\
    </model><model usable='no' deprecated='yes'>486</model><blockers model='486'><feature name='ss'/></blockers></mode>\
    </cpu></domainCapabilities>\n";

const EXPANDED: &str = "<cpu mode='custom' match='exact'><model fallback='forbid'>Skylake-Server</model>\
    <vendor>Intel</vendor><feature policy='require' name='aes'/><feature policy='require' name='x2apic'/>\
    <feature policy='require' name='quantum-aes'/><feature policy='disable' name='vmx'/></cpu>\n";

const RUNNING: &str = "<domain type='kvm' id='1'><name>acme-payroll</name>\
    <uuid>7c9f57ce-50b5-4207-9f43-89aac77ba169</uuid><memory unit='GiB'>2</memory>\
    <currentMemory unit='GiB'>1</currentMemory><vcpu cpuset='0-3' current='2'>4</vcpu><memoryBacking><hugepages>\
    <page size='2' unit='MiB' nodeset='0'/></hugepages></memoryBacking><cputune><vcpupin vcpu='0' cpuset='1'/>\
    <emulatorpin cpuset='0'/></cputune><numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='preferred' \
    nodeset='1'/></numatune><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>\
    <cpu mode='host-model' check='partial'><model fallback='allow'/><feature policy='disable' name='aes'/>\
    <numa><cell id='0' cpus='0-3' memory='2' unit='GiB'/></numa></cpu><devices>\
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/img/acme.qcow2'/><target dev='vda'/></disk>\
    <disk type='network' device='disk'><source protocol='rbd' name='vms/payroll'/><target dev='vdb'/><shareable/></disk>\
    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>\
    <hostdev type='pci'><source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source></hostdev>\
    <graphics type='vnc' passwd='hunter2'/></devices></domain>\n";

const SHUT_OFF: &str = "<domain type='kvm'><name>old</name><uuid>00000000-0000-4000-8000-000000000007</uuid>\
    <memory>1024</memory><vcpu>1</vcpu></domain>\n";

const DIRECTORY_POOL: &str = "<pool type='dir'><name>default</name><uuid>0b6e2c3a-1111-4000-8000-000000000002</uuid>\
    <capacity unit='bytes'>1000</capacity><allocation unit='bytes'>400</allocation><available unit='bytes'>600\
    </available><target><path>/img</path></target></pool>\n";

const CEPH_POOL: &str = "<pool type='rbd'><name>ceph</name><uuid>0b6e2c3a-2222-4000-8000-000000000003</uuid>\
    <source><host name='cephmon1' port='6789'/><name>vms</name></source></pool>\n";

const FIGURES: &str = r#"{
  "collected_at": "2026-11-22T20:00:00Z",
  "domains": {
    "7c9f57ce-50b5-4207-9f43-89aac77ba169": {
      "state": "paused",
      "persistent": true,
      "vcpus": 3,
      "disks": {
        "vda": {"virtual_bytes": 700, "allocation_bytes": 7},
        "vdb": {"virtual_bytes": 900}
      }
    }
  },
  "pools": {"default": {"state": "running"}, "ceph": {"state": "inactive"}},
  "images": [{"id": "acme-base.img", "location": "default", "size_bytes": 5}]
}
"#;
