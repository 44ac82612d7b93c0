//! Baselines of real CPUs as others recorded them: what a libvirt makes of the definition is exactly what the hosts share.
//! The CPUs are not part of the repository.

use std::{collections::BTreeSet, env, fs, path::Path, path::PathBuf, process::Command};

use serde_json::{Value, json};
use tempfile::tempdir;
use vmuster_tests::{
    fixtures::workspace,
    programs::{program, run, vmuster},
    tools::say,
};

/// Where Debian's libvirt has what its models stand for.
const CPU_MAP: &str = "/usr/share/libvirt/cpu_map";

/// Values of an attribute of lines that hold `marker`, by a way of its own.
fn values(text: &str, marker: &str, attribute: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.contains(marker));
    let start = format!("{attribute}='");
    lines.filter_map(|line| Some(line.split_once(&start)?.1.split_once('\'')?.0.to_owned())).collect()
}

/// What the installed libvirt's files make of a definition.
fn expanded(xml: &str) -> BTreeSet<String> {
    let model = xml.split_once("<model fallback='forbid'>").expect("a model").1;
    let (model, _) = model.split_once("</model>").expect("its end");
    let file = Path::new(CPU_MAP).join(format!("x86_{model}.xml"));
    let map = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut features = values(&map, "<feature name=", "name");
    for removed in values(&map, "removed='yes'", "name") {
        features.remove(&removed);
    }
    features.extend(values(xml, "policy='require'", "name"));
    let disabled = values(xml, "policy='disable'", "name");
    features.difference(&disabled).cloned().collect()
}

fn snapshot(directory: &Path, host: &Path) -> String {
    let collected = run(Command::new(program("vmuster-agent")).args(["collect", "--recorded"]).arg(host));
    assert_eq!(collected.code, 0, "{}", collected.stderr);
    let file = directory.join(host.file_name().expect("a name")).with_extension("json");
    fs::write(&file, collected.stdout).expect("a file");
    file.display().to_string()
}

#[test]
fn a_baseline_expands_to_exactly_what_hosts_share() {
    let default = || workspace().join("../shared/data");
    let directory = env::var_os("VMUSTER_SHARED_DATA").map_or_else(default, PathBuf::from).join("cpu");
    let Ok(cases) = fs::read_to_string(directory.join("baselines.json")) else {
        say(&format!("skipped: no baselines in {}; set VMUSTER_SHARED_DATA", directory.display()));
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&cases).expect("JSON");
    assert!(!cases.is_empty(), "{} has no case", directory.display());
    for case in &cases {
        let home = tempdir().expect("a home");
        let hosts = case["hosts"].as_array().expect("hosts").iter();
        let snapshots: Vec<String> = hosts
            .map(|host| snapshot(home.path(), &directory.join(host.as_str().expect("a name"))))
            .collect();
        let snapshots = snapshots.join(",");
        // With libvirt's files, and with what the hosts tell of their own models alone.
        for map in [CPU_MAP, "/nonexistent"] {
            let words = ["--snapshots", &snapshots, "--cpu-map", map, "baseline", "-o", "json"];
            let answered = vmuster(home.path(), &words);
            assert_eq!(answered.code, 0, "{}: {}", case["name"], answered.stderr);
            let answer: Value = serde_json::from_str(&answered.stdout).expect("JSON");
            let one = &answer["baselines"][0];
            assert_eq!(one["features"], case["expected"], "{}", case["name"]);
            let xml = one["forms"]["libvirt_xml"].as_str().expect("a definition");
            assert_eq!(json!(expanded(xml)), case["expected"], "{} {map}: {xml}", case["name"]);
        }
    }
}
