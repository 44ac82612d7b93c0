//! Disks, file systems, PCI functions and network interfaces of one host, as tables.

use vmuster_proto::model::{Bytes, Cpu, Disk, Filesystem, Inventory, Nic, PciDevice, Usage};

use super::Columns;

pub(super) fn dash() -> String {
    "-".to_owned()
}

pub(super) fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(dash)
}

pub(super) fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

/// A line for each sort of cache: how many, how large.
pub(super) fn caches(cpu: &Cpu) -> Vec<String> {
    let line = |cache: &vmuster_proto::model::CpuCache| {
        let level = shown(cache.level);
        let initial = match cache.r#type.as_deref() {
            Some("data") => "d",
            Some("instruction") => "i",
            _ => "",
        };
        format!("L{level}{initial} {} x {}", cache.shared_by.len(), shown(cache.size_bytes))
    };
    cpu.caches.iter().map(line).collect()
}

/// Every table that has a row, each after an empty line.
pub(super) fn tables(inventory: &Inventory, usage: Option<&Usage>, width: u16) -> String {
    let filesystems = usage.and_then(|usage| usage.filesystems.as_deref()).unwrap_or_default();
    let tables = [
        disks(inventory.disks.as_deref().unwrap_or_default(), width),
        mounted(filesystems, width),
        nics(inventory.nics.as_deref().unwrap_or_default(), width),
        pci(inventory.pci.as_deref().unwrap_or_default(), width),
    ];
    tables.into_iter().flatten().map(|table| format!("\n{table}")).collect()
}

fn disks(disks: &[Disk], width: u16) -> Option<String> {
    let mut list = Columns::new(&["DISK", "SIZE", "KIND", "PARTS", "NODE", "PCI", "MODEL"], width);
    for disk in disks {
        let spins = if disk.rotational == Some(true) { " (rotational)" } else { "" };
        list.row([
            disk.name.clone(),
            shown(disk.size_bytes),
            text(disk.kind.as_ref()),
            disk.partitions.len().to_string(),
            shown(disk.numa_node),
            text(disk.pci_address.as_ref()),
            format!("{}{spins}", text(disk.model.as_ref())),
        ]);
    }
    (!disks.is_empty()).then(|| list.text())
}

fn mounted(filesystems: &[Filesystem], width: u16) -> Option<String> {
    let mut list = Columns::new(&["TYPE", "SIZE", "AVAILABLE", "SOURCE", "MOUNTED ON"], width);
    let size = |bytes: Option<Bytes>| shown(bytes);
    for it in filesystems {
        let read_only = if it.read_only == Some(true) { " (read-only)" } else { "" };
        list.row([
            text(it.r#type.as_ref()),
            size(it.size_bytes),
            size(it.available_bytes),
            text(it.source.as_ref()),
            format!("{}{read_only}", it.mount_point),
        ]);
    }
    (!filesystems.is_empty()).then(|| list.text())
}

fn nics(nics: &[Nic], width: u16) -> Option<String> {
    let mut list = Columns::new(&["NIC", "KIND", "STATE", "SPEED", "NODE", "MAC", "DRIVER"], width);
    for nic in nics {
        list.row([
            nic.name.clone(),
            text(nic.kind.as_ref()),
            text(nic.operstate.as_ref()),
            nic.speed_mbps.map_or_else(dash, |speed| format!("{speed} Mb/s")),
            shown(nic.numa_node),
            text(nic.mac.as_ref()),
            text(nic.driver.as_ref()),
        ]);
    }
    (!nics.is_empty()).then(|| list.text())
}

/// Names as lspci shows them, numbers where there is no name.
fn pci(devices: &[PciDevice], width: u16) -> Option<String> {
    let mut list = Columns::new(&["PCI", "ID", "NODE", "IOMMU", "VFS", "DRIVER", "DEVICE"], width);
    for device in devices {
        let vfs = device.sriov_total_vfs.map(|total| format!("{}/{total}", shown(device.sriov_vfs)));
        let names = [&device.class_name, &device.vendor_name, &device.device_name];
        let names: Vec<&str> = names.into_iter().filter_map(|name| name.as_deref()).collect();
        list.row([
            device.address.clone(),
            format!("{}:{}", text(device.vendor_id.as_ref()), text(device.device_id.as_ref())),
            shown(device.numa_node),
            shown(device.iommu_group),
            shown(vfs),
            text(device.driver.as_ref()),
            if names.is_empty() { dash() } else { names.join(", ") },
        ]);
    }
    (!devices.is_empty()).then(|| list.text())
}
