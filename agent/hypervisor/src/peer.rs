//! One asker's connection: questions in, answers out, each within one deadline however slowly its bytes come or go.
//!
//! Knows frames and time. Must not know what is asked, nor who may ask.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmuster_agent::hypervisor::protocol::{
    Answer, LENGTH_BYTES, ProtocolError, QUESTION_MAX_BYTES, Question, announced,
};

/// Of a question that is not to be answered: the agent's own have a few hundred bytes, and who may not ask costs no more.
const DRAIN_MAX_BYTES: u64 = 64 << 10;

/// Whoever asks.
pub(crate) struct Peer {
    stream: UnixStream,
    /// For one question or one answer as a whole.
    patience: Duration,
    end: Instant,
}

impl Peer {
    /// # Errors
    /// The connection is broken.
    pub(crate) fn new(stream: UnixStream, patience: Duration) -> io::Result<Self> {
        // Waits are poll's: a time-out of the socket's own begins anew with each byte.
        stream.set_nonblocking(true)?;
        Ok(Self { stream, patience, end: Instant::now() })
    }

    /// The user at the other end.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn uid(&self) -> io::Result<u32> {
        Ok(rustix::net::sockopt::socket_peercred(&self.stream)?.uid.as_raw())
    }

    /// Whether the asker hung up while another question was answered: nobody waits for this one any more.
    pub(crate) fn has_gone(&self) -> bool {
        let mut descriptors = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut descriptors, Some(&now)), Ok(1..))
    }

    /// # Errors
    /// There is no whole question in time, or it makes no sense.
    pub(crate) fn question(&mut self) -> Result<Question, ProtocolError> {
        self.end = Instant::now() + self.patience;
        let length = announced(self.length()?, QUESTION_MAX_BYTES)?;
        let mut message = Vec::new();
        // Grows with what arrives, not with what is announced.
        self.take(u64::try_from(length).unwrap_or(0)).read_to_end(&mut message)?;
        if message.len() < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Question::from_bytes(&message)
    }

    /// Takes a question without reading it, as far as that is to be had: what is closed with something unread may break the
    /// connection before the refusal is read.
    pub(crate) fn drain(&mut self) {
        self.end = Instant::now() + self.patience;
        if let Ok(length) = self.length() {
            let length = u64::from(u32::from_be_bytes(length)).min(DRAIN_MAX_BYTES);
            // Whoever is too slow is refused all the same.
            let _ = io::copy(&mut self.take(length), &mut io::sink());
        }
    }

    /// # Errors
    /// It was not taken in time.
    pub(crate) fn answer(&mut self, answer: &Answer) -> Result<(), ProtocolError> {
        let frame = answer.to_frame();
        self.end = Instant::now() + self.patience;
        Ok(self.write_all(&frame)?)
    }

    fn length(&mut self) -> io::Result<[u8; LENGTH_BYTES]> {
        let mut length = [0; LENGTH_BYTES];
        self.read_exact(&mut length)?;
        Ok(length)
    }

    /// What `attempt` gives once the stream is ready for it.
    fn timely<T>(
        &mut self,
        ready: PollFlags,
        mut attempt: impl FnMut(&mut UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            // Also if there is something: who sends byte by byte never makes us wait.
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match attempt(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.stream, ready)], Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.timely(PollFlags::IN, |stream| stream.read(buffer))
    }
}

impl Write for Peer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.timely(PollFlags::OUT, |stream| stream.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::mpsc::{Receiver, RecvTimeoutError, channel},
        thread,
    };

    use vmuster_proto::model::{Issue, IssueKind};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    /// Far above [`PATIENCE`], also on a busy machine; far below what whoever drips would take.
    const TOO_LONG: Duration = Duration::from_secs(5);

    const BETWEEN_BYTES: Duration = Duration::from_millis(100);

    fn pair() -> (UnixStream, Peer) {
        let (asker, ours) = UnixStream::pair().expect("a pair of sockets");
        (asker, Peer::new(ours, PATIENCE).expect("a peer"))
    }

    /// Does something now and then until the test ends.
    fn now_and_then(until: &Receiver<()>, mut act: impl FnMut() -> io::Result<()>) {
        while until.recv_timeout(BETWEEN_BYTES) == Err(RecvTimeoutError::Timeout) && act().is_ok() {}
    }

    fn is_late(result: &Result<impl Sized, ProtocolError>) -> bool {
        matches!(result, Err(ProtocolError::Io(error)) if error.kind() == io::ErrorKind::TimedOut)
    }

    #[test]
    fn a_question_that_drips_is_cut() {
        let (mut asker, mut peer) = pair();
        let (end, until) = channel();
        let dripping = thread::spawn(move || {
            asker.write_all(&100_u32.to_be_bytes()).expect("there is room");
            now_and_then(&until, || asker.write_all(&[0]));
        });
        let begin = Instant::now();
        assert!(is_late(&peer.question()));
        assert!(begin.elapsed() >= PATIENCE && begin.elapsed() < TOO_LONG, "{:?}", begin.elapsed());
        drop(end);
        dripping.join().expect("ends");
    }

    #[test]
    fn an_answer_that_is_taken_byte_by_byte_is_cut() {
        let (mut asker, mut peer) = pair();
        let (end, until) = channel();
        let sipping = thread::spawn(move || now_and_then(&until, || asker.read_exact(&mut [0; 4096])));
        let answer = Answer::Record(BTreeMap::from([("a".to_owned(), "b".repeat(8 << 20))]));
        let begin = Instant::now();
        assert!(is_late(&peer.answer(&answer)));
        assert!(begin.elapsed() >= PATIENCE && begin.elapsed() < TOO_LONG, "{:?}", begin.elapsed());
        drop(end);
        sipping.join().expect("ends");
    }

    #[test]
    fn a_question_arrives_in_pieces() {
        let (mut asker, mut peer) = pair();
        let question = Question::Guest { dependencies: "nested".to_owned() };
        let frame = question.to_frame();
        let asking = thread::spawn(move || {
            let (_end, until) = channel::<()>();
            for piece in frame.chunks(frame.len() / 2 + 1) {
                asker.write_all(piece).expect("there is room");
                let _ = until.recv_timeout(BETWEEN_BYTES / 2);
            }
        });
        assert_eq!(peer.question().expect("a question"), question);
        asking.join().expect("ends");
    }

    #[test]
    fn a_refusal_arrives_whatever_was_asked() {
        let refusal = Answer::Failure(Issue::new("", "test", IssueKind::Denied, "no"));
        // No message at all; less than is announced; far more than is drained.
        for (announced, sent) in [(9_u32, 9), (100, 3), (u32::MAX, 100_000)] {
            let (mut asker, mut peer) = pair();
            let begin = Instant::now();
            asker.write_all(&announced.to_be_bytes()).expect("there is room");
            asker.write_all(&vec![255; sent]).expect("there is room");
            peer.drain();
            peer.answer(&refusal).expect("it is taken");
            assert!(begin.elapsed() < TOO_LONG);
            let mut left = vec![0; sent];
            let unread = peer.stream.read(&mut left).unwrap_or(0);
            assert_eq!(unread as u64, (sent as u64).saturating_sub(DRAIN_MAX_BYTES), "{announced}");
            drop(peer);
            let mut frame = vec![0; refusal.to_frame().len()];
            asker.read_exact(&mut frame).expect("the refusal");
            assert_eq!(frame, refusal.to_frame());
        }
    }

    #[test]
    fn who_hung_up_is_noticed() {
        let (asker, peer) = pair();
        assert!(!peer.has_gone());
        drop(asker);
        assert!(peer.has_gone());
    }
}
