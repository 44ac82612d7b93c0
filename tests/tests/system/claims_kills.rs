//! Claims and bad days: killed at any moment, a full disk, a disk that is read-only.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use vmuster_coordinator::claims::{ClaimStore as _, ClaimStoreError, SqliteClaims};
use vmuster_tests::{
    programs::{Signal, program, run, send},
    tools::leave_out,
};

/// Kills; each at another moment of a commit.
const ROUNDS: usize = 100;

/// Commits that can be under way when it is killed: what each caller had handed in.
const UNDER_WAY: usize = 4;

fn started(directory: &Path, mode: &str) -> Child {
    let mut command = Command::new(program("vmuster-claims"));
    command.arg(directory).arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("it starts")
}

#[test]
fn what_was_answered_survives_any_kill_once() {
    let home = tempfile::tempdir().expect("a directory");
    let mut answered = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = started(home.path(), "loop");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // No moment is like another: after so many answers, with the next commits under way.
        let before = (round * 13) % 37;
        let first: Vec<_> = lines.by_ref().take(before).map(|line| line.expect("text")).collect();
        send(child.id(), Signal::KILL);
        child.wait().expect("it was started here");
        // Whole lines only: what was written before the end is in the pipe.
        for line in first.into_iter().chain(lines.map_while(Result::ok)) {
            let (id, instance) = line.split_once(' ').expect("two words");
            let before = answered.insert(id.to_owned(), instance.to_owned());
            assert_eq!(before, None, "round {round}: {id} was given twice");
        }
        let store = SqliteClaims::open(home.path()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let claims = store.load().expect("loads").claims;
        let there: BTreeMap<_, _> =
            claims.iter().map(|claim| (claim.id.to_string(), claim.instance.to_string())).collect();
        for (id, instance) in &answered {
            assert_eq!(there.get(id), Some(instance), "round {round}: {id} was answered");
        }
        assert!(there.len() <= answered.len() + UNDER_WAY * (round + 1), "round {round}");
    }
    assert!(answered.len() > ROUNDS, "{}", answered.len());
}

#[test]
fn a_second_coordinator_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let store = SqliteClaims::open(home.path()).expect("opens");
    let second = run(Command::new(program("vmuster-claims")).arg(home.path()).arg("loop"));
    assert!(second.code != 0 && second.stderr.contains("InUse"), "{second:?}");
    drop(store);
    let mut child = started(home.path(), "loop");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.next().expect("a line").expect("text");
    assert!(matches!(SqliteClaims::open(home.path()), Err(ClaimStoreError::InUse(_))));
    send(child.id(), Signal::KILL);
    child.wait().expect("it was started here");
}

/// A program that keeps claims in a small file system of its own, and does what it is told.
struct Obeying {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    place: String,
}

impl Obeying {
    /// None where nothing may be mounted.
    fn start(home: &Path) -> Option<Self> {
        let probe = run(Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]));
        if probe.code != 0 {
            leave_out("to mount a small file system takes root, and a root that may mount");
            return None;
        }
        let place = home.display().to_string();
        let script = format!(
            "mount -t tmpfs -o size=512k none {place} && mkdir {place}/state && exec {} {place}/state obey",
            program("vmuster-claims").display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        Some(Self { child, input, output, place })
    }

    fn tell(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").expect("it listens");
        self.output.next().expect("an answer").expect("text")
    }

    fn beside(&self, script: &str) {
        let script = script.replace("PLACE", &self.place);
        let pid = self.child.id().to_string();
        let ended = run(Command::new("nsenter").args(["--mount", "--target", &pid, "sh", "-c", &script]));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
}

impl Drop for Obeying {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_full_disk_refuses_claims_and_ends_by_itself() {
    let home = tempfile::tempdir().expect("a directory");
    let Some(mut claims) = Obeying::start(home.path()) else { return };
    assert_eq!(claims.tell("put 10"), "ok 10");
    claims.beside("head -c 300k /dev/zero > PLACE/filler");
    let mut kept = 10;
    let refused = loop {
        let answer = claims.tell("put 10");
        if answer != format!("ok {}", kept + 10) {
            break answer;
        }
        kept += 10;
        assert!(kept < 10_000, "it is never full");
    };
    assert!(refused.starts_with("failed Full: there is no room"), "{refused}");
    assert!(claims.tell("put 200").starts_with("failed Full"), "still");
    claims.beside("rm PLACE/filler");
    assert_eq!(claims.tell("put 1"), format!("ok {}", kept + 1), "without a restart");
    assert_eq!(claims.tell("drop c3"), format!("ok {kept}"));
}

#[test]
fn a_disk_that_is_read_only_is_told_of() {
    let home = tempfile::tempdir().expect("a directory");
    let Some(claims) = Obeying::start(home.path()) else { return };
    drop(claims);
    drop(SqliteClaims::open(home.path()).expect("opens"));
    let place = home.path().display().to_string();
    let script = format!(
        "mount --bind {place} {place} && mount -o remount,ro,bind {place} && exec {} {place} obey",
        program("vmuster-claims").display()
    );
    let refused = run(Command::new("unshare").args(["--mount", "sh", "-c", &script]).stdin(Stdio::null()));
    assert!(refused.code != 0 && refused.stderr.contains("ReadOnly"), "{refused:?}");
    assert!(SqliteClaims::open(home.path()).is_ok(), "nothing has happened to it");
}
