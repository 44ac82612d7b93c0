//! A real libvirt daemon with real QEMU guests, all of whose files are in a directory of the test's.
//!
//! Knows nothing of vmuster. Guests and daemon end with it, also if the test fails.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, kill_process};
use tempfile::{TempDir, tempdir};

use crate::{
    fixtures::workspace,
    programs::{Ended, Signal, run, send},
    tools::{are_there, leave_out},
    waiting::until,
};

/// What it takes: program and Debian package.
const NEEDED: [(&str, &str); 5] = [
    ("libvirtd", "libvirt-daemon"),
    ("virsh", "libvirt-clients"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("unshare", "util-linux"),
];

/// A daemon of the test's own.
#[derive(Debug)]
pub struct PrivateLibvirt {
    daemon: Child,
    directory: TempDir,
    settings: Vec<String>,
    hides_kvm: bool,
}

impl PrivateLibvirt {
    /// Starts one, and asks it what its QEMU can do; what that says is kept in `kept`, for QEMU is slow to tell. None, and a
    /// line that says why, where that cannot be.
    pub async fn start(kept: &Path) -> Option<Self> {
        Self::start_with(kept, &[]).await
    }

    /// The same, with lines of libvirtd.conf.
    pub async fn start_with(kept: &Path, settings: &[&str]) -> Option<Self> {
        Self::start_as(kept, settings, false).await
    }

    /// One from which /dev/kvm is hidden. It asks QEMU anew each time, which takes seconds.
    pub async fn start_without_kvm(kept: &Path) -> Option<Self> {
        Self::start_as(kept, &[], true).await
    }

    async fn start_as(kept: &Path, settings: &[&str], hides_kvm: bool) -> Option<Self> {
        if !are_there(&NEEDED) {
            return None;
        }
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/kvm").exists() {
            leave_out("a libvirt with KVM guests needs root and /dev/kvm");
            return None;
        }
        let tried = run(Command::new("unshare").args(["--mount", "true"]));
        if tried.code != 0 {
            leave_out(&format!("a mount namespace needs CAP_SYS_ADMIN: {}", tried.stderr.trim()));
            return None;
        }
        let directory = tempdir().expect("a directory");
        let kept = kept.join("libvirt-cache");
        let cache = directory.path().join("cache");
        // What is kept was found with KVM.
        if !hides_kvm {
            copy(&kept, &cache);
        }
        let settings: Vec<String> = settings.iter().map(|line| (*line).to_owned()).collect();
        let daemon = spawn(directory.path(), &settings, hides_kvm);
        let mut made = Self { daemon, directory, settings, hides_kvm };
        made.answers().await;
        // With other rights the test itself may not ask.
        if made.settings.is_empty() && !hides_kvm {
            made.printed("domcapabilities");
            copy(&cache, &kept);
        }
        Some(made)
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("sock/libvirt-sock")
    }

    /// A place for files of the test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs virsh on it.
    #[must_use]
    pub fn virsh(&self, words: &[&str]) -> Ended {
        let uri = format!("qemu+unix:///system?socket={}", self.socket().display());
        run(Command::new("virsh").args(["--quiet", "--connect", &uri]).args(words).env("LC_ALL", "C.UTF-8"))
    }

    /// The same of a line without quotes; it must succeed.
    ///
    /// # Panics
    /// It fails.
    pub fn printed(&self, line: &str) -> String {
        let ended = self.virsh(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, 0, "virsh {line}: {}", ended.stderr);
        ended.stdout.trim_end().to_owned()
    }

    /// Defines or creates a domain of this XML; its UUID. `verb`: "define" or "create".
    pub fn domain(&self, verb: &str, name: &str, xml: &str) -> String {
        let file = self.path(&format!("{name}.xml"));
        fs::write(&file, xml).expect("a file");
        self.printed(&format!("{verb} {}", file.display()));
        self.printed(&format!("domuuid {name}"))
    }

    /// A disk image of `format` that a guest sees as of this size; its path.
    #[must_use]
    pub fn image(&self, name: &str, format: &str, size: &str) -> String {
        let path = self.path(name).display().to_string();
        let made = run(Command::new("qemu-img").args(["create", "-q", "-f", format, &path, size]));
        assert_eq!(made.code, 0, "{}", made.stderr);
        path
    }

    /// A running guest's process.
    #[must_use]
    pub fn qemu_of(&self, name: &str) -> u32 {
        let file = self.path(&format!("state/qemu/{name}.pid"));
        fs::read_to_string(file).expect("it runs").trim().parse().expect("a process id")
    }

    /// Sends the daemon a signal; KILL is waited for.
    pub fn signal(&mut self, signal: Signal) {
        send(self.daemon.id(), signal);
        if signal == Signal::KILL {
            self.daemon.wait().expect("it was started here");
        }
    }

    /// The daemon's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// Starts it again after it was killed.
    pub async fn restart(&mut self) {
        self.daemon = spawn(self.directory.path(), &self.settings, self.hides_kvm);
        self.answers().await;
    }

    async fn answers(&mut self) {
        let uri = format!("qemu+unix:///system?socket={}-ro", self.socket().display());
        until("libvirtd answers", async || {
            assert_eq!(self.daemon.try_wait().expect("it is our child"), None, "libvirtd ended");
            let words = ["--quiet", "--readonly", "--connect", &uri, "version", "--daemon"];
            run(Command::new("virsh").args(words)).code == 0
        })
        .await;
    }
}

fn spawn(directory: &Path, settings: &[String], hides_kvm: bool) -> Child {
    let script = workspace().join("tests/libvirt/daemon.sh");
    let mut command = Command::new(script);
    if hides_kvm {
        command.env("HIDE_KVM", "1");
    }
    command.arg(directory).args(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell")
}

/// One at a time: two that make the same directories at once end with "File exists".
static COPYING: Mutex<()> = Mutex::new(());

/// A directory as a whole, if it is there; of tests side by side the last is as good as the first.
fn copy(from: &Path, to: &Path) {
    let _turn = COPYING.lock().unwrap_or_else(PoisonError::into_inner);
    if from.exists() {
        fs::create_dir_all(to).expect("a directory");
        let copied = run(Command::new("cp").arg("--archive").arg(from.join(".")).arg(to));
        assert_eq!(copied.code, 0, "{}", copied.stderr);
    }
}

impl Drop for PrivateLibvirt {
    fn drop(&mut self) {
        // QEMU outlives its daemon.
        let files = fs::read_dir(self.path("state/qemu")).into_iter().flatten().filter_map(Result::ok);
        for file in files.filter(|file| file.path().extension().is_some_and(|kind| kind == "pid")) {
            let pid = fs::read_to_string(file.path()).ok().and_then(|text| text.trim().parse().ok());
            let Some(pid) = pid else { continue };
            let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if let Some(pid) = Pid::from_raw(pid).filter(|_| program.starts_with("qemu-system")) {
                // It may end by itself meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // Fails if it has ended already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
