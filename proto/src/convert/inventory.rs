//! Inventories.

use super::{
    DecodeError, LIST_MAX, cpus, features, list, optional_text, owned_names, text, time, time_to_pb,
};
use crate::{
    model::{Bytes, Cpu, CpuSet, CpuTopology, HugepagePool, Inventory, Memory, Numa, NumaNode, System},
    pb,
};

impl From<&Inventory> for pb::Inventory {
    fn from(inventory: &Inventory) -> Self {
        let Inventory { collected_at, fingerprint, agent_version, system, cpu, numa, memory } = inventory;
        Self {
            collected_at: collected_at.map(time_to_pb),
            fingerprint: fingerprint.clone(),
            agent_version: agent_version.clone(),
            system: system.as_ref().map(Into::into),
            cpu: cpu.as_ref().map(Into::into),
            numa: numa.as_ref().map(|numa| pb::Numa { nodes: numa.nodes.iter().map(Into::into).collect() }),
            memory: memory.as_ref().map(|memory| pb::Memory {
                total_bytes: memory.total_bytes.map(|bytes| bytes.0),
                hugepages: memory.hugepages.iter().map(pool_to_pb).collect(),
            }),
        }
    }
}

impl TryFrom<pb::Inventory> for Inventory {
    type Error = DecodeError;

    fn try_from(inventory: pb::Inventory) -> Result<Self, DecodeError> {
        Ok(Self {
            collected_at: time("collected_at", inventory.collected_at)?,
            fingerprint: text("fingerprint", inventory.fingerprint)?,
            agent_version: text("agent_version", inventory.agent_version)?,
            system: inventory
                .system
                .map(|s| System::try_from(s).map_err(|e| e.within("system")))
                .transpose()?,
            cpu: inventory.cpu.map(|c| Cpu::try_from(c).map_err(|e| e.within("cpu"))).transpose()?,
            numa: inventory
                .numa
                .map(|numa| list("numa.nodes", numa.nodes, NumaNode::try_from).map(|nodes| Numa { nodes }))
                .transpose()?,
            memory: inventory
                .memory
                .map(|memory| {
                    let hugepages =
                        list("memory.hugepages", memory.hugepages, |pool| Ok(pool_from_pb(pool)))?;
                    Ok(Memory { total_bytes: memory.total_bytes.map(Bytes), hugepages })
                })
                .transpose()?,
        })
    }
}

impl From<&System> for pb::System {
    fn from(system: &System) -> Self {
        let System { arch, kernel_release, boot_id, hostname, vendor, product, booted_at } = system.clone();
        Self {
            arch,
            kernel_release,
            boot_id,
            hostname,
            vendor,
            product,
            booted_at: booted_at.map(time_to_pb),
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
        })
    }
}

impl From<&Cpu> for pb::Cpu {
    fn from(cpu: &Cpu) -> Self {
        let text = |set: &Option<CpuSet>| set.as_ref().map(ToString::to_string);
        let names = |set: &crate::model::FeatureSet| pb::FeatureNames { names: owned_names(set) };
        Self {
            vendor: cpu.vendor.clone(),
            model_name: cpu.model_name.clone(),
            family: cpu.family,
            model: cpu.model,
            stepping: cpu.stepping,
            microcode: cpu.microcode.clone(),
            physical_address_bits: cpu.physical_address_bits,
            virtual_address_bits: cpu.virtual_address_bits,
            present_cpus: text(&cpu.present),
            online_cpus: text(&cpu.online),
            offline_cpus: text(&cpu.offline),
            isolated_cpus: text(&cpu.isolated),
            socket_count: cpu.socket_count,
            core_count: cpu.core_count,
            thread_count: cpu.thread_count,
            threads_per_core: cpu.threads_per_core,
            topology: cpu
                .topology
                .iter()
                .map(|&CpuTopology { cpu, socket, die, cluster, core, node }| pb::CpuTopology {
                    cpu,
                    socket,
                    die,
                    cluster,
                    core,
                    node,
                })
                .collect(),
            host_flags: cpu.host_flags.as_ref().map(names),
            host_flags_not_on_all: cpu
                .host_flags_not_on_all
                .iter()
                .map(|(flag, cpus)| (flag.clone(), cpus.to_string()))
                .collect(),
            cpuid_features: cpu.cpuid_features.as_ref().map(names),
        }
    }
}

impl TryFrom<pb::Cpu> for Cpu {
    type Error = DecodeError;

    fn try_from(cpu: pb::Cpu) -> Result<Self, DecodeError> {
        let topology = list("topology", cpu.topology, |t| {
            let pb::CpuTopology { cpu, socket, die, cluster, core, node } = t;
            Ok(CpuTopology { cpu, socket, die, cluster, core, node })
        })?;
        if cpu.host_flags_not_on_all.len() > LIST_MAX {
            return Err(DecodeError::new("host_flags_not_on_all", "too many entries"));
        }
        let not_on_all = cpu.host_flags_not_on_all.into_iter().map(|(flag, cpus)| {
            let flag = text("host_flags_not_on_all", flag)?;
            let cpus =
                cpus.parse().map_err(|e| DecodeError::new(&format!("host_flags_not_on_all[{flag}]"), e))?;
            Ok((flag, cpus))
        });
        Ok(Self {
            vendor: optional_text("vendor", cpu.vendor)?,
            model_name: optional_text("model_name", cpu.model_name)?,
            family: cpu.family,
            model: cpu.model,
            stepping: cpu.stepping,
            microcode: optional_text("microcode", cpu.microcode)?,
            physical_address_bits: cpu.physical_address_bits,
            virtual_address_bits: cpu.virtual_address_bits,
            present: cpus("present_cpus", cpu.present_cpus.as_deref())?,
            online: cpus("online_cpus", cpu.online_cpus.as_deref())?,
            offline: cpus("offline_cpus", cpu.offline_cpus.as_deref())?,
            isolated: cpus("isolated_cpus", cpu.isolated_cpus.as_deref())?,
            socket_count: cpu.socket_count,
            core_count: cpu.core_count,
            thread_count: cpu.thread_count,
            threads_per_core: cpu.threads_per_core,
            topology,
            host_flags: features("host_flags", cpu.host_flags)?,
            host_flags_not_on_all: not_on_all.collect::<Result<_, _>>()?,
            cpuid_features: features("cpuid_features", cpu.cpuid_features)?,
        })
    }
}

impl From<&NumaNode> for pb::NumaNode {
    fn from(node: &NumaNode) -> Self {
        let NumaNode { id, cpus, memory_total_bytes, hugepages, distances } = node;
        Self {
            id: *id,
            cpus: cpus.as_ref().map(ToString::to_string),
            memory_total_bytes: memory_total_bytes.map(|bytes| bytes.0),
            hugepages: hugepages.iter().map(pool_to_pb).collect(),
            distances: distances.iter().map(|(node, distance)| (*node, *distance)).collect(),
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
        })
    }
}

fn pool_to_pb(pool: &HugepagePool) -> pb::HugepagePool {
    pb::HugepagePool { size_bytes: pool.size_bytes.0, total: pool.total }
}

fn pool_from_pb(pool: pb::HugepagePool) -> HugepagePool {
    HugepagePool { size_bytes: Bytes(pool.size_bytes), total: pool.total }
}
