//! Filters of what instances consume.
//!
//! Knows how full a host and its pools are. What asks for nothing passes; else a figure that is not known refuses.

use vmuster_proto::model::Bytes;

use super::{
    super::{
        disks::{self, DiskLack},
        host::Resource,
    },
    Columns, Filter, FilterName, Lack, Need,
};

/// vCPUs left.
pub(super) struct Vcpus;
/// Memory left.
pub(super) struct Memory;
/// Room in the host's pools.
pub(super) struct Disk;

/// How much is missing; None: nothing.
fn lacking(asked: u64, resource: Option<&Resource>, lack: impl Fn(u64) -> Lack) -> Option<Lack> {
    match resource {
        _ if asked == 0 => None,
        None => Some(Lack::Unknown),
        Some(resource) => asked.checked_sub(resource.room()).filter(|lacking| *lacking > 0).map(lack),
    }
}

/// "… left of …", or that one instance cannot have so much at all.
fn left(resource: &Resource, asked: u64, shown: impl Fn(u64) -> String) -> String {
    if asked > resource.physical {
        return format!("{} asked, and it has {} in all", shown(asked), shown(resource.physical));
    }
    let promisable = shown(resource.promisable);
    match resource.promised.checked_sub(resource.promisable) {
        Some(over) if over > 0 => {
            format!(
                "{} asked, and {} more than its {promisable} are promised already",
                shown(asked),
                shown(over)
            )
        }
        _ => format!("{} asked, {} left of {promisable}", shown(asked), shown(resource.headroom())),
    }
}

impl Filter for Vcpus {
    fn name(&self) -> FilterName {
        FilterName::Vcpus
    }

    fn is_consumable(&self) -> bool {
        true
    }

    #[inline]
    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool {
        need.vcpus <= u64::from(columns.row(host).vcpus_room)
    }

    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        lacking(need.vcpus, columns.host(host).vcpus.as_ref(), Lack::Vcpus)
    }

    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String {
        let shown = |vcpus: u64| if vcpus == 1 { "1 vCPU".to_owned() } else { format!("{vcpus} vCPUs") };
        let vcpus = &columns.host(host).vcpus;
        let unknown = || "how many vCPUs it can promise is not known".to_owned();
        vcpus.as_ref().map_or_else(unknown, |vcpus| left(vcpus, need.vcpus, shown))
    }
}

impl Filter for Memory {
    fn name(&self) -> FilterName {
        FilterName::Memory
    }

    fn is_consumable(&self) -> bool {
        true
    }

    #[inline]
    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool {
        need.memory_bytes <= columns.row(host).memory_room
    }

    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        lacking(need.memory_bytes, columns.host(host).memory.as_ref(), Lack::Bytes)
    }

    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String {
        let memory = &columns.host(host).memory;
        let unknown = || "how much memory it can promise is not known".to_owned();
        let shown = |bytes: u64| format!("{} of memory", Bytes(bytes));
        memory.as_ref().map_or_else(unknown, |memory| left(memory, need.memory_bytes, shown))
    }
}

impl Filter for Disk {
    fn name(&self) -> FilterName {
        FilterName::Disk
    }

    fn is_consumable(&self) -> bool {
        true
    }

    #[inline]
    fn passes(&self, need: &Need, columns: &Columns, host: usize) -> bool {
        let row = columns.row(host);
        need.demand.disks.is_empty()
            || need.disk_plan(row.shape).is_some_and(|plan| disks::fit(plan, columns, row))
    }

    fn lack(&self, need: &Need, columns: &Columns, host: usize) -> Option<Lack> {
        Some(match disk_lack(need, columns, host)? {
            DiskLack::Unknown(_) => Lack::Unknown,
            DiskLack::NoPool(_) => Lack::Other,
            DiskLack::Bytes { lacking, .. } => Lack::Bytes(lacking),
        })
    }

    fn text(&self, need: &Need, columns: &Columns, host: usize) -> String {
        match disk_lack(need, columns, host) {
            None => String::new(),
            Some(DiskLack::Unknown(None)) => "its pools are not known".to_owned(),
            Some(DiskLack::Unknown(Some(pool))) => {
                format!("how much is left in pool {} is not known", columns.pools.row(pool).key)
            }
            Some(DiskLack::NoPool(place)) => no_pool(need, place),
            Some(DiskLack::Bytes { asked, left, .. }) => {
                format!("{} of disk asked, {} left for it", Bytes(asked), Bytes(left))
            }
        }
    }
}

fn disk_lack(need: &Need, columns: &Columns, host: usize) -> Option<DiskLack> {
    if need.demand.disks.is_empty() {
        return None;
    }
    let row = columns.row(host);
    disks::lack(need.disk_plan(row.shape), columns, row)
}

fn no_pool(need: &Need, place: usize) -> String {
    use super::super::request::DiskPlace;
    match need.demand.disks.get(place).map(|disk| &disk.on) {
        Some(DiskPlace::Pool(name)) => format!("it has no pool '{name}'"),
        Some(DiskPlace::Class(name)) => format!("it has no pool of class '{name}'"),
        Some(DiskPlace::Default) | None => "it has no default pool".to_owned(),
    }
}
