//! A recorded host's libvirt answers: DIR/libvirt.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    num::NonZero,
    panic::resume_unwind,
    thread,
};

use serde::Deserialize;
use vmuster_proto::libvirt::{XmlError, domain, pool};
use vmuster_proto::model::{Domain, Issue, IssueKind};

use super::{
    HouseRead,
    domains::{self, Assembled, DOMAINS},
    figures::{FIGURES_JSON, Figures},
    guest::{self, Failure, GUEST, GuestTexts, Guests, HYPERVISOR, Text, Versions, dotted_version},
    protocol::Guesthouse,
};
use crate::host_root::HostRoot;

/// Everything of libvirt's.
pub(super) const DIRECTORY: &str = "libvirt";

const CAPABILITIES: &str = "libvirt/capabilities.xml";
const DOMAIN_CAPABILITIES: &str = "libvirt/domcapabilities.xml";
const EXPANDED: &str = "libvirt/host-model-expanded.xml";
const VERSION: &str = "libvirt/version.json";
const DOMAIN_FILES: &str = "libvirt/domains";
const POOL_FILES: &str = "libvirt/pools";

/// Definitions that are worth another thread: fewer are parsed in a millisecond or two.
const DEFINITIONS_PER_THREAD: usize = 128;

/// Threads for definitions; parsing gains little from more.
const DEFINITION_THREADS_MAX: usize = 4;

/// Section of the pools.
const POOLS: &str = "usage.pools";

/// version.json: versions as text or as libvirt's numbers, 9000000 for 9.0.0.
#[derive(Deserialize)]
struct Document {
    driver: Option<String>,
    libvirt_version: Option<Version>,
    qemu_version: Option<Version>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Version {
    Text(String),
    Number(u64),
}

impl Version {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => dotted_version(number),
        }
    }
}

/// Unsupported, not missing: what was recorded without libvirt never gets one, so nobody need ask again soon.
fn unrecorded(section: &str) -> Issue {
    Issue::new(section, DIRECTORY, IssueKind::Unsupported, "nothing of libvirt was recorded")
}

pub(super) fn guests(root: &HostRoot) -> Guests {
    if !root.exists(DIRECTORY) {
        let issues = [GUEST, HYPERVISOR].map(unrecorded).to_vec();
        return Guests { issues, ..Guests::default() };
    }
    let (versions, issue) = versions(root);
    let expanded = text(root, EXPANDED);
    // arm64, say, has nothing to expand; domain capabilities then say why there are no features.
    let domain_capabilities = text(root, DOMAIN_CAPABILITIES);
    let has_host_model = domain_capabilities.content.as_ref().is_ok_and(|text| {
        vmuster_proto::libvirt::domain_capabilities::parse(text)
            .is_ok_and(|capabilities| capabilities.host_model.is_none())
    });
    let is_absent = expanded.content.as_ref().is_err_and(|failure| failure.kind == IssueKind::Missing);
    let texts = GuestTexts {
        capabilities: text(root, CAPABILITIES),
        domain_capabilities,
        expanded: (!(is_absent && has_host_model)).then_some(expanded),
        versions,
    };
    let mut guests = guest::assemble(&texts);
    guests.issues.extend(issue);
    guests
}

fn text(root: &HostRoot, path: &str) -> Text {
    let content = root.read(path).map_err(|error| {
        let issue = error.issue("");
        Failure { kind: issue.kind, detail: issue.detail }
    });
    let content = content.and_then(|bytes| {
        let not_text = |_| Failure { kind: IssueKind::Malformed, detail: "it is not UTF-8".to_owned() };
        String::from_utf8(bytes).map_err(not_text)
    });
    Text { source: path.to_owned(), content }
}

fn versions(root: &HostRoot) -> (Versions, Option<Issue>) {
    let bytes = match root.read(VERSION) {
        Ok(bytes) => bytes,
        Err(error) => return (Versions::default(), Some(error.issue(HYPERVISOR))),
    };
    match serde_json::from_slice::<Document>(&bytes) {
        Ok(Document { driver, libvirt_version, qemu_version }) => {
            let libvirt = libvirt_version.map(Version::text);
            (Versions { driver, libvirt, qemu: qemu_version.map(Version::text) }, None)
        }
        Err(error) => {
            let issue = Issue::new(HYPERVISOR, VERSION, IssueKind::Malformed, error.to_string());
            (Versions::default(), Some(issue))
        }
    }
}

/// Definitions as they were parsed last, by file, each with a digest of its text: most of a question's time goes into
/// parsing what did not change.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    digests: RandomState,
    domains: BTreeMap<String, (u64, Domain)>,
}

pub(super) fn house(root: &HostRoot, kept: &mut Definitions) -> HouseRead {
    let mut issues = Vec::new();
    if !root.exists(DIRECTORY) {
        issues.push(unrecorded(DOMAINS));
        return HouseRead { house: Guesthouse { issues, ..Guesthouse::default() }, ..HouseRead::default() };
    }
    let figures = figures(root, &mut issues);
    let pools = definitions(root, POOL_FILES, POOLS, |_, text| pool::parse(text), &mut issues);
    let pools = pools.map(|(mut pools, _)| {
        for pool in &mut pools {
            let Some(known) = figures.pools.get(&pool.name) else { continue };
            pool.state.clone_from(&known.state);
            pool.identity = known.identity.clone().or(pool.identity.take());
        }
        pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        pools
    });
    let defined = kept.domains(root, &mut issues);
    let assembled = defined.map(|(defined, unread)| {
        let mut defined = defined;
        let mut undefined = undefined(&defined, unread, &figures, &mut issues);
        for domain in defined.iter_mut().chain(&mut undefined) {
            if let Some(figures) = figures.domains.get(&domain.uuid) {
                domains::measure(domain, figures);
            }
        }
        domains::assemble(defined, undefined, pools.as_deref().unwrap_or_default(), DOMAIN_FILES)
    });
    let (domains, promised) = match assembled {
        Some(Assembled { domains, promised, issues: doubts }) => {
            issues.extend(doubts);
            (Some(domains), Some(promised))
        }
        None => (None, None),
    };
    let house = Guesthouse { domains, pools, images: figures.images, promised, issues };
    HouseRead { house, collected_at: figures.collected_at, standing: None }
}

impl Definitions {
    fn domains(&mut self, root: &HostRoot, issues: &mut Vec<Issue>) -> Option<(Vec<Domain>, Vec<String>)> {
        let parse = |name: &str, text: &str| {
            let digest = self.digests.hash_one(text);
            let known = self.domains.get(name).filter(|(known, _)| *known == digest);
            let domain = known.map_or_else(|| domain::parse(text), |(_, domain)| Ok(domain.clone()))?;
            Ok((name.to_owned(), (digest, domain)))
        };
        let (read, unread) = definitions(root, DOMAIN_FILES, DOMAINS, parse, issues)?;
        let domains = read.iter().map(|(_, (_, domain))| domain.clone()).collect();
        self.domains = read.into_iter().collect();
        Some((domains, unread))
    }
}

/// Guests that are known by their figures or by a file's name only.
fn undefined(
    defined: &[Domain],
    unread: Vec<String>,
    figures: &Figures,
    issues: &mut Vec<Issue>,
) -> Vec<Domain> {
    let known: BTreeSet<&str> = defined.iter().map(|domain| domain.uuid.as_str()).collect();
    let named = |uuid: String, name: String| Domain { uuid, name, ..Domain::default() };
    let mut undefined: Vec<Domain> = unread
        .into_iter()
        .map(|file| {
            let stem = file.trim_end_matches(".xml").to_owned();
            let is_uuid = figures.domains.contains_key(&stem) && !known.contains(stem.as_str());
            named(if is_uuid { stem } else { String::new() }, file)
        })
        .collect();
    let told: BTreeSet<String> = undefined.iter().map(|one| one.uuid.clone()).collect();
    for uuid in figures.domains.keys().filter(|uuid| !known.contains(uuid.as_str()) && !told.contains(*uuid))
    {
        let path = format!("{DOMAIN_FILES}/{uuid}.xml");
        let detail = format!("{FIGURES_JSON} has a guest whose definition is not there");
        issues.push(Issue::new(DOMAINS, path, IssueKind::Missing, detail));
        undefined.push(named(uuid.clone(), uuid.clone()));
    }
    undefined
}

/// Recordings by others have none: what only they say is then an issue of its own.
fn figures(root: &HostRoot, issues: &mut Vec<Issue>) -> Figures {
    let bytes = match root.read(FIGURES_JSON) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Figures::default(),
        Err(error) => {
            issues.push(error.issue(DOMAINS));
            return Figures::default();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        issues.push(Issue::new(DOMAINS, FIGURES_JSON, IssueKind::Malformed, error.to_string()));
        Figures::default()
    })
}

/// Every XML file of a directory, and the names of those that make no sense, each with an issue. In parallel where there
/// are many: a thousand guests' definitions are 6 MB of XML.
fn definitions<T: Send>(
    root: &HostRoot,
    directory: &str,
    section: &str,
    parse: impl Fn(&str, &str) -> Result<T, XmlError> + Sync,
    issues: &mut Vec<Issue>,
) -> Option<(Vec<T>, Vec<String>)> {
    let mut names = root.read_dir(directory).map_err(|error| issues.push(error.issue(section))).ok()?;
    names.retain(|name| name.ends_with(".xml"));
    names.sort_unstable();
    let inside = root.directory(directory);
    let read = |name: &String| -> Result<T, Issue> {
        let path = format!("{directory}/{name}");
        let bytes = match &inside {
            Ok(inside) => root.read_in(inside, name, &path),
            Err(_) => root.read(&path),
        };
        let bytes = bytes.map_err(|error| error.issue(section))?;
        let malformed = |detail: String| Issue::new(section, path.as_str(), IssueKind::Malformed, detail);
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
        parse(name, text).map_err(|error| malformed(error.to_string()))
    };
    let mut found = Vec::with_capacity(names.len());
    let mut unread = Vec::new();
    for (name, parsed) in names.iter().zip(in_parallel(&names, read)) {
        match parsed {
            Ok(one) => found.push(one),
            Err(issue) => {
                issues.push(issue);
                unread.push(name.clone());
            }
        }
    }
    Some((found, unread))
}

/// `of` of each, in order.
fn in_parallel<I: Sync, O: Send>(items: &[I], of: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cpus.min(DEFINITION_THREADS_MAX).min(items.len() / DEFINITIONS_PER_THREAD).max(1);
    let (first, others) = items.split_at(items.len().div_ceil(threads));
    let each = |chunk: &[I]| chunk.iter().map(&of).collect::<Vec<O>>();
    thread::scope(|scope| {
        let started: Vec<_> =
            others.chunks(first.len().max(1)).map(|chunk| scope.spawn(move || each(chunk))).collect();
        let mut all = each(first);
        for thread in started {
            all.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordedTree;

    fn definition(number: usize, vcpus: u32) -> String {
        let uuid = format!("6f1d2c3b-0000-4000-8000-{number:012}");
        format!("<domain><name>g{number}</name><uuid>{uuid}</uuid><vcpu>{vcpus}</vcpu></domain>")
    }

    #[test]
    fn what_is_kept_never_shows() {
        let file = |number: usize| format!("{DOMAIN_FILES}/{number:04}.xml");
        // Enough for several threads.
        let guests = 3 * DEFINITIONS_PER_THREAD + 1;
        let mut tree = RecordedTree::new();
        for number in 0..guests {
            tree = tree.file(&file(number), &definition(number, 2));
        }
        let mut kept = Definitions::default();
        let mut counted = |tree: &RecordedTree| {
            let again = house(&tree.root(), &mut kept).house;
            assert_eq!(again, house(&tree.root(), &mut Definitions::default()).house);
            let promised = again.promised.expect("a sum");
            (promised.domain_count as usize, promised.vcpus)
        };
        assert_eq!(counted(&tree), (guests, Some(2 * guests as u64)));
        // As long as before, then no definition, another guest's, and gone.
        tree = tree.file(&file(7), &definition(7, 9));
        assert_eq!(counted(&tree), (guests, Some(2 * guests as u64 + 7)));
        tree = tree.file(&file(300), "<domain>").file(&file(301), &definition(guests, 1));
        assert_eq!(counted(&tree), (guests, None));
        tree = tree.file(&file(300), &definition(300, 2));
        std::fs::remove_file(tree.path().join(file(7))).expect("it is there");
        assert_eq!(counted(&tree), (guests - 1, Some(2 * guests as u64 - 3)));
    }
}
