//! Usage.

use super::{DecodeError, hundredths, list, optional_text, section, text, time, time_to_pb};
use crate::{
    model::{
        Bytes, Domain, Filesystem, FreeHugepages, Hundredths, Image, LoadAverage, MemoryUsage, NumaNodeUsage,
        NumaUsage, OwnProcess, Pressure, PressureShare, PressureStall, StoragePool, Usage,
    },
    pb,
};

impl From<&Usage> for pb::Usage {
    fn from(usage: &Usage) -> Self {
        let Usage {
            collected_at,
            memory,
            numa,
            agent,
            filesystems,
            load,
            pressure,
            domains,
            pools,
            images,
            promised,
            hypervisor_collected_at,
        } = usage;
        Self {
            collected_at: collected_at.map(time_to_pb),
            memory: memory.as_ref().map(|memory| pb::MemoryUsage {
                available_bytes: memory.available_bytes.map(|bytes| bytes.0),
                free_bytes: memory.free_bytes.map(|bytes| bytes.0),
                hugepages: memory.hugepages.iter().map(free_to_pb).collect(),
                cached_bytes: memory.cached_bytes.map(|bytes| bytes.0),
                buffers_bytes: memory.buffers_bytes.map(|bytes| bytes.0),
                shared_bytes: memory.shared_bytes.map(|bytes| bytes.0),
                swap_free_bytes: memory.swap_free_bytes.map(|bytes| bytes.0),
            }),
            numa: numa
                .as_ref()
                .map(|numa| pb::NumaUsage { nodes: numa.nodes.iter().map(node_to_pb).collect() }),
            agent: agent.as_ref().map(|agent| pb::OwnProcess {
                resident_bytes: agent.resident_bytes.map(|bytes| bytes.0),
                started_at: agent.started_at.map(time_to_pb),
            }),
            filesystems: filesystems
                .as_ref()
                .map(|all| pb::Filesystems { filesystems: all.iter().map(Into::into).collect() }),
            load: load.as_ref().map(Into::into),
            pressure: pressure.as_ref().map(Into::into),
            domains: domains
                .as_ref()
                .map(|all| pb::Domains { domains: all.iter().map(Into::into).collect() }),
            pools: pools.as_ref().map(|all| pb::StoragePools { pools: all.iter().map(Into::into).collect() }),
            images: images.as_ref().map(|all| pb::Images { images: all.iter().map(Into::into).collect() }),
            promised: promised.as_ref().map(Into::into),
            hypervisor_collected_at: hypervisor_collected_at.map(time_to_pb),
        }
    }
}

impl TryFrom<pb::Usage> for Usage {
    type Error = DecodeError;

    fn try_from(usage: pb::Usage) -> Result<Self, DecodeError> {
        let memory = usage.memory.map(|memory| {
            Ok(MemoryUsage {
                available_bytes: memory.available_bytes.map(Bytes),
                free_bytes: memory.free_bytes.map(Bytes),
                hugepages: free_from_pb("memory.hugepages", memory.hugepages)?,
                cached_bytes: memory.cached_bytes.map(Bytes),
                buffers_bytes: memory.buffers_bytes.map(Bytes),
                shared_bytes: memory.shared_bytes.map(Bytes),
                swap_free_bytes: memory.swap_free_bytes.map(Bytes),
            })
        });
        let numa = usage.numa.map(|numa| {
            let nodes = list("numa.nodes", numa.nodes, |node| {
                Ok(NumaNodeUsage {
                    id: node.id,
                    memory_free_bytes: node.memory_free_bytes.map(Bytes),
                    hugepages: free_from_pb("hugepages", node.hugepages)?,
                })
            })?;
            Ok(NumaUsage { nodes })
        });
        let agent = usage.agent.map(|agent| {
            Ok(OwnProcess {
                resident_bytes: agent.resident_bytes.map(Bytes),
                started_at: time("agent.started_at", agent.started_at)?,
            })
        });
        Ok(Self {
            collected_at: time("collected_at", usage.collected_at)?,
            memory: memory.transpose()?,
            numa: numa.transpose()?,
            agent: agent.transpose()?,
            filesystems: usage
                .filesystems
                .map(|all| list("filesystems", all.filesystems, Filesystem::try_from))
                .transpose()?,
            load: section("load", usage.load)?,
            pressure: section("pressure", usage.pressure)?,
            domains: usage.domains.map(|all| list("domains", all.domains, Domain::try_from)).transpose()?,
            pools: usage.pools.map(|all| list("pools", all.pools, StoragePool::try_from)).transpose()?,
            images: usage.images.map(|all| list("images", all.images, Image::try_from)).transpose()?,
            promised: section("promised", usage.promised)?,
            hypervisor_collected_at: time("hypervisor_collected_at", usage.hypervisor_collected_at)?,
        })
    }
}

fn node_to_pb(node: &NumaNodeUsage) -> pb::NumaNodeUsage {
    pb::NumaNodeUsage {
        id: node.id,
        memory_free_bytes: node.memory_free_bytes.map(|bytes| bytes.0),
        hugepages: node.hugepages.iter().map(free_to_pb).collect(),
    }
}

fn free_to_pb(pool: &FreeHugepages) -> pb::FreeHugepages {
    let FreeHugepages { size_bytes, free, reserved, surplus } = *pool;
    pb::FreeHugepages { size_bytes: size_bytes.0, free, reserved, surplus }
}

fn free_from_pb(field: &str, pools: Vec<pb::FreeHugepages>) -> Result<Vec<FreeHugepages>, DecodeError> {
    list(field, pools, |pool| {
        let pb::FreeHugepages { size_bytes, free, reserved, surplus } = pool;
        Ok(FreeHugepages { size_bytes: Bytes(size_bytes), free, reserved, surplus })
    })
}

impl From<&Filesystem> for pb::Filesystem {
    fn from(value: &Filesystem) -> Self {
        let Filesystem {
            mount_point,
            source,
            r#type,
            device,
            size_bytes,
            free_bytes,
            available_bytes,
            inodes,
            inodes_free,
            read_only,
            pool,
        } = value.clone();
        Self {
            mount_point,
            source,
            r#type,
            device,
            size_bytes: size_bytes.map(|bytes| bytes.0),
            free_bytes: free_bytes.map(|bytes| bytes.0),
            available_bytes: available_bytes.map(|bytes| bytes.0),
            inodes,
            inodes_free,
            read_only,
            pool,
        }
    }
}

impl TryFrom<pb::Filesystem> for Filesystem {
    type Error = DecodeError;

    fn try_from(value: pb::Filesystem) -> Result<Self, DecodeError> {
        Ok(Self {
            mount_point: text("mount_point", value.mount_point)?,
            source: optional_text("source", value.source)?,
            r#type: optional_text("type", value.r#type)?,
            device: optional_text("device", value.device)?,
            size_bytes: value.size_bytes.map(Bytes),
            free_bytes: value.free_bytes.map(Bytes),
            available_bytes: value.available_bytes.map(Bytes),
            inodes: value.inodes,
            inodes_free: value.inodes_free,
            read_only: value.read_only,
            pool: optional_text("pool", value.pool)?,
        })
    }
}

impl From<&LoadAverage> for pb::LoadAverage {
    fn from(value: &LoadAverage) -> Self {
        let LoadAverage { average_1m, average_5m, average_15m, runnable, threads } = *value;
        Self {
            average_1m: average_1m.map(Hundredths::to_f64),
            average_5m: average_5m.map(Hundredths::to_f64),
            average_15m: average_15m.map(Hundredths::to_f64),
            runnable,
            threads,
        }
    }
}

impl TryFrom<pb::LoadAverage> for LoadAverage {
    type Error = DecodeError;

    fn try_from(value: pb::LoadAverage) -> Result<Self, DecodeError> {
        Ok(Self {
            average_1m: hundredths("average_1m", value.average_1m)?,
            average_5m: hundredths("average_5m", value.average_5m)?,
            average_15m: hundredths("average_15m", value.average_15m)?,
            runnable: value.runnable,
            threads: value.threads,
        })
    }
}

impl From<&Pressure> for pb::Pressure {
    fn from(value: &Pressure) -> Self {
        let Pressure { cpu, memory, io } = *value;
        Self {
            cpu: cpu.as_ref().map(Into::into),
            memory: memory.as_ref().map(Into::into),
            io: io.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::Pressure> for Pressure {
    type Error = DecodeError;

    fn try_from(value: pb::Pressure) -> Result<Self, DecodeError> {
        Ok(Self {
            cpu: section("cpu", value.cpu)?,
            memory: section("memory", value.memory)?,
            io: section("io", value.io)?,
        })
    }
}

impl From<&PressureStall> for pb::PressureStall {
    fn from(value: &PressureStall) -> Self {
        let PressureStall { some, full } = *value;
        Self { some: some.as_ref().map(Into::into), full: full.as_ref().map(Into::into) }
    }
}

impl TryFrom<pb::PressureStall> for PressureStall {
    type Error = DecodeError;

    fn try_from(value: pb::PressureStall) -> Result<Self, DecodeError> {
        Ok(Self { some: section("some", value.some)?, full: section("full", value.full)? })
    }
}

impl From<&PressureShare> for pb::PressureShare {
    fn from(value: &PressureShare) -> Self {
        let PressureShare { average_10s, average_60s, average_300s, total_microseconds } = *value;
        Self {
            average_10s: average_10s.map(Hundredths::to_f64),
            average_60s: average_60s.map(Hundredths::to_f64),
            average_300s: average_300s.map(Hundredths::to_f64),
            total_microseconds,
        }
    }
}

impl TryFrom<pb::PressureShare> for PressureShare {
    type Error = DecodeError;

    fn try_from(value: pb::PressureShare) -> Result<Self, DecodeError> {
        Ok(Self {
            average_10s: hundredths("average_10s", value.average_10s)?,
            average_60s: hundredths("average_60s", value.average_60s)?,
            average_300s: hundredths("average_300s", value.average_300s)?,
            total_microseconds: value.total_microseconds,
        })
    }
}
