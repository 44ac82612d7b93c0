//! Recorded hosts built file by file, for unit tests.

use std::path::Path;

use crate::host_root::HostRoot;

const HOST_JSON: &str = r#"{
    "name": "twin",
    "arch": "x86_64",
    "kernel_release": "6.1.0",
    "captured_at": "2026-01-02T03:04:05Z"
}"#;

const CPUID: &str = "CPU 0:
   0x00000000 0x00: eax=0x00000001 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69
   0x00000001 0x00: eax=0x00050654 ebx=0x00000000 ecx=0x00000001 edx=0x00000001
";

const MEMINFO: &str = "MemTotal: 4096 kB
MemFree: 1024 kB
MemAvailable: 2048 kB
Buffers: 64 kB
Cached: 512 kB
SwapTotal: 1024 kB
SwapFree: 256 kB
Shmem: 128 kB
HugePages_Total: 3
HugePages_Free: 1
Hugepagesize: 2048 kB
Hugetlb: 6144 kB
";

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct RecordedTree(tempfile::TempDir);

impl RecordedTree {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Four CPUs, two on each core, a core on each socket and a socket in each node; everything vmuster reads is there.
    pub(crate) fn whole_host() -> Self {
        let mut tree = Self::new()
            .file("/host.json", HOST_JSON)
            .file("/cpuid.txt", CPUID)
            .file("/proc/sys/kernel/random/boot_id", "7a2f8b0c-0000-4000-8000-000000000001\n")
            .file("/proc/sys/kernel/hostname", "twin.example\n")
            .file("/proc/meminfo", MEMINFO)
            .file(
                "/proc/cpuinfo",
                &(0..4).map(|id| Self::processor(id, "fpu vme sse lm")).collect::<String>(),
            )
            .file("/sys/class/dmi/id/sys_vendor", "Maker\n")
            .file("/sys/class/dmi/id/product_name", "Twin\n")
            .file("/sys/class/dmi/id/product_serial", "S1\n")
            .file("/sys/class/dmi/id/bios_version", "1.2\n")
            .file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            .file("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n")
            .file("/sys/devices/system/cpu/present", "0-3\n")
            .file("/sys/devices/system/cpu/online", "0-3\n")
            .file("/sys/devices/system/cpu/offline", "4-63\n")
            .file("/sys/devices/system/cpu/isolated", "\n")
            .file("/sys/devices/system/node/online", "0-1\n");
        for cpu in 0..4 {
            let core = cpu / 2;
            let siblings = format!("{}-{}\n", core * 2, core * 2 + 1);
            let topology = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
            for (name, content) in [
                ("physical_package_id", format!("{core}\n")),
                ("core_id", "0\n".to_owned()),
                ("core_cpus_list", siblings),
            ] {
                tree = tree.file(&format!("{topology}/{name}"), &content);
            }
        }
        tree = tree.caches().devices().mounts().libvirt();
        for (node, row) in [(0, "10 21\n"), (1, "21 10\n")] {
            let directory = format!("/sys/devices/system/node/node{node}");
            tree = tree
                .file(&format!("{directory}/cpulist"), &format!("{}-{}\n", node * 2, node * 2 + 1))
                .file(&format!("{directory}/distance"), row)
                .file(
                    &format!("{directory}/meminfo"),
                    &format!("Node {node} MemTotal: 2000 kB\nNode {node} MemFree: 500 kB\n"),
                )
                .hugepages(&directory, node + 1, node);
        }
        tree.hugepages("/sys/kernel/mm", 3, 1)
    }

    /// A first level of each core's own and a last level of both cores'; what the kernel says of a vulnerability.
    fn caches(self) -> Self {
        let cache = |tree: Self, cpu: u32, index: u32, texts: [&str; 4]| {
            let directory = format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{index}");
            let names = ["level", "type", "size", "shared_cpu_list"];
            names.into_iter().zip(texts).fold(tree, |tree, (name, text)| {
                tree.file(&format!("{directory}/{name}"), &format!("{text}\n"))
            })
        };
        let mut tree = self.file("/sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
        for cpu in 0..4 {
            let core = if cpu < 2 { "0-1" } else { "2-3" };
            tree = cache(tree, cpu, 0, ["1", "Data", "32K", core]);
            tree = cache(tree, cpu, 1, ["3", "Unified", "1024K", "0-3"]);
        }
        tree
    }

    /// A controller with a disk of one partition, and a network interface.
    fn devices(self) -> Self {
        let port = "pci0000:00/0000:00:1c.0";
        let controller = format!("/sys/devices/{port}/0000:01:00.0");
        let nvme = format!("{controller}/nvme/nvme0");
        let disk = format!("{nvme}/nvme0n1");
        let card = format!("/sys/devices/{port}/0000:02:00.0");
        let nic = format!("{card}/net/eth0");
        let files = [
            (
                format!("{controller}/uevent"),
                "DRIVER=nvme\nPCI_CLASS=10802\nPCI_ID=8086:0A54\nPCI_SUBSYS_ID=8086:4702\n",
            ),
            (format!("{controller}/revision"), "0x00\n"),
            (format!("{controller}/numa_node"), "1\n"),
            (format!("{nvme}/model"), "INTEL SSDPE2KX010T8\n"),
            (format!("{nvme}/serial"), "BTLJ1234\n"),
            (format!("{disk}/size"), "2048\n"),
            (format!("{disk}/dev"), "259:0\n"),
            (format!("{disk}/ro"), "0\n"),
            (format!("{disk}/removable"), "0\n"),
            (format!("{disk}/wwid"), "eui.01000000000000005cd2e4\n"),
            (format!("{disk}/queue/rotational"), "0\n"),
            (format!("{disk}/queue/logical_block_size"), "512\n"),
            (format!("{disk}/queue/physical_block_size"), "4096\n"),
            (format!("{disk}/nvme0n1p1/partition"), "1\n"),
            (format!("{disk}/nvme0n1p1/start"), "64\n"),
            (format!("{disk}/nvme0n1p1/size"), "1024\n"),
            (format!("{disk}/nvme0n1p1/ro"), "0\n"),
            (
                format!("{card}/uevent"),
                "DRIVER=igb\nPCI_CLASS=20000\nPCI_ID=8086:1533\nPCI_SUBSYS_ID=8086:1533\n",
            ),
            (format!("{card}/revision"), "0x03\n"),
            (format!("{card}/numa_node"), "-1\n"),
            (format!("{nic}/address"), "02:00:00:00:00:01\n"),
            (format!("{nic}/mtu"), "1500\n"),
            (format!("{nic}/operstate"), "up\n"),
            (format!("{nic}/carrier"), "1\n"),
            (format!("{nic}/speed"), "1000\n"),
            (format!("{nic}/uevent"), "INTERFACE=eth0\n"),
            ("/usr/share/misc/pci.ids".to_owned(), "8086  Intel Corporation\n\t0a54  NVMe\n\t1533  I210\n"),
        ];
        let tree = files.into_iter().fold(self, |tree, (path, content)| tree.file(&path, content));
        tree.link(&format!("{disk}/device"), "../../nvme0")
            .link(&format!("{controller}/driver"), "../../../../bus/pci/drivers/nvme")
            .link(&format!("{nic}/device"), "../../../0000:02:00.0")
            .link(&format!("{card}/driver"), "../../../../bus/pci/drivers/igb")
            .link("/sys/block/nvme0n1", &format!("../devices/{port}/0000:01:00.0/nvme/nvme0/nvme0n1"))
            .link("/sys/class/net/eth0", &format!("../../devices/{port}/0000:02:00.0/net/eth0"))
            .link("/sys/bus/pci/devices/0000:01:00.0", &format!("../../../devices/{port}/0000:01:00.0"))
            .link("/sys/bus/pci/devices/0000:02:00.0", &format!("../../../devices/{port}/0000:02:00.0"))
    }

    /// One file system, its size, and how busy the host is.
    fn mounts(self) -> Self {
        let line = "avg10=0.10 avg60=0.20 avg300=0.30 total=400";
        let both = format!("some {line}\nfull {line}\n");
        self.file("/proc/self/mountinfo", "1 0 259:1 / / rw,relatime - ext4 /dev/nvme0n1p1 rw\n")
            .file(
                "/statvfs.json",
                r#"{"/":{"f_frsize":4096,"f_blocks":100,"f_bfree":50,"f_bavail":40,"f_files":10,"f_ffree":5}}"#,
            )
            .file("/proc/loadavg", "0.52 0.58 0.59 2/1234 5678\n")
            .file("/proc/pressure/cpu", &both)
            .file("/proc/pressure/memory", &both)
            .file("/proc/pressure/io", &both)
    }

    /// What libvirt said: one guest in one pool.
    fn libvirt(self) -> Self {
        let model = "<model fallback='forbid'>Skylake-Server</model><vendor>Intel</vendor>";
        let required = |name: &str| format!("<feature policy='require' name='{name}'/>");
        let host_model =
            format!("<mode name='host-model' supported='yes'>{model}{}</mode>", required("x2apic"));
        let named = "<mode name='custom' supported='yes'><model usable='yes' vendor='Intel'>Skylake-Server</model>\
            <model usable='no' deprecated='yes'>Skylake-Server-IBRS</model>\
            <blockers model='Skylake-Server-IBRS'><feature name='spec-ctrl'/></blockers></mode>";
        self.file(
            "/libvirt/capabilities.xml",
            "<capabilities><host><cpu><arch>x86_64</arch></cpu></host><guest><os_type>hvm</os_type>\
             <arch name='x86_64'><emulator>/usr/bin/qemu-system-x86_64</emulator>\
             <machine maxCpus='288'>pc-q35-7.2</machine><machine canonical='pc-q35-7.2'>q35</machine>\
             <domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>",
        )
        .file(
            "/libvirt/domcapabilities.xml",
            &format!(
                "<domainCapabilities><domain>kvm</domain><machine>pc-q35-7.2</machine><arch>x86_64</arch>\
                 <cpu>{host_model}{named}</cpu></domainCapabilities>"
            ),
        )
        .file(
            "/libvirt/host-model-expanded.xml",
            &format!("<cpu mode='custom'>{model}{}{}</cpu>", required("aes"), required("x2apic")),
        )
        .file("/libvirt/version.json", r#"{"driver":"QEMU","libvirt_version":9000000,"qemu_version":"7.2.22"}"#)
        .file(
            "/libvirt/domains/db-1.xml",
            "<domain type='kvm' id='1'><name>db-1</name><uuid>7c9f57ce-50b5-4207-9f43-89aac77ba169</uuid>\
             <memory unit='MiB'>512</memory><vcpu>2</vcpu><devices><disk type='file'><source file='/img/a.qcow2'/>\
             <target dev='vda'/></disk></devices></domain>",
        )
        .file(
            "/libvirt/pools/default.xml",
            "<pool type='dir'><name>default</name><capacity unit='bytes'>1000</capacity><target><path>/img</path>\
             </target></pool>",
        )
        .file(
            "/libvirt/figures.json",
            r#"{"domains":{"7c9f57ce-50b5-4207-9f43-89aac77ba169":{"state":"paused","persistent":true,
                "disks":{"vda":{"virtual_bytes":700,"allocation_bytes":7}}}},"pools":{"default":{"state":"running"}}}"#,
        )
        .file("/sys/module/kvm_intel/parameters/nested", "Y\n")
    }

    /// A block of x86's cpuinfo.
    pub(crate) fn processor(id: u32, flags: &str) -> String {
        format!(
            "processor\t: {id}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t: 85\nmodel name\t: Xeon\nstepping\t: 4\n\
             microcode\t: 0x1\nflags\t: {flags}\naddress sizes\t: 46 bits physical, 48 bits virtual\n\n"
        )
    }

    fn hugepages(self, directory: &str, total: u32, free: u32) -> Self {
        let directory = format!("{directory}/hugepages/hugepages-2048kB");
        self.file(&format!("{directory}/nr_hugepages"), &format!("{total}\n"))
            .file(&format!("{directory}/free_hugepages"), &format!("{free}\n"))
            .file(&format!("{directory}/resv_hugepages"), "1\n")
            .file(&format!("{directory}/surplus_hugepages"), "0\n")
    }

    /// Without a file or directory.
    pub(crate) fn without(self, path: &str) -> Self {
        let whole = self.path().join(path.trim_start_matches('/'));
        let removed =
            if whole.is_dir() { std::fs::remove_dir_all(&whole) } else { std::fs::remove_file(&whole) };
        removed.expect("something to remove");
        self
    }

    /// With one more file, or another content of it.
    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        Self::write(&self.path().join(path.trim_start_matches('/')), content);
        self
    }

    /// With a file that is not text.
    #[expect(clippy::disallowed_methods, reason = "makes what the code under test reads")]
    pub(crate) fn bytes(self, path: &str, content: &[u8]) -> Self {
        let tree = self.file(path, "");
        std::fs::write(tree.path().join(path.trim_start_matches('/')), content).expect("a file");
        tree
    }

    /// With a symbolic link, whether its target is there or not.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        let whole = self.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(whole.parent().expect("a parent")).expect("a directory");
        std::os::unix::fs::symlink(target, whole).expect("a link");
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn root(&self) -> HostRoot {
        HostRoot::recorded(self.path()).expect("a directory")
    }

    #[expect(clippy::disallowed_methods, reason = "makes what the code under test reads")]
    pub(crate) fn write(path: &Path, content: &str) {
        let parent = path.parent().expect("a parent");
        std::fs::create_dir_all(parent).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }
}
