//! Takes out of guests and storage what tells their owner: names, UUIDs, paths and hosts.
//!
//! Knows which field refers to which, so that a disk is still in its pool and a pool on its file system. Must not know how
//! a text is disguised ([`Redactor`]) nor written.

use std::collections::{BTreeMap, BTreeSet};

use vmuster_proto::model::{Domain, DomainDisk, Image, StoragePool, Usage};

use super::Redactor;

/// Paths in it are devices, and no storage's own.
const DEVICES: &str = "/dev";

/// Gives every name another one, and no two the same: that of a guest called "a" has six letters to choose from.
pub(super) struct Disguise<'a> {
    redactor: &'a Redactor,
    /// Beginnings of paths that other files of the capture show: longest first.
    shown: Vec<String>,
    given: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl<'a> Disguise<'a> {
    pub(super) fn new(redactor: &'a Redactor, usage: &Usage) -> Self {
        let filesystems = usage.filesystems.iter().flatten();
        let mut shown: Vec<String> =
            filesystems.map(|filesystem| filesystem.mount_point.trim_end_matches('/').to_owned()).collect();
        shown.push(DEVICES.to_owned());
        shown.sort_unstable_by_key(|path| std::cmp::Reverse(path.len()));
        Self { redactor, shown, given: BTreeMap::new(), taken: BTreeSet::new() }
    }

    /// Everything of libvirt's in it.
    pub(super) fn usage(&mut self, usage: &mut Usage) {
        usage.pools.iter_mut().flatten().for_each(|pool| self.pool(pool));
        usage.domains.iter_mut().flatten().for_each(|domain| self.domain(domain));
        usage.images.iter_mut().flatten().for_each(|image| self.image(image));
    }

    fn pool(&mut self, pool: &mut StoragePool) {
        pool.name = self.name(&pool.name);
        pool.uuid = pool.uuid.as_deref().map(|uuid| self.name(uuid));
        pool.target_path = pool.target_path.as_deref().map(|path| self.path(path));
        pool.identity = pool.identity.as_deref().map(|identity| self.identity(identity));
    }

    fn domain(&mut self, domain: &mut Domain) {
        domain.uuid = self.name(&domain.uuid);
        domain.name = self.name(&domain.name);
        domain.disks.iter_mut().for_each(|disk| self.disk(disk));
    }

    fn disk(&mut self, disk: &mut DomainDisk) {
        let is_network = disk.r#type.as_deref() == Some("network");
        disk.source = disk.source.as_deref().map(|source| match source.split_once(':') {
            Some((protocol, name)) if is_network => format!("{protocol}:{}", self.components(name)),
            _ => self.path(source),
        });
        disk.pool = disk.pool.as_deref().map(|pool| self.name(pool));
        disk.volume = disk.volume.as_deref().map(|volume| self.components(volume));
    }

    fn image(&mut self, image: &mut Image) {
        image.id = self.components(&image.id);
        // A pool, or a directory.
        image.location = if image.location.starts_with('/') {
            self.path(&image.location)
        } else {
            self.name(&image.location)
        };
    }

    /// "nfs://server/export/below".
    fn identity(&mut self, identity: &str) -> String {
        let Some((scheme, rest)) = identity.split_once("://") else { return self.name(identity) };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut hosts: Vec<String> = hosts.split(',').map(|host| self.host(host)).collect();
        hosts.sort_unstable();
        format!("{scheme}://{}/{}", hosts.join(","), self.components(path))
    }

    fn host(&mut self, host: &str) -> String {
        match host.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => format!("{}:{port}", self.name(name)),
            _ => self.name(host),
        }
    }

    /// What a mount point shows stays as it is shown there.
    fn path(&mut self, path: &str) -> String {
        let below = |shown: &String| {
            let rest = path.strip_prefix(shown.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some((shown.clone(), rest))
        };
        let (shown, rest) = self.shown.iter().find_map(below).unwrap_or((String::new(), path));
        format!("{}{}", self.redactor.mount_point(&shown), self.components(rest))
    }

    fn components(&mut self, path: &str) -> String {
        path.split('/').map(|component| self.name(component)).collect::<Vec<_>>().join("/")
    }

    fn name(&mut self, name: &str) -> String {
        if let Some(given) = self.given.get(name) {
            return given.clone();
        }
        let first = self.redactor.word(name);
        let mut other = first.clone();
        let mut more = 1;
        while !self.taken.insert(other.clone()) {
            more += 1;
            other = format!("{first}-{more}");
        }
        self.given.insert(name.to_owned(), other.clone());
        other
    }
}
