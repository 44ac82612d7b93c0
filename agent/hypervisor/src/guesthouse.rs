//! Guests and storage, from libvirt.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use virt::{connect::Connect, storage_pool::StoragePool as VirtPool, sys};
use vmuster_agent::{
    hypervisor::{
        domains::{self, Assembled, DOMAINS, Undefined},
        figures::{DomainFigures, Figures},
        protocol::Guesthouse,
    },
    parse::libvirt::{domain, pool},
};
use vmuster_proto::model::{Bytes, Domain, Image, Issue, IssueKind, StoragePool};

use crate::{
    libvirt::{failure, raw, raw::Record, stats},
    limits::CALL_LIMIT,
    questions::Questions,
};

const STATS: &str = "virConnectGetAllDomainStats";
const POOLS: &str = "usage.pools";
const IMAGES: &str = "usage.images";

/// Images of one pool; a pool of a million volumes is no image store.
const IMAGES_MAX: usize = 10_000;

/// Disks whose size is looked up one by one, because no statistics have it: stopped guests' disks in a network's storage.
const LOOKUPS_MAX: usize = 256;

impl Questions {
    /// # Errors
    /// libvirt does not say which domains there are.
    pub(crate) fn guesthouse(&mut self, image_pools: &[String]) -> Result<Guesthouse, Issue> {
        let mut issues = Vec::new();
        let (defined, undefined, figures) = self.guests(&mut issues)?;
        let Assembled { mut domains, mut promised, issues: doubts } =
            domains::assemble(defined, &undefined, &figures, STATS);
        let unknown = |domain: &Domain| domain.disks.iter().any(|disk| disk.virtual_bytes.is_none());
        if domains.iter().any(unknown) && self.look_up_sizes(&mut domains) {
            let again = domains::assemble(known(domains, &undefined), &undefined, &figures, STATS);
            Assembled { domains, promised, issues: _ } = again.clone();
            issues.extend(again.issues);
        } else {
            issues.extend(doubts);
        }
        let (pools, images) = self.storage(image_pools, &mut issues);
        Ok(Guesthouse { domains: Some(domains), pools, images, promised: Some(promised), issues })
    }

    /// Definitions, those that could not be read, and figures: one call for all, one for each definition that may have
    /// changed.
    fn guests(&mut self, issues: &mut Vec<Issue>) -> Result<(Vec<Domain>, Vec<Undefined>, Figures), Issue> {
        let groups = sys::VIR_DOMAIN_STATS_STATE
            | sys::VIR_DOMAIN_STATS_BALLOON
            | sys::VIR_DOMAIN_STATS_VCPU
            | sys::VIR_DOMAIN_STATS_BLOCK;
        // A guest that is busy with something else tells less, instead of holding up all others.
        let flags = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
        let records =
            self.daemon.call(STATS, CALL_LIMIT, |connect| raw::all_domain_stats(connect, groups, flags))?;
        let transient = self.daemon.call("virConnectListAllDomains", CALL_LIMIT, |connect| {
            let transient = connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_TRANSIENT)?;
            transient.iter().map(virt::domain::Domain::uuid_string).collect::<Result<BTreeSet<_>, _>>()
        })?;
        let changed = self.daemon.changes();
        let measured: BTreeMap<String, (Record, DomainFigures)> = records
            .into_iter()
            .map(|record| {
                let mut figures = stats::figures(&record.values);
                figures.persistent = Some(!transient.contains(&record.uuid));
                (record.uuid.clone(), (record, figures))
            })
            .collect();
        let now = Instant::now();
        let seen = measured.iter().map(|(uuid, (_, figures))| (uuid.as_str(), figures));
        let due = self.definitions.due(seen, &changed, now);
        self.definitions.retain(|uuid| measured.contains_key(uuid) && !due.contains(uuid));
        let is_read_only = self.daemon.connection()?.refused.is_some();
        let mut gone = BTreeSet::new();
        for uuid in due {
            let Some((record, figures)) = measured.get(uuid) else { continue };
            match self.definition(record, is_read_only) {
                Ok(domain) => self.definitions.keep(domain, figures, now),
                Err(None) => drop(gone.insert(uuid)),
                Err(Some(issue)) => issues.push(issue),
            }
        }
        let mut defined = Vec::new();
        let mut undefined = Vec::new();
        for (uuid, (record, _)) in measured.iter().filter(|(uuid, _)| !gone.contains(uuid.as_str())) {
            match self.definitions.get(uuid) {
                Some(domain) => defined.push(domain.clone()),
                None => undefined.push(Undefined { uuid: uuid.clone(), name: record.name.clone() }),
            }
        }
        let domains = measured.into_iter().map(|(uuid, (_, figures))| (uuid, figures)).collect();
        Ok((defined, undefined, Figures { domains, ..Figures::default() }))
    }

    /// As it would migrate, which is what its hosts must be able to run. None: it went meanwhile.
    fn definition(&self, record: &Record, is_read_only: bool) -> Result<Domain, Option<Issue>> {
        const CALL: &str = "virDomainGetXMLDesc";
        let flags = if is_read_only { 0 } else { sys::VIR_DOMAIN_XML_MIGRATABLE };
        let text = self.daemon.within(CALL, CALL_LIMIT, || record.domain.xml_desc(flags));
        let text = text.map_err(|error| {
            let is_gone = error.code().is(virt::error::ErrorNumber::NoDomain);
            (!is_gone).then(|| {
                let issue = failure::issue(CALL, &error);
                Issue { section: format!("{DOMAINS}[{}]", record.uuid), ..issue }
            })
        })?;
        let malformed = |detail: String| {
            Some(Issue::new(format!("{DOMAINS}[{}]", record.uuid), CALL, IssueKind::Malformed, detail))
        };
        let domain = domain::parse(&text).map_err(|error| malformed(error.to_string()))?;
        if domain.uuid == record.uuid {
            Ok(domain)
        } else {
            Err(malformed(format!("it is the definition of {}", domain.uuid)))
        }
    }

    /// Sizes that no statistics have, from their storage. Whether any was found.
    fn look_up_sizes(&mut self, domains: &mut [Domain]) -> bool {
        let disks = domains.iter_mut().flat_map(|domain| &mut domain.disks);
        let unknown = disks.filter(|disk| disk.virtual_bytes.is_none() && disk.source.is_some());
        let mut found = false;
        for disk in unknown.take(LOOKUPS_MAX) {
            let source = disk.source.clone().unwrap_or_default();
            // "rbd:pool/image" is the path "pool/image" of its volume.
            let path = source.split_once(':').map_or(source.as_str(), |(_, path)| path).to_owned();
            let by_name = disk.pool.clone().zip(disk.volume.clone());
            let info = self.daemon.call("virStorageVolGetInfo", CALL_LIMIT, |connect| {
                let volume = match &by_name {
                    Some((pool, volume)) => {
                        connect.lookup_storage_pool_by_name(pool)?.lookup_storage_vol_by_name(volume)?
                    }
                    None => connect.lookup_storage_vol_by_path(&path)?,
                };
                volume.info()
            });
            // A file in no pool: its size stays unknown, and the domain says so.
            if let Ok(info) = info {
                disk.virtual_bytes = Some(Bytes(info.capacity));
                disk.allocation_bytes = Some(Bytes(info.allocation));
                found = true;
            }
        }
        found
    }

    fn storage(
        &mut self,
        image_pools: &[String],
        issues: &mut Vec<Issue>,
    ) -> (Option<Vec<StoragePool>>, Option<Vec<Image>>) {
        const CALL: &str = "virConnectListAllStoragePools";
        let listed =
            self.daemon.call(CALL, CALL_LIMIT, |connect: &Connect| connect.list_all_storage_pools(0));
        let listed = match listed {
            Ok(listed) => listed,
            Err(issue) => {
                issues.push(Issue { section: POOLS.to_owned(), ..issue });
                return (None, None);
            }
        };
        let mut pools = Vec::new();
        let mut images = (!image_pools.is_empty()).then(Vec::new);
        let mut unseen: BTreeSet<&str> = image_pools.iter().map(String::as_str).collect();
        for listed in &listed {
            match self.pool(listed) {
                Ok(pool) => {
                    if unseen.remove(pool.name.as_str())
                        && let Some(images) = &mut images
                    {
                        self.add_images(listed, &pool.name, images, issues);
                    }
                    pools.push(pool);
                }
                Err(issue) => issues.push(issue),
            }
        }
        for missing in unseen {
            let detail = format!("image_pools of agent.toml names {missing}, and libvirt has no such pool");
            issues.push(Issue::new(IMAGES, CALL, IssueKind::Missing, detail));
        }
        pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let Some(images) = &mut images {
            images.sort_unstable_by(|a, b| (&a.location, &a.id).cmp(&(&b.location, &b.id)));
        }
        (Some(pools), images)
    }

    fn pool(&self, listed: &VirtPool) -> Result<StoragePool, Issue> {
        const CALL: &str = "virStoragePoolGetXMLDesc";
        let of_pool = |issue: Issue| Issue { section: POOLS.to_owned(), ..issue };
        let text = self.daemon.within(CALL, CALL_LIMIT, || listed.xml_desc(0));
        let text = text.map_err(|error| of_pool(failure::issue(CALL, &error)))?;
        let malformed = |detail: String| Issue::new(POOLS, CALL, IssueKind::Malformed, detail);
        let mut pool = pool::parse(&text).map_err(|error| malformed(error.to_string()))?;
        let info = self.daemon.within("virStoragePoolGetInfo", CALL_LIMIT, || listed.info());
        let info = info.map_err(|error| of_pool(failure::issue("virStoragePoolGetInfo", &error)))?;
        pool.state = pool_state(info.state).map(str::to_owned);
        if pool.state.as_deref() == Some("inactive") {
            // Of its last life.
            (pool.capacity_bytes, pool.allocation_bytes, pool.available_bytes) = (None, None, None);
        }
        Ok(pool)
    }

    fn add_images(&self, pool: &VirtPool, name: &str, images: &mut Vec<Image>, issues: &mut Vec<Issue>) {
        const CALL: &str = "virStoragePoolListAllVolumes";
        let failed = |error: &virt::error::Error| Issue {
            section: format!("{IMAGES}[{name}]"),
            ..failure::issue(CALL, error)
        };
        let volumes = match self.daemon.within(CALL, CALL_LIMIT, || pool.list_all_volumes(0)) {
            Ok(volumes) => volumes,
            Err(error) => return issues.push(failed(&error)),
        };
        if volumes.len() > IMAGES_MAX {
            let detail = format!("it has {} volumes; the first {IMAGES_MAX} are listed", volumes.len());
            issues.push(Issue::new(format!("{IMAGES}[{name}]"), CALL, IssueKind::Unsupported, detail));
        }
        for volume in volumes.iter().take(IMAGES_MAX) {
            let info = self.daemon.within("virStorageVolGetInfo", CALL_LIMIT, || volume.info());
            match volume.name() {
                Ok(id) => images.push(Image {
                    id,
                    location: name.to_owned(),
                    size_bytes: info.ok().map(|info| Bytes(info.allocation)),
                }),
                Err(error) => issues.push(failed(&error)),
            }
        }
    }
}

/// Those with a definition, for another assembly.
fn known(domains: Vec<Domain>, undefined: &[Undefined]) -> Vec<Domain> {
    let is_undefined = |domain: &Domain| undefined.iter().any(|undefined| undefined.uuid == domain.uuid);
    domains.into_iter().filter(|domain| !is_undefined(domain)).collect()
}

/// virStoragePoolState.
fn pool_state(state: u32) -> Option<&'static str> {
    Some(match state {
        0 => "inactive",
        1 => "building",
        2 => "running",
        3 => "degraded",
        4 => "inaccessible",
        _ => return None,
    })
}
