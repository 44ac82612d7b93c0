//! The guests of a host and the storage they are on.

use std::collections::BTreeMap;

use super::{DecodeError, cpu_set, cpus, keyed, list, optional_text, section, text};
use crate::{
    model::{
        Bytes, CpuSet, Domain, DomainDisk, DomainHugepages, DomainNuma, GuestCell, Image, Promised,
        StoragePool,
    },
    pb,
};

impl From<&Domain> for pb::Domain {
    fn from(value: &Domain) -> Self {
        let Domain {
            uuid,
            name,
            state,
            persistent,
            vcpus,
            vcpus_max,
            memory_bytes,
            memory_max_bytes,
            disk_virtual_bytes,
            virt_type,
            arch,
            machine_type,
            cpu,
            disks,
            hugepages,
            cpus,
            vcpu_pins,
            emulator_cpus,
            numa,
            host_devices,
            host_bound,
        } = value.clone();
        Self {
            uuid,
            name,
            state,
            persistent,
            vcpus,
            vcpus_max,
            memory_bytes: memory_bytes.map(|bytes| bytes.0),
            memory_max_bytes: memory_max_bytes.map(|bytes| bytes.0),
            disk_virtual_bytes: disk_virtual_bytes.map(|bytes| bytes.0),
            virt_type,
            arch,
            machine_type,
            cpu: cpu.as_ref().map(Into::into),
            disks: disks.iter().map(Into::into).collect(),
            hugepages: hugepages.iter().map(Into::into).collect(),
            cpus: cpus.map(|cpus| cpus.to_string()),
            vcpu_pins: vcpu_pins.into_iter().map(|(key, cpus)| (key, cpus.to_string())).collect(),
            emulator_cpus: emulator_cpus.map(|cpus| cpus.to_string()),
            numa: numa.as_ref().map(Into::into),
            host_devices,
            host_bound,
        }
    }
}

impl TryFrom<pb::Domain> for Domain {
    type Error = DecodeError;

    fn try_from(value: pb::Domain) -> Result<Self, DecodeError> {
        Ok(Self {
            uuid: text("uuid", value.uuid)?,
            name: text("name", value.name)?,
            state: optional_text("state", value.state)?,
            persistent: value.persistent,
            vcpus: value.vcpus,
            vcpus_max: value.vcpus_max,
            memory_bytes: value.memory_bytes.map(Bytes),
            memory_max_bytes: value.memory_max_bytes.map(Bytes),
            disk_virtual_bytes: value.disk_virtual_bytes.map(Bytes),
            virt_type: optional_text("virt_type", value.virt_type)?,
            arch: optional_text("arch", value.arch)?,
            machine_type: optional_text("machine_type", value.machine_type)?,
            cpu: section("cpu", value.cpu)?,
            disks: list("disks", value.disks, DomainDisk::try_from)?,
            hugepages: list("hugepages", value.hugepages, DomainHugepages::try_from)?,
            cpus: cpus("cpus", value.cpus.as_deref())?,
            vcpu_pins: pins("vcpu_pins", value.vcpu_pins)?,
            emulator_cpus: cpus("emulator_cpus", value.emulator_cpus.as_deref())?,
            numa: section("numa", value.numa)?,
            host_devices: list("host_devices", value.host_devices, |one| text("host_devices", one))?,
            host_bound: list("host_bound", value.host_bound, |one| text("host_bound", one))?,
        })
    }
}

impl From<&DomainDisk> for pb::DomainDisk {
    fn from(value: &DomainDisk) -> Self {
        let DomainDisk {
            target,
            device,
            r#type,
            source,
            pool,
            volume,
            format,
            virtual_bytes,
            allocation_bytes,
            read_only,
            shareable,
            shared_storage,
        } = value.clone();
        Self {
            target,
            device,
            r#type,
            source,
            pool,
            volume,
            format,
            virtual_bytes: virtual_bytes.map(|bytes| bytes.0),
            allocation_bytes: allocation_bytes.map(|bytes| bytes.0),
            read_only,
            shareable,
            shared_storage,
        }
    }
}

impl TryFrom<pb::DomainDisk> for DomainDisk {
    type Error = DecodeError;

    fn try_from(value: pb::DomainDisk) -> Result<Self, DecodeError> {
        Ok(Self {
            target: text("target", value.target)?,
            device: optional_text("device", value.device)?,
            r#type: optional_text("type", value.r#type)?,
            source: optional_text("source", value.source)?,
            pool: optional_text("pool", value.pool)?,
            volume: optional_text("volume", value.volume)?,
            format: optional_text("format", value.format)?,
            virtual_bytes: value.virtual_bytes.map(Bytes),
            allocation_bytes: value.allocation_bytes.map(Bytes),
            read_only: value.read_only,
            shareable: value.shareable,
            shared_storage: value.shared_storage,
        })
    }
}

impl From<&DomainHugepages> for pb::DomainHugepages {
    fn from(value: &DomainHugepages) -> Self {
        let DomainHugepages { size_bytes, guest_nodes } = value.clone();
        Self {
            size_bytes: size_bytes.map(|bytes| bytes.0),
            guest_nodes: guest_nodes.map(|cpus| cpus.to_string()),
        }
    }
}

impl TryFrom<pb::DomainHugepages> for DomainHugepages {
    type Error = DecodeError;

    fn try_from(value: pb::DomainHugepages) -> Result<Self, DecodeError> {
        Ok(Self {
            size_bytes: value.size_bytes.map(Bytes),
            guest_nodes: cpus("guest_nodes", value.guest_nodes.as_deref())?,
        })
    }
}

impl From<&DomainNuma> for pb::DomainNuma {
    fn from(value: &DomainNuma) -> Self {
        let DomainNuma { mode, host_nodes, cells } = value.clone();
        Self {
            mode,
            host_nodes: host_nodes.map(|cpus| cpus.to_string()),
            cells: cells.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::DomainNuma> for DomainNuma {
    type Error = DecodeError;

    fn try_from(value: pb::DomainNuma) -> Result<Self, DecodeError> {
        Ok(Self {
            mode: optional_text("mode", value.mode)?,
            host_nodes: cpus("host_nodes", value.host_nodes.as_deref())?,
            cells: list("cells", value.cells, GuestCell::try_from)?,
        })
    }
}

impl From<&GuestCell> for pb::GuestCell {
    fn from(value: &GuestCell) -> Self {
        let GuestCell { id, vcpus, memory_bytes, mode, host_nodes } = value.clone();
        Self {
            id,
            vcpus: vcpus.map(|cpus| cpus.to_string()),
            memory_bytes: memory_bytes.map(|bytes| bytes.0),
            mode,
            host_nodes: host_nodes.map(|cpus| cpus.to_string()),
        }
    }
}

impl TryFrom<pb::GuestCell> for GuestCell {
    type Error = DecodeError;

    fn try_from(value: pb::GuestCell) -> Result<Self, DecodeError> {
        Ok(Self {
            id: value.id,
            vcpus: cpus("vcpus", value.vcpus.as_deref())?,
            memory_bytes: value.memory_bytes.map(Bytes),
            mode: optional_text("mode", value.mode)?,
            host_nodes: cpus("host_nodes", value.host_nodes.as_deref())?,
        })
    }
}

impl From<&StoragePool> for pb::StoragePool {
    fn from(value: &StoragePool) -> Self {
        let StoragePool {
            name,
            uuid,
            r#type,
            state,
            capacity_bytes,
            allocation_bytes,
            available_bytes,
            target_path,
            identity,
            mount_point,
        } = value.clone();
        Self {
            name,
            uuid,
            r#type,
            state,
            capacity_bytes: capacity_bytes.map(|bytes| bytes.0),
            allocation_bytes: allocation_bytes.map(|bytes| bytes.0),
            available_bytes: available_bytes.map(|bytes| bytes.0),
            target_path,
            identity,
            mount_point,
        }
    }
}

impl TryFrom<pb::StoragePool> for StoragePool {
    type Error = DecodeError;

    fn try_from(value: pb::StoragePool) -> Result<Self, DecodeError> {
        Ok(Self {
            name: text("name", value.name)?,
            uuid: optional_text("uuid", value.uuid)?,
            r#type: optional_text("type", value.r#type)?,
            state: optional_text("state", value.state)?,
            capacity_bytes: value.capacity_bytes.map(Bytes),
            allocation_bytes: value.allocation_bytes.map(Bytes),
            available_bytes: value.available_bytes.map(Bytes),
            target_path: optional_text("target_path", value.target_path)?,
            identity: optional_text("identity", value.identity)?,
            mount_point: optional_text("mount_point", value.mount_point)?,
        })
    }
}

impl From<&Image> for pb::Image {
    fn from(value: &Image) -> Self {
        let Image { id, location, size_bytes } = value.clone();
        Self { id, location, size_bytes: size_bytes.map(|bytes| bytes.0) }
    }
}

impl TryFrom<pb::Image> for Image {
    type Error = DecodeError;

    fn try_from(value: pb::Image) -> Result<Self, DecodeError> {
        Ok(Self {
            id: text("id", value.id)?,
            location: text("location", value.location)?,
            size_bytes: value.size_bytes.map(Bytes),
        })
    }
}

impl From<&Promised> for pb::Promised {
    fn from(value: &Promised) -> Self {
        let Promised { domain_count, vcpus, memory_bytes, disk_virtual_bytes } = value.clone();
        Self {
            domain_count,
            vcpus,
            memory_bytes: memory_bytes.map(|bytes| bytes.0),
            disk_virtual_bytes: disk_virtual_bytes.map(|bytes| bytes.0),
        }
    }
}

impl TryFrom<pb::Promised> for Promised {
    type Error = DecodeError;

    fn try_from(value: pb::Promised) -> Result<Self, DecodeError> {
        Ok(Self {
            domain_count: value.domain_count,
            vcpus: value.vcpus,
            memory_bytes: value.memory_bytes.map(Bytes),
            disk_virtual_bytes: value.disk_virtual_bytes.map(Bytes),
        })
    }
}

fn pins(field: &str, map: BTreeMap<u32, String>) -> Result<BTreeMap<u32, CpuSet>, DecodeError> {
    keyed(field, map, |cpus| cpu_set("cpus", &cpus))
}
