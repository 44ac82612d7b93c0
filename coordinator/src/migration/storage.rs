//! Whether a guest's disks are where it would go.

use vmuster_proto::model::DomainDisk;

use super::{Case, Said, no, storage_places::Place, unknown, yes};

pub(super) fn judge(case: &Case<'_>) -> Said {
    case.domain.disks.iter().filter(|disk| !is_empty_drive(disk)).flat_map(|disk| one(case, disk)).collect()
}

fn is_empty_drive(disk: &DomainDisk) -> bool {
    disk.source.is_none() && matches!(disk.device.as_deref(), Some("cdrom" | "floppy"))
}

fn one(case: &Case<'_>, disk: &DomainDisk) -> Said {
    let target = &disk.target;
    let Some(source) = disk.source.as_deref() else {
        let kind = disk.r#type.as_deref().unwrap_or("file");
        return unknown(format!("what {target} is on is not known (a disk of type '{kind}')"));
    };
    let what = format!("{target} ({source})");
    match disk.shared_storage {
        // Only what can be written must be the same on both sides.
        Some(false) | None if is_read_only(disk) => unknown(format!(
            "{what} must be there too, which is not known; eject it if the guest does not need it"
        )),
        Some(false) => {
            let cure =
                if case.is_running() { "it needs --copy-storage-all" } else { "its disk must be copied" };
            no(format!("{what} is on storage of its host alone: {cure}"))
        }
        None => unplaced(case, disk, &what),
        Some(true) if disk.r#type.as_deref() == Some("network") => network(case, disk, &what),
        Some(true) => reached(case, disk, &what),
    }
}

fn is_read_only(disk: &DomainDisk) -> bool {
    matches!(disk.device.as_deref(), Some("cdrom" | "floppy")) || disk.read_only == Some(true)
}

/// Nobody knows yet whether others can reach it: a definition that is nowhere, a device, a directory not looked into.
fn unplaced(case: &Case<'_>, disk: &DomainDisk, what: &str) -> Said {
    if case.source.is_none() && disk.pool.is_some() {
        return pool_by_name(case, disk, what);
    }
    unknown(format!("whether other hosts reach {what} is not known"))
}

/// A volume of a pool, in a definition alone: the pool's name is all there is.
fn pool_by_name(case: &Case<'_>, disk: &DomainDisk, what: &str) -> Said {
    let name = disk.pool.as_deref().unwrap_or_default();
    let Some(pools) = case.target.usage.and_then(|usage| usage.pools.as_deref()) else {
        return case.target.silent("usage.pools", &format!("whether it has the pool '{name}' of {what}"));
    };
    if pools.iter().any(|pool| pool.name == name) {
        unknown(format!("{what}: there is a pool '{name}', and whether the volume is in it is not known"))
    } else {
        no(format!("{what}: there is no pool '{name}' there"))
    }
}

/// QEMU reaches it over the network by itself.
fn network(case: &Case<'_>, disk: &DomainDisk, what: &str) -> Said {
    match Place::of(case.source.as_ref(), disk) {
        Some(place) if place.pool_of(&case.target).is_some() => Said::new(),
        _ => yes(format!("{what} is on the network; that this host reaches it was not tried")),
    }
}

/// On a pool or file system that others have too: this one?
fn reached(case: &Case<'_>, disk: &DomainDisk, what: &str) -> Said {
    let Some(place) = Place::of(case.source.as_ref(), disk) else {
        return unknown(format!("{what} is on shared storage, and which is not known"));
    };
    if let Some(pool) = place.pool_of(&case.target) {
        return match pool.state.as_deref() {
            Some(state @ ("inactive" | "inaccessible" | "building")) => {
                no(format!("{what}: the pool '{}' is {state} there", pool.name))
            }
            _ => place.same_path(disk, pool, what),
        };
    }
    place.mounted(&case.target, disk, what)
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
