//! What `vmuster-agent capture` writes: the same host again, and without secrets unless told otherwise. And a recorded
//! host, whoever made it, shows nothing of the machine that reads it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::tempdir;
use vmuster_proto::model::{Issue, Snapshot};
use vmuster_tests::{
    fixtures::copy_host,
    programs::{Ended, program, run},
};

/// How often the host may change while it is captured (a link that comes up, a clock that is set).
const ATTEMPTS_MAX: usize = 5;

/// Shortest host name that a capture replaces within texts.
const NAME_MIN_BYTES: usize = 4;

fn agent(arguments: &[&str]) -> Ended {
    run(Command::new(program("vmuster-agent")).args(arguments))
}

fn snapshot_by(command: &mut Command) -> Snapshot {
    let ended = run(command);
    assert_eq!(ended.code, 0, "{command:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("a snapshot")
}

fn recorded(directory: &Path) -> Snapshot {
    snapshot_by(Command::new(program("vmuster-agent")).arg("--recorded").arg(directory).arg("collect"))
}

/// The inventory as JSON, without what is another at each collection.
fn inventory(snapshot: &Snapshot) -> Value {
    let mut inventory = serde_json::to_value(&snapshot.inventory).expect("JSON");
    inventory.as_object_mut().expect("an object").remove("collected_at");
    inventory
}

fn issues(snapshot: &Snapshot) -> Vec<&Issue> {
    snapshot.issues.iter().filter(|issue| is_of_files(issue)).collect()
}

/// Usage is another each time, and that nobody answers for libvirt is another issue than that it is not recorded; guests
/// have tests of their own (captures_of_guests.rs).
fn is_of_files(issue: &Issue) -> bool {
    let of_libvirt = ["cpu.guest", "hypervisor"].contains(&issue.section.as_str());
    !issue.section.starts_with("usage") && !of_libvirt
}

/// Runs the agent as this host, or as one whose name is long enough to be told from other text, where that is allowed.
struct Machine(Vec<String>);

impl Machine {
    fn new() -> Self {
        let renamed = r#"echo vmuster-capture-test > /proc/sys/kernel/hostname && exec "$@""#;
        let prefix: Vec<String> = ["unshare", "--uts", "sh", "-c", renamed, "sh"].map(str::to_owned).to_vec();
        let allowed = Command::new(&prefix[0]).args(&prefix[1..]).arg("true").output();
        Self(if allowed.is_ok_and(|it| it.status.success()) { prefix } else { vec!["env".to_owned()] })
    }

    fn agent(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).arg(program("vmuster-agent"));
        command
    }
}

/// Live snapshots before and after captures, which agree with each other.
fn captured(machine: &Machine, directory: &Path) -> (Snapshot, PathBuf, PathBuf) {
    for attempt in 0..ATTEMPTS_MAX {
        let [plain, redacted] = ["plain", "redacted"].map(|name| directory.join(format!("{name}{attempt}")));
        let before = snapshot_by(machine.agent().arg("collect"));
        for command in [
            machine.agent().arg("capture").arg(&plain).arg("--no-redact"),
            machine.agent().arg("capture").arg(&redacted),
        ] {
            let ended = run(command);
            assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
        }
        let after = snapshot_by(machine.agent().arg("collect"));
        if inventory(&before) == inventory(&after) && issues(&before) == issues(&after) {
            return (before, plain, redacted);
        }
    }
    panic!("this host changes all the time");
}

/// What tells one machine from others, by its name.
fn secrets(snapshot: &Snapshot) -> BTreeSet<(&'static str, String)> {
    let inventory = &snapshot.inventory;
    let system = inventory.system.clone().unwrap_or_default();
    let mut secrets = BTreeSet::new();
    let mut add = |what: &'static str, secret: Option<&String>| {
        let secret = secret.filter(|it| !it.chars().all(|c| !c.is_alphanumeric() || c == '0'));
        secrets.extend(secret.map(|secret| (what, secret.clone())));
    };
    add("boot id", system.boot_id.as_ref());
    add("machine-id", system.machine_id.as_ref());
    add("serial number", system.product_serial.as_ref());
    add("UUID", system.product_uuid.as_ref());
    add("host name", system.hostname.as_ref().filter(|name| name.len() >= NAME_MIN_BYTES));
    for disk in inventory.disks.iter().flatten() {
        add("serial number", disk.serial.as_ref());
        add("world-wide name", disk.wwn.as_ref());
    }
    for nic in inventory.nics.iter().flatten() {
        add("MAC", nic.mac.as_ref());
    }
    secrets
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    entries
        .flat_map(|entry| match entry.file_type().expect("a type") {
            kind if kind.is_dir() => files_below(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect()
}

/// What a file, or the target of a link, and its path hold.
fn holds(path: &Path, text: &str) -> bool {
    let bytes = match fs::read_link(path) {
        Ok(target) => target.into_os_string().into_encoded_bytes(),
        Err(_) => fs::read(path).expect("a file"),
    };
    let within =
        |bytes: &[u8]| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
    within(&bytes) || within(path.as_os_str().as_encoded_bytes())
}

/// Without what a redacted capture changes.
fn without_secrets(snapshot: &Snapshot) -> Value {
    let mut snapshot = snapshot.clone();
    snapshot.name.clear();
    snapshot.inventory.fingerprint.clear();
    snapshot.inventory.collected_at = None;
    // Two captures of one machine: its load is another.
    snapshot.usage = None;
    snapshot.issues.retain(is_of_files);
    if let Some(system) = &mut snapshot.inventory.system {
        (system.boot_id, system.machine_id, system.hostname) = (None, None, None);
        (system.product_serial, system.product_uuid) = (None, None);
    }
    for disk in snapshot.inventory.disks.iter_mut().flatten() {
        (disk.serial, disk.wwn) = (None, None);
    }
    for nic in snapshot.inventory.nics.iter_mut().flatten() {
        nic.mac = None;
    }
    serde_json::to_value(snapshot).expect("JSON")
}

#[test]
fn a_capture_is_the_same_host_and_a_redacted_one_has_no_secrets() {
    let directory = tempdir().expect("a directory");
    let machine = Machine::new();
    let (live, plain, redacted) = captured(&machine, directory.path());

    let again = recorded(&plain);
    assert_eq!(inventory(&again), inventory(&live));
    assert_eq!(issues(&again), issues(&live));
    assert_eq!(again.name, live.name);
    let mount_points = |snapshot: &Snapshot| -> Vec<String> {
        let usage = snapshot.usage.clone().expect("usage");
        let filesystems = usage.filesystems.expect("file systems").into_iter();
        filesystems.map(|it| format!("{} {:?} {:?}", it.mount_point, it.source, it.size_bytes)).collect()
    };
    assert_eq!(mount_points(&again), mount_points(&live));

    let secrets = secrets(&live);
    assert!(secrets.iter().any(|(what, _)| *what == "boot id"), "there is something to find: {secrets:?}");
    let plain_files = files_below(&plain);
    for (what, secret) in &secrets {
        assert!(
            plain_files.iter().any(|file| holds(file, secret)),
            "{what} {secret} is not even in a plain capture"
        );
        let leak = files_below(&redacted).into_iter().find(|file| holds(file, secret));
        assert_eq!(leak, None, "{what} {secret}");
    }
    let disguised = recorded(&redacted);
    assert_eq!(without_secrets(&disguised), without_secrets(&live));
    let names = |snapshot: &Snapshot| {
        (snapshot.name.clone(), snapshot.inventory.system.as_ref().and_then(|it| it.hostname.clone()))
    };
    assert_ne!(names(&disguised).0, names(&live).0);
    assert_ne!(names(&disguised).1, names(&live).1);
}

#[test]
fn a_capture_overwrites_nothing() {
    let directory = tempdir().expect("a directory");
    let at = directory.path().to_str().expect("UTF-8");
    fs::write(directory.path().join("mine"), "precious").expect("a file");
    let ended = agent(&["capture", at]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("not empty: name a directory that is new"), "{}", ended.stderr);
    assert_eq!(files_below(directory.path()), [directory.path().join("mine")]);
    assert_eq!(fs::read_to_string(directory.path().join("mine")).expect("it is there"), "precious");

    let host = vmuster_tests::fixtures::host("skylake-smt");
    let new = format!("{at}/new");
    let ended = agent(&["--recorded", host.to_str().expect("UTF-8"), "capture", &new]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("leave --recorded out"), "{}", ended.stderr);
    assert!(!Path::new(&new).exists());
}

/// Stands in each file outside; a number, for that is all that some of them tell.
const MARKER: &str = "7770777";

/// Files of a recorded host, and what would be told if they were read.
const OUTSIDE: [(&str, &str); 6] = [
    (
        "proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: 7770777\nmodel name\t: 7770777\nmicrocode\t: 7770777\nflags\t: f7770777\n",
    ),
    ("sys/class/dmi/id", "7770777\n"),
    ("sys/bus/pci/devices/0000:00:00.0", "0x7770777\n"),
    (
        "statvfs.json",
        r#"{"/":{"f_frsize":1,"f_blocks":7770777,"f_bfree":1,"f_bavail":1,"f_files":1,"f_ffree":1}}"#,
    ),
    ("host.json", r#"{"name":"n7770777","arch":"x86_64","kernel_release":"7770777"}"#),
    ("usr/share/misc/pci.ids", "8086  7770777\n"),
];

/// Files of the directories among them.
const IN_DIRECTORIES: [&str; 8] =
    ["sys_vendor", "product_name", "vendor", "device", "class", "revision", "uevent", "product_version"];

/// Puts something else in a place of a host.
fn replace(host: &Path, place: &str, put: &dyn Fn(&Path)) {
    let whole = host.join(place);
    fs::create_dir_all(whole.parent().expect("a parent")).expect("a directory");
    match fs::symlink_metadata(&whole) {
        Ok(it) if it.is_dir() => fs::remove_dir_all(&whole).expect("a directory"),
        Ok(_) => fs::remove_file(&whole).expect("a file"),
        Err(_) => {}
    }
    put(&whole);
}

/// Writes what must not be told.
fn write_outside(path: &Path, place: &str, content: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    if place.starts_with("sys/") {
        fs::create_dir_all(path).expect("a directory");
        for name in IN_DIRECTORIES {
            fs::write(path.join(name), content).expect("a file");
        }
    } else {
        fs::write(path, content).expect("a file");
    }
}

#[test]
fn a_recorded_host_shows_nothing_outside_of_it() {
    let directory = tempdir().expect("a directory");
    let (host, outside) = (directory.path().join("host"), directory.path().join("outside"));
    let answer = |host: &Path| {
        let ended = agent(&["--recorded", host.to_str().expect("UTF-8"), "collect"]);
        ended.stdout + &ended.stderr
    };
    for (place, content) in OUTSIDE {
        let target = outside.join(place);
        write_outside(&target, place, content);
        drop(fs::remove_dir_all(&host));
        copy_host("skylake-smt", &host);
        // Its own file systems are all in memory, and would not be asked for.
        fs::write(host.join("proc/1/mountinfo"), "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n").expect("a file");
        replace(&host, place, &|whole| write_outside(whole, place, content));
        assert!(answer(&host).contains(MARKER), "{place}: it would be told if it were inside");
        let up = "../".repeat(place.split('/').count());
        let far_up = "../".repeat(40);
        let absolute = target.to_str().expect("UTF-8");
        for link in [
            absolute.to_owned(),
            format!("{up}outside/{place}"),
            format!("{far_up}{}", absolute.trim_start_matches('/')),
            format!("/proc/self/root{absolute}"),
            format!("{far_up}proc/self/root{absolute}"),
            format!("/proc/self/cwd/{far_up}{}", absolute.trim_start_matches('/')),
        ] {
            replace(&host, place, &|whole| symlink(&link, whole).expect("a link"));
            let told = answer(&host);
            assert!(told.contains("\"schema\""), "{place} -> {link}: {told}");
            assert!(!told.contains(MARKER), "{place} -> {link}: {told}");
        }
    }
}
