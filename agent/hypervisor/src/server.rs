//! Takes questions, one at a time: libvirt's limit of calls at once is small, and the agent asks one thing after another.

use std::{
    collections::BTreeSet,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmuster_agent::hypervisor::protocol::{Answer, ProtocolError, Question};
use vmuster_proto::model::{Issue, IssueKind};

use crate::{peer::Peer, questions::Questions};

/// For a whole question to arrive, and for each answer to be taken: whoever connects is on this machine, and holds up all
/// others.
const PEER_DEADLINE: Duration = Duration::from_secs(1);

/// Users who may ask.
#[derive(Debug, Clone)]
pub(crate) struct Peers(BTreeSet<u32>);

impl Peers {
    /// Root, the user this process runs as, and those named.
    ///
    /// # Errors
    /// There is no such user.
    pub(crate) fn new(names: &[String]) -> anyhow::Result<Self> {
        let mut uids = BTreeSet::from([0, rustix::process::geteuid().as_raw()]);
        for name in names {
            let user =
                nix::unistd::User::from_name(name).with_context(|| format!("cannot look up user {name}"))?;
            let user = user.with_context(|| format!("there is no user {name}: see --allow-user"))?;
            uids.insert(user.uid.as_raw());
        }
        Ok(Self(uids))
    }
}

/// Answers until nobody has asked for a while.
pub(crate) struct Server {
    listener: UnixListener,
    peers: Peers,
    idle: Duration,
}

impl Server {
    /// # Errors
    /// Standard input is no listening socket.
    pub(crate) fn on_stdin(peers: Peers, idle: Duration) -> anyhow::Result<Self> {
        let descriptor: OwnedFd =
            io::stdin().as_fd().try_clone_to_owned().context("cannot use standard input")?;
        let listens = rustix::net::sockopt::socket_acceptconn(&descriptor).unwrap_or(false);
        anyhow::ensure!(
            listens,
            "standard input is not a listening socket: start it by vmuster-hypervisor.socket, or use `supervise`"
        );
        let listener = UnixListener::from(descriptor);
        // Somebody who gave up between poll and accept must not hang us.
        listener.set_nonblocking(true).context("cannot use standard input")?;
        Ok(Self { listener, peers, idle })
    }

    /// # Errors
    /// The listening socket failed.
    pub(crate) fn run(&self, questions: &mut Questions) -> anyhow::Result<()> {
        while self.wait()? {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.serve(stream, questions) {
                        tracing::warn!(%error, "a question was not answered");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("cannot accept a question"),
            }
        }
        tracing::info!("nobody asks: ended");
        questions.daemon.disconnect();
        Ok(())
    }

    /// Whether there is a question; false after the idle time.
    fn wait(&self) -> anyhow::Result<bool> {
        let end = Instant::now() + self.idle;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).context("the idle time is too long")?;
            let mut descriptors = [PollFd::new(&self.listener, PollFlags::IN)];
            match poll(&mut descriptors, Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for questions"),
            }
        }
    }

    fn serve(&self, stream: UnixStream, questions: &mut Questions) -> Result<(), ProtocolError> {
        let mut peer = Peer::new(stream, PEER_DEADLINE)?;
        let uid = peer.uid()?;
        if !self.peers.0.contains(&uid) {
            tracing::warn!(uid, "somebody else's question");
            let detail = format!("user id {uid} may not ask this reader: see --allow-user");
            // Nothing of it is decoded: that is for those who may ask.
            peer.drain();
            let issue = Issue::new("", "vmuster-hypervisor", IssueKind::Denied, detail);
            return peer.answer(&Answer::Failure(issue));
        }
        if peer.has_gone() {
            return Ok(());
        }
        let question = peer.question()?;
        let standing = match questions.standing() {
            Ok(standing) => standing,
            Err(issue) => return peer.answer(&Answer::Failure(issue)),
        };
        peer.answer(&Answer::Standing(standing.clone()))?;
        if question != Question::Standing {
            let answer = questions.answer(&question, &standing);
            peer.answer(&answer)?;
            if let (Question::Domains { .. }, Answer::Domains(_)) = (&question, &answer) {
                later_stages(&mut peer, questions, &question)?;
            }
        }
        Ok(())
    }
}

/// What may hang, after what does not.
fn later_stages(
    peer: &mut Peer,
    questions: &mut Questions,
    question: &Question,
) -> Result<(), ProtocolError> {
    let Question::Domains { image_pools, leave_out_stopped_disks, leave_out_storage } = question else {
        return Ok(());
    };
    if !leave_out_stopped_disks {
        peer.answer(&Answer::StoppedDisks(questions.stopped_disks()))?;
    }
    if !leave_out_storage && !peer.has_gone() {
        let storage = questions.storage(image_pools);
        peer.answer(&Answer::Storage(Box::new(storage)))?;
    }
    // Nobody waits any more.
    questions.refresh_if_slow();
    Ok(())
}
