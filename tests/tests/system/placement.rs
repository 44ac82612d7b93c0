//! Instances placed and promised by a real coordinator over a fleet of hosts.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use vmuster_proto::model::{Bytes, Domain};
use vmuster_tests::{
    fleet::{Fleet, Manner, Source},
    metrics::scrape,
    programs::{Daemon, Signal, send},
    waiting::until,
};

use crate::registry::{House, stop};

struct Setup {
    fleet: Fleet,
    house: House,
}

async fn setup(hosts: usize) -> Setup {
    let fleet = Fleet::start(hosts, 11, vec![Source::with_hypervisor("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    Setup { fleet, house }
}

fn placed(answer: &Value) -> Vec<(String, String)> {
    let placements = answer["placements"].as_array().expect("placements");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    placements.iter().map(|one| (text(&one["host"]), text(&one["uuid"]))).collect()
}

fn guest(uuid: &str, vcpus: u32, gib: u64) -> Domain {
    Domain {
        uuid: uuid.to_owned(),
        name: format!("guest-{}", &uuid[..8]),
        vcpus_max: Some(vcpus),
        memory_max_bytes: Some(Bytes(gib << 30)),
        ..Domain::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_held_observed_and_released_and_counts_once_all_the_way() {
    let Setup { fleet, house } = setup(1).await;
    let daemon = house.start();
    let promised = || {
        let capacity = house.json("capacity --vcpus 1 --memory 1GiB");
        let host = &capacity["hosts"][0];
        (host["vcpus"]["promised"].as_u64(), host["memory"]["promised"].as_u64().map(|bytes| bytes >> 30))
    };
    assert_eq!(promised(), (Some(0), Some(0)));
    let line = "place --vcpus 2 --memory 4GiB --disk 10GiB --claim --request-id one";
    let answer = house.json(line);
    let [(host, uuid)] = &placed(&answer)[..] else { panic!("{answer}") };
    assert_eq!((host.as_str(), &answer["claimed"]), ("kvm-0000", &true.into()));
    assert_eq!(promised(), (Some(2), Some(4)));
    assert_eq!(house.json(line), answer, "the same request again");
    let reused = house.ask("place --vcpus 3 --memory 4GiB --claim --request-id one");
    assert_eq!(reused.code, 2);
    assert!(reused.stderr.contains("was used for another request"), "{}", reused.stderr);

    fleet.set_guests(0, vec![guest(uuid, 2, 6)]);
    let show = || house.json("claims list")["claims"].clone();
    assert_eq!(show()[0]["state"], "held");
    house.done("hosts show kvm-0000");
    let counted = house.json("place --vcpus 1 --memory 1GiB --claim --request-id two --hosts kvm-0000");
    assert_eq!(counted["granted"], true);
    // Whoever asks for usage, the claim learns of it when it is next promised by.
    assert_eq!(house.done("claims list --state held -o plain"), "c0\nc1\n");
    stop(daemon);

    let daemon = house.start();
    assert_eq!(promised(), (Some(3), Some(7)), "guest and claim are one: the larger of both");
    assert_eq!(show()[0]["state"], "observed", "a coordinator that starts asks its hosts");
    assert_eq!(show()[1]["state"], "held");
    assert_eq!(house.done("claims release c1"), "released c1\n");
    assert_eq!(promised(), (Some(2), Some(6)));
    let again = house.ask("claims release c1");
    assert_eq!((again.code, again.stderr.as_str()), (0, "note: c1 was not there any more\n"));
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_takes_as_many_as_it_was_said_to() {
    let Setup { fleet: _fleet, house } = setup(1).await;
    let daemon = house.start();
    // 64 CPUs, of which 4 vCPUs each.
    let fits = house.json("capacity --vcpus 5 --memory 1GiB")["count"].as_u64().expect("a number");
    assert_eq!(fits, 51);
    let answer =
        house.json(&format!("place --vcpus 5 --memory 1GiB --claim --request-id all --count {fits}"));
    assert_eq!(placed(&answer).len() as u64, fits);
    let one_more = house.ask("place --vcpus 5 --memory 1GiB --claim");
    assert_eq!(one_more.code, 1, "{}", one_more.stderr);
    assert!(one_more.stdout.contains("vcpus   1"), "{}", one_more.stdout);
    assert!(one_more.stdout.contains("NEAREST"), "{}", one_more.stdout);
    assert_eq!(house.ask("place --vcpus 1 --memory 1GiB").code, 0);
    let again = format!("place --vcpus 5 --memory 1GiB --claim --request-id all --count {fits}");
    assert_eq!(house.json(&again), answer);
    house.done("claims confirm c0 c1");
    let counted = scrape(&house.at("m.sock"));
    for (series, value) in [
        ("vmuster_instances_placed_total{mode=\"claim\"}", fits as f64),
        ("vmuster_instances_refused_total{mode=\"claim\"}", 1.0),
        ("vmuster_instances_placed_total{mode=\"dry_run\"}", 1.0),
        ("vmuster_claims{state=\"held\"}", fits as f64 - 2.0),
        ("vmuster_claims{state=\"confirmed\"}", 2.0),
        ("vmuster_claims{state=\"observed\"}", 0.0),
        ("vmuster_claim_commit_failures_total", 0.0),
    ] {
        assert_eq!(counted.value(series), value, "{series}");
    }
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn spread_pack_lists_and_labels_choose_hosts() {
    let Setup { fleet: _fleet, house } = setup(6).await;
    let daemon = house.start();
    let hosts = |line: &str| {
        let mut count = BTreeMap::new();
        for (host, _) in placed(&house.json(&format!("place --vcpus 2 --memory 2GiB {line}"))) {
            *count.entry(host).or_insert(0) += 1;
        }
        count.into_values().collect::<Vec<_>>()
    };
    assert_eq!(hosts("--count 12"), [2; 6], "spread evenly unless told otherwise");
    assert_eq!(hosts("--count 12 --profile pack"), [12]);
    assert_eq!(hosts("--count 12 --exclude kvm-0001,KVM-0002"), [3; 4]);
    assert_eq!(hosts("--count 2 --hosts kvm-0004"), [2]);
    let one = house.json("capacity --vcpus 1 --memory 1GiB --hosts kvm-0004");
    assert_eq!(one["hosts"].as_array().map(Vec::len), Some(1));
    assert_eq!(one.get("filters"), None, "hosts that were not asked about are no refusals");
    let nowhere = house.ask("place --vcpus 1 --memory 1GiB --label zone=a");
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.stdout.contains("labels  6"), "{}", nowhere.stdout);
    let unknown = house.ask("place --vcpus 1 --memory 1GiB --hosts kvm-9999");
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_down_is_named_and_never_chosen() {
    let Setup { fleet, house } = setup(3).await;
    fleet.set(1, Manner::Gone).await;
    let daemon: Daemon = house.start();
    let answer = house.ask("place --vcpus 2 --memory 2GiB --count 4 --claim -o json");
    assert_eq!(answer.code, 0, "all found a host: {}", answer.stderr);
    assert!(answer.stderr.contains("warning: kvm-0001 was not considered"), "{}", answer.stderr);
    let answer: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert!(placed(&answer).iter().all(|(host, _)| host != "kvm-0001"), "{answer}");
    let refused = house.ask("place --vcpus 2 --memory 4000GiB");
    assert_eq!(refused.code, 3, "the host that is not known may have room: {}", refused.stderr);
    until("the host is back", async || {
        fleet.set(1, Manner::Answers).await;
        let answer = house.ask("place --vcpus 2 --memory 2GiB --count 3 -o json");
        let answer = serde_json::from_str(&answer.stdout).expect("JSON");
        placed(&answer).iter().any(|(host, _)| host == "kvm-0001")
    })
    .await;
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_on_one_host_unless_it_moves() {
    let Setup { fleet, house } = setup(2).await;
    let uuid = "8c1f4ce1-1111-4222-8333-944444444444";
    fleet.set_guests(0, vec![guest(uuid, 1, 1)]);
    let daemon = house.start();
    let place =
        |rest: &str| house.ask(&format!("place --vcpus 1 --memory 1GiB --claim --uuid {uuid} {rest}"));
    let exists = place("");
    assert_eq!(exists.code, 2);
    assert!(exists.stderr.contains("is a guest of 'kvm-0000' already"), "{}", exists.stderr);
    // By room alone the host it is on would be as good.
    let moved = place("--move");
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    assert!(moved.stdout.contains("kvm-0001"), "{}", moved.stdout);
    let conflict = place("");
    assert!(conflict.stderr.contains("has a claim on host 'kvm-0001'"), "{}", conflict.stderr);
    let removed = house.ask("hosts remove kvm-0001");
    assert_eq!(removed.code, 2, "a host of the file");
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_never_holds_is_asked_for_once_each_time() {
    let Setup { fleet, house } = setup(3).await;
    let text = fs::read_to_string(house.at("c.toml")).expect("a configuration");
    fs::write(house.at("c.toml"), text + "usage_max_age = '0s'\n").expect("a configuration");
    let daemon = house.start();
    let line = "place --vcpus 1 --memory 1GiB --claim";
    let placed = house.ask(line);
    assert_eq!(placed.code, 0, "{}{}", placed.stdout, placed.stderr);
    // A guest that came since is seen before anything is promised.
    let uuid = "8c1f4ce1-1111-4222-8333-944444444444";
    (0..3).for_each(|host| fleet.set_guests(host, vec![guest(uuid, 1, 1)]));
    let exists = house.ask(&format!("{line} --uuid {uuid}"));
    assert!(exists.stderr.contains("already"), "{}{}", exists.stdout, exists.stderr);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_claims_is_removed_by_force_only_and_takes_them_along() {
    let Setup { fleet, house } = setup(2).await;
    let file = fleet.hosts_file();
    let (only_first, _) = file.rsplit_once("[[host]]").expect("two hosts");
    fs::write(house.at("hosts.toml"), only_first).expect("the hosts file");
    let daemon = house.start();
    house.done(&format!("hosts add kvm-0001 {}", fleet.address(1)));
    let line = "place --vcpus 1 --memory 1GiB --claim --force-host KVM-0001 --request-id here";
    assert_eq!(placed(&house.json(line))[0].0, "kvm-0001");
    let refused = house.ask("hosts remove kvm-0001");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("has 1 claim; release them, or remove it with force"),
        "{}",
        refused.stderr
    );
    assert_eq!(house.done("claims list --host KVM-0001 -o plain"), "c0\n");
    house.done("hosts remove kvm-0001 --force");
    assert_eq!(house.done("claims list -o plain"), "");
    let known = house.json(line);
    assert_eq!(placed(&known)[0].0, "kvm-0001", "what was answered once is answered again");
    stop(daemon);
    let _daemon = house.start();
    assert_eq!(house.done("claims list -o plain"), "", "nor do they come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_hear_the_answer_is_told_how_to_ask_for_it() {
    let Setup { fleet: _fleet, house } = setup(1).await;
    let daemon = house.start();
    send(daemon.pid(), Signal::STOP);
    let failed = house.ask("--timeout 1s place --vcpus 1 --memory 1GiB --claim");
    send(daemon.pid(), Signal::CONT);
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    let (_, id) = failed.stderr.split_once("--request-id ").expect("it says how");
    let line = format!("place --vcpus 1 --memory 1GiB --claim --request-id {}", id.trim());
    let first = house.json(&line);
    assert_eq!((first["granted"].as_bool(), house.json(&line)), (Some(true), first.clone()));
    assert_eq!(house.done("claims list -o plain"), "c0\n", "promised once, whenever");
}
