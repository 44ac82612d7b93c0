//! Disks, PCI functions and network interfaces.

use super::{DecodeError, list, optional_text, text};
use crate::{
    model::{Bytes, Disk, Nic, Partition, PciDevice},
    pb,
};

impl From<&Disk> for pb::Disk {
    fn from(value: &Disk) -> Self {
        let Disk {
            name,
            device,
            kind,
            size_bytes,
            rotational,
            removable,
            read_only,
            model,
            serial,
            wwn,
            numa_node,
            pci_address,
            logical_block_bytes,
            physical_block_bytes,
            partitions,
            members,
        } = value.clone();
        Self {
            name,
            device,
            kind,
            size_bytes: size_bytes.map(|bytes| bytes.0),
            rotational,
            removable,
            read_only,
            model,
            serial,
            wwn,
            numa_node,
            pci_address,
            logical_block_bytes: logical_block_bytes.map(|bytes| bytes.0),
            physical_block_bytes: physical_block_bytes.map(|bytes| bytes.0),
            partitions: partitions.iter().map(Into::into).collect(),
            members,
        }
    }
}

impl TryFrom<pb::Disk> for Disk {
    type Error = DecodeError;

    fn try_from(value: pb::Disk) -> Result<Self, DecodeError> {
        Ok(Self {
            name: text("name", value.name)?,
            device: optional_text("device", value.device)?,
            kind: optional_text("kind", value.kind)?,
            size_bytes: value.size_bytes.map(Bytes),
            rotational: value.rotational,
            removable: value.removable,
            read_only: value.read_only,
            model: optional_text("model", value.model)?,
            serial: optional_text("serial", value.serial)?,
            wwn: optional_text("wwn", value.wwn)?,
            numa_node: value.numa_node,
            pci_address: optional_text("pci_address", value.pci_address)?,
            logical_block_bytes: value.logical_block_bytes.map(Bytes),
            physical_block_bytes: value.physical_block_bytes.map(Bytes),
            partitions: list("partitions", value.partitions, Partition::try_from)?,
            members: list("members", value.members, |name| text("name", name))?,
        })
    }
}

impl From<&Partition> for pb::Partition {
    fn from(value: &Partition) -> Self {
        let Partition { name, number, start_bytes, size_bytes, read_only } = value.clone();
        Self {
            name,
            number,
            start_bytes: start_bytes.map(|bytes| bytes.0),
            size_bytes: size_bytes.map(|bytes| bytes.0),
            read_only,
        }
    }
}

impl TryFrom<pb::Partition> for Partition {
    type Error = DecodeError;

    fn try_from(value: pb::Partition) -> Result<Self, DecodeError> {
        Ok(Self {
            name: text("name", value.name)?,
            number: value.number,
            start_bytes: value.start_bytes.map(Bytes),
            size_bytes: value.size_bytes.map(Bytes),
            read_only: value.read_only,
        })
    }
}

impl From<&PciDevice> for pb::PciDevice {
    fn from(value: &PciDevice) -> Self {
        let PciDevice {
            address,
            vendor_id,
            device_id,
            subsystem_vendor_id,
            subsystem_device_id,
            class,
            revision,
            vendor_name,
            device_name,
            class_name,
            driver,
            numa_node,
            iommu_group,
            sriov_total_vfs,
            sriov_vfs,
            physical_function,
            parent,
        } = value.clone();
        Self {
            address,
            vendor_id,
            device_id,
            subsystem_vendor_id,
            subsystem_device_id,
            class,
            revision,
            vendor_name,
            device_name,
            class_name,
            driver,
            numa_node,
            iommu_group,
            sriov_total_vfs,
            sriov_vfs,
            physical_function,
            parent,
        }
    }
}

impl TryFrom<pb::PciDevice> for PciDevice {
    type Error = DecodeError;

    fn try_from(value: pb::PciDevice) -> Result<Self, DecodeError> {
        Ok(Self {
            address: text("address", value.address)?,
            vendor_id: optional_text("vendor_id", value.vendor_id)?,
            device_id: optional_text("device_id", value.device_id)?,
            subsystem_vendor_id: optional_text("subsystem_vendor_id", value.subsystem_vendor_id)?,
            subsystem_device_id: optional_text("subsystem_device_id", value.subsystem_device_id)?,
            class: optional_text("class", value.class)?,
            revision: optional_text("revision", value.revision)?,
            vendor_name: optional_text("vendor_name", value.vendor_name)?,
            device_name: optional_text("device_name", value.device_name)?,
            class_name: optional_text("class_name", value.class_name)?,
            driver: optional_text("driver", value.driver)?,
            numa_node: value.numa_node,
            iommu_group: value.iommu_group,
            sriov_total_vfs: value.sriov_total_vfs,
            sriov_vfs: value.sriov_vfs,
            physical_function: optional_text("physical_function", value.physical_function)?,
            parent: optional_text("parent", value.parent)?,
        })
    }
}

impl From<&Nic> for pb::Nic {
    fn from(value: &Nic) -> Self {
        let Nic {
            name,
            kind,
            mac,
            mtu,
            speed_mbps,
            carrier,
            operstate,
            driver,
            pci_address,
            numa_node,
            master,
        } = value.clone();
        Self { name, kind, mac, mtu, speed_mbps, carrier, operstate, driver, pci_address, numa_node, master }
    }
}

impl TryFrom<pb::Nic> for Nic {
    type Error = DecodeError;

    fn try_from(value: pb::Nic) -> Result<Self, DecodeError> {
        Ok(Self {
            name: text("name", value.name)?,
            kind: optional_text("kind", value.kind)?,
            mac: optional_text("mac", value.mac)?,
            mtu: value.mtu,
            speed_mbps: value.speed_mbps,
            carrier: value.carrier,
            operstate: optional_text("operstate", value.operstate)?,
            driver: optional_text("driver", value.driver)?,
            pci_address: optional_text("pci_address", value.pci_address)?,
            numa_node: value.numa_node,
            master: optional_text("master", value.master)?,
        })
    }
}
