//! `vmuster`: asks a coordinator, agents, or saved snapshots, and shows the answer.
//!
//! Knows arguments, exit codes and how answers look. Must not know how an answer is found: it asks through the same API,
//! whether a coordinator runs or is embedded here.

mod args;
mod ask;
mod client;
mod commands;
mod exit;
mod hints_file;
mod progress;
mod render;
mod request_file;
mod settings;

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;

use args::Arguments;
use exit::{Answered, Failure};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(commands::run(arguments));
            // A flight to a host that hangs must not hold up the exit.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::cannot_answer(format!("cannot start: {error}"))),
    };
    match ended {
        Ok(answered) => finish(&answered),
        Err(failure) => {
            warn(&format!("error: {failure}"));
            failure.exit().into()
        }
    }
}

/// The answer to stdout, notes to stderr.
fn finish(answered: &Answered) -> ExitCode {
    for note in &answered.notes {
        warn(note);
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(answered.text.as_bytes()).and_then(|()| stdout.flush()) {
        // `vmuster flags | head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            warn(&format!("error: cannot write the answer: {error}"));
            exit::Exit::CannotAnswer.into()
        }
        _ => answered.exit().into(),
    }
}

fn warn(text: &str) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}
