//! Whole hosts, built file by file, and what is made of them.

use std::{path::PathBuf, time::Duration};

use vmuster_proto::{
    clock::{Clock, SystemClock},
    model::{SNAPSHOT_SCHEMA, Snapshot, Timestamp},
};

use super::*;
use crate::{
    host_root::{Access, AccessLog},
    testing::RecordedTree,
    watch::Unwatched,
};

#[path = "snapshot_identity_tests.rs"]
mod identity;

fn collector(tree: &RecordedTree) -> Collector {
    collector_of(HostSource::recorded(tree.path()).expect("a directory"))
}

fn collector_of(source: HostSource) -> Collector {
    Collector::new(Arc::new(Host::new(source, None, Arc::new(SystemClock))))
}

/// As the thread puts it together, without the thread.
fn whole(collector: &mut Collector) -> Snapshot {
    let Collected { name, inventory, mut issues } = collector.collect_inventory(&Unwatched);
    let CollectedUsage { usage, issues: usage_issues, .. } = collector.collect_usage(&Unwatched);
    issues.extend(usage_issues);
    sort_issues(&mut issues);
    let inventory = Arc::unwrap_or_clone(inventory);
    Snapshot { schema: SNAPSHOT_SCHEMA.to_owned(), name, inventory, usage: Some(usage), issues }
}

fn snapshot(tree: &RecordedTree) -> Snapshot {
    whole(&mut collector(tree))
}

/// A snapshot of the tree where reading these is refused, as to an unprivileged agent.
fn snapshot_denied(tree: &RecordedTree, paths: &[&str]) -> Snapshot {
    whole(&mut collector_of(HostSource::recorded(tree.path()).expect("a directory").denying(paths)))
}

fn fingerprint_of(tree: &RecordedTree) -> String {
    collector(tree).collect_inventory(&Unwatched).inventory.fingerprint.clone()
}

/// "section kind" of each issue.
fn told(snapshot: &Snapshot) -> Vec<String> {
    let kind = |issue: &Issue| format!("{:?}", issue.kind).to_lowercase();
    snapshot.issues.iter().map(|issue| format!("{} {}", issue.section, kind(issue))).collect()
}

#[test]
fn a_whole_host() {
    let mut snapshot = snapshot(&RecordedTree::whole_host());
    // These change with each release.
    snapshot.inventory.agent_version = "VERSION".to_owned();
    snapshot.inventory.fingerprint = "FINGERPRINT".to_owned();
    insta::assert_snapshot!(serde_json::to_string_pretty(&snapshot).expect("JSON"));
}

#[test]
fn an_empty_directory_has_reasons_only() {
    let snapshot = snapshot(&RecordedTree::new());
    let Inventory { system, cpu, numa, memory, .. } = &snapshot.inventory;
    assert_eq!((system, cpu, numa, memory), (&None, &None, &None, &None));
    for section in ["system.arch", "cpu", "cpu.online", "numa", "memory", "usage.memory", "usage.numa"] {
        assert!(
            snapshot.issues.iter().any(|issue| issue.section == section),
            "{section}: {:?}",
            snapshot.issues
        );
    }
}

#[test]
fn a_refused_file_costs_its_fields() {
    let tree = RecordedTree::whole_host();
    let snapshot =
        snapshot_denied(&tree, &["/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/node/node1/meminfo"]);
    assert_eq!(
        told(&snapshot),
        [
            "cpu denied",
            "memory denied",
            "numa.nodes[1].memory_total_bytes denied",
            "usage.memory denied",
            "usage.numa.nodes[1].memory_free_bytes denied"
        ]
    );
    let inventory = &snapshot.inventory;
    let cpu = inventory.cpu.as_ref().expect("a cpu section");
    assert_eq!((cpu.host_flags.as_ref(), cpu.microcode.as_ref(), cpu.core_count), (None, None, Some(2)));
    assert_eq!(cpu.model, Some(85), "CPUID tells it too");
    assert_eq!(inventory.memory.as_ref().expect("huge pages").total_bytes, None);
    let nodes = &inventory.numa.as_ref().expect("nodes").nodes;
    let totals: Vec<_> = nodes.iter().map(|node| node.memory_total_bytes.map(|bytes| bytes.0)).collect();
    assert_eq!(totals, [Some(2000 << 10), None]);
}

#[test]
fn a_refused_directory_is_not_an_absent_one() {
    let snapshot = snapshot_denied(&RecordedTree::whole_host(), &["/sys/devices/system/node"]);
    assert_eq!(told(&snapshot), ["numa denied", "usage.numa denied"]);
    assert_eq!(snapshot.inventory.numa, None);
}

#[test]
fn flags_on_some_cpus_only() {
    let cpuinfo: String =
        [(0, "fpu sse lm avx512f"), (1, "fpu sse lm"), (2, "fpu lm avx512f"), (3, "fpu lm avx512f")]
            .map(|(id, flags)| RecordedTree::processor(id, flags))
            .concat();
    let tree = RecordedTree::whole_host().file("/proc/cpuinfo", &cpuinfo);
    let cpu = snapshot(&tree).inventory.cpu.expect("a cpu section");
    assert_eq!(cpu.host_flags.as_ref().expect("flags").names(), ["fpu", "lm"]);
    let rare: Vec<String> =
        cpu.host_flags_not_on_all.iter().map(|(flag, cpus)| format!("{flag} {cpus}")).collect();
    assert_eq!(rare, ["avx512f 0,2-3", "sse 0-1"]);
    // An offline CPU's flags do not count.
    let tree = tree.file("/sys/devices/system/cpu/online", "0,2-3\n");
    let cpu = snapshot(&tree).inventory.cpu.expect("a cpu section");
    assert_eq!(cpu.host_flags.as_ref().expect("flags").names(), ["avx512f", "fpu", "lm"]);
    assert_eq!((cpu.offline.clone(), cpu.thread_count, cpu.core_count), ("1".parse().ok(), Some(3), Some(2)));
}

#[test]
fn an_online_cpu_without_flags_is_told() {
    let cpuinfo: String = (0..3).map(|id| RecordedTree::processor(id, "fpu lm")).collect();
    let snapshot = snapshot(&RecordedTree::whole_host().file("/proc/cpuinfo", &cpuinfo));
    assert_eq!(told(&snapshot), ["cpu.host_flags missing"]);
    let cpu = snapshot.inventory.cpu.as_ref().expect("a cpu section");
    assert_eq!(cpu.host_flags, None, "CPU 3 may lack any of them");
    assert!(snapshot.issues.iter().all(|issue| issue.detail.contains("CPUs 3 ")), "{:?}", snapshot.issues);
}

#[test]
fn a_cpu_that_vanishes_is_told_once() {
    let tree = RecordedTree::whole_host()
        .without("/sys/devices/system/cpu/cpu2")
        .without("/sys/devices/system/cpu/cpu3");
    let root = tree.root();
    for origin in [Origin::Live, Origin::Recorded] {
        let CpuReading { cpu, issues, .. } =
            collect::cpu::collect(&root, None, origin, &mut KeptCpus::default());
        let cpu = cpu.expect("a cpu section");
        assert_eq!((cpu.thread_count, cpu.core_count, cpu.topology.len()), (Some(4), None, 4));
        let told: Vec<_> = issues.iter().map(|issue| (issue.section.as_str(), issue.kind)).collect();
        assert_eq!(told, [("cpu.topology", IssueKind::Missing)], "{issues:?}");
        assert!(issues.iter().all(|issue| issue.detail.ends_with("; and 1 more like it")), "{issues:?}");
    }
}

#[test]
fn garbage_is_malformed() {
    let tree = RecordedTree::whole_host()
        .file("/proc/meminfo", "MemTotal: lots\n")
        .file("/proc/cpuinfo", "processor : 0\nprocessor : 0\n")
        .file("/sys/devices/system/cpu/online", "0-x\n")
        .file("/sys/devices/system/cpu/cpu0/topology/core_id", "zero\n")
        .file("/sys/devices/system/node/node0/distance", "10\n")
        .file("/sys/devices/system/node/node1/cpulist", "1-\n")
        .file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "many\n")
        .file("/host.json", "{");
    let snapshot = snapshot(&tree);
    assert_eq!(
        told(&snapshot),
        [
            "cpu malformed",
            "cpu.online malformed",
            "cpu.topology malformed",
            "memory malformed",
            "memory.hugepages malformed",
            "numa.nodes[0].distances malformed",
            "numa.nodes[1].cpus malformed",
            "system malformed",
            "system.kernel_release missing",
            "usage.memory malformed"
        ]
    );
    let cpu = snapshot.inventory.cpu.expect("a cpu section");
    assert_eq!(cpu.online, "0-3".parse().ok(), "from each cpuN");
    assert_eq!(
        snapshot.inventory.system.and_then(|system| system.arch).as_deref(),
        Some("x86_64"),
        "from CPUID"
    );
}

/// Every file that a collection reads and finds.
fn files_read(tree: &RecordedTree) -> Vec<String> {
    let log = AccessLog::default();
    let source = HostSource::recorded(tree.path()).expect("a directory").noting(log.clone());
    whole(&mut collector_of(source));
    let files = log.take().into_iter().filter(|(_, access)| *access == Access::File);
    let root = tree.root();
    files.map(|(path, _)| path).filter(|path| root.read(path).is_ok()).collect()
}

#[test]
fn any_one_file_torn_costs_no_more_than_its_fields() {
    let whole = snapshot(&RecordedTree::whole_host());
    let mut tree = RecordedTree::whole_host();
    let root = tree.root();
    for path in files_read(&tree) {
        let text = String::from_utf8(root.read(&path).expect("a file")).expect("text");
        for torn in ["", &text[..text.len() / 2], "\u{0}\u{fffd}\n\n:=,-", &text.repeat(2)] {
            tree = tree.file(&path, torn);
            let got = snapshot(&tree);
            let json = serde_json::to_string(&got).expect("JSON");
            assert_eq!(serde_json::from_str::<Snapshot>(&json).expect("a snapshot"), got, "{path} {torn:?}");
            let sections =
                [got.inventory.cpu.is_some(), got.inventory.numa.is_some(), got.inventory.memory.is_some()];
            assert_eq!(sections, [true; 3], "{path} {torn:?}");
        }
        tree = tree.file(&path, &text);
    }
    assert_eq!(snapshot(&tree), whole);
}

#[test]
fn old_kernels_have_masks_and_no_lists() {
    let mut tree = RecordedTree::whole_host()
        .without("/sys/devices/system/cpu/online")
        .without("/sys/devices/system/cpu/present")
        .without("/sys/devices/system/cpu/isolated")
        .without("/sys/devices/system/node/online")
        .file("/sys/devices/system/cpu/cpu1/online", "1\n")
        .file("/sys/devices/system/cpu/cpu3/online", "0\n");
    for (node, mask) in [(0, "3"), (1, "c")] {
        let directory = format!("/sys/devices/system/node/node{node}");
        tree = tree
            .without(&format!("{directory}/cpulist"))
            .file(&format!("{directory}/cpumap"), &format!("0000000{mask}\n"));
    }
    for (cpu, mask) in [(0, "3\n"), (1, "3\n"), (2, "c\n"), (3, "c\n")] {
        let directory = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
        tree = tree
            .without(&format!("{directory}/core_cpus_list"))
            .file(&format!("{directory}/thread_siblings"), mask);
    }
    let snapshot = snapshot(&tree);
    assert_eq!(told(&snapshot), ["cpu.present missing"]);
    let cpu = snapshot.inventory.cpu.expect("a cpu section");
    assert_eq!((cpu.online.clone(), cpu.offline.clone()), ("0-2".parse().ok(), "3".parse().ok()));
    assert_eq!((cpu.core_count, cpu.threads_per_core, cpu.socket_count), (Some(2), Some(2), Some(2)));
    let nodes = &snapshot.inventory.numa.expect("nodes").nodes;
    assert_eq!(
        nodes.iter().map(|node| node.cpus.clone()).collect::<Vec<_>>(),
        ["0-1".parse().ok(), "2".parse().ok()]
    );
    assert_eq!(nodes.first().map(|node| node.distances.clone()), Some([(0, 10), (1, 21)].into()));
}

#[test]
fn sockets_without_numbers_are_told_apart_by_masks() {
    let mut tree = RecordedTree::whole_host();
    for cpu in 0..4 {
        let directory = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
        tree = tree.file(&format!("{directory}/physical_package_id"), "-1\n");
    }
    let cpu = snapshot(&tree).inventory.cpu.expect("a cpu section");
    assert_eq!((cpu.socket_count, cpu.core_count), (None, Some(2)), "no masks either");
    for (cpu, list) in [(0, "0-1\n"), (1, "0-1\n"), (2, "2-3\n"), (3, "2-3\n")] {
        tree = tree.file(&format!("/sys/devices/system/cpu/cpu{cpu}/topology/core_siblings_list"), list);
    }
    let snapshot = snapshot(&tree);
    let cpu = snapshot.inventory.cpu.as_ref().expect("a cpu section");
    assert_eq!((cpu.socket_count, told(&snapshot)), (Some(2), vec![]));
    assert!(cpu.topology.iter().all(|place| place.socket.is_none()));
}

#[test]
fn nodes_that_share_cpus_leave_them_without_node() {
    let snapshot =
        snapshot(&RecordedTree::whole_host().file("/sys/devices/system/node/node1/cpulist", "1-3\n"));
    assert_eq!(told(&snapshot), ["numa malformed"]);
    let cpu = snapshot.inventory.cpu.expect("a cpu section");
    assert_eq!(
        cpu.topology.iter().map(|place| place.node).collect::<Vec<_>>(),
        [Some(0), None, Some(1), Some(1)]
    );
}

#[test]
fn arch_without_host_json() {
    let arch = |tree: RecordedTree| snapshot(&tree).inventory.system.and_then(|system| system.arch);
    let bare = || RecordedTree::new().file("/proc/sys/kernel/osrelease", "6.1\n");
    assert_eq!(arch(RecordedTree::whole_host().without("/host.json")).as_deref(), Some("x86_64"));
    let arm = "processor : 0\nFeatures : fp\nCPU architecture: 8\n";
    assert_eq!(arch(bare().file("/proc/cpuinfo", arm)).as_deref(), Some("aarch64"));
    let xml = "<domainCapabilities><arch>ppc64le</arch></domainCapabilities>";
    assert_eq!(arch(bare().file("/libvirt/domcapabilities.xml", xml)).as_deref(), Some("ppc64le"));
    assert_eq!(arch(bare()), None);
}

#[test]
fn a_line_missing_in_meminfo_is_told_of_the_host_alone() {
    let tree = RecordedTree::whole_host().file("/proc/meminfo", "MemTotal: 4096 kB\nSwapFree: 0 kB\n");
    let snapshot = snapshot(&tree);
    assert_eq!(
        told(&snapshot),
        [
            "memory.default_hugepage_size_bytes unsupported",
            "memory.swap_total_bytes malformed",
            "usage.memory.available_bytes unsupported",
            "usage.memory.buffers_bytes malformed",
            "usage.memory.cached_bytes malformed",
            "usage.memory.free_bytes malformed",
            "usage.memory.shared_bytes malformed"
        ]
    );
    let memory = snapshot.usage.and_then(|usage| usage.memory).expect("memory");
    assert_eq!((memory.swap_free_bytes.map(|bytes| bytes.0), memory.cached_bytes), (Some(0), None));
}

#[test]
fn huge_pages_promised_and_beyond_the_pool() {
    let pool = |directory: &str| format!("{directory}/hugepages/hugepages-2048kB");
    let (host, node) = (pool("/sys/kernel/mm"), pool("/sys/devices/system/node/node0"));
    let tree = RecordedTree::whole_host()
        .file(&format!("{host}/resv_hugepages"), "7\n")
        .file(&format!("{node}/resv_hugepages"), "9\n")
        .file(&format!("{node}/surplus_hugepages"), "some\n")
        .without(&format!("{host}/surplus_hugepages"));
    let snapshot = snapshot(&tree);
    assert_eq!(told(&snapshot), ["usage.numa.nodes[0].hugepages malformed"], "older kernels lack the files");
    let usage = snapshot.usage.expect("usage");
    let pools = usage.memory.expect("memory").hugepages;
    assert_eq!(pools.iter().map(|it| (it.reserved, it.surplus)).collect::<Vec<_>>(), [(Some(7), None)]);
    let nodes = usage.numa.expect("nodes").nodes;
    let pools: Vec<_> =
        nodes.iter().flat_map(|node| &node.hugepages).map(|it| (it.reserved, it.surplus)).collect();
    assert_eq!(pools, [(None, None), (None, Some(0))], "only the whole host's are promised");
}

#[test]
fn a_captured_host() {
    let hosts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/hosts");
    let source = HostSource::recorded(&hosts.join("skylake-smt")).expect("a captured host");
    let snapshot = whole(&mut collector_of(source));
    assert_eq!(snapshot.name, "skylake-smt");
    let cpu = snapshot.inventory.cpu.expect("a cpu section");
    assert_eq!(
        (cpu.online.clone(), cpu.offline.clone()),
        ("0-4,6-12,14-15".parse().ok(), "5,13".parse().ok())
    );
    let counts = (cpu.socket_count, cpu.core_count, cpu.thread_count, cpu.threads_per_core);
    assert_eq!(counts, (Some(2), Some(8), Some(14), Some(2)));
    assert_eq!(cpu.host_flags.as_ref().map(vmuster_proto::model::FeatureSet::len), Some(64));
    let nodes = &snapshot.inventory.numa.expect("nodes").nodes;
    assert_eq!(
        nodes.iter().map(|node| node.cpus.clone()).collect::<Vec<_>>(),
        ["0-4,6-7", "8-12,14-15", ""].map(|cpus| cpus.parse().ok())
    );
}

#[test]
fn what_went_while_it_was_read_is_read_once_more() {
    let number = "/sys/kernel/uevent_seqnum";
    let missing =
        || vec![Issue::new("disks", "/sys/block/sdb", IssueKind::Missing, "it is listed and not there")];
    for (announced, expected) in [("8\n", 2), ("7\n", 1)] {
        let mut tree = Some(RecordedTree::new().file(number, "7\n"));
        let root = tree.as_ref().map(RecordedTree::root).expect("a root");
        let mut sections = Sections { watch: &Unwatched, issues: Vec::new() };
        let mut readings = 0;
        let section = sections.read_settled("disks", &root, Some("7"), || {
            readings += 1;
            // The kernel's word comes while the section is read.
            tree = tree.take().map(|tree| tree.file(number, announced));
            (readings, if readings == 1 { missing() } else { Vec::new() })
        });
        assert_eq!((section, readings, sections.issues.len()), (Some(expected), expected, 2 - expected));
    }
}

#[test]
fn a_node_without_online_cpus_is_not_one_without_cpus() {
    let node = "/sys/devices/system/node/node1";
    let tree = RecordedTree::whole_host().file(&format!("{node}/cpulist"), "\n");
    let cpuless = |tree: &RecordedTree| {
        snapshot(tree).inventory.numa.expect("nodes").nodes.get(1).and_then(|node| node.cpuless)
    };
    assert_eq!(cpuless(&tree), Some(true));
    let tree = tree.link(&format!("{node}/cpu2"), "../../cpu/cpu2");
    assert_eq!(cpuless(&tree), Some(false), "CPU 2 is plugged in and offline");
}
