//! What the units forbid their services, without booting anything: a golden list, systemd's own judgement, and that it
//! knows every word. `verify` only warns of a mistyped directive, which would then protect nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use vmuster_tests::{fixtures::workspace, programs::run, tools::are_there};

/// Where the units are.
pub fn units() -> PathBuf {
    workspace().join("systemd")
}

const AGENT: &str = "vmuster-agent.service";
const COORDINATOR: &str = "vmuster-coordinator.service";
const HYPERVISOR: &str = "vmuster-hypervisor.service";

/// What systemd 252 says of each at most, in tenths; the aim is 10. The coordinator's 1.4 are an allow-list of addresses
/// that only hosts.toml knows, peers' users and `socket_group`, each 0.2, see the unit; and the network, which is its task.
const EXPOSURE_MAX: [(&str, u32); 3] = [(AGENT, 9), (COORDINATOR, 14), (HYPERVISOR, 4)];

/// What every service has.
const EVERYWHERE: [(&str, &str); 25] = [
    ("AmbientCapabilities", ""),
    ("CapabilityBoundingSet", ""),
    ("DevicePolicy", "closed"),
    ("KeyringMode", "private"),
    ("LimitCORE", "0"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("NoNewPrivileges", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateMounts", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectSystem", "strict"),
    ("RemoveIPC", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallErrorNumber", "EPERM"),
    ("UMask", "0077"),
];

/// Wherein they differ: agent, coordinator, reader. The units say why.
const EACH: [(&str, [Option<&str>; 3]); 13] = [
    ("User", [Some("vmuster-agent"), Some("vmuster-coordinator"), Some("vmuster-hypervisor")]),
    ("Group", [Some("vmuster-agent"), Some("vmuster"), Some("vmuster-hypervisor")]),
    ("IPAddressDeny", [Some("any"), None, Some("any")]),
    ("MemoryMax", [Some("256M"), Some("2G"), Some("256M")]),
    ("PrivateNetwork", [None, None, Some("yes")]),
    ("PrivateTmp", [Some("no"), Some("yes"), Some("yes")]),
    ("PrivateUsers", [Some("yes"), Some("no"), Some("no")]),
    ("ProcSubset", [Some("all"), Some("pid"), Some("pid")]),
    ("ProtectHome", [Some("read-only"), Some("yes"), Some("yes")]),
    ("ReadWritePaths", [Some("/run/vmuster"), Some("/run/vmuster"), None]),
    ("RestrictAddressFamilies", [Some("AF_UNIX"), Some("AF_UNIX AF_INET AF_INET6"), Some("AF_UNIX")]),
    (
        "SystemCallFilter",
        [
            Some("@system-service, ~@privileged @resources"),
            Some("@system-service, ~@privileged @resources, @chown"),
            Some("@system-service, ~@privileged @resources"),
        ],
    ),
    ("TasksMax", [Some("64"), Some("1024"), Some("64")]),
];

/// Of [Service] what has to do with sandboxing and limits; a directive that is given more than once joined by commas.
fn directives(unit: &str) -> BTreeMap<String, String> {
    /// How it is started, and what is no protection.
    const OTHERS: [&str; 16] = [
        "CacheDirectory",
        "CacheDirectoryMode",
        "ExecReload",
        "ExecStart",
        "ExecStopPost",
        "LimitNOFILE",
        "Restart",
        "RestartSec",
        "StandardError",
        "StandardInput",
        "StandardOutput",
        "StartLimitIntervalSec",
        "StateDirectory",
        "StateDirectoryMode",
        "Type",
        "WantedBy",
    ];
    let text = fs::read_to_string(units().join(unit)).expect("a unit");
    let service =
        text.split("[Service]\n").nth(1).and_then(|rest| rest.split("\n[").next()).expect("[Service]");
    let mut found = BTreeMap::<String, String>::new();
    for line in service.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (key, value) = line.split_once('=').expect("key=value");
        if !OTHERS.contains(&key) {
            let values = found.entry(key.to_owned()).or_default();
            let comma = if values.is_empty() { "" } else { ", " };
            *values += &format!("{comma}{value}");
        }
    }
    found
}

#[test]
fn what_services_may_not_is_as_listed() {
    for (at, unit) in [AGENT, COORDINATOR, HYPERVISOR].into_iter().enumerate() {
        let everywhere = EVERYWHERE.iter().map(|(key, value)| (*key, *value));
        let own = EACH.iter().filter_map(|(key, values)| Some((*key, values[at]?)));
        let expected: BTreeMap<_, _> =
            everywhere.chain(own).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(directives(unit), expected, "{unit}");
    }
}

#[test]
fn systemd_finds_little_exposed() {
    if !are_there(&[("systemd-analyze", "systemd")]) {
        return;
    }
    for (unit, limit) in EXPOSURE_MAX {
        let judged = run(Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--no-pager", &format!("--threshold={limit}")])
            .arg(units().join(unit)));
        assert_eq!(judged.code, 0, "{unit}: {}{}", judged.stdout, judged.stderr);
    }
}

/// Without the programs in their places: those are missing here, and nothing else may be said. systemd_units.rs does it
/// with them.
#[test]
fn systemd_knows_every_word() {
    if !are_there(&[("systemd-analyze", "systemd")]) {
        return;
    }
    let complaints = |unit: &Path| {
        let said = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit));
        let missing = |line: &&str| line.contains("is not executable: No such file");
        said.stderr.lines().filter(|line| !missing(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    for unit in [AGENT, COORDINATOR, HYPERVISOR, "vmuster-hypervisor.socket"] {
        assert_eq!(complaints(&units().join(unit)), Vec::<String>::new(), "{unit}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mistyped = directory.path().join(AGENT);
    let text = fs::read_to_string(units().join(AGENT)).expect("a unit");
    fs::write(&mistyped, text.replace("ProtectClock=", "ProtectClocks=")).expect("a file");
    assert!(complaints(&mistyped).iter().any(|line| line.contains("Unknown key")), "the test sees typos");
}
