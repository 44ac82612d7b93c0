//! Rules of the house that no compiler knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use vmuster_tests::{
    fixtures::{host, host_names, workspace},
    programs::run,
};

/// A newcomer reads a file in one sitting.
const FILE_MAX_LINES: usize = 400;

fn tracked(suffixes: &[&str]) -> Vec<PathBuf> {
    let root = workspace();
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let (path, name) = (entry.path(), entry.file_name());
            let skipped = ["target", ".git", "hosts"].iter().any(|skip| name == *skip);
            if entry.file_type().expect("a type").is_dir() {
                // tests/fixtures/hosts is data; coordinator/src/hosts is not.
                if !skipped || path.ends_with("src/hosts") {
                    directories.push(path);
                }
            } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| suffixes.contains(&e)) {
                found.push(path.strip_prefix(&root).expect("below the root").to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(workspace().join(path)).expect("UTF-8")
}

#[test]
fn crates_know_only_whom_they_may() {
    let metadata = run(Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .current_dir(workspace())
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"]));
    let metadata: serde_json::Value = serde_json::from_str(&metadata.stdout).expect("cargo metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let edges = packages.iter().map(|package| {
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let inside = dependencies.filter_map(|d| d["name"].as_str()).filter(|name| names.contains(name));
        (package["name"].as_str().expect("a name"), inside.collect::<BTreeSet<_>>())
    });
    let allowed = BTreeMap::from([
        ("vmuster-proto", BTreeSet::new()),
        ("vmuster-agent", BTreeSet::from(["vmuster-proto"])),
        ("vmuster-hypervisor", BTreeSet::from(["vmuster-proto", "vmuster-agent"])),
        ("vmuster-coordinator", BTreeSet::from(["vmuster-proto"])),
        ("vmuster-cli", BTreeSet::from(["vmuster-proto", "vmuster-coordinator"])),
        ("vmuster-tests", BTreeSet::from(["vmuster-proto", "vmuster-coordinator", "vmuster-agent"])),
    ]);
    assert_eq!(edges.collect::<BTreeMap<_, _>>(), allowed);
}

#[test]
fn generated_types_stay_at_the_edges() {
    let may = |path: &Path| {
        path.starts_with("tests")
            || path.starts_with("proto")
            || path.starts_with("coordinator/src/service")
            || path.starts_with("coordinator/src/fetch")
            || path.starts_with("coordinator/cli/src/client")
            || [
                // Entries are protobuf: a conversion.
                "coordinator/src/cache/entry.rs",
                "coordinator/src/cache/entry_tests.rs",
                // The servers register the generated service.
                "coordinator/src/server.rs",
                "agent/src/server.rs",
                "agent/src/service.rs",
                // Questions to the reader process and its answers: a conversion.
                "agent/src/hypervisor/protocol.rs",
                "agent/src/hypervisor/protocol_tests.rs",
                "coordinator/cli/src/client.rs",
            ]
            .iter()
            .any(|allowed| path == Path::new(allowed))
    };
    let names_pb = |path: &PathBuf| {
        let text = text(path);
        ["pb::", "{pb,", " pb,", "proto::pb"].iter().any(|needle| text.contains(needle))
    };
    let strays: Vec<_> = tracked(&["rs"]).into_iter().filter(|path| !may(path) && names_pb(path)).collect();
    assert!(strays.is_empty(), "name generated protobuf types: {strays:?}");
    let model: Vec<_> =
        tracked(&["rs"]).into_iter().filter(|p| p.starts_with("proto/src/model") && names_pb(p)).collect();
    assert!(model.is_empty(), "the model knows the wire: {model:?}");
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for path in tracked(&["rs"]) {
        let lines = text(&path).lines().count();
        assert!(lines <= FILE_MAX_LINES, "{} has {lines} lines, limit {FILE_MAX_LINES}", path.display());
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8");
        assert!(
            !["util", "utils", "helper", "helpers", "common", "misc"].contains(&stem),
            "{}",
            path.display()
        );
    }
    for path in
        tracked(&["rs"]).iter().filter(|path| path.starts_with("agent") || path.starts_with("coordinator"))
    {
        assert!(text(path).starts_with("//!"), "{} does not say what it knows", path.display());
    }
}

#[test]
fn nothing_names_this_machine() {
    let paths = ["work", "root", "home"].map(|directory| format!("/{directory}/"));
    for path in tracked(&["rs", "toml", "sh", "md", "proto", "yml", "json"]) {
        let text = text(&path);
        // "/proc/self/root/" is no path of this machine.
        let starts = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '}');
        let named = paths.iter().find(|needle| text.match_indices(needle.as_str()).any(|(at, _)| starts(at)));
        assert!(named.is_none(), "{} names {named:?}", path.display());
    }
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    for path in tracked(&["md"]) {
        let directory = workspace().join(path.parent().expect("a file"));
        for target in text(&path).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://");
            assert!(elsewhere || directory.join(file).exists(), "{}: {target}", path.display());
        }
    }
}

#[test]
fn recorded_hosts_say_where_they_come_from_and_are_not_alike() {
    let names = host_names();
    assert!(names.len() >= 8, "{names:?}");
    let mut arches = BTreeSet::new();
    let (mut offline, mut hugepages) = (0, 0);
    for name in &names {
        let source = fs::read_to_string(host(name).join("SOURCE.md")).expect("SOURCE.md");
        assert!(source.contains("under TCG"), "{name}");
        let facts = fs::read_to_string(host(name).join("host.json")).expect("host.json");
        let facts: serde_json::Value = serde_json::from_str(&facts).expect("JSON");
        assert_eq!(facts["name"], name.as_str());
        arches.insert(facts["arch"].as_str().expect("an arch").to_owned());
        let read = |file: &str| fs::read_to_string(host(name).join(file)).expect(file).trim().to_owned();
        offline += usize::from(!read("sys/devices/system/cpu/offline").is_empty());
        hugepages += usize::from(
            read("proc/meminfo").lines().any(|l| l.starts_with("HugePages_Total:") && !l.ends_with(" 0")),
        );
    }
    assert_eq!(arches, BTreeSet::from(["aarch64".to_owned(), "x86_64".to_owned()]));
    assert!(offline > 0 && hugepages > 0);
}
