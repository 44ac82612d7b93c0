//! Storage that hangs, as that of a dead NFS server does, hides no guest and jams nobody.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use vmuster_proto::model::IssueKind;
use vmuster_tests::{
    programs::{Daemon, Signal, program, send},
    tools::{are_there, leave_out},
    waiting::until,
};

use super::{Host, about_guests, disk, guest};

/// The first answer may wait for the mount to be found hung; later ones for nothing.
const FIRST_MAX: Duration = Duration::from_secs(3);
const LATER_MAX: Duration = Duration::from_secs(1);

/// A mount that only libvirt's daemon and the agent see.
struct FarAway(Child);

impl FarAway {
    async fn mount(host: &Host) -> Option<Self> {
        if !are_there(&[("bindfs", "bindfs"), ("nsenter", "util-linux")]) {
            return None;
        }
        if !Path::new("/dev/fuse").exists() {
            leave_out("there is no /dev/fuse");
            return None;
        }
        let (shown, far) = (host.libvirt.path("shown"), host.libvirt.path("far"));
        for directory in [&shown, &far] {
            fs::create_dir(directory).expect("a directory");
        }
        let pid = host.libvirt.pid().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &pid, "--", "bindfs", "-f"]).arg(shown).arg(&far);
        let made = Self(command.stdin(Stdio::null()).spawn().expect("nsenter starts"));
        let table = format!("/proc/{pid}/mounts");
        let place = far.display().to_string();
        until("bindfs mounts", async || fs::read_to_string(&table).is_ok_and(|table| table.contains(&place)))
            .await;
        Some(made)
    }
}

impl Drop for FarAway {
    fn drop(&mut self) {
        send(self.0.id(), Signal::CONT);
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_dead_mount_hides_no_guest() {
    let Some(mut host) = Host::start().await else { return };
    let Some(far) = FarAway::mount(&host).await else { return };
    // An agent that sees the mount, as on a real host.
    let config = host.libvirt.path("agent.toml").display().to_string();
    let mut inside = Command::new("nsenter");
    inside.args(["--mount", "--target", &host.libvirt.pid().to_string(), "--"]).arg(program("vmuster-agent"));
    let agent = Daemon::start_by(inside.args(["--config", &config, "serve", "--listen", "127.0.0.1:0"]));
    host.ask_another(agent).await;
    let image = host.libvirt.image("shown/a.qcow2", "qcow2", "3G").replace("/shown/", "/far/");
    host.libvirt.domain("define", "stopped", &guest("stopped", "kvm", 64, 1, &disk(&image, "qcow2", "vda")));
    host.libvirt.domain("create", "runs", &guest("runs", "kvm", 64, 1, ""));
    host.libvirt.printed(&format!("pool-create-as far dir --target {}", host.libvirt.path("far").display()));
    let before = host.promised().await;
    assert_eq!(before.disk_virtual_bytes.map(|bytes| bytes.0), Some(3 << 30));
    send(far.0.id(), Signal::STOP);
    for (state, verb) in [("running", None), ("paused", Some("suspend")), ("running", Some("resume"))] {
        if let Some(verb) = verb {
            host.libvirt.printed(&format!("{verb} runs"));
        }
        let begin = Instant::now();
        let (usage, issues) = host.usage().await;
        let limit = if verb.is_none() { FIRST_MAX } else { LATER_MAX };
        assert!(begin.elapsed() < limit, "{:?}", begin.elapsed());
        let domains = usage.domains.expect("domains");
        let runs = domains.iter().find(|domain| domain.name == "runs").expect("it is there");
        assert_eq!(runs.state.as_deref(), Some(state), "as it is now");
        assert_eq!(usage.promised.as_ref(), Some(&before), "the stopped guest's disk is as it was seen last");
        let about = about_guests(&issues);
        assert!(about.iter().all(|issue| issue.kind == IssueKind::Stale) && !about.is_empty(), "{about:?}");
    }
    let others = host.libvirt.printed("list --all --name");
    assert!(others.contains("stopped"), "libvirt answers others: {others}");
}

/// Each connection that is not closed for good costs the reader and libvirt's daemon a descriptor.
#[tokio::test]
async fn daemons_may_restart_for_ever() {
    let Some(mut host) = Host::start().await else { return };
    let descriptors = |host: &Host| {
        let [reader] = host.readers()[..] else { panic!("one reader") };
        (reader, fs::read_dir(format!("/proc/{reader}/fd")).expect("it runs").count())
    };
    host.usage().await;
    let before = descriptors(&host);
    for _ in 0..5 {
        host.libvirt.signal(Signal::KILL);
        host.usage().await;
        host.libvirt.restart().await;
        until("libvirt's answers are back", async || about_guests(&host.usage().await.1).is_empty()).await;
    }
    let after = descriptors(&host);
    // A connection that was being closed when it was first counted may be gone by now.
    assert!(after.0 == before.0 && after.1 <= before.1, "{after:?} after {before:?}");
    // What a daemon knows of changes ended with it: definitions are read anew.
    host.libvirt.domain("define", "a", &guest("a", "kvm", 64, 1, ""));
    assert_eq!(host.promised().await.domain_count, 1);
}
