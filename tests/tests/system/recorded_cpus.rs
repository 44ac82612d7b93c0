//! Real CPUs as others recorded them, with libvirt's answers: what we make of them is what libvirt's own data says. They are
//! not part of the repository.

use std::{env, fs, path::PathBuf, process::Command};

use serde_json::Value;
use vmuster_tests::{
    fixtures::workspace,
    programs::{program, run},
    tools::say,
};

#[test]
fn features_are_what_libvirt_finds() {
    let default = || workspace().join("../shared/data");
    let directory = env::var_os("VMUSTER_SHARED_DATA").map_or_else(default, PathBuf::from).join("cpu");
    let Ok(entries) = fs::read_dir(&directory) else {
        say(&format!("skipped: no CPUs in {}; set VMUSTER_SHARED_DATA", directory.display()));
        return;
    };
    let mut compared = 0;
    for host in entries.map(|entry| entry.expect("an entry").path()) {
        let Ok(expected) = fs::read_to_string(host.join("expected.json")) else { continue };
        let expected: Value = serde_json::from_str(&expected).expect("JSON");
        let collected =
            run(Command::new(program("vmuster-agent")).args(["collect", "--recorded"]).arg(&host));
        assert_eq!(collected.code, 0, "{}", collected.stderr);
        let snapshot: Value = serde_json::from_str(&collected.stdout).expect("a snapshot");
        let cpu = &snapshot["inventory"]["cpu"];
        for (ours, theirs) in [
            (&cpu["cpuid_features"], &expected["cpuid_features"]),
            (&cpu["guest"]["features"], &expected["guest_features"]),
        ] {
            assert!(theirs.is_array());
            assert_eq!(ours, theirs, "{}", host.display());
        }
        let unknown = &cpu["guest"]["unrecognized_features"];
        assert_eq!(unknown, &Value::from(Vec::<Value>::new()), "{}", host.display());
        compared += 1;
    }
    assert!(compared > 0, "{} has no CPU", directory.display());
}
