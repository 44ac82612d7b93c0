//! What a host is called, and what tells one state of it from another.

use super::*;
use crate::watch::Barred;

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

#[test]
fn fingerprints_differ_by_facts_only() {
    let tree = RecordedTree::whole_host();
    let first = fingerprint_of(&tree);
    assert_eq!((first.len(), fingerprint_of(&tree)), (32, first.clone()));
    let json =
        r#"{"name":"twin","arch":"x86_64","kernel_release":"6.1.0","captured_at":"2027-01-02T03:04:05Z"}"#;
    let tree = tree.file("/host.json", json);
    assert_eq!(fingerprint_of(&tree), first, "another time of capture is no other fact");
    let mut inventory = Inventory::clone(&collector(&tree).collect_inventory(&Unwatched).inventory);
    if let Some(system) = &mut inventory.system {
        system.booted_at = Some(Timestamp::EPOCH.saturating_add(Duration::from_secs(1)));
    }
    assert_eq!(fingerprint(&inventory).ok(), Some(first.clone()));
    let cpuinfo: String = (0..4).map(|id| RecordedTree::processor(id, "fpu vme sse lm avx")).collect();
    assert_ne!(fingerprint_of(&tree.file("/proc/cpuinfo", &cpuinfo)), first);
}

#[test]
fn usage_tells_whether_the_inventory_holds() {
    let tree = RecordedTree::whole_host();
    let mut collector = collector(&tree);
    assert!(matches!(collector.collect_usage(&Unwatched).standing, InventoryStanding::Changed(_)));
    let fingerprint = collector.collect_inventory(&Unwatched).inventory.fingerprint.clone();
    assert_eq!(collector.collect_usage(&Unwatched).standing, InventoryStanding::Holds(fingerprint.clone()));
    // Memory that is used is no change.
    let tree = tree.file(
        "/proc/meminfo",
        "MemTotal: 4096 kB\nMemFree: 1 kB\nSwapTotal: 1024 kB\nHugePages_Total: 3\nHugetlb: 6144 kB\n",
    );
    assert_eq!(collector.collect_usage(&Unwatched).standing, InventoryStanding::Holds(fingerprint));
    let tree = tree
        .file(
            "/proc/meminfo",
            "MemTotal: 4096 kB\nMemFree: 1 kB\nSwapTotal: 1024 kB\nHugePages_Total: 4\nHugetlb: 8192 kB\n",
        )
        .file("/proc/sys/kernel/random/boot_id", "another\n")
        .file("/sys/devices/system/cpu/online", "0-2\n");
    let changed = InventoryStanding::Changed(vec!["boot_id", "online_cpus", "hugepages"]);
    assert_eq!(collector.collect_usage(&Unwatched).standing, changed);
    assert_ne!(
        collector.collect_inventory(&Unwatched).inventory.cpu.as_ref().and_then(|cpu| cpu.thread_count),
        Some(4)
    );
    assert!(matches!(collector.collect_usage(&Unwatched).standing, InventoryStanding::Holds(_)));
    drop(tree);
}

#[test]
fn this_machine() {
    let host = Arc::new(Host::new(HostSource::live().expect("a root"), None, Arc::new(StoppedClock)));
    let mut collector = Collector::new(Arc::clone(&host));
    let snapshot = whole(&mut collector);
    let inventory = &snapshot.inventory;
    assert_eq!(snapshot.name, host.name());
    assert!(!snapshot.name.is_empty() && inventory.arch().is_some());
    assert_eq!(inventory.collected_at, Some(Timestamp::EPOCH));
    let cpu = inventory.cpu.as_ref().expect("a cpu section");
    assert!(cpu.online.as_ref().is_some_and(|online| Some(online.len()) == cpu.thread_count), "{cpu:?}");
    if cfg!(target_arch = "x86_64") {
        assert!(cpu.host_flags.as_ref().is_some_and(|flags| flags.contains("fpu")), "{:?}", snapshot.issues);
        assert!(cpu.cpuid_features.is_some() && cpu.vendor.is_some());
    }
    assert!(inventory.memory.as_ref().is_some_and(|memory| memory.total_bytes.is_some()));
    assert!(snapshot.usage.is_some_and(|usage| usage.agent.is_some() && usage.memory.is_some()));
    assert_eq!(collector.collect_inventory(&Unwatched).inventory.fingerprint, snapshot.inventory.fingerprint);
}

#[test]
fn goes_by_the_first_name_there_is() {
    let tree = RecordedTree::whole_host();
    let name = |configured: Option<&str>| {
        let source = HostSource::recorded(tree.path()).expect("a directory");
        Host::new(source, configured.map(str::to_owned), Arc::new(SystemClock)).name()
    };
    assert_eq!(name(Some("given")), "given");
    assert_eq!(name(None), "twin");
    let nameless = RecordedTree::new().file("/here/proc/cpuinfo", "");
    let source = HostSource::recorded(&nameless.path().join("here")).expect("a directory");
    assert_eq!(Host::new(source, None, Arc::new(SystemClock)).name(), "here");
}

#[test]
fn the_layout_of_cpus_is_read_once_per_change() {
    let number = "/sys/kernel/uevent_seqnum";
    let mut tree = RecordedTree::whole_host().file(number, "7\n");
    let log = AccessLog::default();
    let root = tree.root().noting(log.clone());
    let mut kept = KeptCpus::default();
    let mut collect = || {
        let reading = collect::cpu::collect(&root, None, Origin::Live, &mut kept);
        let read = log
            .take()
            .into_iter()
            .filter(|(path, _)| path.contains("/topology/") || path.contains("/cache/"));
        (reading.cpu.expect("a cpu section"), read.count())
    };
    let (first, files) = collect();
    assert!(files > 10, "{files}");
    assert_eq!(collect(), (first.clone(), 0), "nothing was announced");
    tree = tree.file(number, "8\n");
    assert_eq!(collect(), (first.clone(), files), "something was");
    tree = tree.file("/sys/devices/system/cpu/online", "0-2\n");
    let (fewer, files) = collect();
    assert!(files > 0 && fewer.topology.len() == 3, "{files}");
    // What had an issue is read again: the issue would not be told the next time.
    let _tree = tree.file("/sys/devices/system/cpu/cpu0/topology/core_id", "x\n").file(number, "9\n");
    assert!(collect().1 > 0 && collect().1 > 0);
}

/// A reader that was given up while it read the PCI functions.
struct GivenUp(std::cell::Cell<bool>);

impl Watch for GivenUp {
    fn enter(&self, step: Step) -> Result<(), Barred> {
        self.0.set(self.0.get() || step == Step::Section("pci"));
        if self.0.get() { Err(Barred::Superseded) } else { Ok(()) }
    }
}

#[test]
fn what_a_late_reader_brings_does_not_count_as_the_last() {
    let tree = RecordedTree::whole_host();
    let host =
        Arc::new(Host::new(HostSource::recorded(tree.path()).expect("a root"), None, Arc::new(SystemClock)));
    let fingerprint =
        Collector::new(Arc::clone(&host)).collect_inventory(&Unwatched).inventory.fingerprint.clone();
    let late = Collector::new(Arc::clone(&host)).collect_inventory(&GivenUp(false.into()));
    assert_ne!(late.inventory.fingerprint, fingerprint, "it lacks sections");
    let standing = Collector::new(host).collect_usage(&Unwatched).standing;
    assert_eq!(standing, InventoryStanding::Holds(fingerprint));
}
