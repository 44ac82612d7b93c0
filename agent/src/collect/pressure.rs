//! How long tasks wait for CPU, memory and disks: /proc/pressure.

use vmuster_proto::model::{Issue, IssueKind, Pressure, PressureStall};

use super::reading::Reading;
use crate::{host_root::ReadError, parse::pressure};

const SECTION: &str = "usage.pressure";

const DIRECTORY: &str = "/proc/pressure";

/// None, with one issue, on a kernel without it.
pub(super) fn collect(reading: &mut Reading<'_>) -> Option<Pressure> {
    let [cpu, memory, io] =
        ["cpu", "memory", "io"].map(|name| (name, reading.text_or_error(SECTION, &path(name))));
    if [&cpu, &memory, &io].iter().all(|(_, text)| text.as_ref().is_err_and(is_without_psi)) {
        let detail = "this kernel has no pressure stall information: it is older than 4.20, built without PSI or booted \
                      without psi=1; or it was not recorded";
        reading.issue(Issue::new(SECTION, DIRECTORY, IssueKind::Unsupported, detail));
        return None;
    }
    let mut stall = |(name, text)| stall(reading, name, text);
    let pressure = Pressure { cpu: stall(cpu), memory: stall(memory), io: stall(io) };
    (pressure != Pressure::default()).then_some(pressure)
}

/// Built without PSI there is no directory; booted with psi=0 the files are there and refuse to be read.
fn is_without_psi(error: &ReadError) -> bool {
    matches!(error.kind(), IssueKind::Missing | IssueKind::Unsupported)
}

fn stall(reading: &mut Reading<'_>, name: &str, text: Result<String, ReadError>) -> Option<PressureStall> {
    let section = format!("{SECTION}.{name}");
    let text = text.map_err(|error| reading.failed(&section, &error)).ok()?;
    let stall = reading.parsed(&section, &path(name), pressure::parse(&text))?;
    // Only the CPU's came later than its "some".
    if stall.full.is_none() && name != "cpu" {
        reading.malformed(&section, &path(name), "it has no line 'full' and may be cut off");
    }
    Some(stall)
}

fn path(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::{
        host_root::{HostRoot, ReadFailure},
        testing::RecordedTree,
    };

    const SOME: &str = "some avg10=4.26 avg60=3.98 avg300=1.81 total=15\n";
    const FULL: &str = "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

    fn collected(root: &HostRoot) -> (Option<Pressure>, Vec<(String, IssueKind)>) {
        let mut reading = Reading::new(root);
        let pressure = collect(&mut reading);
        (pressure, reading.finish().into_iter().map(|issue| (issue.section, issue.kind)).collect())
    }

    fn tree() -> RecordedTree {
        RecordedTree::new()
            .file("/proc/pressure/cpu", SOME)
            .file("/proc/pressure/memory", &format!("{SOME}{FULL}"))
            .file("/proc/pressure/io", &format!("{SOME}{FULL}"))
    }

    #[test]
    fn reads_all_three() {
        let (pressure, told) = collected(&tree().root());
        let pressure = pressure.expect("pressure");
        let full =
            [pressure.cpu, pressure.memory, pressure.io].map(|stall| stall.expect("a stall").full.is_some());
        assert_eq!((full, told), ([false, true, true], vec![]));
    }

    #[test]
    fn a_kernel_without_it_is_told_once() {
        let without = vec![("usage.pressure".to_owned(), IssueKind::Unsupported)];
        assert_eq!(collected(&RecordedTree::new().root()), (None, without));
    }

    #[test]
    fn one_that_is_not_there_costs_itself() {
        let tree = tree().without("/proc/pressure/io").file("/proc/pressure/memory", SOME);
        let (pressure, told) = collected(&tree.root().denying(&["/proc/pressure/cpu"]));
        let kinds = [
            ("usage.pressure.cpu".to_owned(), IssueKind::Denied),
            ("usage.pressure.memory".to_owned(), IssueKind::Malformed),
            ("usage.pressure.io".to_owned(), IssueKind::Missing),
        ];
        assert_eq!(told, kinds);
        let pressure = pressure.expect("memory's");
        assert_eq!((pressure.cpu, pressure.memory.is_some(), pressure.io), (None, true, None));
    }

    #[test]
    fn psi_switched_off_is_a_kernel_without_it() {
        let error = |errno| ReadError { path: String::new(), source: ReadFailure::Os(errno) };
        assert!(is_without_psi(&error(Errno::OPNOTSUPP)) && is_without_psi(&error(Errno::NOENT)));
        assert!(!is_without_psi(&error(Errno::ACCESS)) && !is_without_psi(&error(Errno::IO)));
    }
}
