//! What the commands print as JSON is described in docs/json.md: each key in the section of its schema, or in one that the
//! section leads to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;
use tempfile::tempdir;
use vmuster_tests::{
    fixtures::{host, workspace},
    fleet::{Fleet, Manner, Source},
    programs::{program, run, vmuster},
};

use crate::registry::{House, stop};

/// Keys of maps: names of hosts, CPUs, machine types, storage, weighers.
const MAPS: [&str; 10] = [
    "sole_blockers",
    "host_flags_not_on_all",
    "vulnerabilities",
    "machine_aliases",
    "machine_max_vcpus",
    "kvm_parameters",
    "labels",
    "disk_bytes",
    "candidates",
    "weights",
];

fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                if !MAPS.contains(&key.as_str()) {
                    keys(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

/// Sections by heading, the words of their code.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(workspace().join("docs/json.md")).expect("a document");
    let mut sections = BTreeMap::<String, BTreeSet<String>>::new();
    let mut heading = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.split(':').next().expect("a title").clone_into(&mut heading);
        }
        let code = line.split('`').skip(1).step_by(2);
        let words = code.flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        sections.entry(heading.clone()).or_default().extend(words.map(str::to_owned));
    }
    sections
}

fn snapshot(directory: &Path, name: &str, recorded: &Path) -> String {
    let collected = run(Command::new(program("vmuster-agent")).args(["collect", "--recorded"]).arg(recorded));
    assert_eq!(collected.code, 0, "{}", collected.stderr);
    let mut snapshot: Value = serde_json::from_str(&collected.stdout).expect("a snapshot");
    snapshot["name"] = Value::from(name);
    let file = directory.join(name).with_extension("json");
    fs::write(&file, snapshot.to_string()).expect("a file");
    file.display().to_string()
}

#[test]
fn every_key_is_described() {
    let home = tempdir().expect("a home");
    let guests = workspace().join("tests/fixtures/guests");
    let files = [
        snapshot(home.path(), "kvm", &guests.join("kvm")),
        snapshot(home.path(), "tcg", &guests.join("tcg")),
        snapshot(home.path(), "bare", &host("rome-2s")),
        snapshot(home.path(), "old", &host("nehalem-old")),
        snapshot(home.path(), "arm", &host("arm-n1")),
    ];
    let files = files.join(",");
    let sections = described();
    for (question, schema) in [
        ("flags", "vmuster.flags.v1"),
        ("flags --layer host --matrix", "vmuster.flags.v1"),
        ("flags --layer host --why avx2", "vmuster.flags.v1"),
        ("flags --layer host --what-if old", "vmuster.flags.v1"),
        ("flags --layer host --suggest", "vmuster.flags.v1"),
        ("flags diff kvm tcg", "vmuster.flags_diff.v1"),
        ("baseline", "vmuster.baseline.v1"),
        ("migrate check --domain aaa --from kvm", "vmuster.migration.v1"),
        ("hosts list", "vmuster.hosts.v1"),
        ("hosts show kvm", "vmuster.v1"),
    ] {
        let words = [vec!["--snapshots", &files], question.split(' ').collect(), vec!["-o", "json"]].concat();
        let answered = vmuster(home.path(), &words);
        let document: Value = serde_json::from_str(&answered.stdout)
            .unwrap_or_else(|error| panic!("{question}: {error}: {answered:?}"));
        is_described(&sections, question, schema, &document);
    }
}

fn is_described(
    sections: &BTreeMap<String, BTreeSet<String>>,
    question: &str,
    schema: &str,
    document: &Value,
) {
    assert_eq!(document["schema"], schema, "{question}");
    let mut printed = BTreeSet::new();
    keys(document, &mut printed);
    let own = sections.get(schema).unwrap_or_else(|| panic!("docs/json.md has no section {schema}"));
    // What they share: a standing; a group's facts; guests and CPU definitions of a snapshot.
    let shared = ["A host's standing", "vmuster.flags.v1", "vmuster.v1"].map(|title| &sections[title]);
    let missing: Vec<_> = printed
        .iter()
        .filter(|key| !own.contains(*key) && !shared.iter().any(|section| section.contains(*key)))
        .collect();
    assert!(missing.is_empty(), "{question}: docs/json.md does not describe {missing:?}");
    // A key that is never printed and is described as never absent would be wrong the other way round.
    assert!(printed.contains("schema"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_placement_is_described() {
    let fleet = Fleet::start(3, 11, vec![Source::with_hypervisor("rome-2s")]).await;
    fleet.set(2, Manner::Gone).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    let daemon = house.start();
    let uuid = "8c1f4ce1-1111-4222-8333-944444444444";
    let small = format!("place --uuid {uuid} --vcpus 1 --memory 1GiB --disk 1GiB --claim");
    let sections = described();
    let (place, capacity) = ("vmuster.place.v1", "vmuster.capacity.v1");
    let (hosts, label) = ("--hosts kvm-0000,kvm-0001", "--label zone=b --force-host kvm-0000");
    for (question, schema) in [
        (format!("{small} {hosts} --candidates 2 --explain"), place),
        (format!("{small} --move --exclude kvm-0000"), place),
        ("place --vcpus 1 --memory 999GiB --disk 9TiB --require vmx".to_owned(), place),
        ("place --vcpus 1 --memory 999GiB --disk 9TiB".to_owned(), place),
        (format!("place --vcpus 1 --memory 999GiB --ignore-capacity --claim {label}"), place),
        ("capacity --vcpus 1 --memory 1GiB --disk 1GiB".to_owned(), capacity),
        ("claims list".to_owned(), "vmuster.claims.v1"),
    ] {
        let answered = house.ask(&format!("{question} -o json"));
        let document: Value = serde_json::from_str(&answered.stdout)
            .unwrap_or_else(|error| panic!("{question}: {error}: {answered:?}"));
        is_described(&sections, &question, schema, &document);
    }
    stop(daemon);
}
