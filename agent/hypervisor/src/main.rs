//! `vmuster-hypervisor`: asks libvirt on behalf of this host's agent.
//!
//! libvirt tells what guests can be given only to who may also do everything else, and its calls may hang for ever. So the
//! agent, which the network reaches, has neither its library nor its rights; it asks this process, which has both, answers
//! a handful of typed questions and ends when nobody asks.

mod definitions;
mod guesthouse;
mod libvirt;
mod limits;
mod peer;
mod questions;
mod server;
mod storage;
mod supervisor;

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use vmuster_agent::hypervisor::protocol::{Answer, Question};
use vmuster_proto::{
    daemon::{EXIT_CONFIGURATION, EXIT_FAILURE, fail, init_logging},
    model::parse_duration,
    transport::group_id,
};

use crate::{
    libvirt::Daemon,
    limits::Limits,
    questions::Questions,
    server::{Peers, Server},
};

/// Reads what libvirt knows, for vmuster-agent. Never changes the host.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Socket of libvirt's daemon [default: /run/libvirt/virtqemud-sock, else /run/libvirt/libvirt-sock]
    #[arg(long, global = true, value_name = "PATH")]
    libvirt_socket: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer on the listening socket that is standard input; end when nobody asks
    Serve(ServeArguments),
    /// Listen, and start `serve` for as long as there are questions: what a socket unit does, where there is no systemd
    Supervise {
        /// Where the agent asks
        #[arg(long, value_name = "PATH")]
        socket: PathBuf,
        /// Group of that socket, so that an agent of another user can connect; --allow-user must name that user
        #[arg(long, value_name = "GROUP")]
        socket_group: Option<String>,
        #[command(flatten)]
        serve: ServeArguments,
    },
    /// Ask libvirt everything once and say how it went
    Check,
}

#[derive(Args, Clone)]
struct ServeArguments {
    /// Who may ask besides root and the user this runs as; may be repeated
    #[arg(long, value_name = "USER")]
    allow_user: Vec<String>,
    /// End after this long without a question
    #[arg(long, value_name = "DURATION", default_value = "2min", value_parser = parse_duration)]
    idle: Duration,
    /// End when the process that started this one does
    #[arg(long, hide = true)]
    end_with_parent: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    init_logging();
    let socket = arguments.libvirt_socket;
    match arguments.command {
        Command::Serve(serve) => match Peers::new(&serve.allow_user) {
            Ok(peers) => ended(run(socket, peers, &serve)),
            Err(error) => fail(&error, EXIT_CONFIGURATION),
        },
        Command::Supervise { socket: listen, socket_group, serve } => {
            // Wrong names are told at once, not at the first question.
            let group = socket_group.as_deref().map(group_id).transpose().map_err(anyhow::Error::from);
            match Peers::new(&serve.allow_user).and(group) {
                Ok(group) => {
                    ended(supervisor::run(&listen, group, socket.as_deref(), &serve.allow_user, serve.idle))
                }
                Err(error) => fail(&error, EXIT_CONFIGURATION),
            }
        }
        Command::Check => match check(socket) {
            Ok(code) => code,
            Err(error) => fail(&error, EXIT_FAILURE),
        },
    }
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    result.map_or_else(|error| fail(&error, EXIT_FAILURE), |()| ExitCode::SUCCESS)
}

fn questions(socket: Option<String>) -> anyhow::Result<Questions> {
    let limits = Limits::start(|call| {
        tracing::error!(
            call,
            "libvirt does not return: this process ends, and the next question starts another"
        );
        // Nothing of it can be waited for: destructors of libvirt's would hang as well.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    })?;
    Ok(Questions::new(Daemon::new(socket, limits).context("cannot set up libvirt's event loop")?))
}

fn run(socket: Option<String>, peers: Peers, serve: &ServeArguments) -> anyhow::Result<()> {
    if serve.end_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
            .context("cannot ask to end with the process that started this one")?;
    }
    Server::on_stdin(peers, serve.idle)?.run(&mut questions(socket)?)
}

/// For operators, and for checkers of memory: every path of every question, then a clean end.
fn check(socket: Option<String>) -> anyhow::Result<ExitCode> {
    let mut questions = questions(socket)?;
    let mut out = std::io::stdout().lock();
    let standing = match questions.standing() {
        Ok(standing) => standing,
        Err(issue) => anyhow::bail!("{}: {}", issue.source, issue.detail),
    };
    writeln!(out, "{standing}")?;
    let mut issues = Vec::new();
    if let Answer::Guest(guests) =
        questions.answer(&Question::Guest { dependencies: String::new() }, &standing)
    {
        issues.extend(guests.issues);
        let guest = guests.guest.unwrap_or_default();
        let features = guest.features.map_or_else(|| "unknown".to_owned(), |set| set.len().to_string());
        let (kind, model) = (guest.virt_type.unwrap_or_default(), guest.model.unwrap_or_default());
        writeln!(
            out,
            "guests: {kind} {model}, features: {features}, usable models: {}",
            guest.usable_models.len()
        )?;
        if let Some(host_model) = guest.host_model {
            let (comparison, baseline) = (
                questions.answer(&Question::Comparison(Box::new(host_model.clone())), &standing),
                questions.answer(
                    &Question::Baseline { cpus: vec![host_model], expand_features: false },
                    &standing,
                ),
            );
            for answer in [comparison, baseline] {
                match answer {
                    Answer::Failure(issue) => issues.push(issue),
                    Answer::Comparison(comparison, detail) => {
                        writeln!(out, "host-model: {comparison:?} {detail}")?;
                    }
                    _ => {}
                }
            }
        }
    }
    // The second time from what is kept.
    for _ in 0..2 {
        let question = Question::Domains {
            image_pools: Vec::new(),
            leave_out_stopped_disks: false,
            leave_out_storage: false,
        };
        match questions.answer(&question, &standing) {
            Answer::Domains(read) => {
                let stopped = questions.stopped_disks();
                let storage = questions.storage(&[]);
                issues.extend(read.issues.into_iter().chain(storage.issues));
                let domains = read.domains.len() + read.undefined.len();
                let pools = storage.pools.map_or("unknown".to_owned(), |all| all.len().to_string());
                writeln!(
                    out,
                    "domains: {domains}, disks of stopped ones: {}, pools: {pools}",
                    stopped.len()
                )?;
            }
            Answer::Failure(issue) => issues.push(issue),
            _ => {}
        }
    }
    vmuster_proto::model::sort_issues(&mut issues);
    for issue in &issues {
        writeln!(out, "{} {}: {}", issue.section, issue.source, issue.detail)?;
    }
    questions.daemon.disconnect();
    Ok(if issues.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) })
}
