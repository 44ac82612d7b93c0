//! Programs that are not ours and that a test compares with or needs.
//!
//! Where one is missing a developer's test says so and passes. In CI nothing may be left out in silence.

use std::{
    env,
    fmt::Debug,
    io::{Write as _, stderr},
    process::{Command, Stdio},
};

use serde_json::Value;

use vmuster_proto::model::Snapshot;

use crate::programs::{program, run};

/// Says that a test is left out, and why; in CI (`CI=true`) the test fails instead.
///
/// # Panics
/// In CI.
pub fn leave_out(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "in CI nothing is left out, but {why}");
    say(&format!("left out: {why}"));
}

/// A line that is seen although the test passes: print! is kept by the test runner.
pub fn say(line: &str) {
    // In one piece, for tests run side by side.
    drop(stderr().write_all(format!("{line}\n").as_bytes()));
}

/// Whether all of these (program, Debian package) are there. If not, the test is to end.
///
/// # Panics
/// In CI, if one is missing.
#[must_use]
pub fn are_there(programs: &[(&str, &str)]) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&path).collect();
    let is_there = |program: &str| directories.iter().any(|directory| directory.join(program).is_file());
    let missing = programs.iter().find(|(program, _)| !is_there(program));
    if let Some((program, package)) = missing {
        leave_out(&format!("there is no {program}: install the package {package}"));
    }
    missing.is_none()
}

/// A command whose output is the same in every language.
#[must_use]
pub fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// What a command prints, in every language the same; it must succeed.
#[must_use]
pub fn printed(line: &str) -> String {
    let ended = run(&mut command(line));
    assert_eq!(ended.code, 0, "{line}: {}", ended.stderr);
    ended.stdout
}

/// The same as JSON.
#[must_use]
pub fn printed_json(line: &str) -> Value {
    serde_json::from_str(&printed(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// This machine, as the agent's program sees it.
#[must_use]
pub fn live_snapshot() -> Snapshot {
    let ended = run(Command::new(program("vmuster-agent")).arg("collect"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("a snapshot")
}

/// What two programs say of one machine, field by field; all differences are told at once.
#[derive(Debug, Default)]
pub struct Comparison {
    compared: usize,
    differences: Vec<String>,
}

impl Comparison {
    /// One field of which both know something.
    pub fn same<T: PartialEq + Debug>(&mut self, field: &str, ours: &T, theirs: &T) {
        self.holds(field, ours == theirs, &(ours, theirs));
    }

    /// One field of which they say the same in other words.
    pub fn holds(&mut self, field: &str, is_so: bool, said: &dyn Debug) {
        self.compared += 1;
        if !is_so {
            self.differences.push(format!("{field}: {said:?}"));
        }
    }

    /// Fails with all differences, or if almost nothing was compared.
    ///
    /// # Panics
    /// Then.
    pub fn finish(self, compared_min: usize) {
        assert!(self.differences.is_empty(), "we and they differ:\n{}", self.differences.join("\n"));
        assert!(self.compared >= compared_min, "only {} fields were compared", self.compared);
    }
}
