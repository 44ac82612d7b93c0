//! The only reader of host files.
//!
//! Knows one root directory, this machine's or a recorded host's, and reads whole regular files below it, within limits.
//! Must not know what the files mean, and never reaches a file outside its root, wherever symbolic links point.

use std::{
    collections::BTreeSet,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    buffer::spare_capacity,
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2},
    io::{Errno, read, retry_on_intr},
};
use vmuster_proto::model::{Issue, IssueKind};

/// Largest file. The cpuinfo of 8,192 CPUs, the most Linux can be built for, has about 15 MB.
const FILE_BYTES_MAX: usize = 32 << 20;

/// First buffer. A sysfs attribute has at most one page.
const FILE_BYTES_FIRST: usize = 4096;

/// Largest directory. /sys/devices/system/cpu of 8,192 CPUs has about 8,220 entries.
const DIRECTORY_ENTRIES_MAX: usize = 1 << 16;

/// A path with ".." is resolved again when something was renamed or mounted meanwhile (openat2(2), EAGAIN).
const RESOLVE_ATTEMPTS_MAX: u32 = 16;

/// A directory below which a host's files are read: `/`, or a recorded host.
///
/// Paths are the host's own, "/proc/cpuinfo"; files that only a recorded host has are named without a slash, "host.json".
#[derive(Debug)]
pub struct HostRoot {
    directory: OwnedFd,
    opening: Opening,
    denied: BTreeSet<String>,
}

/// How files below the root are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// By openat2, every link resolved as if the root were `/`.
    InRoot,
    /// By openat; only of `/` itself, which nothing can leave.
    Plain,
}

/// A directory that cannot be a host's root.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {} as the root of a host", path.display())]
pub struct RootError {
    /// The directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// A file or directory that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct ReadError {
    /// As the host knows it, without a recorded host's directory.
    pub path: String,
    /// Why.
    #[source]
    pub source: ReadFailure,
}

/// Why a file or directory could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadFailure {
    /// The operating system refused.
    #[error("{}", std::io::Error::from(*.0))]
    Os(Errno),
    /// A directory, device, socket or FIFO.
    #[error("it is not a regular file")]
    NotRegular,
    /// More than `FILE_BYTES_MAX` bytes.
    #[error("it has more than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// More than `DIRECTORY_ENTRIES_MAX` entries.
    #[error("it has more than {DIRECTORY_ENTRIES_MAX} entries")]
    TooManyEntries,
}

impl ReadError {
    /// Whether there is no such file, or its device went away.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.kind() == IssueKind::Missing
    }

    /// The sort of issue it is.
    #[must_use]
    pub fn kind(&self) -> IssueKind {
        match self.source {
            ReadFailure::Os(errno) if is_absent(errno) => IssueKind::Missing,
            ReadFailure::Os(Errno::ACCESS | Errno::PERM) => IssueKind::Denied,
            ReadFailure::Os(Errno::OPNOTSUPP | Errno::NOSYS) => IssueKind::Unsupported,
            ReadFailure::Os(Errno::TIMEDOUT) => IssueKind::Timeout,
            ReadFailure::Os(_)
            | ReadFailure::NotRegular
            | ReadFailure::TooLarge
            | ReadFailure::TooManyEntries => IssueKind::Malformed,
        }
    }

    /// As an issue of a section or field.
    #[must_use]
    pub fn issue(&self, section: &str) -> Issue {
        Issue::new(section, self.path.as_str(), self.kind(), self.source.to_string())
    }
}

impl HostRoot {
    /// This machine.
    ///
    /// # Errors
    /// `/` cannot be opened.
    pub fn live() -> Result<Self, RootError> {
        let directory = open_root(Path::new("/"))?;
        // Kernels before 5.6 have no openat2, and some container runtimes forbid it. In `/` both ways mean the same.
        let opening = match openat2(&directory, ".", DIRECTORY_FLAGS, Mode::empty(), RESOLVE) {
            Ok(_) => Opening::InRoot,
            Err(_) => Opening::Plain,
        };
        Ok(Self { directory, opening, denied: BTreeSet::new() })
    }

    /// A recorded host's directory.
    ///
    /// # Errors
    /// It does not exist, is not a directory, or the kernel cannot keep links inside it.
    pub fn recorded(path: &Path) -> Result<Self, RootError> {
        let directory = open_root(path)?;
        openat2(&directory, ".", DIRECTORY_FLAGS, Mode::empty(), RESOLVE)
            .map_err(|errno| RootError { path: path.to_owned(), source: errno.into() })?;
        Ok(Self { directory, opening: Opening::InRoot, denied: BTreeSet::new() })
    }

    /// The same root with some paths refused as to an unprivileged reader; tests run as root, whom nothing is refused.
    #[doc(hidden)]
    #[must_use]
    pub fn denying(mut self, paths: &[&str]) -> Self {
        self.denied.extend(paths.iter().map(|path| (*path).to_owned()));
        self
    }

    /// The whole content of a regular file.
    ///
    /// # Errors
    /// It is missing, refused, not a regular file, or larger than any file vmuster reads.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let failed = |source| ReadError { path: path.to_owned(), source };
        let file = self.open(path, FILE_FLAGS).map_err(|errno| failed(ReadFailure::Os(errno)))?;
        read_regular(&file).map_err(failed)
    }

    /// The names in a directory, sorted, without "." and ".."; names that are not UTF-8 are left out, for no file that
    /// vmuster reads has such a name.
    ///
    /// # Errors
    /// It is missing, refused, not a directory, or larger than any directory vmuster lists.
    pub fn read_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        let failed = |source| ReadError { path: path.to_owned(), source };
        let os = |errno| failed(ReadFailure::Os(errno));
        let directory = self.open(path, DIRECTORY_FLAGS).map_err(os)?;
        let mut names = Vec::new();
        for (count, entry) in Dir::new(directory).map_err(os)?.enumerate() {
            if count >= DIRECTORY_ENTRIES_MAX {
                return Err(failed(ReadFailure::TooManyEntries));
            }
            let entry = entry.map_err(os)?;
            if let Some(name) = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | "..")) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether something of this name is there, readable or not; links are followed.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        !self.open(path, OFlags::PATH | OFlags::CLOEXEC).is_err_and(is_absent)
    }

    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.denied.contains(path) {
            return Err(Errno::ACCESS);
        }
        let mut attempts = 0;
        loop {
            let opened = match self.opening {
                Opening::InRoot => openat2(&self.directory, path, flags, Mode::empty(), RESOLVE),
                Opening::Plain => openat(&self.directory, path, flags, Mode::empty()),
            };
            match opened {
                Err(Errno::AGAIN | Errno::INTR) if attempts < RESOLVE_ATTEMPTS_MAX => attempts += 1,
                result => return result,
            }
        }
    }
}

const RESOLVE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// NONBLOCK: opening a FIFO in a recorded root must not wait for its writer.
const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

const DIRECTORY_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// NODEV and NXIO: the CPU or disk behind a sysfs file was unplugged. A dangling link is NOENT.
fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO)
}

fn open_root(path: &Path) -> Result<OwnedFd, RootError> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| RootError { path: path.to_owned(), source: errno.into() })
}

/// Reads to the end: pseudo-files say nothing true about their size, and some give less than was asked for.
fn read_regular(file: &OwnedFd) -> Result<Vec<u8>, ReadFailure> {
    let status = fstat(file).map_err(ReadFailure::Os)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(ReadFailure::NotRegular);
    }
    let mut content = Vec::with_capacity(FILE_BYTES_FIRST);
    loop {
        if content.len() == content.capacity() {
            content.reserve(content.len());
        }
        if retry_on_intr(|| read(file, spare_capacity(&mut content))).map_err(ReadFailure::Os)? == 0 {
            return Ok(content);
        }
        if content.len() > FILE_BYTES_MAX {
            return Err(ReadFailure::TooLarge);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::mknodat;

    use super::*;
    use crate::testing::RecordedTree;

    fn content(root: &HostRoot, path: &str) -> Result<String, IssueKind> {
        root.read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|e| e.kind())
    }

    #[test]
    fn links_never_lead_out_of_a_recorded_root() {
        let tree = RecordedTree::new().file("/proc/cpuinfo", "inside\n");
        let outside = tempfile::tempdir().expect("a directory");
        let secret = outside.path().join("secret");
        RecordedTree::write(&secret, "outside");
        let links = [
            ("absolute", secret.display().to_string()),
            ("dots", format!("../../../../../../..{}", secret.display())),
            ("passwd", "/etc/passwd".to_owned()),
            ("magic", "/proc/self/root/etc/passwd".to_owned()),
        ];
        for (name, target) in &links {
            symlink(target, tree.path().join(name)).expect("a link");
        }
        symlink("/proc/cpuinfo", tree.path().join("stays")).expect("a link");
        let root = tree.root();
        for (name, _) in &links {
            assert_eq!(content(&root, name), Err(IssueKind::Missing), "{name}");
        }
        assert_eq!(content(&root, "../../../../etc/passwd"), Err(IssueKind::Missing));
        assert_eq!(
            content(&root, "stays").as_deref(),
            Ok("inside\n"),
            "an absolute link means the recorded root"
        );
    }

    #[test]
    fn only_regular_files_are_read() {
        let tree = RecordedTree::new().file("/sys/file", "");
        let fifo = tree.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo");
        let root = tree.root();
        assert_eq!(content(&root, "/fifo"), Err(IssueKind::Malformed));
        assert_eq!(content(&root, "/sys"), Err(IssueKind::Malformed));
        assert_eq!(content(&root, "/sys/file").as_deref(), Ok(""));
        assert_eq!(content(&root, "/sys/file/below"), Err(IssueKind::Missing));
        assert_eq!(content(&root.denying(&["/sys/file"]), "/sys/file"), Err(IssueKind::Denied));
    }

    #[test]
    fn reads_whole_files_up_to_the_limit() {
        let tree = RecordedTree::new()
            .file("/large", &"x".repeat(100_000))
            .file("/huge", &"x".repeat(FILE_BYTES_MAX + 1));
        let root = tree.root();
        assert_eq!(content(&root, "/large").map(|text| text.len()), Ok(100_000));
        let error = root.read("/huge").expect_err("too large");
        assert_eq!((error.source, error.kind()), (ReadFailure::TooLarge, IssueKind::Malformed));
        assert_eq!(error.to_string(), "cannot read /huge");
    }

    #[test]
    fn lists_directories_sorted() {
        let tree = RecordedTree::new().file("/d/cpu10", "").file("/d/cpu2", "").file("/d/a/b", "");
        let root = tree.root();
        assert_eq!(root.read_dir("/d").expect("a directory"), ["a", "cpu10", "cpu2"]);
        assert!(root.read_dir("/d/cpu2").expect_err("a file").is_absent());
        assert!(root.read_dir("/none").expect_err("nothing").is_absent());
        assert!(root.exists("/d/a/b") && !root.exists("/d/a/c"));
        assert!(root.denying(&["/d/a/b"]).exists("/d/a/b"));
    }

    #[test]
    fn a_root_is_checked_first() {
        let tree = RecordedTree::new().file("/file", "");
        assert!(HostRoot::recorded(&tree.path().join("none")).is_err());
        assert!(HostRoot::recorded(&tree.path().join("file")).is_err());
        assert!(content(&HostRoot::live().expect("a root"), "/proc/cpuinfo").is_ok());
    }
}
