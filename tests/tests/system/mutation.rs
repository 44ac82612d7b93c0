//! Every file that the collectors read, broken in every way: nothing panics, and no number changes without an issue that
//! names the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tempfile::tempdir;
use vmuster_agent::{
    host_root::{Access, AccessLog},
    snapshot::{Collector, Host, HostSource},
    watch::Unwatched,
};
use vmuster_proto::{clock::SystemClock, model::Issue};
use vmuster_tests::{fixtures::copy_host, libvirt_files::write_libvirt};

/// Leaves of the two documents, and the issues.
struct Seen {
    leaves: BTreeMap<String, Value>,
    issues: BTreeSet<Issue>,
}

fn collect(source: HostSource) -> Seen {
    let host = Host::new(source, Some("mutant".to_owned()), Arc::new(SystemClock));
    let mut collector = Collector::new(Arc::new(host));
    let collected = collector.collect_inventory(&Unwatched);
    let usage = collector.collect_usage(&Unwatched);
    let mut leaves = BTreeMap::new();
    flatten("inventory", &serde_json::to_value(&*collected.inventory).expect("JSON"), &mut leaves);
    flatten("usage", &serde_json::to_value(&usage.usage).expect("JSON"), &mut leaves);
    // A digest of all the others.
    leaves.remove("inventory.fingerprint");
    let issues = collected.issues.iter().chain(&usage.issues).cloned().collect();
    Seen { leaves, issues }
}

/// What tells the entries of a list apart; one that goes must not look like a change of the next.
fn entry_name(entry: &Value, at: usize) -> String {
    let keys = [
        "uuid",
        "target",
        "name",
        "address",
        "mount_point",
        "id",
        "cpu",
        "kind",
        "level",
        "type",
        "size_bytes",
    ];
    let named = keys.iter().filter_map(|key| Some(format!("{key}={}", entry.get(key)?)));
    let named: Vec<_> = named.take(2).collect();
    if named.is_empty() { at.to_string() } else { named.join(",") }
}

fn flatten(at: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&format!("{at}.{key}"), value, leaves);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                // A set of names: each is a leaf, there or not.
                let at = match entry {
                    Value::String(name) => format!("{at}[{name}]"),
                    entry => format!("{at}[{}]", entry_name(entry, index)),
                };
                flatten(&at, entry, leaves);
            }
        }
        leaf => {
            leaves.insert(at.to_owned(), leaf.clone());
        }
    }
}

/// Files that only some kernels or machines have: without them there is less to tell, and no reason to tell why.
fn is_optional(path: &str) -> bool {
    let ends = [
        "/die_id",
        "/cluster_id",
        "/book_id",
        "/drawer_id",
        "/isolated",
        "/smt/active",
        "/smt/control",
        "/resv_hugepages",
        "/surplus_hugepages",
        "/numa_node",
        "/wwid",
        "/serial",
        "/model",
        "/vpd_pg80",
        "/partition",
        "/sriov_totalvfs",
        "/sriov_numvfs",
        "/size",
        "/dev",
        "/start",
        "/ro",
        "/base_frequency",
        "/cpu_capacity",
    ];
    ends.iter().any(|end| path.ends_with(end))
        || ["/vulnerabilities/", "/net/", "/dmi/id/", "/parameters/"].iter().any(|part| path.contains(part))
}

/// Recordings by others have no figures, so a guest or pool without a file is one that is not there.
fn is_unmissed(path: &str) -> bool {
    ["libvirt/domains/other.xml", "libvirt/pools/", "libvirt/figures.json"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// xorshift64: the same bytes in each run.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[3]
    }
}

/// What differs from before without an issue that names the file. `may_vanish`: less is fine.
fn untold(path: &str, before: &Seen, after: &Seen, may_vanish: bool) -> Vec<String> {
    let is_named = |issue: &Issue| issue.source.split(", ").any(|source| source == path);
    if after.issues.difference(&before.issues).any(is_named) {
        return Vec::new();
    }
    let mut untold = Vec::new();
    for (at, value) in &before.leaves {
        match after.leaves.get(at) {
            None if !may_vanish => untold.push(format!("{at} vanished (was {value})")),
            Some(now) if now != value => untold.push(format!("{at}: {value} became {now}")),
            _ => {}
        }
    }
    let appeared = after.leaves.iter().filter(|(at, _)| !before.leaves.contains_key(*at));
    untold.extend(appeared.map(|(at, value)| format!("{at} appeared: {value}")));
    untold
}

struct Mutants {
    root: PathBuf,
    before: Seen,
    failures: Vec<String>,
}

impl Mutants {
    fn source(&self) -> HostSource {
        HostSource::recorded(&self.root).expect("a recorded host")
    }

    fn check(&mut self, path: &str, how: &str, after: &Seen, may_vanish: bool) {
        for difference in untold(path, &self.before, after, may_vanish) {
            let others: Vec<_> = after.issues.difference(&self.before.issues).collect();
            self.failures.push(format!("{path} {how}: {difference}; issues beside: {others:?}"));
        }
    }

    fn break_in_each_way(&mut self, path: &str, random: &mut Random) {
        let whole = fs::canonicalize(self.root.join(path.trim_start_matches('/'))).expect("it was read");
        let content = fs::read(&whole).expect("it was read");
        fs::remove_file(&whole).expect("removed");
        if !is_unmissed(path) {
            self.check(path, "deleted", &collect(self.source()), is_optional(path));
        }
        for eighth in 0..8 {
            let kept = &content[..content.len() * eighth / 8];
            fs::write(&whole, kept).expect("written");
            // An empty file of these says as little as none.
            let may_vanish = kept.is_empty() && is_optional(path);
            self.check(path, &format!("cut at {eighth}/8"), &collect(self.source()), may_vanish);
        }
        let noise: Vec<u8> = content.iter().map(|_| random.byte()).collect();
        fs::write(&whole, noise).expect("written");
        self.check(path, "replaced by noise", &collect(self.source()), false);
        fs::write(&whole, &content).expect("written");
        self.check(path, "refused", &collect(self.source().denying(&[path])), false);
    }
}

fn every_file_of(name: &str) {
    let directory = tempdir().expect("a directory");
    let root = directory.path().join("host");
    copy_host(name, &root);
    complete(name, &root);
    let log = AccessLog::default();
    collect(HostSource::recorded(&root).expect("a recorded host").noting(log.clone()));
    let read: Vec<String> =
        log.take().into_iter().filter(|(_, access)| *access == Access::File).map(|(path, _)| path).collect();
    let before = collect(HostSource::recorded(&root).expect("a recorded host"));
    let mut mutants = Mutants { root, before, failures: Vec::new() };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut broken = 0;
    let of_libvirt = read.iter().filter(|path| path.starts_with("libvirt/")).count();
    for path in read {
        if mutants.root.join(path.trim_start_matches('/')).is_file() {
            mutants.break_in_each_way(&path, &mut random);
            broken += 1;
        }
    }
    assert!(broken > 100, "{broken} files");
    assert_eq!(of_libvirt, 9, "every file of libvirt's");
    let shown: Vec<_> = mutants.failures.iter().take(60).map(String::as_str).collect();
    assert!(shown.is_empty(), "{name}: {} of them\n{}", mutants.failures.len(), shown.join("\n"));
}

/// What our captures are without, so that it is broken too.
fn complete(name: &str, root: &Path) {
    let files = [
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        (
            "etc/os-release",
            "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
        ),
        ("proc/self/mountinfo", MOUNTINFO),
        ("statvfs.json", STATVFS),
        (
            "usr/share/misc/pci.ids",
            "1234  A vendor\n8086  Intel Corporation\n\t29c0  Host bridge\nC 06  Bridge\n\t00  Host bridge\n",
        ),
    ];
    for (path, content) in files {
        let whole = root.join(path);
        // Ours have a link to a process that is gone.
        let _ = fs::remove_file(root.join("proc/self"));
        fs::create_dir_all(whole.parent().expect("a parent")).expect("a directory");
        fs::write(whole, content).expect("written");
    }
    let is_arm = name.contains("arm");
    if !is_arm {
        fs::write(root.join("cpuid.txt"), CPUID).expect("written");
    }
    write_libvirt(root, if is_arm { "aarch64" } else { "x86_64" });
}

const MOUNTINFO: &str = "\
21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
22 21 0:25 / /var/lib/libvirt/images\\040on\\040nfs rw,relatime - nfs4 server:/export rw,vers=4.2\n";

const STATVFS: &str = r#"{
    "/": {"f_frsize": 4096, "f_blocks": 1000, "f_bfree": 500, "f_bavail": 450, "f_files": 100, "f_ffree": 90},
    "/var/lib/libvirt/images on nfs": {"f_frsize": 4096, "f_blocks": 9, "f_bfree": 5, "f_bavail": 4, "f_files": 0, "f_ffree": 0}
}"#;

const CPUID: &str = "CPU 0:\n   0x00000000 0x00: eax=0x00000001 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69\n   \
                  0x00000001 0x00: eax=0x000306a9 ebx=0x00000000 ecx=0x00000001 edx=0x00000001\n";

#[test]
fn of_a_host_with_two_sockets() {
    every_file_of("skylake-smt");
}

#[test]
fn of_an_arm_host() {
    every_file_of("arm-n1");
}
