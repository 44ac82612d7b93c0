//! A recorded host's own account of itself: DIR/host.json.
//!
//! Knows what uname said when it was captured. Must not know this machine.

use std::path::Path;

use serde::Deserialize;
use vmuster_proto::model::{Issue, IssueKind, Timestamp};

use crate::host_root::{HostRoot, RootError};

/// Its file.
pub(crate) const HOST_JSON: &str = "host.json";

/// Who made the capture, in host.json: then its CPUID leaves are the machine's own, and it says what was refused.
pub(crate) const CAPTURED_BY: &str = concat!("vmuster-agent ", env!("CARGO_PKG_VERSION"));

/// A recorded host, opened.
#[derive(Debug)]
pub struct RecordedHost {
    /// Its files.
    pub root: HostRoot,
    /// The directory's last component.
    pub directory_name: Option<String>,
    /// What host.json said when the directory was opened: a host does not change its name while it is served.
    pub facts: HostFacts,
    /// What was wrong with it. That there is none is no issue: each field it would have had has its own.
    pub issues: Vec<Issue>,
}

/// What host.json says; None where it does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostFacts {
    /// The name the host goes by.
    pub name: Option<String>,
    /// As `uname -m` printed it.
    pub arch: Option<String>,
    /// As `uname -r` printed it.
    pub kernel_release: Option<String>,
    /// As `uname -n` printed it.
    pub hostname: Option<String>,
    /// When it was captured.
    pub captured_at: Option<Timestamp>,
    /// When its kernel had started.
    pub booted_at: Option<Timestamp>,
    /// Whether vmuster made the capture: its CPUID leaves are then of this very machine.
    pub is_own_capture: bool,
    /// Files that were there and could not be read.
    pub denied: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    name: Option<String>,
    arch: Option<String>,
    kernel_release: Option<String>,
    hostname: Option<String>,
    captured_at: Option<String>,
    booted_at: Option<String>,
    captured_by: Option<String>,
    #[serde(default)]
    denied: Vec<String>,
}

impl RecordedHost {
    /// Opens a recorded host's directory.
    ///
    /// # Errors
    /// It does not exist or is not a directory.
    pub fn open(directory: &Path) -> Result<Self, RootError> {
        let root = HostRoot::recorded(directory)?;
        // The directory may be "." or a link.
        let whole =
            directory.canonicalize().map_err(|source| RootError { path: directory.to_owned(), source })?;
        let directory_name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
        let (facts, issues) = match root.read(HOST_JSON) {
            Ok(bytes) => parse(&bytes),
            Err(error) if error.is_absent() => (HostFacts::default(), Vec::new()),
            Err(error) => (HostFacts::default(), vec![error.issue("system")]),
        };
        let denied: Vec<&str> = facts.denied.iter().map(String::as_str).collect();
        let root = root.denying(&denied);
        Ok(Self { root, directory_name, facts, issues })
    }
}

fn parse(bytes: &[u8]) -> (HostFacts, Vec<Issue>) {
    let malformed =
        |section: &str, detail: String| Issue::new(section, HOST_JSON, IssueKind::Malformed, detail);
    let document: Document = match serde_json::from_slice(bytes) {
        Ok(document) => document,
        Err(error) => return (HostFacts::default(), vec![malformed("system", error.to_string())]),
    };
    let mut issues = Vec::new();
    let mut time = |field: &str, text: Option<String>| {
        text?.parse::<Timestamp>().map_err(|detail| issues.push(malformed(field, detail))).ok()
    };
    let captured_at = time("collected_at", document.captured_at);
    let booted_at = time("system.booted_at", document.booted_at);
    let said = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let facts = HostFacts {
        name: said(document.name),
        arch: said(document.arch),
        kernel_release: said(document.kernel_release),
        hostname: said(document.hostname),
        captured_at,
        booted_at,
        is_own_capture: document.captured_by.is_some_and(|by| by.starts_with("vmuster-agent ")),
        denied: document.denied,
    };
    (facts, issues)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordedTree;

    #[test]
    fn reads_what_there_is() {
        let text = r#"{"name":"a","arch":"aarch64","kernel_release":"6.1","captured_at":"2026-11-22T20:38:31Z","more":1}"#;
        let (facts, issues) = parse(text.as_bytes());
        assert_eq!(
            (facts.name.as_deref(), facts.arch.as_deref(), issues),
            (Some("a"), Some("aarch64"), vec![])
        );
        assert_eq!(facts.captured_at.map(|time| time.to_string()).as_deref(), Some("2026-11-22T20:38:31Z"));
        assert_eq!(parse(br#"{"name":" "}"#), (HostFacts::default(), vec![]));
    }

    #[test]
    fn says_what_is_wrong() {
        let kinds = |text: &str| {
            parse(text.as_bytes()).1.iter().map(|issue| issue.section.clone()).collect::<Vec<_>>()
        };
        assert_eq!(kinds("{"), ["system"]);
        assert_eq!(kinds(r#"{"name":1}"#), ["system"]);
        assert_eq!(kinds(r#"{"captured_at":"yesterday"}"#), ["collected_at"]);
    }

    #[test]
    fn goes_by_its_directory() {
        let tree = RecordedTree::new().file("/hosts/node-7/proc/cpuinfo", "");
        let host = RecordedHost::open(&tree.path().join("hosts/node-7/../node-7/.")).expect("a directory");
        assert_eq!((host.directory_name.as_deref(), host.facts), (Some("node-7"), HostFacts::default()));
    }
}
