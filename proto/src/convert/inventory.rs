//! Inventories.

use std::sync::Arc;

use super::{DecodeError, LIST_MAX, cpus, list, optional_text, section, text, time, time_to_pb};
use crate::{
    model::{
        Bytes, CPU_LIMIT, Cpu, Disk, HugepagePool, Hypervisor, Inventory, Memory, Nic, Numa, NumaNode,
        PciDevice, System,
    },
    pb,
};

impl From<&Inventory> for pb::Inventory {
    fn from(inventory: &Inventory) -> Self {
        let Inventory {
            collected_at,
            fingerprint,
            agent_version,
            system,
            cpu,
            numa,
            memory,
            disks,
            pci,
            nics,
            hypervisor,
        } = inventory;
        Self {
            collected_at: collected_at.map(time_to_pb),
            fingerprint: fingerprint.clone(),
            agent_version: agent_version.clone(),
            system: system.as_ref().map(Into::into),
            cpu: cpu.as_deref().map(Into::into),
            numa: numa.as_deref().map(Into::into),
            memory: memory.as_ref().map(|memory| pb::Memory {
                total_bytes: memory.total_bytes.map(|bytes| bytes.0),
                hugepages: memory.hugepages.iter().map(pool_to_pb).collect(),
                default_hugepage_size_bytes: memory.default_hugepage_size_bytes.map(|bytes| bytes.0),
                swap_total_bytes: memory.swap_total_bytes.map(|bytes| bytes.0),
            }),
            disks: disks.as_ref().map(|disks| pb::Disks { disks: disks.iter().map(Into::into).collect() }),
            pci: pci.as_deref().map(Into::into),
            nics: nics.as_ref().map(|nics| pb::Nics { nics: nics.iter().map(Into::into).collect() }),
            hypervisor: hypervisor.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<pb::Inventory> for Inventory {
    type Error = DecodeError;

    fn try_from(inventory: pb::Inventory) -> Result<Self, DecodeError> {
        refuse_vast_cpu_sets(&inventory)?;
        Ok(Self {
            collected_at: time("collected_at", inventory.collected_at)?,
            fingerprint: text("fingerprint", inventory.fingerprint)?,
            agent_version: text("agent_version", inventory.agent_version)?,
            system: inventory
                .system
                .map(|s| System::try_from(s).map_err(|e| e.within("system")))
                .transpose()?,
            cpu: section("cpu", inventory.cpu)?.map(Arc::<Cpu>::new),
            numa: section("numa", inventory.numa)?.map(Arc::<Numa>::new),
            memory: inventory
                .memory
                .map(|memory| {
                    let hugepages =
                        list("memory.hugepages", memory.hugepages, |pool| Ok(pool_from_pb(pool)))?;
                    Ok(Memory {
                        total_bytes: memory.total_bytes.map(Bytes),
                        hugepages,
                        default_hugepage_size_bytes: memory.default_hugepage_size_bytes.map(Bytes),
                        swap_total_bytes: memory.swap_total_bytes.map(Bytes),
                    })
                })
                .transpose()?,
            disks: inventory.disks.map(|all| list("disks", all.disks, Disk::try_from)).transpose()?,
            pci: inventory
                .pci
                .map(|all| list("pci", all.devices, PciDevice::try_from))
                .transpose()?
                .map(Arc::from),
            nics: inventory.nics.map(|all| list("nics", all.nics, Nic::try_from)).transpose()?,
            hypervisor: section("hypervisor", inventory.hypervisor)?.map(Arc::<Hypervisor>::new),
        })
    }
}

impl From<&Numa> for pb::Numa {
    fn from(numa: &Numa) -> Self {
        Self { nodes: numa.nodes.iter().map(Into::into).collect() }
    }
}

impl TryFrom<pb::Numa> for Numa {
    type Error = DecodeError;

    fn try_from(numa: pb::Numa) -> Result<Self, DecodeError> {
        Ok(Self { nodes: list("nodes", numa.nodes, NumaNode::try_from)? })
    }
}

impl From<&[PciDevice]> for pb::PciDevices {
    fn from(devices: &[PciDevice]) -> Self {
        Self { devices: devices.iter().map(Into::into).collect() }
    }
}

/// Memory for all sets of CPUs of one inventory. 8,192 CPUs with three caches for each take 24 MiB; without a limit seven
/// bytes of a message, "0-65535", take eight thousand of memory.
const CPU_SETS_MAX_BYTES: u64 = 64 << 20;

fn refuse_vast_cpu_sets(inventory: &pb::Inventory) -> Result<(), DecodeError> {
    let cpu = inventory.cpu.iter();
    let lists = cpu.flat_map(|cpu| {
        let shared = cpu.caches.iter().flat_map(|cache| &cache.shared_by);
        let types = cpu.core_types.iter().map(|cores| &cores.cpus);
        let rates = cpu.frequencies.iter().map(|rates| &rates.cpus);
        shared.chain(types).chain(rates).chain(cpu.host_flags_not_on_all.values())
    });
    let nodes =
        inventory.numa.iter().flat_map(|numa| numa.nodes.iter().filter_map(|node| node.cpus.as_ref()));
    let bytes: u64 = lists.chain(nodes).map(|list| set_bytes(list)).sum();
    if bytes > CPU_SETS_MAX_BYTES {
        let problem = format!("sets of CPUs would take {bytes} bytes, limit {CPU_SETS_MAX_BYTES}");
        return Err(DecodeError::new("cpu", problem));
    }
    Ok(())
}

/// What a list takes as a set: a bit for each number up to its largest.
fn set_bytes(list: &str) -> u64 {
    let numbers = list.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok());
    let largest = numbers.max().unwrap_or(0).min(u64::from(CPU_LIMIT));
    largest / 8 + 24
}

impl From<&System> for pb::System {
    fn from(system: &System) -> Self {
        let System {
            arch,
            kernel_release,
            boot_id,
            hostname,
            vendor,
            product,
            booted_at,
            product_version,
            product_serial,
            product_uuid,
            board_vendor,
            board_name,
            firmware_vendor,
            firmware_version,
            firmware_date,
            machine_id,
            os_id,
            os_version,
            os_name,
            virtualization,
        } = system.clone();
        Self {
            arch,
            kernel_release,
            boot_id,
            hostname,
            vendor,
            product,
            booted_at: booted_at.map(time_to_pb),
            product_version,
            product_serial,
            product_uuid,
            board_vendor,
            board_name,
            firmware_vendor,
            firmware_version,
            firmware_date,
            machine_id,
            os_id,
            os_version,
            os_name,
            virtualization,
        }
    }
}

impl TryFrom<pb::System> for System {
    type Error = DecodeError;

    fn try_from(system: pb::System) -> Result<Self, DecodeError> {
        Ok(Self {
            arch: optional_text("arch", system.arch)?,
            kernel_release: optional_text("kernel_release", system.kernel_release)?,
            boot_id: optional_text("boot_id", system.boot_id)?,
            hostname: optional_text("hostname", system.hostname)?,
            vendor: optional_text("vendor", system.vendor)?,
            product: optional_text("product", system.product)?,
            booted_at: time("booted_at", system.booted_at)?,
            product_version: optional_text("product_version", system.product_version)?,
            product_serial: optional_text("product_serial", system.product_serial)?,
            product_uuid: optional_text("product_uuid", system.product_uuid)?,
            board_vendor: optional_text("board_vendor", system.board_vendor)?,
            board_name: optional_text("board_name", system.board_name)?,
            firmware_vendor: optional_text("firmware_vendor", system.firmware_vendor)?,
            firmware_version: optional_text("firmware_version", system.firmware_version)?,
            firmware_date: optional_text("firmware_date", system.firmware_date)?,
            machine_id: optional_text("machine_id", system.machine_id)?,
            os_id: optional_text("os_id", system.os_id)?,
            os_version: optional_text("os_version", system.os_version)?,
            os_name: optional_text("os_name", system.os_name)?,
            virtualization: optional_text("virtualization", system.virtualization)?,
        })
    }
}

impl From<&NumaNode> for pb::NumaNode {
    fn from(node: &NumaNode) -> Self {
        let NumaNode { id, cpus, memory_total_bytes, hugepages, distances, cpuless, memoryless, memory_tier } =
            node;
        Self {
            id: *id,
            cpus: cpus.as_ref().map(ToString::to_string),
            memory_total_bytes: memory_total_bytes.map(|bytes| bytes.0),
            hugepages: hugepages.iter().map(pool_to_pb).collect(),
            distances: distances.iter().map(|(node, distance)| (*node, *distance)).collect(),
            cpuless: *cpuless,
            memoryless: *memoryless,
            memory_tier: *memory_tier,
        }
    }
}

impl TryFrom<pb::NumaNode> for NumaNode {
    type Error = DecodeError;

    fn try_from(node: pb::NumaNode) -> Result<Self, DecodeError> {
        if node.distances.len() > LIST_MAX {
            return Err(DecodeError::new("distances", "too many entries"));
        }
        Ok(Self {
            id: node.id,
            cpus: cpus("cpus", node.cpus.as_deref())?,
            memory_total_bytes: node.memory_total_bytes.map(Bytes),
            hugepages: list("hugepages", node.hugepages, |pool| Ok(pool_from_pb(pool)))?,
            distances: node.distances.into_iter().collect(),
            cpuless: node.cpuless,
            memoryless: node.memoryless,
            memory_tier: node.memory_tier,
        })
    }
}

fn pool_to_pb(pool: &HugepagePool) -> pb::HugepagePool {
    pb::HugepagePool { size_bytes: pool.size_bytes.0, total: pool.total }
}

fn pool_from_pb(pool: pb::HugepagePool) -> HugepagePool {
    HugepagePool { size_bytes: Bytes(pool.size_bytes), total: pool.total }
}
