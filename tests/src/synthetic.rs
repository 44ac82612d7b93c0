//! Recorded hosts larger than any we have: trees made by rule, for benchmarks and limits.
//!
//! The files are those a kernel of the 6.x series shows, so that a collection reads as many as on a real host. Made by
//! rule, they prove nothing about real kernels: the captured hosts do that.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// What a synthetic host has.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Sockets.
    pub sockets: u32,
    /// Cores of each socket.
    pub cores: u32,
    /// Threads of each core.
    pub threads: u32,
    /// Memory nodes, a multiple of the sockets.
    pub nodes: u32,
    /// Memory of the whole host.
    pub memory_bytes: u64,
    /// PCI functions.
    pub pci: u32,
    /// Disks, each with two partitions.
    pub disks: u32,
    /// Network interfaces, each on a PCI function.
    pub nics: u32,
}

/// 256 CPUs, 1 TiB, 4 nodes.
pub const LARGE: Shape =
    Shape { sockets: 2, cores: 64, threads: 2, nodes: 4, memory_bytes: 1 << 40, pci: 200, disks: 8, nics: 8 };

/// 1,024 CPUs, 16 nodes.
pub const HUGE: Shape = Shape {
    sockets: 8,
    cores: 64,
    threads: 2,
    nodes: 16,
    memory_bytes: 8 << 40,
    pci: 200,
    disks: 8,
    nics: 8,
};

impl Shape {
    /// CPUs.
    #[must_use]
    pub fn cpus(&self) -> u32 {
        self.sockets * self.cores * self.threads
    }

    fn core_count(&self) -> u32 {
        self.sockets * self.cores
    }

    /// Threads of a core are numbered as firmware mostly does: all first threads, then all second ones.
    fn siblings(&self, core: u32) -> String {
        let threads = (0..self.threads).map(|thread| (core + thread * self.core_count()).to_string());
        threads.collect::<Vec<_>>().join(",")
    }

    /// CPUs of these cores as a list.
    fn list(&self, cores: std::ops::Range<u32>) -> String {
        let ranges = (0..self.threads).map(|thread| {
            let first = thread * self.core_count();
            format!("{}-{}", first + cores.start, first + cores.end - 1)
        });
        ranges.collect::<Vec<_>>().join(",")
    }

    /// Writes the host's files below a directory.
    pub fn write(&self, directory: &Path) {
        let tree = Tree(directory.to_owned());
        tree.file("host.json", r#"{"name":"synthetic","arch":"x86_64","kernel_release":"6.12.0"}"#);
        tree.file("cpuid.txt", CPUID);
        tree.file("statvfs.json", r#"{"/": {"f_frsize": 4096, "f_bsize": 4096, "f_blocks": 1000000, "f_bfree": 500000, "f_bavail": 450000, "f_files": 100000, "f_ffree": 90000}}"#);
        self.proc_files(&tree);
        self.cpus_in(&tree);
        self.nodes_in(&tree);
        self.devices_in(&tree);
        self.disks_in(&tree);
    }

    fn proc_files(&self, tree: &Tree) {
        let mut cpuinfo = String::new();
        for cpu in 0..self.cpus() {
            let core = cpu % self.core_count();
            writeln!(
                cpuinfo,
                "processor\t: {cpu}\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9554 64-Core Processor\n\
                 stepping\t: 1\nmicrocode\t: 0xa101148\ncpu MHz\t\t: 3100.000\ncache size\t: 1024 KB\nphysical id\t: {}\nsiblings\t: {}\n\
                 core id\t\t: {}\ncpu cores\t: {}\nfpu\t\t: yes\nflags\t\t: {FLAGS}\nbugs\t\t: sysret_ss_attrs spectre_v1 spectre_v2 spec_store_bypass srso\n\
                 bogomips\t: 6190.61\nclflush size\t: 64\naddress sizes\t: 52 bits physical, 57 bits virtual\npower management: ts ttp tm hwpstate cpb eff_freq_ro [13] [14]\n",
                core / self.cores, self.cores * self.threads, core % self.cores, self.cores
            )
            .expect("a string");
        }
        tree.file("proc/cpuinfo", &cpuinfo);
        let kib = self.memory_bytes >> 10;
        tree.file("proc/meminfo", &format!(
            "MemTotal:       {kib} kB\nMemFree:        {} kB\nMemAvailable:   {} kB\nBuffers:            4096 kB\nCached:           800000 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\nShmem:              2048 kB\nHugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n",
            kib / 2, kib / 2));
        tree.file("proc/loadavg", "0.52 0.58 0.59 2/1234 5678\n");
        for resource in ["cpu", "memory", "io"] {
            let line = "avg10=0.00 avg60=0.00 avg300=0.00 total=12345";
            tree.file(&format!("proc/pressure/{resource}"), &format!("some {line}\nfull {line}\n"));
        }
        tree.file("proc/self/mountinfo", "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n");
        tree.file("proc/sys/kernel/random/boot_id", "7a2f8b0c-0000-4000-8000-000000000001\n");
        tree.file("proc/sys/kernel/hostname", "synthetic\n");
        tree.file("proc/sys/kernel/osrelease", "6.12.0\n");
        tree.file(
            "etc/os-release",
            "ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n",
        );
        tree.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        for (name, text) in [
            ("sys_vendor", "Maker"),
            ("product_name", "Synthetic"),
            ("product_version", "1"),
            ("product_serial", "S1"),
            ("product_uuid", "00000000-0000-4000-8000-000000000002"),
            ("board_vendor", "Maker"),
            ("board_name", "B1"),
            ("bios_vendor", "Maker"),
            ("bios_version", "1.0"),
            ("bios_date", "01/01/2026"),
        ] {
            tree.file(&format!("sys/class/dmi/id/{name}"), &format!("{text}\n"));
        }
    }

    fn cpus_in(&self, tree: &Tree) {
        let base = "sys/devices/system/cpu";
        let all = format!("0-{}", self.cpus() - 1);
        for (name, text) in [
            ("present", all.as_str()),
            ("online", &all),
            ("possible", &all),
            ("offline", ""),
            ("isolated", ""),
            ("smt/active", "1"),
            ("smt/control", "on"),
            ("cpu0/microcode/version", "0xa101148"),
        ] {
            tree.file(&format!("{base}/{name}"), &format!("{text}\n"));
        }
        for name in VULNERABILITIES {
            tree.file(&format!("{base}/vulnerabilities/{name}"), "Not affected\n");
        }
        for cpu in 0..self.cpus() {
            let core = cpu % self.core_count();
            let socket = core / self.cores;
            let cpu_at = format!("{base}/cpu{cpu}");
            let siblings = self.siblings(core);
            let package = self.list(socket * self.cores..(socket + 1) * self.cores);
            let number = core % self.cores;
            for (name, text) in [
                ("physical_package_id", socket.to_string()),
                ("core_id", number.to_string()),
                ("die_id", "0".to_owned()),
                ("cluster_id", "65535".to_owned()),
                ("core_cpus_list", siblings.clone()),
                ("thread_siblings_list", siblings.clone()),
                ("package_cpus_list", package.clone()),
                ("core_siblings_list", package.clone()),
                ("die_cpus_list", package),
            ] {
                tree.file(&format!("{cpu_at}/topology/{name}"), &format!("{text}\n"));
            }
            // Eight cores share a third level.
            let complex = core / 8 * 8;
            let caches = [
                ("1", "Data", "32K", &siblings),
                ("1", "Instruction", "32K", &siblings),
                ("2", "Unified", "1024K", &siblings),
                ("3", "Unified", "32768K", &self.list(complex..complex + 8)),
            ];
            for (index, (level, sort, size, shared)) in caches.into_iter().enumerate() {
                let at = format!("{cpu_at}/cache/index{index}");
                for (name, text) in
                    [("level", level), ("type", sort), ("size", size), ("shared_cpu_list", shared)]
                {
                    tree.file(&format!("{at}/{name}"), &format!("{text}\n"));
                }
            }
            for (name, text) in [
                ("cpuinfo_min_freq", "1500000"),
                ("cpuinfo_max_freq", "3762988"),
                ("scaling_driver", "acpi-cpufreq"),
            ] {
                tree.file(&format!("{cpu_at}/cpufreq/{name}"), &format!("{text}\n"));
            }
        }
    }

    fn nodes_in(&self, tree: &Tree) {
        let base = "sys/devices/system/node";
        tree.file(&format!("{base}/online"), &format!("0-{}\n", self.nodes - 1));
        let cores = self.core_count() / self.nodes;
        let kib = (self.memory_bytes >> 10) / u64::from(self.nodes);
        for node in 0..self.nodes {
            let at = format!("{base}/node{node}");
            tree.file(
                &format!("{at}/cpulist"),
                &format!("{}\n", self.list(node * cores..(node + 1) * cores)),
            );
            let row = (0..self.nodes).map(|to| if to == node { "10" } else { "21" });
            tree.file(&format!("{at}/distance"), &format!("{}\n", row.collect::<Vec<_>>().join(" ")));
            tree.file(&format!("{at}/meminfo"), &format!(
                "Node {node} MemTotal:       {kib} kB\nNode {node} MemFree:        {} kB\nNode {node} MemUsed:        {} kB\nNode {node} HugePages_Total:     0\nNode {node} HugePages_Free:      0\n",
                kib / 2, kib / 2));
            self.hugepages(tree, &at);
            // Memory of 128 MiB blocks, a file each, that nobody must read one by one.
            tree.file(&format!("{at}/numastat"), "numa_hit 1\n");
        }
        self.hugepages(tree, "sys/kernel/mm");
    }

    fn hugepages(&self, tree: &Tree, at: &str) {
        for size in [2048, 1_048_576] {
            for (name, text) in [
                ("nr_hugepages", "16"),
                ("free_hugepages", "8"),
                ("surplus_hugepages", "0"),
                ("resv_hugepages", "0"),
            ] {
                tree.file(&format!("{at}/hugepages/hugepages-{size}kB/{name}"), &format!("{text}\n"));
            }
        }
    }

    fn devices_in(&self, tree: &Tree) {
        for i in 0..self.pci {
            let (bus, slot) = (i / 32 + 1, i % 32);
            let bridge = format!("0000:00:{bus:02x}.0");
            let address = format!("0000:{bus:02x}:{slot:02x}.0");
            let at = format!("sys/devices/pci0000:00/{bridge}/{address}");
            tree.file(&format!("{at}/uevent"), &format!("DRIVER=ice\nPCI_CLASS=20000\nPCI_ID=8086:1592\nPCI_SUBSYS_ID=8086:0002\nPCI_SLOT_NAME={address}\nMODALIAS=pci:v00008086d00001592sv00008086sd00000002bc02sc00i00\n"));
            for (name, text) in [
                ("vendor", "0x8086"),
                ("device", "0x1592"),
                ("class", "0x020000"),
                ("revision", "0x02"),
                ("numa_node", "0"),
                ("sriov_totalvfs", "64"),
                ("sriov_numvfs", "0"),
            ] {
                tree.file(&format!("{at}/{name}"), &format!("{text}\n"));
            }
            fs::create_dir_all(tree.0.join(format!("sys/kernel/iommu_groups/{i}"))).expect("a directory");
            tree.link(&format!("{at}/iommu_group"), &format!("../../../../kernel/iommu_groups/{i}"));
            tree.link(
                &format!("sys/bus/pci/devices/{address}"),
                &format!("../../../devices/pci0000:00/{bridge}/{address}"),
            );
            if i < self.nics {
                let name = format!("ens{i}f0");
                let nic = format!("{at}/net/{name}");
                for (file, text) in [
                    ("address", format!("02:00:00:00:00:{i:02x}")),
                    ("mtu", "1500".to_owned()),
                    ("operstate", "up".to_owned()),
                    ("carrier", "1".to_owned()),
                    ("speed", "100000".to_owned()),
                    ("uevent", format!("INTERFACE={name}\nIFINDEX={i}")),
                ] {
                    tree.file(&format!("{nic}/{file}"), &format!("{text}\n"));
                }
                tree.link(&format!("{nic}/device"), &format!("../../../{address}"));
                tree.link(
                    &format!("sys/class/net/{name}"),
                    &format!("../../devices/pci0000:00/{bridge}/{address}/net/{name}"),
                );
            }
        }
    }

    fn disks_in(&self, tree: &Tree) {
        for i in 0..self.disks {
            let name = format!("nvme{i}n1");
            let at = format!("sys/devices/pci0000:00/0000:00:1e.0/0000:f0:{i:02x}.0/nvme/nvme{i}/{name}");
            for (file, text) in [
                ("size", "7501476528"),
                ("removable", "0"),
                ("ro", "0"),
                ("dev", "259:0"),
                ("wwid", "eui.0025385511234567"),
                ("queue/rotational", "0"),
                ("queue/logical_block_size", "512"),
                ("queue/physical_block_size", "4096"),
            ] {
                tree.file(&format!("{at}/{file}"), &format!("{text}\n"));
            }
            let controller = format!("sys/devices/pci0000:00/0000:00:1e.0/0000:f0:{i:02x}.0/nvme/nvme{i}");
            for (file, text) in [("model", "SYNTHETIC"), ("serial", "S0"), ("numa_node", "0")] {
                tree.file(&format!("{controller}/{file}"), &format!("{text}\n"));
            }
            tree.link(&format!("{at}/device"), &format!("../../nvme{i}"));
            for partition in 1..3 {
                let part = format!("{at}/{name}p{partition}");
                for (file, text) in [
                    ("partition", partition.to_string()),
                    ("start", "2048".to_owned()),
                    ("size", "1048576".to_owned()),
                    ("ro", "0".to_owned()),
                ] {
                    tree.file(&format!("{part}/{file}"), &format!("{text}\n"));
                }
            }
            tree.link(
                &format!("sys/block/{name}"),
                &format!("../devices/pci0000:00/0000:00:1e.0/0000:f0:{i:02x}.0/nvme/nvme{i}/{name}"),
            );
            tree.link(
                &format!("sys/class/block/{name}"),
                &format!("../../devices/pci0000:00/0000:00:1e.0/0000:f0:{i:02x}.0/nvme/nvme{i}/{name}"),
            );
        }
    }
}

struct Tree(PathBuf);

impl Tree {
    fn file(&self, path: &str, text: &str) {
        let whole = self.0.join(path);
        fs::create_dir_all(whole.parent().expect("a parent")).expect("a directory");
        fs::write(whole, text).expect("a file");
    }

    fn link(&self, path: &str, target: &str) {
        let whole = self.0.join(path);
        fs::create_dir_all(whole.parent().expect("a parent")).expect("a directory");
        symlink(target, whole).expect("a link");
    }
}

const VULNERABILITIES: [&str; 14] = [
    "gather_data_sampling",
    "itlb_multihit",
    "l1tf",
    "mds",
    "meltdown",
    "mmio_stale_data",
    "reg_file_data_sampling",
    "retbleed",
    "spec_rstack_overflow",
    "spec_store_bypass",
    "spectre_v1",
    "spectre_v2",
    "srbds",
    "tsx_async_abort",
];

const FLAGS: &str = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx mmxext fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good amd_lbr_v2 nopl xtopology nonstop_tsc cpuid extd_apicid aperfmperf rapl pni pclmulqdq monitor ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c rdrand lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs skinit wdt tce topoext perfctr_core perfctr_nb bpext perfctr_llc mwaitx cpb cat_l3 cdp_l3 hw_pstate ssbd mba perfmon_v2 ibrs ibpb stibp ibrs_enhanced vmmcall fsgsbase bmi1 avx2 smep bmi2 erms invpcid cqm rdt_a avx512f avx512dq rdseed adx smap avx512ifma clflushopt clwb avx512cd sha_ni avx512bw avx512vl xsaveopt xsavec xgetbv1 xsaves avx512_bf16 clzero irperf xsaveerptr rdpru wbnoinvd amd_ppin arat npt lbrv svm_lock nrip_save vgif avx512vbmi umip pku ospke avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni avx512_bitalg avx512_vpopcntdq la57 rdpid overflow_recov succor smca fsrm flush_l1d";

const CPUID: &str = "CPU 0:\n   0x00000000 0x00: eax=0x00000001 ebx=0x68747541 ecx=0x444d4163 edx=0x69746e65\n   0x00000001 0x00: eax=0x00a10f11 ebx=0x00000000 ecx=0x00000001 edx=0x00000001\n";
