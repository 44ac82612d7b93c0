//! `vmuster-coordinator`: asks agents on demand and answers questions about all hosts.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use tokio::{
    runtime::{Builder, Handle},
    signal::unix::{Signal, SignalKind, signal},
};
use vmuster_coordinator::{
    config::{Config, DEFAULT_CONFIG_PATH},
    server::{Coordinator, ServerError, check, fetch_runtime},
};
use vmuster_proto::{
    clock::SystemClock,
    daemon::{
        EXIT_CONFIGURATION, EXIT_FAILURE, allow_descriptors, fail, init_logging, read_config, shutdown_signal,
    },
    transport::ListenAddress,
};

/// See Cargo.toml.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fetches hosts' inventories on demand, caches them for a day, and answers questions about the whole cluster.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file [default: /etc/vmuster/coordinator.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer until told to stop; SIGHUP reads the hosts file again
    Serve {
        /// Listen here instead of where the configuration says (unix:/path or IP:PORT)
        #[arg(long, value_name = "ADDR", value_delimiter = ',')]
        listen: Vec<ListenAddress>,
    },
    /// Read configuration and hosts file, say what is wrong, do nothing
    CheckConfig,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    init_logging();
    let config: Config = match read_config(arguments.config, DEFAULT_CONFIG_PATH) {
        Ok(config) => config,
        Err(error) => return fail(&error.into(), EXIT_CONFIGURATION),
    };
    match arguments.command {
        Command::CheckConfig => match check(&config) {
            Ok(_) => {
                tracing::info!("configuration and hosts file are good");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.into(), EXIT_CONFIGURATION),
        },
        Command::Serve { listen } => {
            let listen = if listen.is_empty() { config.listen.clone() } else { listen };
            run(Config { listen, ..config })
        }
    }
}

/// 1,024 callers, as many fetches at once, and files; the unit has the same LimitNOFILE.
const DESCRIPTORS: u64 = 8192;

/// For work that hangs on the disk: whoever stops the coordinator does not wait for it for ever.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

fn run(config: Config) -> ExitCode {
    let runtimes =
        Builder::new_multi_thread().enable_all().build().and_then(|serving| Ok((serving, fetch_runtime()?)));
    let (serving, fetching) = match runtimes {
        Ok(runtimes) => runtimes,
        Err(error) => return fail(&error.into(), EXIT_FAILURE),
    };
    let ended = serving.block_on(serve_until_told(config, fetching.handle().clone()));
    fetching.shutdown_background();
    serving.shutdown_timeout(SHUTDOWN_PATIENCE);
    ended
}

async fn serve_until_told(config: Config, fetching: Handle) -> ExitCode {
    // Before anything listens: whoever sees that it does may send one, and unheard it would end the process.
    let signals = signal(SignalKind::hangup()).and_then(|hangups| Ok((hangups, shutdown_signal()?)));
    let (hangups, shutdown) = match signals {
        Ok(signals) => signals,
        Err(error) => return fail(&error.into(), EXIT_FAILURE),
    };
    match allow_descriptors(DESCRIPTORS) {
        Ok(Some(limit)) if limit < DESCRIPTORS => {
            tracing::warn!(
                limit,
                "few file descriptors; with many callers or hosts that hang, raise LimitNOFILE"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of file descriptors"),
    }
    let coordinator = match Coordinator::start(config, Arc::new(SystemClock), fetching).await {
        Ok(coordinator) => coordinator,
        Err(error) => return fail(&error.into(), EXIT_CONFIGURATION),
    };
    match serve(coordinator, hangups, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.into(), EXIT_FAILURE),
    }
}

async fn serve(
    coordinator: Coordinator,
    mut hangups: Signal,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServerError> {
    let (reload, reloads) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            if reload.send(()).await.is_err() {
                return;
            }
        }
    });
    coordinator.run(reloads, shutdown).await
}
