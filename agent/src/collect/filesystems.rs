//! Mounted file systems, their size and free space.
//!
//! Which they are is decided in mount_selection.rs; here they are read and measured. A file system that does not answer
//! costs only its own numbers.

use std::{collections::hash_map::RandomState, fmt, hash::BuildHasher as _, sync::Arc};

use rustix::io::Errno;
use vmuster_proto::model::{Bytes, Filesystem, Issue, IssueKind};

use super::{
    mount_selection::{Candidate, select},
    reading::Reading,
};
use crate::{
    host_root::{HostRoot, KeptFiles, ReadError, ReadFailure},
    parse::{
        mountinfo::{self, Mount, MountError},
        statvfs_json::{self, Answers, FsStats},
    },
};

const SECTION: &str = "usage.filesystems";

/// What every kernel has; recordings may have only a link that leads nowhere.
const FIRST_TABLE: &str = "/proc/self/mountinfo";

/// Where mounts are listed, the best first.
const TABLES: [(&str, Parse); 4] = [
    (FIRST_TABLE, mountinfo::parse),
    ("/proc/1/mountinfo", mountinfo::parse),
    ("/proc/self/mounts", mountinfo::parse_mounts),
    ("/proc/mounts", mountinfo::parse_mounts),
];

type Parse = fn(&str) -> (Vec<Mount>, Vec<MountError>);

/// Why a file system did not tell its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatvfsError {
    pub(crate) kind: IssueKind,
    pub(crate) detail: String,
}

impl From<Errno> for StatvfsError {
    fn from(errno: Errno) -> Self {
        let error = ReadError { path: String::new(), source: ReadFailure::Os(errno) };
        Self { kind: error.kind(), detail: error.source.to_string() }
    }
}

/// Who tells size and free space of what is mounted at a path.
#[derive(Clone, Copy)]
pub(crate) enum Statvfs<'a> {
    /// This machine; see [`MountProbe`].
    Live(&'a dyn Fn(&str) -> Result<FsStats, StatvfsError>),
    /// A recorded host's file.
    Recorded,
}

/// Asks a mount of this machine for its size.
pub(crate) struct MountProbe(Box<Probe>);

type Probe = dyn Fn(&str) -> Result<FsStats, StatvfsError> + Send + Sync;

impl MountProbe {
    /// One of a test's own: that hangs, say.
    #[cfg(test)]
    pub(crate) fn new(probe: impl Fn(&str) -> Result<FsStats, StatvfsError> + Send + Sync + 'static) -> Self {
        Self(Box::new(probe))
    }

    pub(crate) fn ask(&self, mount_point: &str) -> Result<FsStats, StatvfsError> {
        (self.0)(mount_point)
    }
}

impl Default for MountProbe {
    fn default() -> Self {
        Self(Box::new(live))
    }
}

impl fmt::Debug for MountProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MountProbe")
    }
}

/// The file systems that the table of mounts was last found to list. Some hosts have thousands of mounts, and few change.
#[derive(Debug, Default)]
pub(crate) struct KeptMounts {
    key: RandomState,
    /// With a digest of the table.
    selected: Option<(u64, Arc<[Candidate]>)>,
}

/// By mount point. None, with an issue, if nothing lists the mounts.
pub(crate) fn collect(
    root: &HostRoot,
    kept_files: Option<&mut KeptFiles>,
    kept_mounts: &mut KeptMounts,
    statvfs: Statvfs<'_>,
) -> (Option<Vec<Filesystem>>, Vec<Issue>) {
    let mut reading = Reading::keeping(root, kept_files);
    let filesystems = read(&mut reading, kept_mounts, statvfs);
    (filesystems, reading.finish())
}

fn read(reading: &mut Reading<'_>, kept: &mut KeptMounts, statvfs: Statvfs<'_>) -> Option<Vec<Filesystem>> {
    let (table, parse, text) = table(reading)?;
    let candidates = candidates(reading, kept, (table, parse), &text);
    for candidate in candidates.iter().filter(|candidate| candidate.read_only.is_none()) {
        let section = format!("{SECTION}[{}].read_only", candidate.mount_point);
        let detail = "the mount is read-only, and this file does not tell of the file system";
        reading.issue(Issue::new(section, table, IssueKind::Unsupported, detail));
    }
    let (filesystems, issues) = match statvfs {
        Statvfs::Live(ask) => measure(&candidates, ask),
        Statvfs::Recorded => match recorded_answers(reading) {
            Some(answers) => measure(&candidates, &|mount_point| recorded(&answers, mount_point)),
            None => (candidates.iter().map(unmeasured).collect(), Vec::new()),
        },
    };
    issues.into_iter().for_each(|issue| reading.issue(issue));
    Some(filesystems)
}

/// The first file that lists the mounts, and what it lists.
fn table(reading: &mut Reading<'_>) -> Option<(&'static str, Parse, String)> {
    let found =
        TABLES.iter().find_map(|(path, parse)| Some((*path, *parse, reading.text_if_there(SECTION, path)?)));
    let Some((path, parse, text)) = found else {
        // One that was refused has its issue.
        if TABLES.iter().all(|(path, _)| !reading.root.exists(path)) {
            let detail = "neither it nor /proc/1/mountinfo, /proc/self/mounts or /proc/mounts is there";
            reading.issue(Issue::new(SECTION, FIRST_TABLE, IssueKind::Missing, detail));
        }
        return None;
    };
    if path != FIRST_TABLE && !reading.root.exists(FIRST_TABLE) {
        let detail = format!("{path} is read instead");
        reading.issue(Issue::new(SECTION, FIRST_TABLE, IssueKind::Missing, detail));
    }
    Some((path, parse, text))
}

fn candidates(
    reading: &mut Reading<'_>,
    kept: &mut KeptMounts,
    (table, parse): (&str, Parse),
    text: &str,
) -> Arc<[Candidate]> {
    let digest = kept.key.hash_one((table, text));
    if let Some((then, selected)) = &kept.selected
        && *then == digest
    {
        return Arc::clone(selected);
    }
    let (mounts, errors) = parse(text);
    let selected: Arc<[Candidate]> = select(&mounts).into();
    // Lines that make no sense are told each time.
    kept.selected = errors.is_empty().then(|| (digest, Arc::clone(&selected)));
    for error in errors {
        reading.repeated("mount", Issue::new(SECTION, table, IssueKind::Malformed, error.to_string()));
    }
    selected
}

/// Asks each for its numbers; without them it is still listed, and an issue says why.
pub(crate) fn measure(
    candidates: &[Candidate],
    statvfs: &dyn Fn(&str) -> Result<FsStats, StatvfsError>,
) -> (Vec<Filesystem>, Vec<Issue>) {
    let mut issues = Vec::new();
    let mut measured = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let mount_point = &candidate.mount_point;
        let mut tell = |field: &str, kind, detail: String| {
            let section = format!("{SECTION}[{mount_point}]{field}");
            issues.push(Issue::new(section, mount_point.as_str(), kind, detail));
        };
        match statvfs(mount_point) {
            // As df does: it is no place to store anything.
            Ok(stats) if stats.blocks == 0 => {}
            Ok(stats) => measured.push(with_numbers(candidate, stats, &mut tell)),
            Err(error) => {
                tell("", error.kind, error.detail);
                measured.push(unmeasured(candidate));
            }
        }
    }
    (measured, issues)
}

fn unmeasured(candidate: &Candidate) -> Filesystem {
    let Candidate { mount_point, source, fs_type, device, read_only, pool } = candidate.clone();
    Filesystem {
        mount_point,
        source: Some(source).filter(|source| !source.is_empty()),
        r#type: Some(fs_type),
        device,
        read_only,
        pool,
        ..Filesystem::default()
    }
}

/// `tell`: an issue of a field.
fn with_numbers(
    candidate: &Candidate,
    stats: FsStats,
    tell: &mut dyn FnMut(&str, IssueKind, String),
) -> Filesystem {
    let FsStats { block_size_bytes, blocks, blocks_free, blocks_available, inodes, inodes_free } = stats;
    let mut filesystem = unmeasured(candidate);
    let bytes =
        |blocks: u64| blocks.checked_mul(block_size_bytes).filter(|_| block_size_bytes > 0).map(Bytes);
    let Some(size_bytes) = bytes(blocks) else {
        let detail = format!("{blocks} blocks of {block_size_bytes} bytes are no size");
        tell("", IssueKind::Malformed, detail);
        return filesystem;
    };
    filesystem.size_bytes = Some(size_bytes);
    let mut part = |field: &str, part: u64| {
        if part <= blocks {
            return bytes(part);
        }
        tell(field, IssueKind::Malformed, format!("{part} of {blocks} blocks"));
        None
    };
    filesystem.free_bytes = part(".free_bytes", blocks_free);
    filesystem.available_bytes = part(".available_bytes", blocks_available);
    // Some write -1 for "not counted".
    if inodes != 0 && inodes != u64::MAX {
        filesystem.inodes = Some(inodes);
        if inodes_free <= inodes {
            filesystem.inodes_free = Some(inodes_free);
        } else {
            tell(".inodes_free", IssueKind::Malformed, format!("{inodes_free} of {inodes} inodes"));
        }
    }
    filesystem
}

/// Asks this machine. Waits as long as the file system lets it, which for a dead server is for ever: the caller has to
/// guard it.
fn live(mount_point: &str) -> Result<FsStats, StatvfsError> {
    let answer = rustix::fs::statvfs(mount_point)?;
    Ok(FsStats {
        block_size_bytes: answer.f_frsize,
        blocks: answer.f_blocks,
        blocks_free: answer.f_bfree,
        blocks_available: answer.f_bavail,
        inodes: answer.f_files,
        inodes_free: answer.f_ffree,
    })
}

/// None, with one issue for all of them, if there is no such file.
fn recorded_answers(reading: &mut Reading<'_>) -> Option<Answers> {
    match reading.bytes(statvfs_json::RECORDED) {
        // JSON shows by itself that it is cut off.
        Ok(bytes) => reading.parsed(SECTION, statvfs_json::RECORDED, statvfs_json::parse(&bytes)),
        Err(error) => {
            reading.failed(SECTION, &error);
            None
        }
    }
}

fn recorded(answers: &Answers, mount_point: &str) -> Result<FsStats, StatvfsError> {
    let error = |kind, detail: String| StatvfsError { kind, detail };
    match answers.get(mount_point) {
        Some(Ok(stats)) => Ok(*stats),
        Some(Err(reason)) => {
            Err(error(IssueKind::Malformed, format!("{}: {reason}", statvfs_json::RECORDED)))
        }
        None => Err(error(IssueKind::Missing, format!("{} does not name it", statvfs_json::RECORDED))),
    }
}

#[cfg(test)]
#[path = "filesystems_tests.rs"]
mod tests;
