//! A cache on a real disk that is full or read-only: answers go on, somebody is told, and it is over when it is over.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use vmuster_tests::{
    fleet::{Fleet, Source},
    metrics::scrape,
    programs::{Daemon, program, run},
    tools::leave_out,
    waiting::until,
};

use crate::registry::{House, stop};

const HOSTS: usize = 40;

/// Leaves room for some 20 entries of a page each.
const SMALL: &str = "size=256k";
const FILLER: &str = "head -c 176k /dev/zero > PLACE/filler && mkdir -m 0700 PLACE/state PLACE/cache";

/// A fleet, and a coordinator with all it keeps in a file system of its own.
struct Setup {
    fleet: Fleet,
    house: House,
}

impl Setup {
    /// None where nothing may be mounted.
    async fn new() -> Option<Self> {
        let probe = run(Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]));
        if probe.code != 0 {
            leave_out("to mount a small file system takes root, and a root that may mount");
            return None;
        }
        let fleet = Fleet::start(HOSTS, 5, vec![Source::recorded("rome-2s")]).await;
        let house = House::new(&[]);
        fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
        fs::create_dir(house.at("fs")).expect("a mount point");
        house.configure("fs/state", "fs/cache", &format!("unix:{}", house.at("c.sock").display()));
        Some(Self { fleet, house })
    }

    /// Starts it after this; what is mounted goes with the daemon.
    fn start_after(&self, script: &str) -> Daemon {
        let place = self.house.at("fs").display().to_string();
        let script = format!(
            "{} && exec {} --config {} serve",
            script.replace("PLACE", &place),
            program("vmuster-coordinator").display(),
            self.house.at("c.toml").display()
        );
        Daemon::start_by(Command::new("unshare").args(["--mount", "sh", "-c", &script]))
    }

    /// Runs this where the daemon is.
    fn beside(&self, daemon: &Daemon, script: &str) {
        let script = script.replace("PLACE", &self.house.at("fs").display().to_string());
        let pid = daemon.pid().to_string();
        let ended = run(Command::new("nsenter").args(["--mount", "--target", &pid, "sh", "-c", &script]));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }

    /// A path as the daemon sees it.
    fn seen_by(&self, daemon: &Daemon, path: &str) -> std::path::PathBuf {
        let path = self.house.at(path);
        let below = path.strip_prefix("/").expect("absolute");
        Path::new("/proc").join(daemon.pid().to_string()).join("root").join(below)
    }

    fn entries(&self, daemon: &Daemon) -> usize {
        // Made with the first entry, which may be written after the answer.
        let Ok(entries) = fs::read_dir(self.seen_by(daemon, "fs/cache/hosts")) else { return 0 };
        entries
            .filter(|entry| {
                entry.as_ref().expect("an entry").path().extension().is_some_and(|e| e == "inventory")
            })
            .count()
    }

    /// Every host is there, and fresh; gives the coordinator's own issues.
    fn answers_in_full(&self) -> Vec<Value> {
        let listed = self.house.ask("hosts list -o json");
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        let mut document: Value = serde_json::from_str(&listed.stdout).expect("JSON");
        assert_eq!(document["hosts"].as_array().expect("hosts").len(), HOSTS);
        let Value::Array(issues) = document["issues"].take() else { return Vec::new() };
        for issue in &issues {
            assert_eq!(issue["section"], "cache");
            let detail = issue["detail"].as_str().expect("text");
            assert!(
                listed.stderr.contains(&format!("warning: the coordinator's cache: {detail}")),
                "{listed:?}"
            );
        }
        assert_eq!(issues.is_empty(), listed.stderr.is_empty(), "{}", listed.stderr);
        issues
    }

    fn is_writable(&self) -> bool {
        scrape(&self.house.at("m.sock")).value("vmuster_cache_writable") == 1.0
    }

    fn failed_saves(&self) -> f64 {
        scrape(&self.house.at("m.sock")).count("vmuster_cache_store_errors_total{operation=\"save\"}")
    }

    /// Until all is on the disk.
    async fn recovers(&self, daemon: &Daemon) {
        until("every host is on the disk", async || self.entries(daemon) == HOSTS).await;
        until("the issue is over", async || self.answers_in_full().is_empty()).await;
        assert!(self.is_writable());
        until("the log says so", async || lines(daemon, "works again") == 1).await;
    }
}

fn lines(daemon: &Daemon, words: &str) -> usize {
    daemon.log().lines().filter(|line| line.contains(words)).count()
}

fn detail(issues: &[Value]) -> &str {
    assert_eq!(issues.len(), 1, "{issues:?}");
    issues[0]["detail"].as_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_no_answer_and_ends_by_itself() {
    let Some(setup) = Setup::new().await else { return };
    let daemon = setup.start_after(&format!("mount -t tmpfs -o {SMALL} none PLACE && {FILLER}"));
    assert_eq!(setup.house.ask("hosts list").code, 0, "the first entries find room");
    until("writes fail", async || setup.failed_saves() >= 10.0).await;
    let issues = setup.answers_in_full();
    assert!(detail(&issues).contains("No space left on device") && detail(&issues).contains("Free space"));
    assert_eq!(issues[0]["kind"], "missing");
    assert!(setup.entries(&daemon) < HOSTS);
    assert_eq!(setup.house.ask("hosts refresh --all").code, 0);
    assert!(!setup.is_writable());
    let text = setup.house.ask("flags --layer host -o plain");
    assert_eq!((text.code, text.stderr.as_str()), (0, ""));
    assert_eq!(lines(&daemon, "No space left on device"), 1, "{}", daemon.log());

    fs::remove_file(setup.seen_by(&daemon, "fs/filler")).expect("freed");
    let refreshed = setup.house.ask("hosts refresh kvm-0000");
    assert_eq!(refreshed.code, 0, "{}", refreshed.stderr);
    setup.recovers(&daemon).await;
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_becomes_read_only_costs_no_answer() {
    let Some(setup) = Setup::new().await else { return };
    let daemon = setup.start_after("mount -t tmpfs none PLACE");
    assert!(setup.answers_in_full().is_empty());
    until("every host is on the disk", async || setup.entries(&daemon) == HOSTS).await;
    let added = setup.house.ask("hosts add later unix:/nonexistent/later.sock");
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert_eq!(setup.house.ask("hosts remove later").code, 0);

    // A mount with a file that is open for writing, the lock, is refused this; one on top of it is not.
    setup.beside(
        &daemon,
        "for at in PLACE/cache/hosts PLACE/state; do mount --bind $at $at && mount -o remount,ro,bind $at || exit; done",
    );
    assert_eq!(setup.house.ask("hosts refresh --all").code, 0);
    until("writes fail", async || setup.failed_saves() >= HOSTS as f64).await;
    let issues = setup.answers_in_full();
    for words in ["Read-only file system", "40 hosts", "Make the file system writable"] {
        assert!(detail(&issues).contains(words), "{issues:?}");
    }
    assert_eq!(issues[0]["kind"], "denied");
    assert!(!setup.is_writable());
    assert_eq!(lines(&daemon, "Read-only file system"), 1, "{}", daemon.log());
    // What was registered cannot be fetched again, so a change that cannot be kept is refused.
    let refused = setup.house.ask("hosts add later unix:/nonexistent/later.sock");
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    for words in ["nothing has changed", "Read-only file system"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(setup.house.ask("hosts show kvm-0007").code, 0, "reads go on");

    setup.beside(&daemon, "umount -l PLACE/cache/hosts PLACE/state");
    assert_eq!(setup.house.ask("hosts refresh kvm-0007").code, 0);
    setup.recovers(&daemon).await;
    assert_eq!(setup.house.ask("hosts add later unix:/nonexistent/later.sock").code, 0);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_read_only_at_the_start_is_read_and_told_of() {
    let Some(setup) = Setup::new().await else { return };
    let state = format!("unix:{}", setup.house.at("c.sock").display());
    setup.house.configure("state", "fs/cache", &state);
    let daemon = setup.house.start();
    assert!(setup.answers_in_full().is_empty());
    until("every host is on the disk", async || setup.entries(&daemon) == HOSTS).await;
    stop(daemon);
    let asked = || (0..HOSTS).map(|host| setup.fleet.asked(host).calls).sum::<u64>();
    let before = asked();

    let daemon = setup.start_after("mount --bind PLACE PLACE && mount -o remount,ro,bind PLACE");
    assert_eq!(lines(&daemon, "starting although the cache cannot be written"), 1, "{}", daemon.log());
    assert!(!setup.is_writable(), "before anything was asked");
    let issues = setup.answers_in_full();
    assert!(detail(&issues).contains("Read-only file system"), "{issues:?}");
    assert_eq!(asked(), before, "what is there is read");
    let other = House::new(&[]);
    other.configure("state", &setup.house.at("fs/cache").display().to_string(), "127.0.0.1:0");
    let refused = other.refused();
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("in use by another coordinator"), "{}", refused.stderr);

    setup.beside(&daemon, "mount -o remount,rw,bind PLACE");
    assert_eq!(setup.house.ask("hosts refresh kvm-0001").code, 0);
    setup.recovers(&daemon).await;
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_directory_that_cannot_be_made_may_come_later() {
    let Some(setup) = Setup::new().await else { return };
    // Root may make any directory but one below a file.
    fs::remove_dir(setup.house.at("fs")).expect("empty");
    fs::write(setup.house.at("fs"), "in the way").expect("a file");
    setup.house.configure("state", "fs/cache", &format!("unix:{}", setup.house.at("c.sock").display()));
    let daemon = setup.house.start();
    let issues = setup.answers_in_full();
    assert!(detail(&issues).contains("cannot create"), "{issues:?}");
    fs::remove_file(setup.house.at("fs")).expect("out of the way");
    assert_eq!(setup.house.ask("hosts refresh kvm-0001").code, 0);
    setup.recovers(&daemon).await;
    stop(daemon);
}
