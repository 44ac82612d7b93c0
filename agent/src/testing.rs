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
