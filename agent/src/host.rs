//! The host that is read: this machine or a recorded one, and the name it goes by.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use vmuster_proto::clock::SharedClock;

use crate::{
    collect::{Origin, filesystems::MountProbe},
    fingerprint::CheapInputs,
    host_root::{AccessLog, HostRoot, RootError},
    hypervisor::{Link, ReaderSettings},
    recorded::RecordedHost,
};

/// Name of a host that has none: neither configured, nor recorded, nor a host name.
const NAMELESS: &str = "unnamed";

/// The host to collect from.
#[derive(Debug)]
pub enum HostSource {
    /// This machine.
    Live(HostRoot),
    /// A recorded one; nothing is then asked of this machine.
    Recorded(Box<RecordedHost>),
}

impl HostSource {
    /// This machine.
    ///
    /// # Errors
    /// `/` cannot be opened.
    pub fn live() -> Result<Self, RootError> {
        HostRoot::live().map(Self::Live)
    }

    /// A recorded host's directory.
    ///
    /// # Errors
    /// It does not exist or is not a directory.
    pub fn recorded(directory: &Path) -> Result<Self, RootError> {
        RecordedHost::open(directory).map(|host| Self::Recorded(Box::new(host)))
    }

    /// The same host, whose root notes what is asked of it.
    #[must_use]
    pub fn noting(self, log: AccessLog) -> Self {
        match self {
            Self::Live(root) => Self::Live(root.noting(log)),
            Self::Recorded(host) => {
                Self::Recorded(Box::new(RecordedHost { root: host.root.noting(log), ..*host }))
            }
        }
    }

    /// The same host, to whose reader some paths are refused.
    #[must_use]
    pub fn denying(self, paths: &[&str]) -> Self {
        match self {
            Self::Live(root) => Self::Live(root.denying(paths)),
            Self::Recorded(host) => {
                Self::Recorded(Box::new(RecordedHost { root: host.root.denying(paths), ..*host }))
            }
        }
    }

    pub(crate) fn root(&self) -> &HostRoot {
        match self {
            Self::Live(root) => root,
            Self::Recorded(host) => &host.root,
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Live(_) => Origin::Live,
            Self::Recorded(_) => Origin::Recorded,
        }
    }
}

/// One host, shared by the threads that may read it one after the other.
#[derive(Debug)]
pub struct Host {
    pub(crate) source: HostSource,
    configured_name: Option<String>,
    pub(crate) clock: SharedClock,
    /// Of this machine only.
    pub(crate) mounts: MountProbe,
    pub(crate) hypervisor: Link,
    /// What the last inventory depended on, and its fingerprint.
    last: Mutex<Option<(CheapInputs, String)>>,
}

impl Host {
    /// `name`: the one configured, before any that the host has itself.
    #[must_use]
    pub fn new(source: HostSource, name: Option<String>, clock: SharedClock) -> Self {
        let mounts = MountProbe::default();
        let hypervisor = match &source {
            HostSource::Live(_) => Link::live(ReaderSettings::default()),
            HostSource::Recorded(_) => Link::recorded(),
        };
        Self { source, configured_name: name, clock, mounts, hypervisor, last: Mutex::new(None) }
    }

    /// The same host, whose hypervisor is asked by another reader. A recorded one's is not asked at all.
    #[must_use]
    pub fn reading_by(self, settings: ReaderSettings) -> Self {
        let hypervisor = match &self.source {
            HostSource::Live(_) => Link::live(settings),
            HostSource::Recorded(_) => Link::recorded(),
        };
        Self { hypervisor, ..self }
    }

    /// Where its hypervisor's reader listens; None of a recorded host.
    #[must_use]
    pub fn reader_socket(&self) -> Option<PathBuf> {
        self.hypervisor.settings().map(|settings| settings.socket.clone())
    }

    /// The same host, whose mounts are asked otherwise.
    #[cfg(test)]
    pub(crate) fn probing(self, mounts: MountProbe) -> Self {
        Self { mounts, ..self }
    }

    /// The name the host goes by: as configured, else as recorded, else its host name.
    #[must_use]
    pub fn name(&self) -> String {
        let own = || match &self.source {
            HostSource::Live(_) => Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
            HostSource::Recorded(host) => host.facts.name.clone().or_else(|| host.directory_name.clone()),
        };
        let name = self.configured_name.clone().or_else(own).filter(|name| !name.is_empty());
        name.unwrap_or_else(|| NAMELESS.to_owned())
    }

    /// Held for a moment only, never while the host is read.
    pub(crate) fn last(&self) -> MutexGuard<'_, Option<(CheapInputs, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
