//! A recorded host's libvirt answers: DIR/libvirt.

use std::collections::BTreeSet;

use serde::Deserialize;
use vmuster_proto::model::{Domain, Issue, IssueKind};

use super::{
    HouseRead,
    domains::{self, Assembled, DOMAINS},
    figures::{FIGURES_JSON, Figures},
    guest::{self, Failure, GUEST, GuestTexts, Guests, HYPERVISOR, Text, Versions, dotted_version},
    protocol::Guesthouse,
};
use crate::{
    host_root::HostRoot,
    parse::libvirt::{XmlError, domain, pool},
};

/// Everything of libvirt's.
pub(super) const DIRECTORY: &str = "libvirt";

const CAPABILITIES: &str = "libvirt/capabilities.xml";
const DOMAIN_CAPABILITIES: &str = "libvirt/domcapabilities.xml";
const EXPANDED: &str = "libvirt/host-model-expanded.xml";
const VERSION: &str = "libvirt/version.json";
const DOMAIN_FILES: &str = "libvirt/domains";
const POOL_FILES: &str = "libvirt/pools";

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
        crate::parse::libvirt::domain_capabilities::parse(text)
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

pub(super) fn house(root: &HostRoot) -> HouseRead {
    let mut issues = Vec::new();
    if !root.exists(DIRECTORY) {
        issues.push(unrecorded(DOMAINS));
        return HouseRead { house: Guesthouse { issues, ..Guesthouse::default() }, ..HouseRead::default() };
    }
    let figures = figures(root, &mut issues);
    let pools = definitions(root, POOL_FILES, POOLS, pool::parse, &mut issues);
    let pools = pools.map(|(mut pools, _)| {
        for pool in &mut pools {
            let Some(known) = figures.pools.get(&pool.name) else { continue };
            pool.state.clone_from(&known.state);
            pool.identity = known.identity.clone().or(pool.identity.take());
        }
        pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        pools
    });
    let defined = definitions(root, DOMAIN_FILES, DOMAINS, domain::parse, &mut issues);
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

/// Every XML file of a directory, and the names of those that make no sense, each with an issue.
fn definitions<T>(
    root: &HostRoot,
    directory: &str,
    section: &str,
    parse: fn(&str) -> Result<T, XmlError>,
    issues: &mut Vec<Issue>,
) -> Option<(Vec<T>, Vec<String>)> {
    let mut names = root.read_dir(directory).map_err(|error| issues.push(error.issue(section))).ok()?;
    names.retain(|name| name.ends_with(".xml"));
    names.sort_unstable();
    let mut found = Vec::with_capacity(names.len());
    let mut unread = Vec::new();
    let inside = root.directory(directory);
    for name in names {
        let path = format!("{directory}/{name}");
        let bytes = match &inside {
            Ok(inside) => root.read_in(inside, &name, &path),
            Err(_) => root.read(&path),
        };
        let parsed = bytes.map_err(|error| error.issue(section)).and_then(|bytes| {
            let malformed = |detail: String| Issue::new(section, path.as_str(), IssueKind::Malformed, detail);
            let text = std::str::from_utf8(&bytes).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
            parse(text).map_err(|error| malformed(error.to_string()))
        });
        match parsed {
            Ok(one) => found.push(one),
            Err(issue) => {
                issues.push(issue);
                unread.push(name);
            }
        }
    }
    Some((found, unread))
}
