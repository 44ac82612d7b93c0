//! Starts the reader when somebody asks, as a socket unit of systemd's does. For machines without it: demonstrations,
//! tests, containers.

use std::{
    env, fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt as _, PermissionsExt as _, chown},
            net::{UnixListener, UnixStream},
        },
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

/// Listens until it is killed. One reader at a time. `group`: of the socket; None: the one this process has.
pub(crate) fn run(
    socket: &Path,
    group: Option<u32>,
    libvirt_socket: Option<&str>,
    allow_user: &[String],
    idle: Duration,
) -> anyhow::Result<()> {
    let listener = listen(socket, group)?;
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

/// The socket that a killed supervisor left is replaced; one that answers is not, nor is anything else of that name.
fn listen(socket: &Path, group: Option<u32>) -> anyhow::Result<UnixListener> {
    let shown = socket.display();
    match fs::symlink_metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot look at {shown}")),
        Ok(there) if !there.file_type().is_socket() => {
            anyhow::bail!("{shown} is there and is no socket: remove it, or name another path with --socket")
        }
        Ok(_) if UnixStream::connect(socket).is_ok() => {
            anyhow::bail!("somebody answers on {shown} already: end it, or name another path with --socket")
        }
        Ok(_) => fs::remove_file(socket).with_context(|| format!("cannot replace {shown}"))?,
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {shown}"))?;
    if let Some(group) = group {
        chown(socket, None, Some(group)).with_context(|| {
            format!("cannot give {shown} to group {group} (--socket-group): be a member of it, or root")
        })?;
    }
    fs::set_permissions(socket, fs::Permissions::from_mode(SOCKET_MODE))
        .with_context(|| format!("cannot set the mode of {shown}"))?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn only_a_socket_that_nobody_answers_on_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let [file, link, socket] = ["file", "link", "socket"].map(|name| directory.path().join(name));
        fs::File::create(&file).expect("a file");
        symlink(&file, &link).expect("a link");
        for path in [&file, &link] {
            let refusal = listen(path, None).expect_err("it is no socket").to_string();
            assert!(refusal.contains("is no socket: remove it"), "{refusal}");
            assert!(fs::symlink_metadata(path).is_ok(), "it is still there");
        }
        let first = listen(&socket, None).expect("nothing is there");
        let refusal = listen(&socket, None).expect_err("the first answers").to_string();
        assert!(refusal.contains("answers on"), "{refusal}");
        drop(first);
        listen(&socket, None).expect("what was left is replaced");
    }

    #[test]
    fn the_socket_is_given_to_a_group() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let is_root = rustix::process::geteuid().is_root();
        let own = rustix::process::getegid().as_raw();
        // Root may give it to any group, others to their own.
        let group = if is_root { own + 1 } else { own };
        listen(&socket, Some(group)).expect("a socket");
        let there = fs::metadata(&socket).expect("it is there");
        assert_eq!((there.gid(), there.mode() & 0o777), (group, SOCKET_MODE));
        if !is_root {
            let refusal = listen(&directory.path().join("other"), Some(0)).expect_err("it is root's");
            assert!(refusal.to_string().contains("--socket-group"), "{refusal}");
        }
    }
}
