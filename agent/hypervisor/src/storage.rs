//! Disks of guests that do not run, pools and images, from libvirt: it opens files for them, on storage that may hang.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use virt::{connect::Connect, storage_pool::StoragePool as VirtPool, sys};
use vmuster_agent::hypervisor::{
    domains::counted,
    figures::DiskFigures,
    protocol::{DiskSizes, StorageRead},
};
use vmuster_proto::libvirt::pool;
use vmuster_proto::model::{Bytes, DomainDisk, Image, Issue, IssueKind, StoragePool};

use crate::{
    guesthouse::STATS,
    libvirt::{failure, raw, stats},
    limits::STORAGE_LIMIT,
    questions::Questions,
};

const POOLS: &str = "usage.pools";
const IMAGES: &str = "usage.images";

/// Images of all pools together; each takes some 100 bytes of every usage answer, of which there are 8 MiB at most.
const IMAGES_MAX: usize = 4096;

/// For sizes that are looked up one by one: disks in a network's storage, which no statistics have.
const LOOKUPS_MAX: Duration = Duration::from_millis(300);

impl Questions {
    /// Sizes of the disks of guests that do not run, as far as libvirt knows them.
    pub(crate) fn stopped_disks(&mut self) -> DiskSizes {
        let flags = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE;
        let records = self.daemon.call(STATS, STORAGE_LIMIT, |connect| {
            raw::all_domain_stats(connect, sys::VIR_DOMAIN_STATS_BLOCK, flags)
        });
        let mut sizes = DiskSizes::new();
        let mut stopped = BTreeSet::new();
        // A size that is not known is told of its domain.
        for record in records.unwrap_or_default() {
            let disks = stats::figures(&record.values).disks.into_iter();
            let known = disks.filter(|(_, figures)| figures.virtual_bytes.is_some());
            sizes.extend(known.map(|(target, figures)| ((record.uuid.clone(), target), figures)));
            stopped.insert(record.uuid);
        }
        self.look_up(&stopped, &mut sizes);
        sizes
    }

    /// Sizes that no statistics have, from their storage.
    fn look_up(&mut self, stopped: &BTreeSet<String>, sizes: &mut DiskSizes) {
        let begun = Instant::now();
        for uuid in stopped {
            let Some(domain) = self.definitions.get(uuid) else { continue };
            let unknown: Vec<DomainDisk> = counted(domain)
                .filter(|disk| !sizes.contains_key(&(uuid.clone(), disk.target.clone())))
                .filter(|disk| disk.source.is_some())
                .cloned()
                .collect();
            for disk in unknown {
                if begun.elapsed() > LOOKUPS_MAX {
                    return;
                }
                if let Some(figures) = self.volume(&disk) {
                    sizes.insert((uuid.clone(), disk.target), figures);
                }
            }
        }
    }

    /// None: a file in no pool, say. Its size stays unknown, and its domain says so.
    fn volume(&mut self, disk: &DomainDisk) -> Option<DiskFigures> {
        let source = disk.source.clone()?;
        // "rbd:pool/image" is the path "pool/image" of its volume.
        let path = match disk.r#type.as_deref() {
            Some("network") => source.split_once(':')?.1.to_owned(),
            _ => source,
        };
        let by_name = disk.pool.clone().zip(disk.volume.clone());
        let info = self.daemon.call("virStorageVolGetInfo", STORAGE_LIMIT, |connect| {
            let volume = match &by_name {
                Some((pool, volume)) => {
                    connect.lookup_storage_pool_by_name(pool)?.lookup_storage_vol_by_name(volume)?
                }
                None => connect.lookup_storage_vol_by_path(&path)?,
            };
            volume.info()
        });
        let info = info.ok()?;
        Some(DiskFigures {
            virtual_bytes: Some(Bytes(info.capacity)),
            allocation_bytes: Some(Bytes(info.allocation)),
        })
    }

    /// Pools, and the images of some of them.
    pub(crate) fn storage(&mut self, image_pools: &[String]) -> StorageRead {
        const CALL: &str = "virConnectListAllStoragePools";
        let mut read = StorageRead::default();
        let listed =
            self.daemon.call(CALL, STORAGE_LIMIT, |connect: &Connect| connect.list_all_storage_pools(0));
        let listed = match listed {
            Ok(listed) => listed,
            Err(issue) => {
                read.issues.push(Issue { section: POOLS.to_owned(), ..issue });
                return read;
            }
        };
        let mut pools = Vec::new();
        let mut images = Vec::new();
        let mut unseen: BTreeSet<&str> = image_pools.iter().map(String::as_str).collect();
        for listed in &listed {
            match self.pool(listed) {
                Ok(pool) => {
                    if unseen.remove(pool.name.as_str()) {
                        self.add_images(listed, &pool.name, &mut images, &mut read.issues);
                    }
                    pools.push(pool);
                }
                Err(issue) => read.issues.push(issue),
            }
        }
        for missing in unseen {
            let detail = format!("image_pools of agent.toml names {missing}, and libvirt has no such pool");
            read.issues.push(Issue::new(IMAGES, CALL, IssueKind::Missing, detail));
        }
        pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        images.sort_unstable_by(|a, b| (&a.location, &a.id).cmp(&(&b.location, &b.id)));
        StorageRead { pools: Some(pools), images: (!image_pools.is_empty()).then_some(images), ..read }
    }

    fn pool(&self, listed: &VirtPool) -> Result<StoragePool, Issue> {
        const CALL: &str = "virStoragePoolGetXMLDesc";
        let of_pool = |issue: Issue| Issue { section: POOLS.to_owned(), ..issue };
        let text = self.daemon.within(CALL, STORAGE_LIMIT, || listed.xml_desc(0));
        let text = text.map_err(|error| of_pool(failure::issue(CALL, &error)))?;
        let malformed = |detail: String| Issue::new(POOLS, CALL, IssueKind::Malformed, detail);
        let mut pool = pool::parse(&text).map_err(|error| malformed(error.to_string()))?;
        let info = self.daemon.within("virStoragePoolGetInfo", STORAGE_LIMIT, || listed.info());
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
        let section = || format!("{IMAGES}[{name}]");
        let failed = |error: &virt::error::Error| Issue { section: section(), ..failure::issue(CALL, error) };
        let volumes = match self.daemon.within(CALL, STORAGE_LIMIT, || pool.list_all_volumes(0)) {
            Ok(volumes) => volumes,
            Err(error) => return issues.push(failed(&error)),
        };
        let room = IMAGES_MAX - images.len().min(IMAGES_MAX);
        if volumes.len() > room {
            let left_out = volumes.len() - room;
            let detail =
                format!("{left_out} of its volumes are left out: no more than {IMAGES_MAX} are listed");
            issues.push(Issue::new(section(), CALL, IssueKind::Unsupported, detail));
        }
        for volume in volumes.iter().take(room) {
            let info = self.daemon.within("virStorageVolGetInfo", STORAGE_LIMIT, || volume.info());
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
