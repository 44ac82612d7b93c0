//! The only reader of host files.
//!
//! Knows one root directory, this machine's or a recorded host's, and reads whole regular files below it, within limits.
//! Must not know what the files mean, and never reaches a file outside its root, wherever symbolic links point.

mod access;
mod directory;
mod kept;
mod settled;

use std::{
    collections::BTreeSet,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use memchr::memrchr;
use rustix::{
    buffer::spare_capacity,
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat},
    io::{Errno, read, retry_on_intr},
};
use vmuster_proto::model::{Issue, IssueKind};

use self::settled::settled;

pub use self::{
    access::{Access, AccessLog},
    directory::{Directory, Location},
    kept::KeptFiles,
};

/// Largest file. The cpuinfo of 8,192 CPUs, the most Linux can be built for, has about 15 MB.
const FILE_BYTES_MAX: usize = 32 << 20;

/// The smallest page there is.
const PAGE_BYTES: usize = 4096;

/// First buffer. A sysfs attribute has at most one page, and one byte more shows that it ended.
const FILE_BYTES_FIRST: usize = 4097;

/// Buffer of a text that is read in pieces: small enough for a processor's cache.
const PIECE_BYTES: usize = 64 << 10;

/// First buffer for a link's target; those of sysfs have about a hundred bytes.
const LINK_BYTES_FIRST: usize = 256;

/// Largest directory. /sys/devices/system/cpu of 8,192 CPUs has about 8,220 entries.
const DIRECTORY_ENTRIES_MAX: usize = 1 << 16;

/// A directory below which a host's files are read: `/`, or a recorded host.
///
/// Paths are the host's own, "/proc/cpuinfo"; files that only a recorded host has are named without a slash, "host.json".
#[derive(Debug)]
pub struct HostRoot {
    directory: OwnedFd,
    opening: Opening,
    denied: BTreeSet<String>,
    log: Option<AccessLog>,
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
        // Kernels before 5.6 have no openat2, and some container runtimes forbid it.
        Ok(Self { directory, opening: Opening::Plain, denied: BTreeSet::new(), log: None })
    }

    /// A recorded host's directory.
    ///
    /// # Errors
    /// It does not exist, is not a directory, or the kernel cannot keep links inside it.
    pub fn recorded(path: &Path) -> Result<Self, RootError> {
        let directory = open_root(path)?;
        openat2(&directory, ".", DIRECTORY_FLAGS, Mode::empty(), RESOLVE)
            .map_err(|errno| RootError { path: path.to_owned(), source: errno.into() })?;
        Ok(Self { directory, opening: Opening::InRoot, denied: BTreeSet::new(), log: None })
    }

    /// The same root with some paths refused as to an unprivileged reader: those that were when a host was captured, and
    /// in tests, which run as root, whom nothing is refused.
    #[must_use]
    pub fn denying(mut self, paths: &[&str]) -> Self {
        self.denied.extend(paths.iter().map(|path| (*path).to_owned()));
        self
    }

    /// The same root that notes what is asked of it.
    #[must_use]
    pub fn noting(mut self, log: AccessLog) -> Self {
        self.log = Some(log);
        self
    }

    /// The whole content of a regular file.
    ///
    /// # Errors
    /// It is missing, refused, not a regular file, or larger than any file vmuster reads.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let failed = |source| ReadError { path: path.to_owned(), source };
        self.note(path, Access::File);
        let file = self.open(path, FILE_FLAGS).map_err(|errno| failed(ReadFailure::Os(errno)))?;
        self.read_open(&file, path).map_err(failed)
    }

    /// In /proc and /sys of a running kernel there are files and directories only, and a directory refuses to be read.
    fn read_open(&self, file: &OwnedFd, path: &str) -> Result<Vec<u8>, ReadFailure> {
        let is_kernels =
            self.opening == Opening::Plain && (path.starts_with("/proc/") || path.starts_with("/sys/"));
        if !is_kernels {
            return read_regular(file, Ending::of(path));
        }
        let content =
            read_to_end(Ending::of(path), |content| retry_on_intr(|| read(file, spare_capacity(content))));
        content.map_err(|error| match error {
            ReadFailure::Os(Errno::ISDIR) => ReadFailure::NotRegular,
            error => error,
        })
    }

    /// A large text, whole lines at a time, so that a megabyte is never in memory at once. Whether its last line ends.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_in_pieces(&self, path: &str, mut each: impl FnMut(&[u8])) -> Result<bool, ReadError> {
        let failed = |source| ReadError { path: path.to_owned(), source };
        self.note(path, Access::File);
        let file = self.open(path, FILE_FLAGS).map_err(|errno| failed(ReadFailure::Os(errno)))?;
        regular(&file).map_err(failed)?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let mut total = 0;
        loop {
            let count = retry_on_intr(|| read(&file, spare_capacity(&mut piece)));
            let count = count.map_err(|errno| failed(ReadFailure::Os(errno)))?;
            total += count;
            if total > FILE_BYTES_MAX {
                return Err(failed(ReadFailure::TooLarge));
            }
            if count == 0 {
                // What is left is a line that does not end.
                each(&piece);
                return Ok(piece.is_empty() && total > 0);
            }
            let whole = match memrchr(b'\n', &piece) {
                Some(newline) => newline + 1,
                // A line as long as the whole piece is handed over in parts.
                None if piece.len() == piece.capacity() => piece.len(),
                None => 0,
            };
            each(piece.get(..whole).unwrap_or_default());
            piece.drain(..whole);
        }
    }

    /// Where a symbolic link leads, as it is written.
    ///
    /// # Errors
    /// It is missing, refused, or no link.
    pub fn read_link(&self, path: &str) -> Result<String, ReadError> {
        let failed = |errno| ReadError { path: path.to_owned(), source: ReadFailure::Os(errno) };
        self.note(path, Access::Link);
        let buffer = Vec::with_capacity(LINK_BYTES_FIRST);
        let target = match self.opening {
            // One call instead of three.
            Opening::Plain if !self.is_denied(path) => readlinkat(&self.directory, path, buffer),
            _ => self.open(path, LINK_FLAGS).and_then(|link| readlinkat(&link, "", buffer)),
        };
        let target = target.map_err(failed)?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// A directory, opened to read many files in it.
    ///
    /// # Errors
    /// It is missing, refused, or no directory.
    pub fn directory(&self, path: &str) -> Result<Directory, ReadError> {
        let opened = self.open(path, OFlags::PATH | DIRECTORY_FLAGS);
        let failed = |errno| ReadError { path: path.to_owned(), source: ReadFailure::Os(errno) };
        self.note(path, Access::Exists);
        Ok(Directory::new(path, opened.map_err(failed)?))
    }

    /// The names in a directory, sorted, without "." and ".."; names that are not UTF-8 are left out, for no file that
    /// vmuster reads has such a name.
    ///
    /// # Errors
    /// It is missing, refused, not a directory, or larger than any directory vmuster lists.
    pub fn read_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        let failed = |source| ReadError { path: path.to_owned(), source };
        let os = |errno| failed(ReadFailure::Os(errno));
        self.note(path, Access::Directory);
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
        self.note(path, Access::Exists);
        !self.open(path, OFlags::PATH | OFlags::CLOEXEC).is_err_and(is_absent)
    }

    /// Notes that a mount is asked for its size, which is no reading of a file.
    pub(crate) fn note_statvfs(&self, path: &str) {
        self.note(path, Access::Statvfs);
    }

    fn note(&self, path: &str, access: Access) {
        if let Some(log) = &self.log {
            log.note(path, access);
        }
    }

    fn is_denied(&self, path: &str) -> bool {
        !self.denied.is_empty() && self.denied.contains(path)
    }

    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.is_denied(path) {
            return Err(Errno::ACCESS);
        }
        settled(|| match self.opening {
            Opening::InRoot => openat2(&self.directory, path, flags, Mode::empty(), RESOLVE),
            Opening::Plain => openat(&self.directory, path, flags, Mode::empty()),
        })
    }
}

const RESOLVE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// NONBLOCK: opening a FIFO in a recorded root must not wait for its writer.
const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

const LINK_FLAGS: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const DIRECTORY_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// NODEV and NXIO: the CPU or disk behind a sysfs file was unplugged. A dangling link is NOENT.
fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO)
}

fn open_root(path: &Path) -> Result<OwnedFd, RootError> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| RootError { path: path.to_owned(), source: errno.into() })
}

/// How the end of a file is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Only a read that gives nothing is the end: /proc gives less than was asked for in the middle of a file.
    Empty,
    /// A read that gives less than was asked for is the last: sysfs makes an attribute at once, of a page at most.
    Short,
}

impl Ending {
    fn of(path: &str) -> Self {
        if path.starts_with("/sys/") { Self::Short } else { Self::Empty }
    }
}

fn regular(file: &OwnedFd) -> Result<(), ReadFailure> {
    let status = fstat(file).map_err(ReadFailure::Os)?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(ReadFailure::NotRegular),
    }
}

/// Reads to the end, whatever size the file claims: pseudo-files say nothing true about theirs.
fn read_regular(file: &OwnedFd, ending: Ending) -> Result<Vec<u8>, ReadFailure> {
    regular(file)?;
    read_to_end(ending, |content| retry_on_intr(|| read(file, spare_capacity(content))))
}

/// `next` appends what it reads to the buffer's spare capacity and tells how much it was.
fn read_to_end(
    ending: Ending,
    mut next: impl FnMut(&mut Vec<u8>) -> Result<usize, Errno>,
) -> Result<Vec<u8>, ReadFailure> {
    let mut content = Vec::with_capacity(FILE_BYTES_FIRST);
    loop {
        if content.len() == content.capacity() {
            content.reserve(content.len());
        }
        let count = next(&mut content).map_err(ReadFailure::Os)?;
        // Lists of CPUs longer than a page come a page at a time.
        let is_short = content.len() < content.capacity() && !content.len().is_multiple_of(PAGE_BYTES);
        if count == 0 || (ending == Ending::Short && is_short) {
            return Ok(content);
        }
        if content.len() > FILE_BYTES_MAX {
            return Err(ReadFailure::TooLarge);
        }
    }
}

#[cfg(test)]
mod tests;
