//! What operators meet alike in both daemons: where configuration comes from, logs, signals, exit codes.

use std::{future::Future, io, path::PathBuf, process::ExitCode};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{model::parse_duration, transport::ListenAddress};

/// Exit code for wrong use or configuration: starting again will not help.
pub const EXIT_CONFIGURATION: u8 = 2;

/// Exit code for everything else that ends a daemon.
pub const EXIT_FAILURE: u8 = 1;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The system refused.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not TOML, an unknown key, or a value that makes no sense.
    #[error("{path} is not valid: {problem}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Why, with the line.
        problem: String,
    },
}

/// What is wrong with a TOML text, in one line: logs are read by line.
#[must_use]
pub fn toml_problem(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    let message = error.message().replace('\n', "; ");
    line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
}

/// The configuration in `path`; without one, in `default_path` if there is such a file, else every default.
///
/// # Errors
/// See [`ConfigError`].
pub fn read_config<T: DeserializeOwned + Default>(
    path: Option<PathBuf>,
    default_path: &str,
) -> Result<T, ConfigError> {
    let Some(path) = path.or_else(|| Some(PathBuf::from(default_path)).filter(|path| path.exists())) else {
        return Ok(T::default());
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the configuration's own reader; the operator chose the file"
    )]
    let text = std::fs::read_to_string(&path);
    match text {
        Ok(text) => toml::from_str(&text)
            .map_err(|error| ConfigError::Syntax { path, problem: toml_problem(&text, &error) }),
        Err(source) => Err(ConfigError::Read { path, source }),
    }
}

/// For serde: a duration as people write it ("90s", "1day").
///
/// # Errors
/// Not a duration.
pub fn human_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<std::time::Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

/// For serde: listen addresses in their text form.
///
/// # Errors
/// One of them is not an address.
pub fn listen_addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ListenAddress>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

/// Logs to stderr, where journald takes them; `VMUSTER_LOG` sets the level ("info", "vmuster_agent=debug"),
/// `VMUSTER_LOG_FORMAT=json` the form.
pub fn init_logging() {
    let asked = std::env::var("VMUSTER_LOG").ok().filter(|filter| !filter.is_empty());
    let parsed = asked.as_deref().map(EnvFilter::try_new).transpose();
    let (filter, problem) = match parsed {
        Ok(filter) => (filter.unwrap_or_else(|| EnvFilter::new("info")), None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let ansi = builder.with_ansi(false);
    // A second call (tests in one process) keeps the first logger.
    let _ = if std::env::var("VMUSTER_LOG_FORMAT").as_deref() == Ok("json") {
        ansi.json().try_init()
    } else {
        ansi.try_init()
    };
    if let Some(error) = problem {
        tracing::warn!(%error, "VMUSTER_LOG is not a filter; logging at level info");
    }
}

/// Logs the error with its causes and gives the code to exit with.
#[must_use]
pub fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::from(code)
}

/// Resolves on SIGTERM or SIGINT.
///
/// # Errors
/// Signals cannot be watched.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

/// Lets this process have so many descriptors, or as many as its hard limit allows: a shell gives 1,024. Gives what it has
/// then; None: no limit.
///
/// # Errors
/// The kernel refused.
pub fn allow_descriptors(wanted: u64) -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(now) = current.filter(|now| *now < wanted) else { return Ok(current) };
    let current = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(now));
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    Ok(current)
}
