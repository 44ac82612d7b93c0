//! Usage.

use super::{DecodeError, list, time, time_to_pb};
use crate::{
    model::{Bytes, FreeHugepages, MemoryUsage, NumaNodeUsage, NumaUsage, OwnProcess, Usage},
    pb,
};

impl From<&Usage> for pb::Usage {
    fn from(usage: &Usage) -> Self {
        let Usage { collected_at, memory, numa, agent } = usage;
        Self {
            collected_at: collected_at.map(time_to_pb),
            memory: memory.as_ref().map(|memory| pb::MemoryUsage {
                available_bytes: memory.available_bytes.map(|bytes| bytes.0),
                free_bytes: memory.free_bytes.map(|bytes| bytes.0),
                hugepages: memory.hugepages.iter().map(free_to_pb).collect(),
            }),
            numa: numa
                .as_ref()
                .map(|numa| pb::NumaUsage { nodes: numa.nodes.iter().map(node_to_pb).collect() }),
            agent: agent.as_ref().map(|agent| pb::OwnProcess {
                resident_bytes: agent.resident_bytes.map(|bytes| bytes.0),
                started_at: agent.started_at.map(time_to_pb),
            }),
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
    pb::FreeHugepages { size_bytes: pool.size_bytes.0, free: pool.free }
}

fn free_from_pb(field: &str, pools: Vec<pb::FreeHugepages>) -> Result<Vec<FreeHugepages>, DecodeError> {
    list(field, pools, |pool| Ok(FreeHugepages { size_bytes: Bytes(pool.size_bytes), free: pool.free }))
}
