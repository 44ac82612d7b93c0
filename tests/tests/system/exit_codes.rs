//! Exit codes, by a table of whole commands.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::tempdir;
use vmuster_tests::{
    agents::TestAgent,
    coordinators::TestCoordinator,
    fixtures::host,
    programs::{Ended, isolated, program, run, vmuster},
};

/// A snapshot with just enough in it.
fn snapshot(directory: &Path, file: &str, name: &str, arch: &str, flags: &[&str]) -> String {
    let flags: Vec<_> = flags.iter().map(|flag| format!("{flag:?}")).collect();
    let text = format!(
        r#"{{"schema":"vmuster.v1","name":"{name}","inventory":{{"collected_at":"2026-01-01T00:00:00Z",
        "system":{{"arch":"{arch}"}},"cpu":{{"vendor":"V","host_flags":[{}]}}}},"issues":[]}}"#,
        flags.join(",")
    );
    let path = directory.join(file);
    fs::write(&path, text).expect("a snapshot");
    path.display().to_string()
}

struct Case<'a> {
    line: String,
    code: i32,
    stdout: &'a str,
    stderr: &'a str,
}

fn case<'a>(code: i32, line: impl Into<String>, stdout: &'a str, stderr: &'a str) -> Case<'a> {
    Case { line: line.into(), code, stdout, stderr }
}

fn check(home: &Path, cases: &[Case<'_>]) {
    for Case { line, code, stdout, stderr } in cases {
        // The snapshots here have kernels' flags only; the default layer has tests of its own.
        let layer: &[&str] =
            if line.contains("--layer") { &["flags"] } else { &["flags", "--layer", "host"] };
        let words = line.split_whitespace().collect::<Vec<_>>();
        let words: Vec<_> = words
            .split_inclusive(|word| *word == "flags")
            .flat_map(|part| match part {
                [before @ .., "flags"] => [before, layer].concat(),
                part => part.to_vec(),
            })
            .collect();
        let Ended { code: got, stdout: out, stderr: err } = vmuster(home, &words);
        assert_eq!(got, *code, "vmuster {line}\n{out}{err}");
        assert!(
            out.contains(stdout) && (out.is_empty() == stdout.is_empty()),
            "vmuster {line}\nstdout: {out}"
        );
        assert!(
            err.contains(stderr) && (err.is_empty() == stderr.is_empty()),
            "vmuster {line}\nstderr: {err}"
        );
    }
}

#[test]
fn of_questions_about_snapshots() {
    let home = tempdir().expect("a home");
    let at = |name: &str| home.path().join(name);
    let a = snapshot(home.path(), "a.json", "a", "x86_64", &["fpu", "sse"]);
    let b = snapshot(home.path(), "b.json", "b", "x86_64", &["fpu", "avx"]);
    let none = snapshot(home.path(), "none.json", "none", "x86_64", &["vmx"]);
    let arm = snapshot(home.path(), "arm.json", "arm", "aarch64", &["asimd"]);
    let twin = snapshot(home.path(), "twin.json", "a", "x86_64", &["fpu"]);
    let torn: PathBuf = at("torn.json");
    fs::write(&torn, &fs::read(&a).expect("written")[..60]).expect("torn");
    let torn = torn.display().to_string();
    let newer = at("newer.json");
    fs::write(&newer, fs::read_to_string(&a).expect("text").replace("vmuster.v1", "vmuster.v9"))
        .expect("newer");
    let newer = newer.display().to_string();
    fs::create_dir(at("empty")).expect("a directory");
    let empty = at("empty").display().to_string();
    let socket = format!("unix:{}", at("nobody.sock").display());
    check(
        home.path(),
        &[
            case(0, format!("--snapshots {a} {b} flags -o plain"), "fpu\n", ""),
            case(0, format!("flags -o plain --snapshots {a},{b}"), "fpu\n", ""),
            case(0, format!("--snapshots {a} --snapshots {b} hosts list -o plain"), "a\nb\n", ""),
            case(0, format!("--snapshots {a} {b} flags --exclude b -o plain"), "fpu\nsse\n", ""),
            case(0, format!("--snapshots {a} {b} flags --hosts b -o plain"), "avx\nfpu\n", ""),
            case(0, format!("--snapshots {a} {b} flags --why avx"), "avx", ""),
            case(2, format!("--snapshots {a} {b} flags --why av\u{202e}x"), "", "--why av?x: no flag has"),
            case(0, format!("--snapshots {a} {arm} flags --arch aarch64 -o plain"), "asimd\n", ""),
            case(1, format!("--snapshots {a} {none} flags -o plain"), "", ""),
            case(2, format!("--snapshots {a} {arm} flags -o plain"), "", "several architectures"),
            case(2, format!("--snapshots {a} {twin} flags"), "", "both snapshots of host 'a'"),
            case(2, format!("--snapshots {a} {torn} flags"), "", "torn.json is not a snapshot"),
            case(2, format!("--snapshots {newer} flags"), "", "vmuster.v9"),
            case(2, format!("--snapshots {empty} flags"), "", "no snapshot in"),
            case(2, format!("--snapshots {a}.gone flags"), "", "cannot read"),
            case(2, format!("--snapshots {a} flags --hosts x"), "", "no such host: x"),
            case(2, format!("--snapshots {a} flags --exclude x"), "", "no such host: x"),
            case(2, format!("--snapshots {a} flags --exclude a"), "", "no host matches"),
            case(2, format!("--snapshots {a} flags --arch s390x"), "", "no host in scope is s390x"),
            case(2, format!("--snapshots {a} flags --label zone=1"), "", "no host matches"),
            case(2, format!("--snapshots {a} --agents {socket} flags"), "", "exclude each other"),
            case(2, format!("--snapshots {a} flags --coordinator {socket}"), "", "exclude each other"),
            case(2, "--agents nowhere flags", "", "'nowhere' is not an address"),
            case(2, format!("--agents {socket},{socket} flags"), "", "listed twice"),
            case(2, format!("--snapshots {a} hosts refresh"), "", "cannot be asked again"),
            case(2, format!("--snapshots {a} hosts show x"), "", "no such host"),
            case(2, format!("--snapshots {a} flags --layer both"), "", "invalid value 'both'"),
            case(2, "", "", "Usage"),
            case(0, format!("--snapshots {a} {b} flags --why AVX2"), "AVX2", "no host has AVX2"),
            case(2, format!("--snapshots {a} flags --label z=1 --label z=2"), "", "two values of label 'z'"),
            case(2, format!("--snapshots {a} {b} hosts list --arch s390x"), "", "no host in scope is s390x"),
            case(2, format!("--snapshots {a} hosts show a -o plain"), "", "has no plain form"),
            case(2, format!("--snapshots {a} flags --max-age 500000000000years"), "", "is not a duration"),
            case(2, format!("--snapshots {a} flags --timeout soon"), "", "is not a duration"),
            case(0, format!("--snapshots {a} {b} flags --hosts B -o plain"), "avx\nfpu\n", ""),
            case(3, format!("--snapshots {a} hosts show a -o json --max-age 1h"), "\"stale\"", "a is stale"),
            case(3, format!("--snapshots {a} {b} flags -o plain --max-age 1h"), "fpu\n", "a is stale"),
            case(
                3,
                format!("--snapshots {a} {b} hosts list -o plain --max-age 0s"),
                "a\nb\n",
                "older than max-age",
            ),
            case(3, format!("--snapshots {a} {none} flags -o plain --max-age 1h"), "", "stale"),
            case(4, format!("--snapshots {a} flags -o plain --layer guest"), "", "--layer host"),
            case(4, format!("--coordinator {socket} flags"), "", "cannot connect to unix:"),
            case(4, format!("--agents {socket} flags -o plain"), "", "is missing"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_somebody_who_may_not_ask() {
    let home = tempdir().expect("a home");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("others may look");
    let agent = TestAgent::named("kvm-01", &host("nehalem-old"), home.path().join("a.sock")).await;
    let coordinator = TestCoordinator::start(home.path(), &[("kvm-01", &agent.address)]).await;
    let allowed =
        vmuster(home.path(), &["--coordinator", &coordinator.address, "hosts", "list", "-o", "plain"]);
    assert_eq!((allowed.code, allowed.stdout.as_str()), (0, "kvm-01\n"), "{}", allowed.stderr);

    // Root may open any socket, so a stranger must ask; elsewhere it is enough that nobody may.
    let ask = ["--coordinator", &coordinator.address, "flags"];
    let mut command = if rustix::process::geteuid().is_root() {
        // The program may lie where a stranger cannot reach it.
        let copy = home.path().join("vmuster");
        fs::copy(program("vmuster"), &copy).expect("a copy");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy).args(ask);
        command
    } else {
        let path = home.path().join("coordinator.sock");
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).expect("nobody may");
        let mut command = Command::new(program("vmuster"));
        command.args(ask);
        command
    };
    let denied = run(isolated(&mut command, home.path()));
    assert_eq!((denied.code, denied.stdout.as_str()), (5, ""), "{}", denied.stderr);
    assert!(denied.stderr.contains("not allowed to connect"), "{}", denied.stderr);
}

#[test]
fn of_daemons_that_cannot_start() {
    let home = tempdir().expect("a home");
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).expect("a configuration");
        path.display().to_string()
    };
    let typo = file("typo.toml", "lissten = []");
    let gone = file("gone.toml", "hosts_file = '/nonexistent/hosts.toml'");
    let group = file("group.toml", "socket_group = 'no such group'\nlisten = ['127.0.0.1:0']");
    let absent = home.path().join("absent").display().to_string();
    for (daemon, arguments, words) in [
        ("vmuster-agent", vec!["--config", &typo, "check-config"], "lissten"),
        ("vmuster-agent", vec!["--config", &absent, "serve"], "cannot read"),
        (
            "vmuster-agent",
            vec!["serve", "--listen", "0.0.0.0:0"],
            "refusing to listen on 0.0.0.0:0 without TLS",
        ),
        ("vmuster-agent", vec!["--recorded", &absent, "collect"], "absent"),
        ("vmuster-agent", vec!["--config", &group, "serve"], "no group 'no such group'"),
        ("vmuster-coordinator", vec!["--config", &typo, "serve"], "lissten"),
        ("vmuster-coordinator", vec!["--config", &gone, "check-config"], "cannot read the hosts file"),
        ("vmuster-coordinator", vec!["--config", &gone, "serve"], "cannot read the hosts file"),
    ] {
        let ended = run(Command::new(program(daemon)).args(&arguments));
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{daemon} {arguments:?}\n{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{daemon} {arguments:?}\n{}", ended.stderr);
    }
}
