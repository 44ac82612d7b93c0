//! A host that is down is evacuated: what was known of it last is what counts.

use std::{fs, path::Path};

use serde_json::Value;
use vmuster_proto::model::{Bytes, Domain};
use vmuster_tests::fleet::{Fleet, Manner, Source};

use crate::registry::{House, stop};

async fn setup(hosts: usize) -> (Fleet, House) {
    let fleet = Fleet::start(hosts, 13, vec![Source::with_hypervisor("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    (fleet, house)
}

fn guest(uuid: &str, state: &str) -> Domain {
    Domain {
        uuid: uuid.to_owned(),
        name: format!("guest-{}", &uuid[..4]),
        state: Some(state.to_owned()),
        vcpus_max: Some(2),
        memory_max_bytes: Some(Bytes(4 << 30)),
        virt_type: Some("kvm".to_owned()),
        arch: Some("x86_64".to_owned()),
        ..Domain::default()
    }
}

fn json(house: &House, line: &str, code: u8) -> Value {
    let ended = house.ask(&format!("{line} -o json"));
    assert_eq!(ended.code, i32::from(code), "{line}: {}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn hosts(answer: &Value) -> Vec<String> {
    let placements = answer["placements"].as_array().expect("placements");
    placements.iter().map(|one| one["host"].as_str().expect("a host").to_owned()).collect()
}

const OFF: &str = "5b1c0f7e-6d5c-4f0e-9d0a-3f2b7d1c9e10";
const UNREAD: &str = "7c1c0f7e-6d5c-4f0e-9d0a-3f2b7d1c9e10";

#[tokio::test(flavor = "multi_thread")]
async fn the_instances_of_a_dead_host_are_placed_by_what_was_known_of_it() {
    let (fleet, house) = setup(4).await;
    let daemon = house.start();
    let line = "place --vcpus 2 --memory 4GiB --hosts kvm-0000 --claim";
    house.done(&format!("{line} --request-id a --count 4 --affinity app"));
    let promised = house.json("claims list");
    let uuids: Vec<&str> = promised["claims"]
        .as_array()
        .expect("claims")
        .iter()
        .filter_map(|one| one["uuid"].as_str())
        .collect();
    // Three are seen, one is only promised; one was never placed by anybody.
    let seen = uuids[..3].iter().map(|uuid| guest(uuid, "running")).chain([guest(OFF, "shut_off")]);
    fleet.set_guests(0, seen.collect());
    // A coordinator that starts asks for them.
    stop(daemon);
    let daemon = house.start();
    house.done(&format!("{line} --request-id b"));
    fleet.set(0, Manner::Gone).await;

    let plan = house.ask("place --evacuate kvm-0000");
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert!(plan.stdout.starts_with("6 of 6 instances would be placed"), "{}", plan.stdout);
    assert!(plan.stdout.contains(&format!("guest-{}", &OFF[..4])), "{}", plan.stdout);
    let fence = "does not stop the guests of kvm-0000: before you start them elsewhere make sure";
    assert!(plan.stderr.contains(fence), "{}", plan.stderr);

    let claim = "place --evacuate kvm-0000 --claim --request-id evacuation";
    let answer = json(&house, claim, 0);
    assert_eq!(answer["placed_count"], 6);
    assert!(answer["notes"][0].as_str().is_some_and(|note| note.contains(fence)), "{answer}");
    assert!(answer["notes"][1].as_str().is_some_and(|note| note.contains("has not answered")), "{answer}");
    let group: Vec<_> = hosts(&answer);
    assert!(!group.contains(&"kvm-0000".to_owned()), "{group:?}");
    let on = |uuid: &str| {
        let placements = answer["placements"].as_array().expect("placements");
        placements.iter().find(|one| one["uuid"] == uuid).map(|one| one["host"].clone())
    };
    assert!(uuids.iter().all(|uuid| on(uuid) == on(uuids[0]) && on(uuid).is_some()), "{answer}");
    assert_eq!(json(&house, claim, 0), answer, "sent again, although all have a claim by now");
    let again = json(&house, "place --evacuate kvm-0000 --claim --request-id other", 0);
    assert_eq!((hosts(&again).len(), &again["placed_count"]), (0, &0.into()));
    assert!(again["evacuated"][0]["elsewhere"].as_str().is_some(), "{again}");
    let claims = house.json(&format!("claims list --uuid {}", uuids[0]));
    assert_eq!(claims["claims"][1]["purpose"], "move");
    assert_eq!(claims["claims"][1]["groups"], serde_json::json!(["app"]));
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_kept_and_what_is_not_known_is_said() {
    let (fleet, house) = setup(3).await;
    let daemon = house.start();
    let rules = "{group: kv, policy: anti_affinity, topology_key: like, partition: a}, {group: db, policy: anti_affinity}";
    let text = format!("groups: [{{count: 1, vcpus: 1, memory: 1GiB, rules: [{rules}]}}]\n");
    fs::write(house.at("request.yaml"), text).expect("a request");
    let file = house.at("request.yaml").display().to_string();
    for (number, host) in ["kvm-0000", "kvm-0001"].iter().enumerate() {
        house.done(&format!("place --file {file} --claim --request-id r{number} --hosts {host}"));
    }
    fleet.set_guests(0, vec![Domain { virt_type: None, ..guest(UNREAD, "running") }]);
    stop(daemon);

    let daemon = house.start();
    house.done("place --vcpus 1 --memory 1GiB");
    fleet.set(0, Manner::Gone).await;
    let answer = json(&house, "place --evacuate kvm-0000 --claim", 1);
    assert_eq!(hosts(&answer), ["kvm-0002"], "where no member of db is: {answer}");
    assert_eq!(answer["refusals"][0]["uuids"], serde_json::json!([UNREAD]));
    assert_eq!(answer["refusals"][0]["summary"], "its definition could not be read");
    let shown = house.ask("place --evacuate kvm-0000");
    assert!(shown.stdout.contains("not placed: guest-7c1c: its definition"), "{}", shown.stdout);
    assert!(shown.stdout.contains("not placed again: "), "{}", shown.stdout);
    let least = house.ask("place --evacuate kvm-0000 --min-count 2");
    assert_eq!(least.code, 1, "{}", least.stdout);
    assert_eq!(house.ask("place --evacuate kvm-0009").code, 2);
    assert_eq!(house.ask("place --evacuate kvm-0000 --vcpus 2").code, 2);
    stop(daemon);

    let daemon = house.start();
    let shown = house.ask("place --evacuate kvm-0000");
    assert_eq!(shown.code, 1, "{}", shown.stderr);
    assert!(shown.stdout.contains("which guests kvm-0000 had is not known"), "{}", shown.stdout);
    let uuid = answer["placements"][0]["uuid"].as_str().expect("a UUID");
    house.done(&format!("claims release --uuid {uuid}"));
    let nothing = house.ask("place --evacuate kvm-0000");
    assert_eq!(nothing.code, 4, "{}", nothing.stdout);
    assert!(nothing.stderr.contains("what guests 'kvm-0000' has"), "{}", nothing.stderr);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_evacuated_in_thought() {
    let (fleet, house) = setup(3).await;
    fleet.set_guests(1, vec![guest(OFF, "running")]);
    let daemon = house.start();
    let directory = house.at("snapshots");
    fs::create_dir(&directory).expect("a directory");
    for host in ["kvm-0000", "kvm-0001", "kvm-0002"] {
        save(&house, host, &directory.join(format!("{host}.json")));
    }
    stop(daemon);
    let words = ["--snapshots", directory.to_str().expect("UTF-8"), "place", "--evacuate", "kvm-0001"];
    let ended = vmuster_tests::programs::vmuster(house.home.path(), &words);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("1 of 1 instance would be placed"), "{}", ended.stdout);
    assert!(ended.stderr.contains("fence it"), "{}", ended.stderr);
}

fn save(house: &House, host: &str, to: &Path) {
    fs::write(to, house.done(&format!("hosts show {host} -o json"))).expect("a snapshot");
}
