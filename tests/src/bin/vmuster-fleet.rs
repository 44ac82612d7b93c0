//! A simulated fleet as a program: prints its hosts file and answers as that many agents until SIGTERM, SIGINT or, with
//! `--until-eof`, the end of stdin. With `--guests` the hosts have room for guests, and a pool for their disks.

use std::{
    error::Error,
    io::{Write as _, copy, sink, stdin},
};

use tokio::signal::unix::{SignalKind, signal};
use vmuster_tests::fleet::{FLEET_MAX_HOSTS, Fleet, Source};

const SEED: u64 = 1;

async fn run(count: usize, sources: Vec<Source>, until_eof: bool) -> Result<(), Box<dyn Error>> {
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let fleet = Fleet::start(count, SEED, sources).await;
    let mut stdout = std::io::stdout();
    // The last line says that everything before it is there and everybody listens.
    writeln!(stdout, "{}# all {count} hosts listen", fleet.hosts_file())?;
    stdout.flush()?;
    let end_of_input = async {
        if until_eof {
            // An error ends the input as well.
            drop(tokio::task::spawn_blocking(|| copy(&mut stdin().lock(), &mut sink())).await);
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = end_of_input => {}
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (options, arguments): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let (mut until_eof, mut guests) = (false, false);
    for option in options {
        match option.as_str() {
            "--until-eof" => until_eof = true,
            "--guests" => guests = true,
            other => return Err(format!("there is no option {other}").into()),
        }
    }
    let [count] = arguments.as_slice() else {
        return Err("usage: vmuster-fleet HOSTS [--guests] [--until-eof]".into());
    };
    let count: usize = count.parse()?;
    if !(1..=FLEET_MAX_HOSTS).contains(&count) {
        return Err(format!("1 to {FLEET_MAX_HOSTS} hosts, not {count}").into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sources = if guests { vec![Source::with_hypervisor("rome-2s")] } else { Source::all_x86() };
    let ended = runtime.block_on(run(count, sources, until_eof));
    // A read of stdin that is under way cannot be stopped, and nobody waits for it.
    runtime.shutdown_background();
    ended
}
