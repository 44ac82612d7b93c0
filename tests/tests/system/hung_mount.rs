//! A mount that hangs as that of a dead NFS server does: a FUSE file system whose process is stopped, in a mount
//! namespace of its own, so that nobody else on this machine meets it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::{TempDir, tempdir};
use tonic::transport::Channel;
use vmuster_proto::{
    model::{Filesystem, Issue, IssueKind, Snapshot, Usage},
    pb::{GetUsageRequest, agent_service_client::AgentServiceClient},
    transport::{CONNECT_DEADLINE, connect},
};
use vmuster_tests::{
    programs::{Daemon, Signal, program, run, send},
    tools::{are_there, leave_out},
    waiting::until,
};

/// What is promised of the first answer after a mount hangs.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(1);

/// The same of `collect`, with the start of the process and a whole inventory.
const COLLECT_MAX: Duration = Duration::from_millis(1500);

/// Later answers may take this much, or `SLOWER_MAX` times what they took before, on a machine busy with other tests.
const LATER_ANSWERS_MAX: Duration = Duration::from_millis(20);
const SLOWER_MAX: u32 = 5;

/// Questions before and after.
const QUESTIONS: usize = 100;

/// bindfs in a mount namespace of its own; ended when dropped.
struct FuseMount {
    bindfs: Child,
    directory: TempDir,
}

impl FuseMount {
    /// None, and a line that says why, where there is no FUSE.
    async fn make() -> Option<Self> {
        let tools = [("unshare", "util-linux"), ("nsenter", "util-linux"), ("bindfs", "bindfs")];
        if !are_there(&tools) {
            return None;
        }
        if !Path::new("/dev/fuse").exists() {
            leave_out(
                "there is no /dev/fuse: load the module fuse, or start the container with --device /dev/fuse",
            );
            return None;
        }
        let tried = run(Command::new("unshare").args(["--mount", "mount", "--make-rprivate", "/"]));
        if tried.code != 0 {
            leave_out(&format!("a mount namespace needs root or CAP_SYS_ADMIN: {}", tried.stderr.trim()));
            return None;
        }
        let directory = tempdir().expect("a directory");
        for name in ["shown", "mount"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let bindfs = Command::new("unshare")
            .args([
                "--mount",
                "sh",
                "-c",
                r#"mount --make-rprivate / && exec bindfs -f "$1/shown" "$1/mount""#,
                "sh",
            ])
            .arg(directory.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare starts");
        let mut made = Self { bindfs, directory };
        let (table, mount) = (format!("/proc/{}/mounts", made.pid()), made.mount_point());
        until("bindfs mounts", async || {
            assert_eq!(made.bindfs.try_wait().expect("it is our child"), None, "bindfs ended");
            fs::read_to_string(&table).is_ok_and(|table| table.split(' ').any(|word| word == mount))
        })
        .await;
        Some(made)
    }

    fn pid(&self) -> u32 {
        self.bindfs.id()
    }

    fn mount_point(&self) -> String {
        self.directory.path().join("mount").to_str().expect("UTF-8").to_owned()
    }

    /// A command that sees the mount.
    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.pid().to_string(), "--"]).arg(program);
        command
    }

    /// From now on whoever asks it waits.
    async fn hang(&self) {
        send(self.pid(), Signal::STOP);
        let status = format!("/proc/{}/status", self.pid());
        until("bindfs stops", async || {
            fs::read_to_string(&status).expect("it is there").contains("State:\tT")
        })
        .await;
    }

    fn answer_again(&self) {
        send(self.pid(), Signal::CONT);
    }
}

impl Drop for FuseMount {
    fn drop(&mut self) {
        // A mount that hangs would hold up umount.
        self.answer_again();
        let mount = self.mount_point();
        let _ = self.inside("umount").args(["-l", &mount]).stderr(Stdio::null()).status();
        let _ = self.bindfs.kill();
        let _ = self.bindfs.wait();
    }
}

/// An agent that sees the mount, asked over its socket.
struct Asked {
    daemon: Daemon,
    client: AgentServiceClient<Channel>,
}

impl Asked {
    async fn start(mount: &FuseMount) -> Self {
        let socket = format!("unix:{}", mount.directory.path().join("agent.sock").display());
        let mut command = mount.inside(program("vmuster-agent"));
        let daemon = Daemon::start_by(command.args(["serve", "--listen", &socket]));
        let address = socket.parse().expect("an address");
        let client = AgentServiceClient::new(connect(&address, CONNECT_DEADLINE).await.expect("connects"));
        Self { daemon, client }
    }

    async fn usage(&mut self) -> (Vec<Filesystem>, Vec<Issue>, Duration) {
        let begin = Instant::now();
        let reply = self.client.get_usage(GetUsageRequest {}).await.expect("an answer").into_inner();
        let took = begin.elapsed();
        let usage = Usage::try_from(reply.usage.expect("usage")).expect("a usage");
        let issues = vmuster_proto::convert::issues(reply.issues).expect("issues");
        (usage.filesystems.expect("file systems"), issues, took)
    }

    async fn median(&mut self) -> Duration {
        let mut took = Vec::new();
        for _ in 0..QUESTIONS {
            took.push(self.usage().await.2);
        }
        took.sort_unstable();
        took[QUESTIONS / 2]
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.daemon.pid())).expect("it runs").count()
    }
}

fn size_of(filesystems: &[Filesystem], mount_point: &str) -> Option<u64> {
    let listed = filesystems.iter().find(|it| it.mount_point == mount_point);
    listed.unwrap_or_else(|| panic!("{mount_point} is not listed")).size_bytes.map(|bytes| bytes.0)
}

/// The root is measured, the mount is listed without numbers, and one issue says why.
fn assert_tells_of_the_hang(filesystems: &[Filesystem], issues: &[Issue], mount_point: &str) {
    assert_eq!(size_of(filesystems, mount_point), None);
    let size = size_of(filesystems, "/").expect("the root is measured");
    let root = rustix::fs::statvfs("/").expect("the root answers");
    assert_eq!(size, root.f_blocks * root.f_frsize);
    let section = format!("usage.filesystems[{mount_point}]");
    let told: Vec<_> = issues.iter().filter(|issue| issue.section == section).collect();
    let [issue] = told.as_slice() else { panic!("one issue of {section}: {issues:?}") };
    assert_eq!((issue.kind, issue.source.as_str()), (IssueKind::Timeout, mount_point));
}

#[tokio::test]
async fn a_hung_mount_costs_its_own_numbers_and_one_thread() {
    let Some(mount) = FuseMount::make().await else { return };
    let mount_point = mount.mount_point();
    let mut agent = Asked::start(&mount).await;
    let (filesystems, issues, _) = agent.usage().await;
    assert!(size_of(&filesystems, &mount_point).is_some(), "{issues:?}");
    let before = agent.median().await;
    let threads_before = agent.threads();

    mount.hang().await;
    let (filesystems, issues, first) = agent.usage().await;
    assert_tells_of_the_hang(&filesystems, &issues, &mount_point);
    assert!(first <= FIRST_ANSWER_MAX, "the first answer took {first:?}");
    let threads = agent.threads();
    assert!(threads <= threads_before + 1, "{threads_before} threads, then {threads}");
    let later = agent.median().await;
    assert!(later <= LATER_ANSWERS_MAX.max(before * SLOWER_MAX), "{before:?}, then {later:?}");
    assert_eq!(agent.threads(), threads, "no thread for each question");
    let (filesystems, issues, last) = agent.usage().await;
    assert_tells_of_the_hang(&filesystems, &issues, &mount_point);

    mount.answer_again();
    until("the mount is measured again", async || {
        let (filesystems, _, _) = agent.usage().await;
        size_of(&filesystems, &mount_point).is_some()
    })
    .await;
    assert!(agent.usage().await.1.iter().all(|issue| issue.kind != IssueKind::Timeout));
    until("the thread that hung is gone", async || agent.threads() == threads_before).await;
    println!(
        "median {before:?}; hung: first {first:?}, median {later:?}, last {last:?}; threads {threads_before}, {threads}"
    );
}

#[tokio::test]
async fn collect_ends_although_a_mount_hangs() {
    let Some(mount) = FuseMount::make().await else { return };
    let mut command = mount.inside(program("vmuster-agent"));
    mount.hang().await;
    let begin = Instant::now();
    let ended = run(command.arg("collect"));
    let took = begin.elapsed();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let snapshot: Snapshot = serde_json::from_str(&ended.stdout).expect("a snapshot");
    let filesystems = snapshot.usage.and_then(|usage| usage.filesystems).expect("file systems");
    assert_tells_of_the_hang(&filesystems, &snapshot.issues, &mount.mount_point());
    assert!(took <= COLLECT_MAX, "it took {took:?}");
    println!("collect took {took:?}");
}
