//! What libvirt says, captured by the real program: the same guests again, or without what tells their owner; and a
//! capture without libvirt where nobody answers.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::tempdir;
use vmuster_proto::model::Snapshot;
use vmuster_tests::{
    programs::{Ended, program, run},
    reader::serve_reader,
};

/// In the reader's answers or the definitions behind them.
const SECRETS: [&str; 7] = ["acme", "payroll", "7c9f57ce", "9f2c4c1e", "0b6e2c3a-1111", "cephmon", "/img"];

fn agent(config: &Path, arguments: &[&str]) -> Ended {
    let ended = run(Command::new(program("vmuster-agent")).arg("--config").arg(config).args(arguments));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended
}

fn collected(config: &Path, arguments: &[&str]) -> Snapshot {
    let arguments = [&["collect"], arguments].concat();
    serde_json::from_str(&agent(config, &arguments).stdout).expect("a snapshot")
}

/// What libvirt said; parameters of KVM are the kernel's, and this machine may have none.
fn of_libvirt(snapshot: &Snapshot) -> Value {
    let usage = snapshot.usage.clone().expect("usage");
    let guest = snapshot.inventory.cpu.as_ref().and_then(|cpu| cpu.guest.clone());
    json!({
        "guest": guest,
        "hypervisor": snapshot.inventory.hypervisor,
        "domains": usage.domains,
        "pools": usage.pools,
        "images": usage.images,
        "promised": usage.promised,
    })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Every file below a directory, its path before it.
fn contents(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    entries
        .flat_map(|entry| match entry.file_type().expect("a type") {
            kind if kind.is_dir() => contents(&entry.path()),
            _ => vec![format!(
                "{} {}",
                entry.file_name().display(),
                fs::read_to_string(entry.path()).expect("text")
            )],
        })
        .collect()
}

/// Without where on this machine things are: of these guests and pools there is nothing here to look at.
fn unplaced(mut said: Value) -> Value {
    for pool in said["pools"].as_array_mut().expect("pools") {
        pool.as_object_mut().expect("a pool").remove("mount_point");
    }
    for domain in said["domains"].as_array_mut().expect("domains") {
        for disk in domain["disks"].as_array_mut().into_iter().flatten() {
            disk.as_object_mut().expect("a disk").remove("shared_storage");
        }
    }
    said
}

#[test]
fn guests_are_the_same_again_or_tell_nothing_of_their_owner() {
    let directory = tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    serve_reader(&at("reader.sock"));
    let config = at("agent.toml");
    let socket = text(&at("reader.sock")).to_owned();
    fs::write(&config, format!("hypervisor_socket = \"{socket}\"\nimage_pools = [\"default\"]\n"))
        .expect("a file");
    let live = collected(&config, &[]);
    let (plain, redacted) = (at("plain"), at("redacted"));
    agent(&config, &["capture", text(&plain), "--no-redact"]);
    agent(&config, &["capture", text(&redacted)]);

    let said = of_libvirt(&live);
    assert_eq!(
        (&said["promised"]["domain_count"], &said["guest"]["model"]),
        (&json!(2), &json!("Skylake-Server"))
    );
    let again = collected(&config, &["--recorded", text(&plain)]);
    assert_eq!(unplaced(of_libvirt(&again)), unplaced(said.clone()));
    let asked_at = |snapshot: &Snapshot| snapshot.usage.clone().expect("usage").hypervisor_collected_at;
    assert!(asked_at(&again) >= asked_at(&live) && asked_at(&live).is_some());
    let plainly = contents(&plain.join("libvirt"));
    for secret in SECRETS {
        assert!(plainly.iter().any(|file| file.contains(secret)), "{secret} is not even in a plain capture");
        let leak = contents(&redacted.join("libvirt")).into_iter().find(|file| file.contains(secret));
        assert_eq!(leak, None, "{secret}");
    }
    let anywhere = [plainly, contents(&redacted.join("libvirt"))].concat();
    assert!(anywhere.iter().all(|file| !file.contains("hunter2")), "passwords are in no capture");
    let disguised = of_libvirt(&collected(&config, &["--recorded", text(&redacted)]));
    for key in ["guest", "hypervisor", "promised"] {
        assert_eq!(disguised[key], said[key], "{key}");
    }
    assert_ne!(disguised["domains"], said["domains"]);
    assert!(!at("escaped").exists() && !redacted.join("libvirt/../../escaped").exists());
}

#[test]
fn without_a_reader_there_is_no_libvirt_in_a_capture() {
    let directory = tempdir().expect("a directory");
    let config = directory.path().join("agent.toml");
    fs::write(&config, "hypervisor_socket = \"/nonexistent/reader.sock\"\n").expect("a file");
    let capture = directory.path().join("capture");
    let ended = agent(&config, &["capture", text(&capture)]);
    assert!(ended.stderr.contains("nothing of libvirt is captured"), "{}", ended.stderr);
    assert!(ended.stderr.contains("no reader listens at /nonexistent/reader.sock"), "{}", ended.stderr);
    assert!(!capture.join("libvirt").exists() && capture.join("proc/cpuinfo").exists());
}
