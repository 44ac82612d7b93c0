//! Nominated hosts through a real coordinator: who waits for a guest to leave gets its host, and no other.

use std::fs;

use serde_json::Value;
use vmuster_proto::model::{Bytes, Domain};
use vmuster_tests::{
    fleet::{Fleet, Source},
    metrics::scrape,
};

use crate::registry::{House, stop};

const LEAVING: [&str; 2] = ["8c1f4ce1-1111-4222-8333-944444444444", "8c1f4ce1-1111-4222-8333-955555555555"];

fn guest(uuid: &str) -> Domain {
    Domain {
        uuid: uuid.to_owned(),
        name: format!("guest-{}", &uuid[24..]),
        vcpus_max: Some(200),
        memory_max_bytes: Some(Bytes(1 << 30)),
        ..Domain::default()
    }
}

/// Two hosts of 256 vCPUs each, of which a guest has 200.
async fn setup() -> (Fleet, House) {
    let fleet = Fleet::start(2, 13, vec![Source::with_hypervisor("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    (0..2).for_each(|host| fleet.set_guests(host, vec![guest(LEAVING[host])]));
    (fleet, house)
}

/// What is answered to one who is refused now.
fn refused(house: &House, line: &str) -> Value {
    let ended = house.ask(&format!("{line} -o json"));
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn hosts<'a>(answer: &'a Value, list: &str) -> Vec<&'a str> {
    let all = answer[list].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().map(|one| one["host"].as_str().expect("a host")).collect()
}

fn hints(house: &House, answer: &Value) -> String {
    fs::write(house.at("hints.json"), answer.to_string()).expect("the answer");
    format!("--hints {}", house.at("hints.json").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_makes_room_for_whom_it_was_said_to() {
    let (fleet, house) = setup().await;
    let daemon = house.start();
    let line = "place --vcpus 60 --memory 1GiB --claim";
    assert_eq!(hosts(&refused(&house, &format!("{line} --request-id r0")), "nominations"), [""; 0]);
    let releasing = format!("--releasing {}", LEAVING[1]);
    let answer = refused(&house, &format!("{line} --request-id r1 {releasing}"));
    assert_eq!((&answer["granted"], &answer["claimed"]), (&false.into(), &false.into()));
    assert_eq!(hosts(&answer, "nominations"), ["kvm-0001"]);
    assert_eq!(answer["leaving"], serde_json::json!([{"host": "kvm-0001", "uuids": [LEAVING[1]]}]));
    assert_eq!(house.done("claims list -o plain"), "", "nothing is held");
    let table = house.ask(&format!("{line} --request-id r2 {releasing}")).stdout;
    assert!(table.contains("NOMINATED") && table.contains("kvm-0001"), "{table}");

    // Too early: asked anew, it is there as before.
    let hints = hints(&house, &answer);
    let early = refused(&house, &format!("{line} --request-id r3 {releasing} {hints}"));
    assert_eq!(
        (hosts(&early, "nominations"), &early["stale_hints"][0]["problem"]),
        (vec!["kvm-0001"], &"no_room".into())
    );

    // It has left, and usage of before that is still young.
    fleet.set_guests(1, Vec::new());
    let again = format!("{line} --request-id r4 {hints}");
    let claimed = house.json(&again);
    assert_eq!((hosts(&claimed, "placements"), &claimed["hints_used"]), (vec!["kvm-0001"], &true.into()));
    assert_eq!(claimed["placements"][0]["uuid"], answer["nominations"][0]["uuid"]);
    assert_eq!(house.done("claims list -o plain").lines().count(), 1);
    assert_eq!(house.json(&again), claimed, "the same request has the same answer");
    let counted = scrape(&house.at("m.sock"));
    assert_eq!(counted.value("vmuster_placement_hints_total{result=\"used\"}"), 1.0);
    assert_eq!(counted.value("vmuster_placement_hints_total{result=\"stale\"}"), 1.0);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gang_waits_for_all_and_a_host_that_was_started_again_is_another() {
    let (fleet, house) = setup().await;
    let daemon = house.start();
    let line = "place --vcpus 60 --memory 1GiB --count 5";
    let answer = refused(&house, &format!("{line} --releasing {}", LEAVING.join(",")));
    assert_eq!(hosts(&answer, "nominations").len(), 5);
    let hints = hints(&house, &answer);
    fleet.set_guests(0, Vec::new());
    let partly = refused(&house, &format!("{line} --claim --request-id r1 {hints}"));
    assert_eq!(hosts(&partly, "stale_hints").len(), 5, "{partly}");
    assert_eq!(house.done("claims list -o plain"), "");
    fleet.set_guests(1, Vec::new());
    let claimed = house.json(&format!("{line} --claim --request-id r2 {hints}"));
    assert_eq!(hosts(&claimed, "placements"), hosts(&answer, "nominations"));
    assert_eq!(claimed["hints_used"], true);
    house.done("claims release c0 c1 c2 c3 c4");
    stop(daemon);

    (0..2).for_each(|host| fleet.reboot(host));
    let daemon = house.start();
    house.done("hosts refresh");
    let elsewhere = house.ask(&format!("{line} {hints}"));
    assert_eq!(elsewhere.code, 0, "{}", elsewhere.stderr);
    assert!(elsewhere.stderr.contains("was started again"), "{}", elsewhere.stderr);
    stop(daemon);
}
