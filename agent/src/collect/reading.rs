//! The files of one section, and why some could not be read.

use std::{collections::BTreeMap, fmt::Display};

use vmuster_proto::model::{CpuSet, Issue, IssueKind};

use crate::host_root::{Directory, HostRoot, KeptFiles, ReadError};

/// Reads for one section and keeps an issue for each file that gave nothing.
pub(super) struct Reading<'a> {
    pub(super) root: &'a HostRoot,
    kept: Option<&'a mut KeptFiles>,
    directory: Option<Directory>,
    issues: Vec<Issue>,
    /// First issue of its sort, and how many more there were.
    repeated: BTreeMap<(String, IssueKind), (Issue, u32)>,
    absent: u32,
}

impl<'a> Reading<'a> {
    pub(super) fn new(root: &'a HostRoot) -> Self {
        Self { root, kept: None, directory: None, issues: Vec::new(), repeated: BTreeMap::new(), absent: 0 }
    }

    /// Of files that are read again and again: their descriptors are kept.
    pub(super) fn keeping(root: &'a HostRoot, kept: Option<&'a mut KeptFiles>) -> Self {
        Self { kept, ..Self::new(root) }
    }

    /// Files of this directory are read next: their paths need not be walked. Whether it is there.
    pub(super) fn enter(&mut self, directory: &str) -> bool {
        self.directory = self.root.directory(directory).ok();
        self.directory.is_some()
    }

    /// A file's content.
    pub(super) fn bytes(&mut self, path: &str) -> Result<Vec<u8>, ReadError> {
        if let Some(kept) = &mut self.kept {
            return kept.read(self.root, path);
        }
        let inside = |directory: &Directory| {
            let name = path.strip_prefix(directory.path())?.strip_prefix('/')?;
            (!name.contains('/')).then(|| self.root.read_in(directory, name, path))
        };
        self.directory.as_ref().and_then(inside).unwrap_or_else(|| self.root.read(path))
    }

    /// A file's text without surrounding white space. That it is missing is an issue.
    pub(super) fn text(&mut self, section: &str, path: &str) -> Option<String> {
        match self.bytes(path) {
            Ok(bytes) => Some(self.told_text(section, path, &bytes)),
            Err(error) => {
                self.failed(section, &error);
                None
            }
        }
    }

    /// As [`Self::text`], of a file that only some kernels and machines have: that it is missing is no issue.
    pub(super) fn text_if_there(&mut self, section: &str, path: &str) -> Option<String> {
        match self.bytes(path) {
            Ok(bytes) => Some(self.told_text(section, path, &bytes)),
            Err(error) if error.is_absent() => None,
            Err(error) => {
                self.failed(section, &error);
                None
            }
        }
    }

    fn told_text(&mut self, section: &str, path: &str, bytes: &[u8]) -> String {
        if let Some(doubt) = doubt(bytes) {
            self.malformed(section, path, doubt);
        }
        text_of(bytes)
    }

    /// What a parser makes of a text; that it cannot is an issue.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        section: &str,
        path: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.malformed(section, path, error)).ok()
    }

    /// As [`Self::parsed`], of a file that each of a thousand CPUs may have.
    pub(super) fn parsed_of_many<T, E: Display>(
        &mut self,
        sort: &str,
        section: &str,
        path: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        let malformed = |error: E| Issue::new(section, path, IssueKind::Malformed, error.to_string());
        result.map_err(|error| self.repeated(sort, malformed(error))).ok()
    }

    /// A kernel list of CPUs or nodes. That the file is missing is an issue.
    pub(super) fn list(&mut self, section: &str, path: &str) -> Option<CpuSet> {
        let text = self.text(section, path)?;
        self.parsed(section, path, text.parse::<CpuSet>())
    }

    /// As [`Self::list`], of a file that only some kernels have.
    pub(super) fn list_if_there(&mut self, section: &str, path: &str) -> Option<CpuSet> {
        let text = self.text_if_there(section, path)?;
        self.parsed(section, path, text.parse::<CpuSet>())
    }

    /// A file as a list, else another as the mask that older kernels have in its place. That neither is there is no
    /// issue.
    pub(super) fn list_or_mask(&mut self, section: &str, list: &str, mask: &str) -> Option<CpuSet> {
        if let Some(text) = self.text_if_there(section, list) {
            return self.parsed(section, list, text.parse::<CpuSet>());
        }
        let text = self.text_if_there(section, mask)?;
        self.parsed(section, mask, CpuSet::from_mask(&text))
    }

    pub(super) fn issue(&mut self, issue: Issue) {
        self.issues.push(issue);
    }

    pub(super) fn malformed(&mut self, section: &str, path: &str, error: impl Display) {
        self.issue(Issue::new(section, path, IssueKind::Malformed, error.to_string()));
    }

    /// An issue that each of a thousand CPUs may have: told once for all of its sort, with their number.
    pub(super) fn repeated(&mut self, sort: &str, issue: Issue) {
        let entry = self.repeated.entry((sort.to_owned(), issue.kind));
        entry.and_modify(|(_, more)| *more += 1).or_insert((issue, 0));
    }

    /// A file of one CPU or node. That it is missing counts for [`Self::any_vanished`]; issues are told once for all of
    /// `sort`.
    pub(super) fn text_of_many(&mut self, sort: &str, section: &str, path: &str) -> Option<String> {
        match self.bytes(path) {
            Ok(bytes) => {
                if let Some(doubt) = doubt(&bytes) {
                    self.repeated(sort, Issue::new(section, path, IssueKind::Malformed, doubt));
                }
                Some(text_of(&bytes))
            }
            Err(error) => {
                self.absent += u32::from(error.is_absent());
                self.repeated(sort, error.issue(section));
                None
            }
        }
    }

    /// The directory of one CPU or node is not there.
    pub(super) fn vanished(&mut self, sort: &str, section: &str, path: &str) {
        self.absent += 1;
        self.repeated(sort, Issue::new(section, path, IssueKind::Missing, "it is listed and not there"));
    }

    /// Whether a file of [`Self::text_of_many`] or a directory was missing: the host may have changed meanwhile.
    pub(super) fn any_vanished(&self) -> bool {
        self.absent > 0
    }

    pub(super) fn failed(&mut self, section: &str, error: &ReadError) {
        self.issue(error.issue(section));
    }

    /// How many issues there are so far; those told once for many count once.
    pub(super) fn issue_count(&self) -> usize {
        self.issues.len() + self.repeated.len()
    }

    /// What could not be read.
    pub(super) fn finish(self) -> Vec<Issue> {
        let mut issues = self.issues;
        for (mut issue, more) in self.repeated.into_values() {
            if more > 0 {
                issue.detail = format!("{}; and {more} more like it", issue.detail);
            }
            issues.push(issue);
        }
        issues
    }

    /// As [`Self::text`], that it cannot be read left to the caller.
    pub(super) fn text_or_error(&mut self, section: &str, path: &str) -> Result<String, ReadError> {
        self.bytes(path).map(|bytes| self.told_text(section, path, &bytes))
    }
}

/// Every text that the kernel writes ends with a newline.
pub(super) const CUT_OFF: &str = "it has no last newline and may be cut off";

/// Why a file that was read may not be what the kernel writes: its value is shown, with this beside it.
pub(super) fn doubt(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("it is empty");
    }
    if std::str::from_utf8(bytes).is_err() {
        return Some("it is not text");
    }
    // Kernels from 5.16 on may end a CPU list with a NUL.
    let last = bytes.iter().rfind(|byte| **byte != 0);
    (last != Some(&b'\n')).then_some(CUT_OFF)
}

/// Sysfs is ASCII but for what firmware wrote into it.
pub(super) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
}
