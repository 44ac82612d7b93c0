//! What a nomination stands on, in few letters: the host as it was, and what the instance asked for.
//!
//! Pure. A fingerprint proves nothing and is no secret: whoever makes one up names a host that is then judged as any other.

use vmuster_proto::model::Purpose;

use super::{known::Known, planner::Planner, promised};
use crate::placement::{Batch, Group, PlacementHost, Resource, numa::HostCell};

/// Of what must still be so of a host: which machine it is, since when it runs, what it has. Not how full it is, for that is
/// asked of it then. None: it is not registered.
pub(super) fn of_host(planner: &Planner, name: &str) -> Option<String> {
    let (known, row) = (planner.host(name)?, planner.solver.host(name)?);
    Some(promised::digest(&format!("{} {}", machine(known), possessions(row))))
}

fn machine(known: &Known) -> String {
    let entry = &known.entry;
    let address = entry.address.as_ref().map(ToString::to_string);
    let record = known.view.as_ref().and_then(|view| view.record.as_ref());
    let system = record.and_then(|record| record.inventory.system.as_ref());
    let reported = system.map(|system| (&system.machine_id, &system.boot_id));
    format!("{:?} {address:?} {:?} {reported:?}", entry.name, entry.machine_id)
}

fn possessions(row: &PlacementHost) -> String {
    let all = |resource: &Option<Resource>| {
        resource.as_ref().map(|resource| (resource.physical, resource.promisable))
    };
    let guest = row.guest.as_ref();
    let guest = guest.map(|guest| (guest.features.names(), &guest.usable_models, &guest.vendor));
    let (vcpus, memory) = (all(&row.vcpus), all(&row.memory));
    let facts = (&row.labels, row.maintenance, &row.arch, &row.pools);
    let cell = |cell: &HostCell| {
        let pages: Vec<_> = cell.hugepages.iter().map(|pages| (pages.size, pages.total)).collect();
        let cpus = (cell.shared_cpus.clone(), cell.dedicated_cpus.clone());
        (cell.id, cpus, cell.memory.total_bytes, pages)
    };
    let cells = row.cells.as_ref();
    let cells = cells.map(|cells| cells.topology.cells.iter().map(cell).collect::<Vec<_>>());
    format!("{facts:?} {guest:?} {vcpus:?} {memory:?} {cells:?}")
}

/// Of all that the place of an instance of this group depends on, but for the others of its request.
pub(super) fn of_group(batch: &Batch, group: &Group, purpose: Purpose) -> String {
    let demand = promised::signature(&group.demand);
    promised::digest(&format!("{demand} {:?} {:?} {purpose:?}", group.rules, batch.profile))
}
