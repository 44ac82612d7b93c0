//! The real programs.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::fixtures::workspace;

/// The path of a program of this workspace, built as it is now.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        // target/PROFILE/deps/THIS-TEST
        let this = env::current_exe().expect("a path");
        let directory = this.parent().and_then(Path::parent).expect("two directories up").to_owned();
        let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.current_dir(workspace()).args(["build", "--quiet", "--workspace", "--bins"]);
        if directory.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the programs do not build");
        directory
    });
    directory.join(name)
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

/// Runs `vmuster` with a home of its own, so that nothing of the user's is read or written.
#[must_use]
pub fn vmuster(home: &Path, arguments: &[impl AsRef<OsStr>]) -> Ended {
    let mut command = Command::new(program("vmuster"));
    command.args(arguments);
    run(isolated(&mut command, home))
}

/// Removes what the user's environment could change, and gives the command a home of its own.
pub fn isolated<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command.env_remove("VMUSTER_COORDINATOR").env_remove("COLUMNS").stdin(Stdio::null());
    command
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_CONFIG_HOME", home.join("config"))
}

/// Runs a command to its end.
#[must_use]
pub fn run(command: &mut Command) -> Ended {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Sends a signal to a child that has not been waited for.
pub fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("it is running");
}

/// A daemon of its own process; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Where it listens, as it logged it.
    pub address: String,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    /// Starts it and waits until it says where it listens.
    #[must_use]
    pub fn start(name: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::start_by(Command::new(program(name)).args(arguments))
    }

    /// The same by a command that becomes the daemon, as nsenter(1) does.
    #[must_use]
    pub fn start_by(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the daemon starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut seen = String::new();
        let address = loop {
            let Some(line) = log.next() else { panic!("{command:?} ended:\n{seen}") };
            let line = line.expect("UTF-8");
            seen += &(line.clone() + "\n");
            if let Some((_, address)) = line.split_once("address=").filter(|_| line.contains("listening")) {
                break address.trim().to_owned();
            }
        };
        // Somebody must go on reading, or the daemon blocks when the pipe is full.
        let kept = Arc::new(Mutex::new(seen));
        let keeping = Arc::clone(&kept);
        std::thread::spawn(move || {
            for line in log.map_while(Result::ok) {
                *keeping.lock().expect("nobody panics") += &(line + "\n");
            }
        });
        Self { child, address, log: kept }
    }

    /// What it logged so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics").clone()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> i32 {
        self.child.wait().expect("it was started here").code().unwrap_or(-1)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
