//! What a user or machine has configured for the CLI.

use std::{env, path::PathBuf};

use serde::Deserialize;
use vmuster_proto::daemon::toml_problem;

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

/// Who configured the coordinator to ask, and its address; None: nobody did.
pub(crate) fn coordinator() -> Result<Option<(String, String)>, Failure> {
    let variable = env::var("VMUSTER_COORDINATOR").ok().filter(|address| !address.is_empty());
    if let Some(address) = variable {
        return Ok(Some(("VMUSTER_COORDINATOR".to_owned(), address)));
    }
    // The user's file, else the machine's.
    let user = config_home().map(|home| home.join("vmuster/vmuster.toml"));
    for path in user.into_iter().chain([SYSTEM_FILE.into()]) {
        let name = path.display().to_string();
        #[expect(clippy::disallowed_methods, reason = "the CLI reads its own settings")]
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let wrong =
                    |error| Failure::usage(format!("{name} is not valid: {}", toml_problem(&text, &error)));
                let settings: Settings = toml::from_str(&text).map_err(wrong)?;
                return Ok(settings.coordinator.map(|address| (name, address)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::usage(format!("cannot read {name}: {error}"))),
        }
    }
    Ok(None)
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
