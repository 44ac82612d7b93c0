//! Hosts that are added, changed and removed while a coordinator runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use vmuster_tests::{
    agents::TestAgent,
    coordinators::write_hosts_file,
    fixtures::host,
    programs::{Daemon, Ended, Signal, program, run, vmuster},
    tools::leave_out,
};

/// Far more questions than a reload takes; each takes some 20 ms.
const QUESTIONS_MAX: usize = 500;

/// A coordinator of its own process, with everything it keeps in one directory.
pub(crate) struct House {
    pub(crate) home: TempDir,
}

impl House {
    pub(crate) fn new(hosts: &[(&str, &str)]) -> Self {
        let house = Self { home: tempdir().expect("a home") };
        write_hosts_file(&house.at("hosts.toml"), hosts);
        house.configure("state", "cache", &format!("unix:{}", house.at("c.sock").display()));
        house
    }

    pub(crate) fn configure(&self, state: &str, cache: &str, listen: &str) {
        let [hosts, state, cache, metrics] =
            ["hosts.toml", state, cache, "m.sock"].map(|name| self.at(name).display().to_string());
        let config = format!(
            "hosts_file = '{hosts}'\nstate_dir = '{state}'\ncache_dir = '{cache}'\nlisten = ['{listen}']\n\
             metrics_listen = ['unix:{metrics}']\n"
        );
        fs::write(self.at("c.toml"), config).expect("a configuration");
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn start(&self) -> Daemon {
        Daemon::start("vmuster-coordinator", &["--config", &self.at("c.toml").display().to_string(), "serve"])
    }

    /// How a coordinator ends that cannot start.
    pub(crate) fn refused(&self) -> Ended {
        let config = self.at("c.toml").display().to_string();
        run(Command::new(program("vmuster-coordinator")).args(["--config", &config, "serve"]))
    }

    /// A command, in words.
    pub(crate) fn ask(&self, line: &str) -> Ended {
        let socket = format!("unix:{}", self.at("c.sock").display());
        let words: Vec<_> = ["--coordinator", &socket].into_iter().chain(line.split_whitespace()).collect();
        vmuster(self.home.path(), &words)
    }

    pub(crate) fn done(&self, line: &str) -> String {
        let ended = self.ask(line);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{line}");
        ended.stdout
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{line} -o json"))).expect("JSON")
    }

    fn counted(&self) -> usize {
        self.json("flags --layer host")["hosts"].as_array().expect("hosts").len()
    }
}

pub(crate) fn stop(mut daemon: Daemon) {
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(), 0);
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_comes_is_changed_stays_and_goes() {
    let sockets = tempdir().expect("a directory");
    let filed = TestAgent::named("filed", &host("nehalem-old"), sockets.path().join("filed.sock")).await;
    let (rome, intel) = (sockets.path().join("rome.sock"), sockets.path().join("intel.sock"));
    let rome = TestAgent::named("kvm-02", &host("rome-2s"), rome).await;
    let intel = TestAgent::named("KVM-02.example.org", &host("skylake-smt"), intel).await;
    let house = House::new(&[("filed", &filed.address)]);
    let daemon = house.start();
    assert_eq!(house.counted(), 1);

    let line = format!("hosts add KVM-02 {} --label zone=b --label rack=7 --vcpu-ratio 2", rome.address);
    let added = house.done(&line);
    assert!(added.contains("\nkvm-02  fresh"), "{added}");
    assert_eq!(house.counted(), 2, "it counts at once");
    let set = house.done("hosts set kvm-02 --maintenance on --remove-label rack --reserved-memory 4GiB");
    assert!(set.contains("  fresh,mnt  "), "{set}");
    assert_eq!(house.counted(), 2, "maintenance bars guests, not answers");

    stop(daemon);
    let daemon = house.start();
    let listed = house.json("hosts list");
    let [filed_host, added] = [&listed["hosts"][0], &listed["hosts"][1]];
    assert_eq!((&filed_host["origin"], &added["origin"]), (&"file".into(), &"api".into()));
    assert_eq!(added["labels"], serde_json::json!({"zone": "b"}));
    assert_eq!((&added["maintenance"], &added["settings"]["vcpu_ratio"]), (&true.into(), &2.0.into()));
    assert_eq!(rome.calls().inventories, 1, "what is cached of it holds");
    let shown = house.done("hosts show kvm-02");
    for line in [
        "Registered by:      vmuster hosts add\n",
        "Labels:             zone=b\n",
        "vCPU ratio:         2 (its own)\n",
        "Reserved memory:    4.0 GiB (its own)\n",
        "Memory ratio:       1 (default)\n",
    ] {
        assert!(shown.contains(line), "{line}{shown}");
    }
    let cleared = house.json("hosts set kvm-02 --vcpu-ratio default --maintenance off");
    assert_eq!(cleared["hosts"][0]["settings"]["vcpu_ratio"], 4.0);

    let moved = house.json(&format!("hosts set kvm-02 --address {}", intel.address));
    assert_eq!(
        moved["hosts"][0]["reported_name"], "KVM-02.example.org",
        "what the other address said is not used"
    );

    let entry = house.at("cache/hosts/kvm-02.inventory");
    assert!(entry.exists());
    assert_eq!(house.done("hosts remove KVM-02 --force"), "kvm-02 removed\n");
    assert!(!entry.exists(), "what was cached of it is forgotten");
    assert_eq!(house.done("hosts list -o plain"), "filed\n");
    stop(daemon);
    let _daemon = house.start();
    assert_eq!(house.done("hosts list -o plain"), "filed\n");
}

#[test]
fn what_is_refused_says_what_to_do() {
    let house = House::new(&[("filed", "unix:/nonexistent/filed.sock")]);
    let _daemon = house.start();
    let added = house.ask("hosts add a unix:/nonexistent/a.sock");
    assert_eq!(added.code, 0, "it need not answer yet: {}", added.stderr);
    assert!(added.stderr.contains("warning: a is missing: cannot connect"), "{}", added.stderr);
    let snapshot = house.at("none.json").display().to_string();
    for (line, code, words) in [
        ("hosts add A unix:/other.sock", 2, "`vmuster hosts set a` changes it"),
        ("hosts add filed unix:/other.sock", 2, "registered already, by the hosts file"),
        ("hosts add b unix:/nonexistent/a.sock", 2, "host 'a' has this address already"),
        ("hosts add b/c unix:/other.sock", 2, "'b/c' is not a host name"),
        ("hosts add b nowhere", 2, "'nowhere' is not an address"),
        ("hosts add b h:1 --label x=1 --label x=2", 2, "two values of label 'x'"),
        ("hosts set filed --maintenance on", 2, "comes from the coordinator's hosts file; change it there"),
        ("hosts remove filed", 2, "comes from the coordinator's hosts file; change it there"),
        ("hosts set x --maintenance on", 2, "no such host: x"),
        ("hosts remove x", 2, "no such host: x"),
        ("hosts set a", 2, "nothing to change"),
        ("hosts set a --label x=1 --remove-label x", 2, "label 'x' is also in set_labels"),
    ] {
        let ended = house.ask(line);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{line}: {}", ended.stderr);
    }
    fs::write(
        &snapshot,
        r#"{"schema":"vmuster.v1","name":"s","inventory":{"collected_at":"2026-01-01T00:00:00Z"},"issues":[]}"#,
    )
    .expect("a snapshot");
    for source in [["--snapshots", &snapshot], ["--agents", "unix:/nonexistent/a.sock"]] {
        let ended =
            vmuster(house.home.path(), &[&source[..], &["hosts", "add", "b", "unix:/b.sock"]].concat());
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains("ask a coordinator (--coordinator ADDR)"), "{}", ended.stderr);
    }
    assert_eq!(house.done("hosts remove a -o plain"), "a\n");
}

#[test]
fn a_reader_may_not() {
    let house = House::new(&[("filed", "unix:/nonexistent/filed.sock")]);
    // Plaintext TCP is a reader, whoever it is.
    house.configure("state", "cache", "127.0.0.1:0");
    let daemon = house.start();
    for line in ["hosts add a h:1", "hosts set filed --maintenance on", "hosts remove filed"] {
        let words: Vec<_> =
            ["--coordinator", &daemon.address].into_iter().chain(line.split_whitespace()).collect();
        let ended = vmuster(house.home.path(), &words);
        assert_eq!((ended.code, ended.stdout.as_str()), (5, ""), "{line}: {}", ended.stderr);
    }
    assert!(!house.at("state/hosts.json").exists());
}

#[test]
fn a_hosts_file_that_contradicts_what_was_registered_changes_nothing() {
    let house = House::new(&[("filed", "unix:/nonexistent/filed.sock")]);
    let daemon = house.start();
    assert_eq!(house.ask("hosts add a unix:/nonexistent/a.sock").code, 0);
    let hosts = || house.ask("hosts list -o plain").stdout;
    for conflict in [("a", "unix:/other.sock"), ("other", "unix:/nonexistent/a.sock")] {
        write_hosts_file(&house.at("conflict.toml"), &[conflict]);
        fs::rename(house.at("conflict.toml"), house.at("hosts.toml")).expect("moved");
        daemon.signal(Signal::HUP);
        assert_eq!(hosts(), "a\nfiled\n");
        let name = conflict.0;
        write_hosts_file(
            &house.at("good.toml"),
            &[(&format!("after-{name}"), "unix:/nonexistent/good.sock")],
        );
        fs::rename(house.at("good.toml"), house.at("hosts.toml")).expect("mended");
        daemon.signal(Signal::HUP);
        let expected = format!("a\nafter-{name}\n");
        assert!((0..QUESTIONS_MAX).any(|_| hosts() == expected), "what was registered stays: {}", hosts());
        write_hosts_file(&house.at("good.toml"), &[("filed", "unix:/nonexistent/filed.sock")]);
        fs::rename(house.at("good.toml"), house.at("hosts.toml")).expect("as at first");
        daemon.signal(Signal::HUP);
        assert!((0..QUESTIONS_MAX).any(|_| hosts() == "a\nfiled\n"));
    }
    stop(daemon);
    write_hosts_file(&house.at("hosts.toml"), &[("a", "unix:/other.sock")]);
    let refused = house.refused();
    assert_eq!(refused.code, 2);
    let words = "host 'a' is in the hosts file and was also registered by `vmuster hosts add`";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
}

#[test]
fn a_state_file_that_makes_no_sense_is_never_started_without() {
    let house = House::new(&[]);
    let daemon = house.start();
    assert_eq!(house.ask("hosts add a unix:/nonexistent/a.sock").code, 0);
    let other = House::new(&[]);
    other.configure(&house.at("state").display().to_string(), "cache", "127.0.0.1:0");
    let second = other.refused();
    assert_eq!(second.code, 2);
    assert!(second.stderr.contains("in use by another coordinator"), "{}", second.stderr);
    stop(daemon);
    let file = house.at("state/hosts.json");
    let good = text(&file);
    for (bad, words) in [
        (good[..good.len() / 2].to_owned(), "cannot be used (EOF"),
        (String::new(), "restore it from a backup"),
        (good.replace(".v1\"", ".v2\""), "written by another version of vmuster"),
    ] {
        fs::write(&file, &bad).expect("damaged");
        let refused = house.refused();
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert_eq!(text(&file), bad, "nothing is written over");
    }
    fs::write(&file, good).expect("restored");
    let _daemon = house.start();
    assert_eq!(house.ask("hosts list -o plain").stdout, "a\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_of_a_host_that_left_while_nobody_looked_is_forgotten_at_the_start() {
    let sockets = tempdir().expect("a directory");
    let agent = TestAgent::named("a", &host("rome-2s"), sockets.path().join("a.sock")).await;
    let house = House::new(&[("a", &agent.address)]);
    let daemon = house.start();
    assert_eq!(house.counted(), 1);
    stop(daemon);
    let entry = house.at("cache/hosts/a.inventory");
    let daemon = house.start();
    assert_eq!(house.counted(), 1);
    assert!(entry.exists() && agent.calls().inventories == 1, "a host that stays keeps what is known of it");
    stop(daemon);
    write_hosts_file(&house.at("hosts.toml"), &[("b", &agent.address)]);
    let _daemon = house.start();
    assert!(!entry.exists());
}

#[test]
fn a_full_disk_fails_the_change_and_nothing_else() {
    if !rustix::process::geteuid().is_root() {
        return leave_out("to mount a small file system takes root");
    }
    let house = House::new(&[("filed", "unix:/nonexistent/filed.sock")]);
    let state = house.at("state");
    fs::create_dir(&state).expect("a mount point");
    // Its own mount namespace: what is mounted goes with the daemon.
    let script = format!(
        "mount -t tmpfs -o size=64k none {} && exec {} --config {} serve",
        state.display(),
        program("vmuster-coordinator").display(),
        house.at("c.toml").display()
    );
    let probe = run(Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]));
    if probe.code != 0 {
        return leave_out("this root may not mount");
    }
    let _daemon = Daemon::start_by(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    let labels: String = (0..60).map(|n| format!(" --label key{n}={}", "x".repeat(200))).collect();
    let add = |n: usize| house.ask(&format!("hosts add h{n} unix:/nonexistent/h{n}.sock{labels}"));
    let mut added = Vec::new();
    let full = loop {
        let ended = add(added.len());
        if ended.code != 0 {
            break ended;
        }
        added.push(format!("h{}", added.len()));
        assert!(added.len() < 10, "64 KiB are not endless");
    };
    assert_eq!(full.code, 4, "{}", full.stderr);
    for words in ["nothing has changed", "hosts.json", "No space left on device"] {
        assert!(full.stderr.contains(words), "{}", full.stderr);
    }
    assert!(!added.is_empty());
    let listed = || house.ask("hosts list -o plain").stdout;
    assert_eq!(
        listed(),
        format!("filed\n{}\n", added.join("\n")),
        "answers go on, without what was not kept"
    );
    assert_eq!(house.ask("hosts remove h0").code, 0, "there is room for less");
    assert_eq!(add(0).code, 0, "and then for as much as before");
}
