//! A libvirt that hangs, dies, refuses or is not there costs its own sections and nothing else.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use vmuster_proto::model::{IssueKind, Snapshot, Usage};
use vmuster_tests::{
    private_libvirt::PrivateLibvirt,
    programs::{Signal, program, run, send},
    tools::are_there,
    waiting::until,
};

use super::{Host, OTHERWISE_MAX, about_guests, guest, hypervisor_program, kept};

const QUESTIONS: usize = 100;
const GUESTS: usize = 20;

/// A user without any right.
const NOBODY: u32 = 65534;

/// A reader that has asked libvirt everything: what is its own, and all of it (BLUEPRINT section 5).
const READER_OWN_MAX_KIB: u64 = 6 * 1024;
const READER_RESIDENT_MAX_KIB: u64 = 24 * 1024;

async fn timed<T>(asked: impl Future<Output = T>) -> (T, Duration) {
    let begin = Instant::now();
    let answer = asked.await;
    (answer, begin.elapsed())
}

fn names(usage: &Usage) -> Vec<&str> {
    usage.domains.iter().flatten().map(|domain| domain.name.as_str()).collect()
}

/// What is not of the hypervisor is all there.
fn rest_is_whole(usage: &Usage) {
    let parts = [usage.memory.is_some(), usage.filesystems.is_some(), usage.load.is_some()];
    assert_eq!(parts, [true; 3]);
}

#[tokio::test]
async fn a_hung_daemon_costs_its_sections_only() {
    let Some(mut host) = Host::start().await else { return };
    host.libvirt.domain("define", "kept", &guest("kept", "kvm", 64, 1, ""));
    let (healthy, _) = host.usage().await;
    let (inventory, _) = host.inventory().await;
    host.libvirt.signal(Signal::STOP);
    let ((usage, issues), took) = timed(host.usage()).await;
    assert!(took < OTHERWISE_MAX, "{took:?}");
    rest_is_whole(&usage);
    let about = about_guests(&issues);
    assert_eq!((about.len(), about[0].kind), (1, IssueKind::Timeout), "{about:?}");
    assert!(about[0].detail.contains("shown as it was at"), "{}", about[0].detail);
    assert_eq!(
        (names(&usage), usage.hypervisor_collected_at),
        (vec!["kept"], healthy.hypervisor_collected_at)
    );
    assert!(usage.hypervisor_collected_at < usage.collected_at);
    let ((stale, issues), took) = timed(host.inventory()).await;
    assert!(took < OTHERWISE_MAX, "{took:?}");
    assert_eq!(
        stale.fingerprint, inventory.fingerprint,
        "what guests can be given is not changed by silence"
    );
    assert!(about_guests(&issues).iter().all(|issue| issue.kind == IssueKind::Timeout), "{issues:?}");
    let (threads, begin) = (host.agent_threads(), Instant::now());
    for _ in 0..QUESTIONS {
        let ((usage, _), took) = timed(host.usage()).await;
        assert!(took < OTHERWISE_MAX && usage.domains.is_some(), "{took:?}");
        assert!(host.readers().len() <= 1, "{:?}", host.readers());
    }
    println!("{QUESTIONS} questions beside a hung libvirt: {:?}", begin.elapsed());
    assert!(host.agent_threads() <= threads, "{} threads, {threads} before", host.agent_threads());
    host.libvirt.signal(Signal::CONT);
    well_again(&mut host).await;
}

/// Everything is answered again, by itself.
async fn well_again(host: &mut Host) {
    until("libvirt's answers are back", async || {
        let (usage, issues) = host.usage().await;
        rest_is_whole(&usage);
        about_guests(&issues).is_empty() && names(&usage) == ["kept"]
    })
    .await;
    let (inventory, issues) = host.inventory().await;
    assert!(about_guests(&issues).is_empty(), "{issues:?}");
    assert!(inventory.cpu.and_then(|cpu| cpu.guest.clone()).and_then(|guest| guest.features).is_some());
}

#[tokio::test]
async fn killed_daemons_and_readers_are_replaced() {
    let Some(mut host) = Host::start().await else { return };
    host.libvirt.domain("define", "kept", &guest("kept", "kvm", 64, 1, ""));
    well_again(&mut host).await;
    for _ in 0..3 {
        let [reader] = host.readers()[..] else { panic!("one reader: {:?}", host.readers()) };
        send(reader, Signal::KILL);
        well_again(&mut host).await;
        assert_ne!(host.readers(), [reader]);
    }
    host.libvirt.signal(Signal::KILL);
    let ((usage, issues), took) = timed(host.usage()).await;
    assert!(took < OTHERWISE_MAX, "{took:?}");
    rest_is_whole(&usage);
    assert_eq!(names(&usage), ["kept"], "as it was last");
    let about = about_guests(&issues);
    assert!(about.iter().all(|issue| issue.kind == IssueKind::Missing), "{about:?}");
    assert!(about[0].detail.contains("systemctl start"), "{}", about[0].detail);
    host.libvirt.restart().await;
    well_again(&mut host).await;
}

/// What a user outside libvirt's group meets: a socket it may not open, or one where nobody authorizes it.
#[tokio::test]
async fn who_may_only_read_is_told_the_cure() {
    for settings in [
        ["unix_sock_rw_perms = \"0700\"", "unix_sock_ro_perms = \"0777\""],
        ["unix_sock_rw_perms = \"0777\"", "auth_unix_rw = \"polkit\""],
    ] {
        let Some(libvirt) = PrivateLibvirt::start_with(kept(), &settings).await else { return };
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(libvirt.path(""), open).expect("it is ours");
        let mut host = Host::on(libvirt, "2min", Some(NOBODY)).await;
        let (inventory, issues) = host.inventory().await;
        assert!(inventory.memory.is_some() && inventory.numa.is_some());
        let about = about_guests(&issues);
        let told: Vec<_> = about.iter().map(|issue| (issue.kind, issue.section.as_str())).collect();
        assert_eq!(told, [(IssueKind::Denied, "cpu.guest")], "{settings:?}: {about:?}");
        assert!(about[0].detail.contains("usermod -aG libvirt vmuster-hypervisor"), "{}", about[0].detail);
        assert!(!inventory.hypervisor.expect("who may read sees versions").machine_types.is_empty());
        let (usage, issues) = host.usage().await;
        assert_eq!(about_guests(&issues).len(), 0, "{issues:?}");
        assert_eq!(usage.promised.map(|promised| promised.domain_count), Some(0));
    }
}

/// Modular daemons and monolithic ones listen under other names; a reader finds either.
#[tokio::test]
async fn the_daemon_is_found_by_either_name() {
    let Some(libvirt) = PrivateLibvirt::start(kept()).await else { return };
    let check = |more: &str| {
        let line = format!(
            "mkdir -p /run/libvirt && mount -t tmpfs none /run/libvirt{more} && exec {} check",
            hypervisor_program()
        );
        run(Command::new("unshare").args(["--mount", "sh", "-c", &line]))
    };
    for name in ["virtqemud-sock", "libvirt-sock"] {
        let checked = check(&format!(" && ln -s {} /run/libvirt/{name}", libvirt.socket().display()));
        assert_eq!(checked.code, 0, "{name}: {}{}", checked.stdout, checked.stderr);
    }
    let checked = check("");
    assert_eq!(checked.code, 1);
    let cure = "systemctl start virtqemud.socket, or libvirtd.socket";
    assert!(checked.stderr.contains(cure), "{}", checked.stderr);
}

/// Whoever else can open the socket is told no by the reader itself.
#[tokio::test]
async fn strangers_questions_are_refused() {
    let Some(host) = Host::start().await else { return };
    let (directory, socket) = (host.libvirt.path(""), host.libvirt.path("reader/sock"));
    for (path, mode) in [(&directory, 0o755), (&socket, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    let agent = host.libvirt.path("vmuster-agent");
    fs::copy(program("vmuster-agent"), &agent).expect("a copy");
    let stranger = run(Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
        .arg(&agent)
        .arg("--config")
        .arg(host.libvirt.path("agent.toml"))
        .arg("collect"));
    let snapshot: Snapshot = serde_json::from_str(&stranger.stdout).expect("a snapshot");
    let about = about_guests(&snapshot.issues);
    assert!(about.iter().all(|issue| issue.kind == IssueKind::Denied), "{about:?}");
    assert!(about[0].detail.contains("user id 65534 may not ask"), "{about:?}");
    assert_eq!(snapshot.usage.and_then(|usage| usage.domains), None);
}

#[tokio::test]
async fn readers_end_when_nobody_asks() {
    let Some(libvirt) = PrivateLibvirt::start(kept()).await else { return };
    let mut host = Host::on(libvirt, "300ms", None).await;
    host.libvirt.domain("define", "kept", &guest("kept", "kvm", 64, 1, ""));
    well_again(&mut host).await;
    until("the reader ends", async || host.readers().is_empty()).await;
    let ((_, issues), took) = timed(host.usage()).await;
    assert!(about_guests(&issues).is_empty(), "{issues:?}");
    println!("a question that starts a reader: {took:?}");
}

/// Three calls for all guests: what is known of all, disks of those that run, disks of the others. One more for each
/// definition, but only the first time. `check` asks twice.
fn asks_for_all_guests_at_once(host: &Host) {
    let mut command = Command::new(hypervisor_program());
    command.arg("--libvirt-socket").arg(host.libvirt.socket()).arg("check");
    let log = run(command.env("VMUSTER_LOG", "vmuster_hypervisor=debug")).stderr;
    let calls = |name: &str| log.matches(&format!("call=\"{name}\"")).count();
    assert_eq!((calls("virConnectGetAllDomainStats"), calls("virDomainGetXMLDesc")), (6, GUESTS), "{log}");
}

#[tokio::test]
async fn a_reader_stays_small_and_frees_what_it_takes() {
    let Some(mut host) = Host::start().await else { return };
    for place in 0..GUESTS {
        let name = format!("guest-{place}");
        host.libvirt.domain("define", &name, &guest(&name, "kvm", 64, 1, ""));
    }
    host.inventory().await;
    for _ in 0..QUESTIONS {
        host.usage().await;
    }
    asks_for_all_guests_at_once(&host);
    let [reader] = host.readers()[..] else { panic!("one reader") };
    let status = fs::read_to_string(format!("/proc/{reader}/status")).expect("it runs");
    let kib = |key: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(key)).expect(key);
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect(key)
    };
    println!("a reader: RssAnon {} KiB, VmRSS {} KiB", kib("RssAnon:"), kib("VmRSS:"));
    assert!(kib("RssAnon:") <= READER_OWN_MAX_KIB, "{status}");
    // An unoptimized program has more pages of its own than users get.
    assert!(cfg!(debug_assertions) || kib("VmRSS:") <= READER_RESIDENT_MAX_KIB, "{status}");
    if !are_there(&[("valgrind", "valgrind")]) {
        return;
    }
    let socket = host.libvirt.socket().display().to_string();
    let checked = run(Command::new("valgrind")
        .args([
            "--quiet",
            "--leak-check=full",
            "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite",
        ])
        .args(["--error-exitcode=99", &hypervisor_program(), "--libvirt-socket", &socket, "check"]));
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("domains: 20, disks of stopped ones: 0, pools: 0"), "{}", checked.stdout);
}
