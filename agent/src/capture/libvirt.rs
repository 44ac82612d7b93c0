//! What libvirt said, as a recorded host has it: DIR/libvirt (docs/recorded-hosts.md).
//!
//! Knows which of libvirt's own words are kept, and that definitions of guests and pools are not: they hold secrets, and
//! are written anew from what was read of them. Must not know how files are written.

use std::{collections::BTreeMap, time::Duration};

use vmuster_proto::libvirt::render;
use vmuster_proto::model::{Domain, DomainDisk, Snapshot, StoragePool, Usage};

use super::{Redactor, disguise::Disguise};
use crate::hypervisor::{
    ReaderSettings,
    figures::{DiskFigures, DomainFigures, FIGURES_JSON, Figures, PoolFigures},
    protocol::{Answer, Question},
    reader::{ReaderError, Waits, ask},
};

/// Somebody waits for a capture and nothing else: a daemon that has just been started may take its time.
const WAITS: Waits = Waits { standing: Duration::from_secs(5), answer: Duration::from_secs(30) };

/// libvirt's own words that a recorded host has. The reader names them, and a name of its own could lead anywhere.
const WORDS: [&str; 4] =
    ["capabilities.xml", "domcapabilities.xml", "host-model-expanded.xml", "version.json"];

const DOMAINS: &str = "libvirt/domains";
const POOLS: &str = "libvirt/pools";

/// In place of a definition that libvirt did not give: it makes no sense, so the guest still counts, by unknown amounts.
const NO_DEFINITION: &[u8] = b"<!-- libvirt gave no definition of this guest. -->\n";

/// libvirt's own words, by file name.
pub type Words = BTreeMap<String, String>;

/// Asks the reader process for libvirt's own words.
///
/// # Errors
/// See [`ReaderError`].
pub fn words(settings: &ReaderSettings) -> Result<Words, ReaderError> {
    match ask(&settings.socket, &Question::Record, WAITS)?.answer {
        Some(Answer::Record(words)) => Ok(words),
        _ => Err(ReaderError::Unexpected),
    }
}

/// What belongs into a capture.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recording {
    /// That are there even if nothing is in them: no guests is another answer than none.
    pub(super) directories: Vec<&'static str>,
    /// Content by path.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl Recording {
    pub(super) fn new(
        snapshot: &Snapshot,
        words: &Words,
        redactor: Option<&Redactor>,
    ) -> serde_json::Result<Self> {
        let mut recording = Self { directories: vec!["libvirt"], ..Self::default() };
        for name in WORDS {
            let Some(text) = words.get(name) else { continue };
            let path = format!("libvirt/{name}");
            let bytes = text.as_bytes();
            let content = redactor.map_or_else(|| bytes.to_vec(), |redactor| redactor.content(&path, bytes));
            recording.files.insert(path, content);
        }
        let mut usage = snapshot.usage.clone().unwrap_or_default();
        if let Some(redactor) = redactor {
            Disguise::new(redactor, &usage).usage(&mut usage);
        }
        recording.add_definitions(&usage);
        recording.files.insert(FIGURES_JSON.to_owned(), serde_json::to_vec_pretty(&figures(usage))?);
        Ok(recording)
    }

    fn add_definitions(&mut self, usage: &Usage) {
        if let Some(domains) = &usage.domains {
            self.directories.push(DOMAINS);
            for (number, domain) in domains.iter().enumerate() {
                let path = file(DOMAINS, Some(&domain.uuid), number);
                let definition = if is_defined(domain) {
                    render::domain(domain).into_bytes()
                } else {
                    NO_DEFINITION.to_vec()
                };
                self.files.insert(path, definition);
            }
        }
        if let Some(pools) = &usage.pools {
            self.directories.push(POOLS);
            for (number, pool) in pools.iter().enumerate() {
                let path = file(POOLS, pool.uuid.as_deref(), number);
                self.files.insert(path, render::pool(pool).into_bytes());
            }
        }
    }
}

/// By UUID: a guest may be called "../../etc/passwd". What is no UUID is numbered.
fn file(directory: &str, uuid: Option<&str>, number: usize) -> String {
    match uuid.filter(|uuid| super::redact::is_uuid(uuid)) {
        Some(uuid) => format!("{directory}/{uuid}.xml"),
        None => format!("{directory}/{number}.xml"),
    }
}

/// Of a guest whose definition could not be read nothing is known of disks, not even that it has none.
fn is_defined(domain: &Domain) -> bool {
    !domain.disks.is_empty() || domain.disk_virtual_bytes.is_some()
}

fn figures(usage: Usage) -> Figures {
    let domains = usage.domains.iter().flatten();
    let pools = usage.pools.iter().flatten();
    Figures {
        collected_at: usage.hypervisor_collected_at,
        domains: domains.map(|domain| (domain.uuid.clone(), domain_figures(domain))).collect(),
        pools: pools.map(|pool| (pool.name.clone(), pool_figures(pool))).collect(),
        images: usage.images,
    }
}

fn domain_figures(domain: &Domain) -> DomainFigures {
    let Domain { state, persistent, vcpus, vcpus_max, memory_bytes, memory_max_bytes, disks, .. } =
        domain.clone();
    let disks = disks.into_iter().map(|disk| {
        let DomainDisk { target, virtual_bytes, allocation_bytes, .. } = disk;
        (target, DiskFigures { virtual_bytes, allocation_bytes })
    });
    DomainFigures {
        state,
        persistent,
        vcpus,
        vcpus_max,
        memory_bytes,
        memory_max_bytes,
        disks: disks.filter(|(_, figures)| *figures != DiskFigures::default()).collect(),
    }
}

fn pool_figures(pool: &StoragePool) -> PoolFigures {
    PoolFigures { state: pool.state.clone(), identity: pool.identity.clone() }
}

#[cfg(test)]
#[path = "libvirt_tests.rs"]
mod tests;
