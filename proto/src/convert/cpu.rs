//! Processors.

use super::{
    DecodeError, LIST_MAX, cpu_set, cpus, features, list, names, optional_text, section, text, text_map,
};
use crate::{
    model::{Bytes, CoreType, Cpu, CpuCache, CpuFrequency, CpuSet, CpuTopology},
    pb,
};

impl From<&Cpu> for pb::Cpu {
    fn from(cpu: &Cpu) -> Self {
        let text = |set: &Option<CpuSet>| set.as_ref().map(ToString::to_string);
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
                .map(|&CpuTopology { cpu, socket, die, cluster, core, node, book, drawer }| pb::CpuTopology {
                    cpu,
                    socket,
                    die,
                    cluster,
                    core,
                    node,
                    book,
                    drawer,
                })
                .collect(),
            host_flags: cpu.host_flags.as_ref().map(names),
            host_flags_not_on_all: cpu
                .host_flags_not_on_all
                .iter()
                .map(|(flag, cpus)| (flag.clone(), cpus.to_string()))
                .collect(),
            cpuid_features: cpu.cpuid_features.as_ref().map(names),
            smt_active: cpu.smt_active,
            smt_control: cpu.smt_control.clone(),
            caches: cpu.caches.iter().map(Into::into).collect(),
            core_types: cpu.core_types.iter().map(Into::into).collect(),
            frequencies: cpu.frequencies.iter().map(Into::into).collect(),
            vulnerabilities: cpu.vulnerabilities.clone().into_iter().collect(),
            guest: cpu.guest.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::Cpu> for Cpu {
    type Error = DecodeError;

    fn try_from(cpu: pb::Cpu) -> Result<Self, DecodeError> {
        let topology = list("topology", cpu.topology, |t| {
            let pb::CpuTopology { cpu, socket, die, cluster, core, node, book, drawer } = t;
            Ok(CpuTopology { cpu, socket, die, cluster, core, node, book, drawer })
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
            smt_active: cpu.smt_active,
            smt_control: optional_text("smt_control", cpu.smt_control)?,
            caches: list("caches", cpu.caches, CpuCache::try_from)?,
            core_types: list("core_types", cpu.core_types, CoreType::try_from)?,
            frequencies: list("frequencies", cpu.frequencies, CpuFrequency::try_from)?,
            vulnerabilities: text_map("vulnerabilities", cpu.vulnerabilities)?,
            guest: section("guest", cpu.guest)?,
        })
    }
}

impl From<&CpuCache> for pb::CpuCache {
    fn from(value: &CpuCache) -> Self {
        let CpuCache { level, r#type, size_bytes, shared_by } = value.clone();
        Self {
            level,
            r#type,
            size_bytes: size_bytes.map(|bytes| bytes.0),
            shared_by: shared_by.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<pb::CpuCache> for CpuCache {
    type Error = DecodeError;

    fn try_from(value: pb::CpuCache) -> Result<Self, DecodeError> {
        Ok(Self {
            level: value.level,
            r#type: optional_text("type", value.r#type)?,
            size_bytes: value.size_bytes.map(Bytes),
            shared_by: list("shared_by", value.shared_by, |cpus| cpu_set("cpus", &cpus))?,
        })
    }
}

impl From<&CoreType> for pb::CoreType {
    fn from(value: &CoreType) -> Self {
        let CoreType { kind, capacity, cpus } = value.clone();
        Self { kind, capacity, cpus: cpus.to_string() }
    }
}

impl TryFrom<pb::CoreType> for CoreType {
    type Error = DecodeError;

    fn try_from(value: pb::CoreType) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: text("kind", value.kind)?,
            capacity: value.capacity,
            cpus: cpu_set("cpus", &value.cpus)?,
        })
    }
}

impl From<&CpuFrequency> for pb::CpuFrequency {
    fn from(value: &CpuFrequency) -> Self {
        let CpuFrequency { base_khz, minimum_khz, maximum_khz, cpus } = value.clone();
        Self { base_khz, minimum_khz, maximum_khz, cpus: cpus.to_string() }
    }
}

impl TryFrom<pb::CpuFrequency> for CpuFrequency {
    type Error = DecodeError;

    fn try_from(value: pb::CpuFrequency) -> Result<Self, DecodeError> {
        Ok(Self {
            base_khz: value.base_khz,
            minimum_khz: value.minimum_khz,
            maximum_khz: value.maximum_khz,
            cpus: cpu_set("cpus", &value.cpus)?,
        })
    }
}
