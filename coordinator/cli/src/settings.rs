//! What a user or machine has configured for the CLI.

use std::{env, path::PathBuf};

use serde::Deserialize;

use crate::exit::Failure;

/// For all users of a machine.
const SYSTEM_FILE: &str = "/etc/vmuster/vmuster.toml";

/// `vmuster.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// The coordinator to ask when the command line does not say.
    coordinator: Option<String>,
}

/// The coordinator to ask when the command line does not say; None: nobody configured one.
pub(crate) fn coordinator() -> Result<Option<String>, Failure> {
    match env::var("VMUSTER_COORDINATOR") {
        Ok(address) if !address.is_empty() => Ok(Some(address)),
        _ => Ok(read_settings()?.coordinator),
    }
}

/// The user's settings, else the machine's, else none.
fn read_settings() -> Result<Settings, Failure> {
    let user = config_home().map(|home| home.join("vmuster/vmuster.toml"));
    for path in user.into_iter().chain([SYSTEM_FILE.into()]) {
        #[expect(clippy::disallowed_methods, reason = "the CLI reads its own settings")]
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let wrong = |error| Failure::usage(format!("{} is not valid: {error}", path.display()));
                return toml::from_str(&text).map_err(wrong);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
        }
    }
    Ok(Settings::default())
}

/// Where `--agents` keeps what it learned; None if the user has no home.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("vmuster"))
}

fn config_home() -> Option<PathBuf> {
    absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))
}

/// The XDG specification: a path that is not absolute is to be ignored.
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
