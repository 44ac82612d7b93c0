//! Migration checks on recorded hosts: who is asked each time, and what is said of those who have no libvirt.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::tempdir;
use vmuster_tests::{
    agents::TestAgent,
    fixtures::{copy_host, workspace},
    libvirt_files::write_libvirt,
    programs::{Ended, program, run, vmuster},
};

/// A running guest of the recorded libvirt's.
const GUEST: &str = "acme-payroll";

fn check(home: &Path, agents: &[&str], words: &[&str]) -> Ended {
    let agents = agents.join(",");
    vmuster(home, &[&["--agents", &agents, "migrate", "check", "-o", "json"], words].concat())
}

/// What an agent says of a recorded guest host.
fn collected(name: &str) -> Value {
    let directory = workspace().join("tests/fixtures/guests").join(name);
    let ended = run(Command::new(program("vmuster-agent")).args(["collect", "--recorded"]).arg(&directory));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("a snapshot")
}

/// Rules with a verdict, of the first candidate.
fn told(ended: &Ended) -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
    let findings = document["verdicts"][0]["findings"].as_array().expect("findings").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    findings.map(|finding| (text(&finding["rule"]), text(&finding["verdict"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_always_asked_anew_and_a_reboot_is_noticed() {
    let home = tempdir().expect("a home");
    let (here, there) = (home.path().join("here"), home.path().join("there"));
    for place in [&here, &there] {
        copy_host("rome-2s", place);
    }
    write_libvirt(&here, "x86_64");
    let source = TestAgent::start(&here, home.path().join("a.sock")).await;
    let target = TestAgent::start(&there, home.path().join("b.sock")).await;
    let agents = [source.address.as_str(), target.address.as_str()];
    let words = ["--domain", GUEST, "--from", agents[0]];
    let first = check(home.path(), &agents, &words);
    assert_eq!(first.code, 1, "it has a PCI device: {}", first.stderr);
    let findings = told(&first);
    let said = |rule: &str, verdict: &str| findings.contains(&(rule.to_owned(), verdict.to_owned()));
    assert!(said("pci", "no"), "{findings:?}");
    for rule in ["name", "hypervisor", "version", "machine", "cpu", "memory"] {
        assert!(said(rule, "unknown"), "{rule}: the host has no libvirt: {findings:?}");
    }
    for again in 2..4 {
        assert_eq!(check(home.path(), &agents, &words), first);
        for agent in [&source, &target] {
            let calls = agent.calls();
            assert_eq!((calls.inventories, calls.usages), (1, again), "the record holds, the usage does not");
        }
    }
    let boot_id = there.join("proc/sys/kernel/random/boot_id");
    fs::write(&boot_id, "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee\n").expect("written");
    assert_eq!(check(home.path(), &agents, &words), first);
    assert_eq!((source.calls().inventories, target.calls().inventories), (1, 2), "only who has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_gone_is_unknown_and_the_guests_own_is_an_error() {
    let home = tempdir().expect("a home");
    let (here, there) = (home.path().join("here"), home.path().join("there"));
    for place in [&here, &there] {
        copy_host("rome-2s", place);
        write_libvirt(place, "x86_64");
    }
    let mut source = TestAgent::start(&here, home.path().join("a.sock")).await;
    let mut target = TestAgent::start(&there, home.path().join("b.sock")).await;
    let (from, to) = (source.address.clone(), target.address.clone());
    let agents = [from.as_str(), to.as_str()];
    let words = ["--domain", GUEST, "--from", from.as_str()];
    let known = told(&check(home.path(), &agents, &words));
    assert!(known.contains(&("name".to_owned(), "no".to_owned())), "the same guest is there: {known:?}");
    target.stop().await;
    let gone = check(home.path(), &agents, &words);
    assert_eq!(told(&gone)[0], ("freshness".to_owned(), "unknown".to_owned()), "{}", gone.stdout);
    let unheard = tempdir().expect("a home that never asked before");
    let gone = check(unheard.path(), &agents, &words);
    assert_eq!((gone.code, told(&gone)), (3, vec![("freshness".to_owned(), "unknown".to_owned())]));
    source.stop().await;
    let silent = check(home.path(), &agents, &words);
    assert_eq!((silent.code, silent.stdout.as_str()), (4, ""), "{}", silent.stderr);
    assert!(silent.stderr.contains("are not known"), "{}", silent.stderr);
}

/// Two snapshots of one host, one of them without its guests: what runs on the one may move to the other.
#[test]
fn a_running_guest_of_a_snapshot_may_go_to_a_host_like_its_own() {
    let home = tempdir().expect("a home");
    let host = collected("kvm");
    let mut other = host.clone();
    other["name"] = "other".into();
    other["usage"]["domains"] = Value::Array(Vec::new());
    let file = |name: &str, snapshot: &Value| {
        let file = home.path().join(name);
        fs::write(&file, snapshot.to_string()).expect("written");
        file.display().to_string()
    };
    let (here, there) = (file("here.json", &host), file("there.json", &other));
    let domains = host["usage"]["domains"].as_array().expect("guests").iter();
    let running: Vec<_> = domains.filter(|domain| domain["state"] == "running").collect();
    assert!(!running.is_empty());
    for domain in running {
        assert_eq!(domain["cpu"]["check"], "none", "before it started: {domain}");
        let guest = domain["name"].as_str().expect("a name");
        let from = host["name"].as_str().expect("a name");
        let words = ["migrate", "check", "-o", "json", "--domain", guest, "--from", from];
        let ended = vmuster(home.path(), &[&["--snapshots", &here, &there], &words[..]].concat());
        let cpu: Vec<_> = told(&ended).into_iter().filter(|(rule, _)| rule == "cpu").collect();
        assert_eq!(cpu, [("cpu".to_owned(), "yes".to_owned())], "{}", ended.stdout);
    }
}
