//! Migration checks on recorded hosts: who is asked each time, and what is said of those who have no libvirt.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::tempdir;
use vmuster_proto::model::{Bytes, Domain};
use vmuster_tests::{
    agents::TestAgent,
    fixtures::{copy_host, workspace},
    fleet::{Fleet, Source},
    libvirt_files::write_libvirt,
    programs::{Ended, program, run, vmuster},
};

use crate::registry::{House, stop};

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
    for rule in ["name", "hypervisor", "version", "machine", "cpu", "vcpus"] {
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

/// What runs on a host of the fleet, and nothing keeps there.
fn running(uuid: &str, name: &str, gib: u64) -> Domain {
    let text = |text: &str| Some(text.to_owned());
    Domain {
        uuid: uuid.to_owned(),
        name: name.to_owned(),
        state: text("running"),
        arch: text("x86_64"),
        machine_type: text("pc-q35-7.2"),
        virt_type: text("kvm"),
        vcpus_max: Some(4),
        memory_max_bytes: Some(Bytes(gib << 30)),
        ..Domain::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_room_from_all_but_its_own_instance() {
    let fleet = Fleet::start(2, 11, vec![Source::with_hypervisor("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    let moves = "8c1f4ce1-1111-4222-8333-944444444444";
    fleet.set_guests(0, vec![running(moves, "moves", 100), running("u-small", "small", 1)]);
    let daemon = house.start();
    let check = |guest: &str| house.ask(&format!("migrate check --domain {guest} --from kvm-0000 -o json"));
    let of_capacity = |ended: &Ended| -> Vec<(String, String)> {
        told(ended).into_iter().filter(|(rule, _)| rule == "vcpus" || rule == "memory").collect()
    };
    assert_eq!(check("moves").code, 0, "{}", check("moves").stdout);

    // 253.7 GiB are for guests.
    let claim = |line: &str| {
        let ended = house.ask(&format!("place --claim {line}"));
        assert_eq!(ended.code, 0, "{line}: {}{}", ended.stdout, ended.stderr);
    };
    claim("--vcpus 1 --memory 155GiB --hosts kvm-0001");
    let full = check("moves");
    assert_eq!(full.code, 1, "{}", full.stdout);
    assert_eq!(of_capacity(&full), [("memory".to_owned(), "no".to_owned())]);
    let why = "it may have 100.0 GiB: of 255.7 GiB beside its huge pages, 2.0 GiB are the host's own and 155.0 GiB \
               promised, 155.0 GiB of it by claims, which leaves 98.7 GiB";
    assert!(full.stdout.contains(why), "{}", full.stdout);
    house.done("claims release c0");
    assert_eq!(check("moves").code, 0);

    claim(&format!("--vcpus 4 --memory 100GiB --move --uuid {moves} --exclude kvm-0000"));
    claim("--vcpus 1 --memory 153GiB --hosts kvm-0001");
    let own = check("moves");
    assert_eq!((own.code, of_capacity(&own)), (0, vec![]), "its room is kept: {}", own.stdout);
    let other = check("small");
    assert_eq!((other.code, of_capacity(&other).len()), (1, 1), "nobody else's is: {}", other.stdout);
    assert!(other.stdout.contains("253.0 GiB of it by claims, which leaves"), "{}", other.stdout);
    stop(daemon);

    // Who asks the agents alone knows of no claims.
    let agents = [fleet.address(0), fleet.address(1)];
    let words = ["--domain", "small", "--from", agents[0].as_str()];
    let alone = self::check(house.home.path(), &[&agents[0], &agents[1]], &words);
    assert_eq!((alone.code, of_capacity(&alone)), (0, vec![]), "{}{}", alone.stdout, alone.stderr);
}
