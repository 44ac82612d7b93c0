//! What went wrong last: in lists, under a progress bar, and gone when it is over.

use std::{fs, process::Command};

use serde_json::Value;
use vmuster_tests::{
    fixtures::workspace,
    fleet::{Fleet, Manner, Source},
    programs::{isolated, program, run},
    tools::leave_out,
};

use crate::registry::House;

async fn fleet_of(count: usize) -> (Fleet, House) {
    let fleet = Fleet::start(count, 13, vec![Source::recorded("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    (fleet, house)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refresh_shows_beside_fresh_facts_and_goes_with_a_success() {
    let (fleet, house) = fleet_of(3).await;
    let _daemon = house.start();
    assert!(!house.done("hosts list").contains("ERROR"), "nothing failed");
    fleet.set(1, Manner::Gone).await;
    for _ in 0..2 {
        assert_eq!(house.ask("hosts refresh --all").code, 3);
    }
    let table = house.done("hosts list");
    assert!(table.starts_with("HOST ") && table.contains("LAST ERROR\n"), "{table}");
    let line = table.lines().find(|line| line.starts_with("kvm-0001 ")).expect("it is there");
    assert!(line.contains(" fresh ") && line.contains("unreachable ") && line.ends_with(" x2"), "{line}");
    let hosts = house.json("hosts list")["hosts"].take();
    assert_eq!((&hosts[0]["last_failure"], &hosts[2]["last_failure"]), (&Value::Null, &Value::Null));
    let failure = hosts[1]["last_failure"].as_object().expect("the failure");
    assert_eq!((&failure["kind"], &failure["consecutive_count"]), (&"unreachable".into(), &2.into()));
    assert!(failure["detail"].as_str().expect("text").contains("cannot connect"), "{failure:?}");
    assert!(failure["failed_at"].as_str().expect("text") > hosts[1]["validated_at"].as_str().expect("text"));
    let documented = fs::read_to_string(workspace().join("docs/json.md")).expect("a document");
    let section = documented.split("\n## ").find(|section| section.starts_with("vmuster.hosts.v1"));
    let section = section.expect("the list's section");
    for key in failure.keys().map(String::as_str).chain(["last_failure", "issues"]) {
        assert!(section.contains(&format!("`{key}`")), "docs/json.md does not describe {key}");
    }

    fleet.set(1, Manner::Answers).await;
    assert_eq!(house.ask("hosts refresh --all").code, 0);
    assert!(!house.done("hosts list").contains("ERROR"));
    assert_eq!(house.json("hosts list")["hosts"][1]["last_failure"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_counts_failures_on_a_terminal_and_is_nowhere_else() {
    let (fleet, house) = fleet_of(4).await;
    fleet.set(2, Manner::Gone).await;
    let _daemon = house.start();
    let line = format!(
        "'{}' --coordinator unix:{} hosts refresh --all",
        program("vmuster").display(),
        house.at("c.sock").display()
    );
    let mut on_terminal = Command::new("script");
    on_terminal.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
    let shown = run(isolated(&mut on_terminal, house.home.path()));
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.stdout.contains("4/4 hosts, 1 failed"), "{shown:?}");
    let elsewhere = house.ask("hosts refresh --all");
    assert_eq!(elsewhere.code, 3);
    assert!(!elsewhere.stderr.contains("4/4"), "{}", elsewhere.stderr);
    assert_eq!(house.ask("hosts refresh kvm-0001 --all").code, 2, "all, or those named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_room_for_its_cache_answers_and_notes_it_once() {
    let (fleet, house) = fleet_of(2).await;
    let cache = house.at("cache");
    fs::create_dir_all(&cache).expect("a mount point");
    let agents = format!("{},{}", fleet.address(0), fleet.address(1));
    let script = format!(
        "mount -t tmpfs -o size=4k none {0} && head -c 4096 /dev/zero > {0}/full && exec {1} --agents {agents} hosts list",
        cache.display(),
        program("vmuster").display()
    );
    if run(Command::new("unshare").args(["--mount", "true"])).code != 0 {
        return leave_out("to mount a small file system takes root");
    }
    let mut command = Command::new("unshare");
    let ended = run(isolated(command.args(["--mount", "sh", "-c", &script]), house.home.path()));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 3, "{}", ended.stdout);
    let notes: Vec<_> = ended.stderr.lines().collect();
    assert!(notes.len() == 1 && notes[0].starts_with("note: cannot write "), "{notes:?}");
    assert!(notes[0].contains("No space left on device"), "{notes:?}");
}
