//! A real systemd, booted beside whatever is this machine's first process: in namespaces and a control group of its own,
//! on a Debian root that is made once. The box sees the real CPUs and /sys; what it writes vanishes with it.
//!
//! Knows nothing of vmuster. `tests/systemd/*.sh` do the work; they end the box too when this process is killed.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Instant,
};

use crate::{
    fixtures::workspace,
    programs::{Ended, run},
    tools::{are_there, leave_out, say},
    waiting::until,
};

/// What it takes: program and Debian package.
const NEEDED: [(&str, &str); 6] = [
    ("mmdebstrap", "mmdebstrap"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("findmnt", "util-linux"),
    ("apt-get", "apt"),
    ("dpkg", "dpkg"),
];

/// A running systemd. Powered off when dropped.
#[derive(Debug)]
pub struct SystemdBox {
    supervisor: Child,
    /// Its end is the sign to power off.
    lifeline: Option<ChildStdin>,
    pid: u32,
}

impl SystemdBox {
    /// Boots one from the root that is kept in `kept`, which is made if it is not there. None, and a line that says why,
    /// where that cannot be.
    ///
    /// # Panics
    /// It does not boot.
    pub async fn boot(kept: &Path) -> Option<Self> {
        if !can_be() {
            return None;
        }
        let root = root(kept)?;
        let began = Instant::now();
        let mut supervisor = Command::new(script("boot.sh"))
            .arg(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let lifeline = supervisor.stdin.take();
        let mut line = String::new();
        let told = BufReader::new(supervisor.stdout.take().expect("piped")).read_line(&mut line);
        told.expect("UTF-8");
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("boot.sh ended, and said why on stderr"));
        let made = Self { supervisor, lifeline, pid };
        until("systemd takes questions", async || made.at("run/systemd/private").exists()).await;
        let state = made.run(&["systemctl", "is-system-running", "--wait"]).stdout;
        let failed = made.run(&["systemctl", "list-units", "--failed", "--no-legend", "--plain"]).stdout;
        assert_eq!((state.trim(), failed.as_str()), ("running", ""));
        say(&format!("a box with systemd: booted in {:.1} s", began.elapsed().as_secs_f64()));
        Some(made)
    }

    /// A file of the box, seen from here; `path` without its first slash.
    #[must_use]
    pub fn at(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join("root").join(path)
    }

    /// Writes a file with mode 0644, and the directories above it.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Runs a command in the box, as root.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--", "env", "-i"]);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]).args(words);
        run(command.stdin(Stdio::null()))
    }

    /// The same of a command line without quotes; it must succeed. Gives what it prints, without the last newline.
    ///
    /// # Panics
    /// It fails.
    pub fn printed(&self, line: &str) -> String {
        let ended = self.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, 0, "{line}: {}{}", ended.stdout, ended.stderr);
        ended.stdout.trim_end().to_owned()
    }

    /// The first process's id, as it is known here.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The control group that all of its processes are in or below.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn control_group(&self) -> PathBuf {
        let mount = run(Command::new("findmnt").args(CGROUP2_MOUNT)).stdout;
        let own = fs::read_to_string("/proc/self/cgroup").expect("the kernel tells");
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).expect("cgroup 2");
        Path::new(mount.trim()).join(own).join(format!("vmuster-box-{}", self.supervisor.id()))
    }
}

impl Drop for SystemdBox {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // It gives systemd some seconds, then kills it.
        let _ = self.supervisor.wait();
    }
}

/// findmnt's arguments for where control groups of version 2 can be made.
const CGROUP2_MOUNT: [&str; 7] =
    ["--noheadings", "--first-only", "--types", "cgroup2", "--options", "rw", "--output=TARGET"];

fn script(name: &str) -> PathBuf {
    workspace().join("tests/systemd").join(name)
}

/// Whether this machine has what it takes; else it is said.
fn can_be() -> bool {
    if !are_there(&NEEDED) {
        return false;
    }
    let namespaces = ["--fork", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "true"];
    let tried = run(Command::new("unshare").args(namespaces));
    if !rustix::process::geteuid().is_root() || tried.code != 0 {
        leave_out(&format!("a systemd of its own needs root and namespaces: {}", tried.stderr.trim()));
        return false;
    }
    if run(Command::new("findmnt").args(CGROUP2_MOUNT)).code != 0 {
        leave_out("a systemd of its own needs cgroup2 mounted where it can be written");
        return false;
    }
    let overlay = fs::read_to_string("/proc/filesystems").is_ok_and(|all| all.contains("\toverlay\n"));
    if !overlay {
        leave_out("a systemd of its own needs overlayfs: modprobe overlay");
    }
    overlay
}

/// The root for this recipe and this release of the machine's; made if it is not there.
fn root(kept: &Path) -> Option<PathBuf> {
    let mut digest = DefaultHasher::new();
    for part in [script("make-root.sh"), PathBuf::from("/etc/os-release")] {
        fs::read(part).expect("a file").hash(&mut digest);
    }
    let root = kept.join(format!("systemd-root-{:016x}", digest.finish()));
    // Tests side by side, in several processes perhaps, make one. The lock goes with the file.
    let lock = File::create(kept.join("systemd-root.lock")).expect("a file");
    lock.lock().expect("a lock");
    if root.is_dir() {
        return Some(root);
    }
    say("making a root with systemd, libvirt and QEMU: once, about a minute");
    let began = Instant::now();
    let made = run(Command::new(script("make-root.sh")).arg(&root));
    if made.code != 0 {
        // Most likely there is no network.
        leave_out(&format!("a root cannot be made: {}", made.stderr.trim()));
        return None;
    }
    say(&format!("made it in {:.0} s", began.elapsed().as_secs_f64()));
    Some(root)
}
