//! Affinity groups through a real coordinator: members are remembered from call to call.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use vmuster_tests::fleet::{Fleet, Source};

use crate::registry::{House, stop};

async fn setup(hosts: usize) -> (Fleet, House) {
    let fleet = Fleet::start(hosts, 12, vec![Source::with_hypervisor("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    (fleet, house)
}

/// The hosts of what is claimed, one for each instance.
fn claimed(house: &House, line: &str) -> Vec<String> {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let answer = house.json(&format!("place --claim --request-id r{request} {line}"));
    let placements = answer["placements"].as_array().expect("placements");
    placements.iter().map(|one| one["host"].as_str().expect("a host").to_owned()).collect()
}

/// The same for small ones, each host once, sorted.
fn hosts(house: &House, line: &str) -> Vec<String> {
    let mut hosts = claimed(house, &format!("--vcpus 1 --memory 1GiB {line}"));
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_other_calls_count_until_they_are_released() {
    let (_fleet, house) = setup(3).await;
    let daemon = house.start();
    let first = hosts(&house, "--count 2 --anti-affinity db");
    assert_eq!(first.len(), 2);
    let third = hosts(&house, "--anti-affinity db");
    assert!(!first.contains(&third[0]), "{first:?} {third:?}");
    let line = "place --vcpus 1 --memory 1GiB --claim --anti-affinity db";
    let fourth = house.ask(line);
    assert_eq!(fourth.code, 1, "{}", fourth.stderr);
    assert!(fourth.stdout.contains("anti_affinity  3"), "{}", fourth.stdout);
    let claims = house.json("claims list");
    assert_eq!(claims["claims"][0]["groups"], serde_json::json!(["db"]));
    stop(daemon);

    let daemon = house.start();
    assert_eq!(house.ask(line).code, 1, "claims outlive a restart, and so do groups");
    let soft = hosts(&house, "--count 3 --soft-anti-affinity db");
    assert_eq!(soft.len(), 3, "one more on each");
    let gone = claims["claims"][0]["host"].as_str().expect("a host");
    for claim in house.json("claims list")["claims"].as_array().expect("claims") {
        if claim["host"] == gone {
            house.done(&format!("claims release {}", claim["id"].as_str().expect("an id")));
        }
    }
    assert_eq!(hosts(&house, "--anti-affinity db"), [gone]);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn racks_are_fault_domains_and_partitions_may_meet() {
    let (fleet, house) = setup(4).await;
    // Two hosts in one rack, one in another, one in none that is known.
    let racks = ["rack = \"a\", ", "rack = \"a\", ", "rack = \"b\", ", "", ""];
    let hosts_file = fleet.hosts_file();
    let parts = hosts_file.split_inclusive("labels = { ").zip(racks);
    let file: String = parts.flat_map(|(part, rack)| [part, rack]).collect();
    fs::write(house.at("hosts.toml"), file).expect("the hosts file");
    let daemon = house.start();
    let group = |partition: &str, count: u32| {
        let rule =
            format!("{{group: kv, policy: anti_affinity, topology_key: rack, partition: {partition}}}");
        let text = format!("groups: [{{count: {count}, vcpus: 1, memory: 1GiB, rules: [{rule}]}}]\n");
        fs::write(house.at("request.yaml"), text).expect("a request");
        format!("--file {}", house.at("request.yaml").display())
    };
    let on = |line: &str| claimed(&house, line);
    let rack = |host: &String| if host == "kvm-0002" { "b" } else { "a" };
    let one = on(&group("'1'", 3));
    assert!(one.iter().all(|host| rack(host) == rack(&one[0]) && host != "kvm-0003"), "{one:?}");
    let two = on(&group("'2'", 2));
    assert!(two.iter().all(|host| rack(host) != rack(&one[0]) && host != "kvm-0003"), "{two:?}");
    let three = house.ask(&format!("place {}", group("'3'", 1)));
    // The host without a rack could be in any: that is not known.
    assert_eq!(three.code, 3, "{}", three.stdout);
    assert!(three.stdout.contains("(1 not known)"), "{}", three.stdout);
    let beside = on("--vcpus 1 --memory 1GiB --count 2 --affinity kv@rack --anti-affinity new");
    assert!(beside.iter().all(|host| host != "kvm-0003"), "{beside:?}");
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_together_is_on_one_host_or_nowhere() {
    let (_fleet, house) = setup(3).await;
    let daemon = house.start();
    assert_eq!(hosts(&house, "--count 8 --affinity app").len(), 1);
    let there = hosts(&house, "--affinity app");
    let elsewhere =
        house.ask(&format!("place --vcpus 1 --memory 1GiB --claim --affinity app --exclude {}", there[0]));
    assert_eq!(elsewhere.code, 1);
    assert!(elsewhere.stdout.contains("affinity"), "{}", elsewhere.stdout);
    let uuid = house.json("claims list")["claims"][0]["uuid"].as_str().expect("a UUID").to_owned();
    let alone = format!("--best-effort --move --uuid {uuid} --affinity app");
    let partly = house.ask(&format!("place --vcpus 1 --memory 1GiB --claim {alone}"));
    assert_eq!(partly.code, 2, "{}", partly.stderr);
    claimed(&house, &format!("--vcpus 1 --memory 1GiB --move --uuid {uuid}"));
    let claims = house.json(&format!("claims list --uuid {uuid}"));
    assert_eq!(claims["claims"][1]["groups"], serde_json::json!(["app"]), "it stays what it was");
    let soft = hosts(&house, &format!("--soft-affinity app --exclude {}", there[0]));
    assert_ne!(soft, there);
    stop(daemon);
}
