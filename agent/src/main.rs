//! `vmuster-agent`: reads this host and serves what it found.

use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use vmuster_agent::{
    capture::{self, Captured, Redactor},
    collector_thread::CollectorThread,
    config::{Config, DEFAULT_CONFIG_PATH},
    host_root::{AccessLog, HostRoot},
    server::{Agent, check},
    snapshot::{Host, HostSource},
    watch::StepDeadlines,
};
use vmuster_proto::{
    clock::SystemClock,
    daemon::{EXIT_CONFIGURATION, EXIT_FAILURE, fail, init_logging, read_config, shutdown_signal},
    transport::ListenAddress,
};

/// Reads one hypervisor's CPU, NUMA and memory facts and serves them. Never changes the host.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file [default: /etc/vmuster/agent.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read a recorded host instead of this machine
    #[arg(long, global = true, value_name = "DIR")]
    recorded: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer coordinators until told to stop
    Serve {
        /// Listen here instead of where the configuration says (unix:/path or IP:PORT)
        #[arg(long, value_name = "ADDR", value_delimiter = ',')]
        listen: Vec<ListenAddress>,
    },
    /// Print a snapshot of this host: inventory, usage, and what is missing
    Collect {
        /// How to print it
        #[arg(short, long, value_enum, default_value = "json")]
        output: Output,
    },
    /// Write what a collection reads into a new directory, for `--recorded DIR` and bug reports
    Capture {
        /// Where to; must be new or empty
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Keep serial numbers, UUIDs, MAC addresses and host names as they are
        #[arg(long)]
        no_redact: bool,
    },
    /// Read the configuration, say what is wrong, do nothing
    CheckConfig,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Json,
    Yaml,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    init_logging();
    let config: Config = match read_config(arguments.config, DEFAULT_CONFIG_PATH) {
        Ok(config) => config,
        Err(error) => return fail(&error.into(), EXIT_CONFIGURATION),
    };
    let source = match &arguments.recorded {
        Some(directory) => HostSource::recorded(directory),
        None => HostSource::live(),
    };
    let source = match source {
        Ok(source) => source,
        Err(error) => return fail(&error.into(), EXIT_CONFIGURATION),
    };
    let host = Host::new(source, config.name.clone(), Arc::new(SystemClock)).reading_by(config.reader());
    match arguments.command {
        Command::CheckConfig => match check(&config) {
            Ok(_) => {
                tracing::info!("the configuration is good");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.into(), EXIT_CONFIGURATION),
        },
        Command::Collect { output } => match collect(&config, host, output) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, EXIT_FAILURE),
        },
        Command::Capture { .. } if arguments.recorded.is_some() => fail(
            &anyhow::anyhow!("a recorded host is a capture already: leave --recorded out"),
            EXIT_CONFIGURATION,
        ),
        Command::Capture { directory, no_redact } => match capture(&config, &directory, no_redact) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, EXIT_FAILURE),
        },
        Command::Serve { listen } => {
            let listen = if listen.is_empty() { config.listen.clone() } else { listen };
            run(&Config { listen, ..config }, host)
        }
    }
}

/// Printing a snapshot is success, whatever is missing from it: the issues in it say so.
#[tokio::main(flavor = "current_thread")]
async fn collect(config: &Config, host: Host, output: Output) -> anyhow::Result<()> {
    let thread = CollectorThread::start(Arc::new(host), config.collect_deadline, StepDeadlines::default())?;
    let snapshot = thread.snapshot().await?;
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&snapshot)? + "\n",
        Output::Yaml => serde_saphyr::to_string(&snapshot)?,
    };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // `vmuster-agent collect | head` is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the snapshot"),
    }
}

/// Collects once, noting what is read, and writes that.
#[tokio::main(flavor = "current_thread")]
async fn capture(config: &Config, directory: &Path, no_redact: bool) -> anyhow::Result<()> {
    capture::prepare(directory)?;
    let log = AccessLog::default();
    let source = HostSource::live()?.noting(log.clone());
    let host = Host::new(source, config.name.clone(), Arc::new(SystemClock)).reading_by(config.reader());
    let thread = CollectorThread::start(Arc::new(host), config.collect_deadline, StepDeadlines::default())?;
    let snapshot = thread.snapshot().await?;
    let hostname = snapshot.inventory.system.as_ref().and_then(|system| system.hostname.clone());
    let redactor = (!no_redact).then(|| Redactor::new(&hostname.unwrap_or_default()));
    let root = HostRoot::live()?;
    let libvirt = match capture::words(&config.reader()) {
        Ok(words) => Some(words),
        Err(error) => {
            let why = error.told().detail;
            tracing::warn!(why, "nothing of libvirt is captured: there will be no libvirt/ in it");
            None
        }
    };
    let captured = Captured {
        root: &root,
        accesses: &log.take(),
        snapshot: &snapshot,
        libvirt: libvirt.as_ref(),
        redactor: redactor.as_ref(),
    };
    capture::write(&captured, directory)?;
    tracing::info!(directory = %directory.display(), redacted = !no_redact, "captured");
    Ok(())
}

/// One thread serves: answers are small and a collection has a thread of its own, so more would only cost memory.
#[tokio::main(flavor = "current_thread")]
async fn run(config: &Config, host: Host) -> ExitCode {
    // Before anything listens: whoever sees that it does may send one, and unheard it would end the process.
    let signals = signal(SignalKind::hangup()).and_then(|hangups| Ok((hangups, shutdown_signal()?)));
    let (mut hangups, shutdown) = match signals {
        Ok(signals) => signals,
        Err(error) => return fail(&error.into(), EXIT_FAILURE),
    };
    tokio::spawn(async move {
        // `systemctl reload` and log rotation send it to everybody; it must not end an agent.
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP: nothing to read again; restart to use a changed configuration");
        }
    });
    let agent = match Agent::start(config, host).await {
        Ok(agent) => agent,
        Err(error) => return fail(&error.into(), EXIT_CONFIGURATION),
    };
    match agent.run(shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.into(), EXIT_FAILURE),
    }
}
