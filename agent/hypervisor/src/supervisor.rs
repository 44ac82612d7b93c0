//! Starts the reader when somebody asks, as a socket unit of systemd's does. For machines without it: demonstrations,
//! tests, containers.

use std::{
    env, fs,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixListener},
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Readable and writable for owner and group, as the socket unit has it.
const SOCKET_MODE: u32 = 0o660;

/// A reader that ends sooner than this cannot start: the next one waits as long.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// Listens until it is killed. One reader at a time.
pub(crate) fn run(
    socket: &Path,
    libvirt_socket: Option<&str>,
    allow_user: &[String],
    idle: Duration,
) -> anyhow::Result<()> {
    let listener = listen(socket)?;
    tracing::info!(address = %socket.display(), "listening");
    let program = env::current_exe().context("cannot find this program")?;
    loop {
        wait(&listener)?;
        let begin = Instant::now();
        let stdin = OwnedFd::from(listener.try_clone().context("cannot hand on the socket")?);
        #[expect(clippy::disallowed_methods, reason = "starting the reader is what a supervisor is for")]
        let mut command = Command::new(&program);
        command
            .arg("serve")
            .arg("--end-with-parent")
            .arg("--idle")
            .arg(format!("{}ms", idle.as_millis()))
            .stdin(Stdio::from(stdin));
        for user in allow_user {
            command.arg("--allow-user").arg(user);
        }
        if let Some(socket) = libvirt_socket {
            command.arg("--libvirt-socket").arg(socket);
        }
        let ended =
            command.spawn().and_then(|mut reader| reader.wait()).context("cannot start the reader")?;
        tracing::info!(%ended, "the reader ended");
        if !ended.success() && begin.elapsed() < LIFE_MIN {
            pause();
        }
    }
}

/// A file that a killed supervisor left is replaced; a socket that answers is not.
fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        anyhow::bail!("somebody answers on {} already", socket.display());
    }
    match fs::remove_file(socket) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot replace {}", socket.display())),
    }
    let listener =
        UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(SOCKET_MODE))
        .with_context(|| format!("cannot set the mode of {}", socket.display()))?;
    Ok(listener)
}

fn wait(listener: &UnixListener) -> anyhow::Result<()> {
    loop {
        match poll(&mut [PollFd::new(listener, PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for questions"),
        }
    }
}

/// Nothing can happen meanwhile that would be of use: poll of nothing, for a while.
fn pause() {
    if let Ok(timeout) = Timespec::try_from(LIFE_MIN) {
        let _ = poll(&mut [], Some(&timeout));
    }
}
