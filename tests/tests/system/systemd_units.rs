//! The units as shipped: what systemd says of them, and a real systemd that runs them and asks `vmuster flags`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use vmuster_proto::libvirt::cpu;
use vmuster_tests::{
    programs::{Ended, program},
    systemd_box::SystemdBox,
    tools::say,
    waiting::until,
};

use crate::systemd_hardening::units;

/// What is promised of an agent that was killed: RestartSec, and the time to start.
const BACK_AFTER_KILL_MAX: Duration = Duration::from_secs(5);

/// How long the socket of a reader that cannot start is watched, and how often it may be tried in that time.
const FAILING_READER_WATCHED: Duration = Duration::from_secs(3);
const FAILING_READER_STARTS_MAX: usize = 5;

/// As a package would: files under /usr, users, directories. The box ends with its test.
struct Installed(SystemdBox);

impl Installed {
    async fn boot() -> Option<Self> {
        let booted = SystemdBox::boot(Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
        for name in ["vmuster", "vmuster-agent", "vmuster-coordinator"] {
            fs::copy(program(name), booted.at("usr/bin").join(name)).expect("a program");
        }
        let reader = booted.at("usr/libexec/vmuster/vmuster-hypervisor");
        fs::create_dir_all(reader.parent().expect("a directory")).expect("a directory");
        fs::copy(program("vmuster-hypervisor"), reader).expect("a program");
        for (directory, to) in [
            ("", "usr/lib/systemd/system"),
            ("sysusers.d", "usr/lib/sysusers.d"),
            ("tmpfiles.d", "usr/lib/tmpfiles.d"),
        ] {
            for entry in fs::read_dir(units().join(directory)).expect("a directory") {
                let file = entry.expect("an entry").path();
                if file.is_file() {
                    fs::copy(&file, booted.at(to).join(file.file_name().expect("a name"))).expect("a copy");
                }
            }
        }
        // The coordinator's first: it must not need the agent's.
        for name in ["coordinator", "agent", "hypervisor"] {
            booted.printed(&format!("systemd-sysusers vmuster-{name}.conf"));
        }
        booted.printed("systemd-tmpfiles --create vmuster-coordinator.conf vmuster-agent.conf");
        booted.printed("useradd --create-home --groups vmuster alice");
        let hosts = "[[host]]\nname = 'box'\naddress = 'unix:/run/vmuster/agent.sock'\n";
        booted.write("etc/vmuster/hosts.toml", hosts);
        booted.write("etc/vmuster/agent.toml", "name = 'box'\n");
        booted.printed("systemctl daemon-reload");
        booted.printed("systemctl enable --now vmuster-agent vmuster-coordinator vmuster-hypervisor.socket");
        let installed = Self(booted);
        installed.answers("after the first start").await;
        Some(installed)
    }

    /// Until the agent itself has answered the coordinator.
    async fn answers(&self, when: &str) {
        until(when, async || self.ask("root", "flags --layer host --max-age 0s").code == 0).await;
    }

    fn ask(&self, user: &str, question: &str) -> Ended {
        let as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "vmuster"];
        let words: Vec<_> = as_user.into_iter().chain(question.split(' ')).collect();
        self.0.run(&words)
    }

    fn main_pid(&self, unit: &str) -> String {
        self.0.printed(&format!("systemctl show --property=MainPID --value {unit}"))
    }

    fn sockets(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.0.at("run/vmuster")).expect("the directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }
}

#[tokio::test]
async fn a_real_systemd_runs_them() {
    let Some(installed) = Installed::boot().await else { return };
    systemd_knows_every_word(&installed);
    everybody_who_may_gets_the_flags(&installed);
    the_daemons_have_no_rights(&installed);
    the_sandbox_hides_nothing(&installed).await;
    daemons_come_back(&installed).await;
    the_examples_allow_what_they_say(&installed).await;
    libvirt_answers_the_reader_only(&installed).await;
    the_log_tells_of_no_error(&installed);
    // Last, for its service is made to fail.
    the_readers_socket_outlives_its_service(&installed).await;
}

/// In the box the programs are there.
fn systemd_knows_every_word(installed: &Installed) {
    for unit in ["agent.service", "coordinator.service", "hypervisor.service", "hypervisor.socket"] {
        let said = installed.0.run(&["systemd-analyze", "verify", "--man=no", &format!("vmuster-{unit}")]);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{unit}");
    }
}

/// Every CPU's flags in /proc/cpuinfo, as the kernel prints them, and no other.
fn everybody_who_may_gets_the_flags(installed: &Installed) {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").expect("the kernel tells");
    let flags = cpuinfo.lines().filter_map(|line| {
        let (key, words) = line.split_once(':')?;
        ["flags", "Features"].contains(&key.trim()).then(|| words.split_whitespace().collect::<BTreeSet<_>>())
    });
    let expected = flags.reduce(|all, one| &all & &one).expect("a CPU");
    for user in ["root", "alice"] {
        let answer = installed.ask(user, "flags --layer host --output plain");
        assert_eq!(answer.code, 0, "{user}: {}", answer.stderr);
        assert_eq!(answer.stdout.lines().collect::<BTreeSet<_>>(), expected, "{user}");
    }
    // Others may not, and nobody but daemons asks an agent.
    let nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "vmuster", "flags"];
    assert_eq!(installed.0.run(&nobody).code, 5);
    let direct = installed.ask("alice", "--agents unix:/run/vmuster/agent.sock flags --layer host");
    assert!(direct.code != 0 && direct.stderr.contains("not allowed to connect"), "{direct:?}");
    let squat = ["setpriv", "--reuid", "alice", "--regid", "alice", "--init-groups", "touch"];
    assert_ne!(installed.0.run(&[&squat[..], &["/run/vmuster/squat"]].concat()).code, 0);
    let steal =
        "setpriv --reuid vmuster-agent --regid vmuster-agent --init-groups rm /run/vmuster/coordinator.sock";
    assert_ne!(installed.0.run(&steal.split(' ').collect::<Vec<_>>()).code, 0, "the directory is sticky");
}

fn the_daemons_have_no_rights(installed: &Installed) {
    for user in ["vmuster-agent", "vmuster-coordinator"] {
        let pid = installed.main_pid(user);
        let status = installed.0.printed(&format!("cat /proc/{pid}/status"));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("{name}: {status}")).split_whitespace().collect::<Vec<_>>()
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(set), ["0000000000000000"], "{user}: {set}");
        }
        assert_eq!((field("NoNewPrivs"), field("Seccomp")), (vec!["1"], vec!["2"]), "{user}");
        let uid = installed.0.printed(&format!("id --user {user}"));
        assert_ne!(uid, "0");
        assert_eq!(field("Uid"), [uid.as_str(); 4], "{user}");
    }
    let may = |path: &str| installed.0.printed(&format!("stat --format=%U:%G:%a {path}"));
    assert_eq!(may("/run/vmuster"), "root:vmuster-agent:1775");
    assert_eq!(may("/run/vmuster/agent.sock"), "vmuster-agent:vmuster-agent:660");
    assert_eq!(may("/run/vmuster/coordinator.sock"), "vmuster-coordinator:vmuster:660");
    assert_eq!(may("/run/vmuster/hypervisor.sock"), "vmuster-agent:root:660");
    assert_eq!(may("/var/cache/vmuster-coordinator"), "vmuster-coordinator:vmuster:700");
    assert_eq!(may("/var/lib/vmuster-coordinator"), "vmuster-coordinator:vmuster:700");
    let groups = installed.0.printed("id --name --groups vmuster-hypervisor");
    assert_eq!(groups, "vmuster-hypervisor libvirt", "polkit looks in the user database");
}

/// The same mounts and the same issues as the same user sees outside; mounted before the service started, and after.
async fn the_sandbox_hides_nothing(installed: &Installed) {
    let mount = |place: &str| {
        // An overlay with its upper layer beneath itself counts as a file system with room of its own.
        let line = format!(
            "mkdir -p {place} && mount -t tmpfs none {place} && mkdir {place}/.u {place}/.w && mount -t overlay -o \
             lowerdir=/etc,upperdir={place}/.u,workdir={place}/.w none {place}"
        );
        let mounted = installed.0.run(&["sh", "-c", &line]);
        assert_eq!(mounted.code, 0, "{place}: {}", mounted.stderr);
    };
    installed.0.printed("systemctl stop vmuster-agent");
    let below_home = |name: &str| Path::new("/home").join(name).display().to_string();
    ["/home", &below_home("alice"), "/tmp", "/tmp/below", "/var/tmp/below", "/srv"]
        .into_iter()
        .for_each(mount);
    installed.0.printed("systemctl start vmuster-agent");
    installed.answers("with more mounts").await;
    [&below_home("late"), "/tmp/late", "/opt/late"].into_iter().for_each(mount);
    let seen = |text: &str| {
        let snapshot: Value = serde_json::from_str(text).expect("a snapshot");
        let all = snapshot["usage"]["filesystems"].as_array().expect("file systems").iter();
        let mounts: Vec<_> = all.map(|one| one["mount_point"].as_str().expect("text").to_owned()).collect();
        (mounts, snapshot["issues"].clone())
    };
    let inside = installed.ask("root", "hosts show box --output json");
    assert_eq!(inside.code, 0, "{}", inside.stderr);
    let (mounts, issues) = seen(&inside.stdout);
    let outside = "setpriv --reuid vmuster-agent --regid vmuster-agent --clear-groups vmuster-agent collect";
    assert_eq!((mounts.clone(), issues), seen(&installed.0.printed(outside)));
    assert_eq!(mounts.len(), 10, "{mounts:?}");
}

async fn daemons_come_back(installed: &Installed) {
    let before = installed.main_pid("vmuster-agent");
    let killed = Instant::now();
    installed.0.printed("systemctl kill --signal=KILL vmuster-agent");
    until("another agent", async || !["0", &before].contains(&installed.main_pid("vmuster-agent").as_str()))
        .await;
    installed.answers("after a kill").await;
    let took = killed.elapsed();
    say(&format!("a killed agent answers again after {:.1} s", took.as_secs_f64()));
    assert!(took < BACK_AFTER_KILL_MAX, "{took:?}");

    let all = ["agent.sock", "coordinator.sock", "hypervisor.sock"].map(str::to_owned);
    for unit in ["vmuster-agent", "vmuster-coordinator"] {
        installed.0.printed(&format!("systemctl restart {unit}"));
        installed.answers(&format!("after a restart of {unit}")).await;
        assert_eq!(installed.sockets(), BTreeSet::from(all.clone()));
    }
    installed.0.printed("systemctl stop vmuster-agent vmuster-coordinator");
    assert_eq!(
        installed.sockets(),
        BTreeSet::from(["hypervisor.sock".to_owned()]),
        "and the directory stays"
    );
    installed.0.printed("systemctl start vmuster-coordinator");
    let stale = async || installed.ask("root", "flags --layer host --max-age 0s").code == 3;
    until("the cache outlives a restart: box is stale", stale).await;
    installed.0.printed("systemctl start vmuster-agent");
    installed.answers("with the agent").await;

    let more = "[[host]]\nname = 'box'\naddress = 'unix:/run/vmuster/agent.sock'\n\
                [[host]]\nname = 'more'\naddress = 'unix:/run/more.sock'\n";
    let hosts = fs::read_to_string(installed.0.at("etc/vmuster/hosts.toml")).expect("the hosts");
    for (text, expected) in [(more, "box\nmore\n"), (&hosts, "box\n")] {
        installed.0.write("etc/vmuster/hosts.toml", text);
        installed.0.printed("systemctl reload vmuster-coordinator");
        let listed = async || installed.ask("root", "hosts list --output plain").stdout == expected;
        until("a reload reads the hosts again", listed).await;
    }
}

async fn the_examples_allow_what_they_say(installed: &Installed) {
    installed.0.write("etc/vmuster/coordinator.toml", "socket_group = 'vmuster'\n");
    let config = "name = 'box'\nlisten = ['unix:/run/vmuster/agent.sock', '127.0.0.1:9440']\nsocket_group = 'vmuster'\n";
    installed.0.write("etc/vmuster/agent.toml", config);
    for example in fs::read_dir(units().join("examples")).expect("examples") {
        let example = example.expect("an entry").path();
        let name = example.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let text = fs::read_to_string(&example).expect("an example");
        installed.0.write(&format!("etc/systemd/system/vmuster-agent.service.d/{name}"), &text);
    }
    installed.0.printed("systemctl daemon-reload");
    installed.0.printed("systemctl restart vmuster-agent vmuster-coordinator");
    for address in ["127.0.0.1:9440", "unix:/run/vmuster/agent.sock"] {
        let question = format!("--agents {address} flags --layer host");
        until(address, async || installed.ask("alice", &question).code == 0).await;
    }
    installed.answers("with a group of its own").await;
}

/// Neither systemd of the units nor the daemons themselves, whose level is in the text.
fn the_log_tells_of_no_error(installed: &Installed) {
    let log = |priority: &str| {
        let line =
            format!("journalctl --no-pager --output=cat --quiet --unit=vmuster-* --priority={priority}");
        installed.0.printed(&line)
    };
    assert_eq!(log("err"), "");
    let all = log("debug");
    assert!(all.contains("listening") && !all.contains("ERROR"), "{all}");
}

/// A real libvirt trusts the reader's user in the reader's sandbox, and the agent's user not at all; what it says arrives
/// at who asks the coordinator.
async fn libvirt_answers_the_reader_only(installed: &Installed) {
    let virsh = |line: &str| installed.0.printed(&format!("virsh --quiet --connect qemu:///system {line}"));
    let guest = "<domain type='qemu'><name>tiny</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
        <os><type arch='x86_64'>hvm</type></os></domain>";
    installed.0.write("srv/tiny.xml", guest);
    virsh("define /srv/tiny.xml");
    installed.0.write("srv/capabilities.xml", &virsh("domcapabilities"));
    let expanded = virsh("hypervisor-cpu-baseline --features --migratable /srv/capabilities.xml");
    let expanded = cpu::answer(&expanded).expect("a CPU");
    let given = expanded.features.iter().filter(|feature| feature.policy.as_deref() != Some("disable"));
    let given: Vec<&str> = given.map(|feature| feature.name.as_str()).collect();
    let shown = || -> Value {
        let shown = installed.ask("root", "hosts show box --max-age 0s --output json");
        serde_json::from_str(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {shown:?}"))
    };
    // libvirt asks QEMU what it can do when it is first asked, for seconds.
    until("the guest layer is there", async || shown()["inventory"]["cpu"]["guest"].is_object()).await;
    let shown = shown();
    let features = shown["inventory"]["cpu"]["guest"]["features"].as_array().expect("features").iter();
    let features: Vec<&str> = features.map(|name| name.as_str().expect("text")).collect();
    assert_eq!(features, given);
    let version = shown["inventory"]["hypervisor"]["libvirt_version"].as_str().expect("a version");
    assert!(virsh("version --daemon").contains(version));
    let usage: Value =
        serde_json::from_str(&installed.0.printed(
            "setpriv --reuid vmuster-agent --regid vmuster-agent --clear-groups vmuster-agent collect",
        ))
        .expect("a snapshot");
    assert_eq!(usage["usage"]["domains"][0]["name"], "tiny");
    assert_eq!(usage["usage"]["promised"]["memory_bytes"], 64 << 20);
    virsh("undefine tiny");
    let reader = installed.main_pid("vmuster-hypervisor");
    let status = installed.0.printed(&format!("cat /proc/{reader}/status"));
    assert!(status.contains("CapEff:\t0000000000000000") && status.contains("Seccomp:\t2"), "{status}");
    let agent = "setpriv --reuid vmuster-agent --regid vmuster-agent --clear-groups";
    let refused = installed.0.run(
        &format!("{agent} virsh --connect qemu:///system domcapabilities").split(' ').collect::<Vec<_>>(),
    );
    assert!(refused.code != 0 && refused.stderr.contains("org.libvirt.unix.manage"), "{refused:?}");
}

async fn the_readers_socket_outlives_its_service(installed: &Installed) {
    instead_of_the_reader(installed, "ExecStart=/bin/false");
    installed.0.printed("systemctl stop vmuster-hypervisor.service");
    let log = "journalctl --no-pager --output=cat --quiet --unit=vmuster-hypervisor.service --grep=Starting";
    let starts = || installed.0.printed(log).lines().count();
    let before = starts();
    // Never taken, so it stays in the socket's queue.
    let _question = UnixStream::connect(installed.0.at("run/vmuster/hypervisor.sock")).expect("it listens");
    tokio::time::sleep(FAILING_READER_WATCHED).await;
    let tried = starts() - before;
    assert!((1..=FAILING_READER_STARTS_MAX).contains(&tried), "{tried} starts");
    assert_eq!(installed.0.printed("systemctl is-active vmuster-hypervisor.socket"), "active");
}

fn instead_of_the_reader(installed: &Installed, start: &str) {
    let drop_in = format!("[Service]\nExecStart=\n{start}\n");
    installed.0.write("etc/systemd/system/vmuster-hypervisor.service.d/instead.conf", &drop_in);
    installed.0.printed("systemctl daemon-reload");
}

#[tokio::test]
async fn nothing_is_left_of_a_box() {
    let Some(booted) = SystemdBox::boot(Path::new(env!("CARGO_TARGET_TMPDIR"))).await else { return };
    let (process, group) = (Path::new("/proc").join(booted.pid().to_string()), booted.control_group());
    assert!(process.exists() && group.exists());
    let panicked = std::panic::catch_unwind(move || {
        let _box = booted;
        std::panic::resume_unwind(Box::new("a failed test"));
    });
    assert!(panicked.is_err());
    // A group that still has a process cannot be removed.
    assert!(!process.exists() && !group.exists(), "{}, {}", process.display(), group.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the kernel tells");
    assert!(!mounts.contains("systemd-root-"), "{mounts}");
}
