//! Asks the reader process, never longer than it is given.
//!
//! Knows the socket and deadlines. Must not know what answers mean.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use vmuster_proto::model::{Issue, IssueKind};

use super::{
    guest::Failure,
    protocol::{ANSWER_MAX_BYTES, Answer, LENGTH_BYTES, ProtocolError, Question, announced},
};

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// Nobody listens.
    #[error(
        "no reader listens at {}: start it with `systemctl enable --now vmuster-hypervisor.socket`, or name its socket \
         as hypervisor_socket in agent.toml", .0.display()
    )]
    Absent(PathBuf),
    /// We may not connect.
    #[error(
        "the agent may not connect to {}: SocketUser= of vmuster-hypervisor.socket must name the user it runs as",
        .0.display()
    )]
    Denied(PathBuf),
    /// libvirt says nothing at all.
    #[error(
        "libvirt has not answered for {:.1} s: look at the daemon, `systemctl status virtqemud libvirtd`, and at the \
         reader, `systemctl status vmuster-hypervisor`", .0.as_secs_f32()
    )]
    Silent(Duration),
    /// libvirt answers other things, but not this.
    #[error("libvirt is still busy with this question after {:.1} s; ask again in a moment", .0.as_secs_f32())]
    Slow(Duration),
    /// The reader ended itself.
    #[error(
        "the reader ended: a call of libvirt's did not return; `journalctl -u vmuster-hypervisor` names it"
    )]
    Ended,
    /// The reader says why.
    #[error("{}", .0.detail)]
    Failed(Issue),
    /// The connection or a message is broken.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Another answer than to this question.
    #[error("the reader answered another question; is it of version {}?", env!("CARGO_PKG_VERSION"))]
    Unexpected,
}

impl ReaderError {
    /// What sort of absence it makes.
    #[must_use]
    pub fn kind(&self) -> IssueKind {
        match self {
            Self::Absent(_) => IssueKind::Missing,
            Self::Denied(_) => IssueKind::Denied,
            Self::Silent(_) | Self::Slow(_) | Self::Ended => IssueKind::Timeout,
            Self::Failed(issue) => issue.kind,
            Self::Protocol(_) | Self::Unexpected => IssueKind::Malformed,
        }
    }

    /// Where the answer should have come from.
    #[must_use]
    pub fn source<'a>(&'a self, socket: &'a Path) -> std::borrow::Cow<'a, str> {
        match self {
            Self::Failed(issue) => issue.source.as_str().into(),
            _ => socket.to_string_lossy(),
        }
    }

    /// With its causes, for a human.
    #[must_use]
    pub fn told(&self) -> Failure {
        let mut detail = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            detail = format!("{detail}: {error}");
            cause = error.source();
        }
        Failure { kind: self.kind(), detail }
    }
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// For anything at all from libvirt, the reader's start included.
    pub standing: Duration,
    /// For the answer after that.
    pub answer: Duration,
}

/// An answer, and what the guest layer depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// See [`Answer::Standing`].
    pub standing: String,
    /// None to [`Question::Standing`].
    pub answer: Option<Answer>,
    /// What came after it, to questions that are answered in stages.
    pub more: Vec<Answer>,
    /// Why not all stages came; what came before holds.
    pub unfinished: Option<Failure>,
}

/// Puts one question to the reader at this socket.
///
/// # Errors
/// See [`ReaderError`].
pub fn ask(socket: &Path, question: &Question, waits: Waits) -> Result<Asked, ReaderError> {
    let begin = Instant::now();
    let first = begin + waits.standing;
    let mut exchange = Exchange { stream: dial(socket, waits.standing)?, begin };
    exchange.send(&question.to_frame(), first)?;
    let standing = match exchange.receive(first, ReaderError::Silent)? {
        Answer::Standing(key) => key,
        Answer::Failure(issue) => return Err(ReaderError::Failed(issue)),
        _ => return Err(ReaderError::Unexpected),
    };
    if *question == Question::Standing {
        return Ok(Asked { standing, answer: None, more: Vec::new(), unfinished: None });
    }
    let answer = exchange.stage(waits.answer)?;
    let mut asked = Asked { standing, answer: Some(answer), more: Vec::new(), unfinished: None };
    for _ in 0..later_stages(question) {
        match exchange.stage(STAGE_WAIT) {
            Ok(answer) => asked.more.push(answer),
            Err(error) => {
                asked.unfinished = Some(error.told());
                break;
            }
        }
    }
    Ok(asked)
}

/// For a stage that looks at storage, where anything may hang; what was found so far is told without it.
const STAGE_WAIT: Duration = Duration::from_millis(700);

fn later_stages(question: &Question) -> usize {
    match question {
        Question::Domains { leave_out_stopped_disks, leave_out_storage, .. } => {
            usize::from(!leave_out_stopped_disks) + usize::from(!leave_out_storage)
        }
        _ => 0,
    }
}

/// Connects without waiting: a reader that does not accept has a full queue, and connecting would hang.
fn dial(socket: &Path, wait: Duration) -> Result<UnixStream, ReaderError> {
    let broken = |errno: rustix::io::Errno| ReaderError::Protocol(ProtocolError::Io(errno.into()));
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let descriptor = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(broken)?;
    let address = SocketAddrUnix::new(socket).map_err(broken)?;
    match connect(&descriptor, &address) {
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => {
            return Err(ReaderError::Absent(socket.to_owned()));
        }
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
            return Err(ReaderError::Denied(socket.to_owned()));
        }
        Err(rustix::io::Errno::AGAIN) => return Err(ReaderError::Silent(wait)),
        Err(errno) => return Err(broken(errno)),
    }
    let stream = UnixStream::from(descriptor);
    stream.set_nonblocking(false).map_err(ProtocolError::Io)?;
    Ok(stream)
}

/// One connection.
struct Exchange {
    stream: UnixStream,
    begin: Instant,
}

impl Exchange {
    fn send(&mut self, frame: &[u8], end: Instant) -> Result<(), ReaderError> {
        let left = self.left(end).ok_or_else(|| ReaderError::Silent(self.begin.elapsed()))?;
        self.stream.set_write_timeout(Some(left)).map_err(ProtocolError::Io)?;
        self.stream.write_all(frame).map_err(|error| self.failed(error, ReaderError::Silent))
    }

    /// One answer of several.
    fn stage(&mut self, wait: Duration) -> Result<Answer, ReaderError> {
        match self.receive(Instant::now() + wait, ReaderError::Slow)? {
            Answer::Failure(issue) => Err(ReaderError::Failed(issue)),
            Answer::Standing(_) => Err(ReaderError::Unexpected),
            answer => Ok(answer),
        }
    }

    fn receive(&mut self, end: Instant, late: fn(Duration) -> ReaderError) -> Result<Answer, ReaderError> {
        let mut length = [0; LENGTH_BYTES];
        self.fill(&mut length, end, late)?;
        let mut message = vec![0; announced(length, ANSWER_MAX_BYTES)?];
        self.fill(&mut message, end, late)?;
        Ok(Answer::from_bytes(&message)?)
    }

    fn fill(
        &mut self,
        mut buffer: &mut [u8],
        end: Instant,
        late: fn(Duration) -> ReaderError,
    ) -> Result<(), ReaderError> {
        while !buffer.is_empty() {
            let left = self.left(end).ok_or_else(|| late(self.begin.elapsed()))?;
            self.stream.set_read_timeout(Some(left)).map_err(ProtocolError::Io)?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(ReaderError::Ended),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error, late)),
            }
        }
        Ok(())
    }

    /// None: nothing is left. A time-out of zero would mean none at all.
    fn left(&self, end: Instant) -> Option<Duration> {
        let left = end.saturating_duration_since(Instant::now());
        (left >= Duration::from_micros(1)).then_some(left)
    }

    fn failed(&self, error: io::Error, late: fn(Duration) -> ReaderError) -> ReaderError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(self.begin.elapsed()),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ReaderError::Ended,
            _ => ReaderError::Protocol(ProtocolError::Io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    const WAITS: Waits = Waits { standing: Duration::from_millis(60), answer: Duration::from_millis(60) };

    /// What a reader that sends this, and then holds or closes the connection, is taken for.
    fn asked(frames: Vec<u8>, hold: bool) -> Result<Asked, ReaderError> {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let (release, held) = std::sync::mpsc::channel::<()>();
        let reader = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a question");
            let mut length = [0; LENGTH_BYTES];
            stream.read_exact(&mut length).expect("a length");
            let mut question = vec![0; announced(length, 1000).expect("small")];
            stream.read_exact(&mut question).expect("a question");
            stream.write_all(&frames).expect("somebody reads");
            if hold {
                let _ = held.recv();
            }
        });
        let asked = ask(&socket, &Question::Guest { dependencies: String::new() }, WAITS);
        drop(release);
        reader.join().expect("the reader ends");
        asked
    }

    fn standing() -> Vec<u8> {
        Answer::Standing("key".to_owned()).to_frame()
    }

    #[test]
    fn an_answer_comes_with_what_it_depends_on() {
        let answer = Answer::Record(std::collections::BTreeMap::new());
        let whole = asked([standing(), answer.to_frame()].concat(), false).expect("an answer");
        assert_eq!(
            whole,
            Asked { standing: "key".to_owned(), answer: Some(answer), more: vec![], unfinished: None }
        );
    }

    #[test]
    fn a_hung_libvirt_is_told_from_a_slow_answer_and_a_dead_reader() {
        assert!(matches!(asked(vec![], true), Err(ReaderError::Silent(_))));
        assert!(matches!(asked(standing(), true), Err(ReaderError::Slow(_))));
        assert!(matches!(asked(standing(), false), Err(ReaderError::Ended)));
        assert!(matches!(asked([standing(), vec![0, 0]].concat(), true), Err(ReaderError::Slow(_))));
        let refusal = Issue::new("", "virConnectOpen", IssueKind::Denied, "no");
        let error = asked(Answer::Failure(refusal).to_frame(), false).expect_err("a failure");
        assert_eq!((error.kind(), error.to_string().as_str()), (IssueKind::Denied, "no"));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(matches!(asked(vec![255; 8], false), Err(ReaderError::Protocol(ProtocolError::TooLarge(_)))));
        assert!(matches!(asked([standing(), standing()].concat(), false), Err(ReaderError::Unexpected)));
    }

    #[test]
    fn without_a_reader_the_cure_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let error =
            ask(&directory.path().join("none"), &Question::Standing, WAITS).expect_err("nobody there");
        assert_eq!(error.kind(), IssueKind::Missing);
        assert!(error.to_string().contains("systemctl enable --now vmuster-hypervisor.socket"));
    }
}
