//! `<devices>` of a guest: disks and the host's own PCI functions.

use crate::model::DomainDisk;
use roxmltree::Node;

use super::xml::{attribute, child, children};

/// Disks, by target.
pub(super) fn disks(domain: Node<'_, '_>) -> Vec<DomainDisk> {
    let devices = child(domain, "devices");
    let mut disks: Vec<DomainDisk> =
        devices.into_iter().flat_map(|devices| children(devices, "disk")).filter_map(disk).collect();
    // Stable: what libvirt would refuse, two of one target, stays in order.
    disks.sort_by(|a, b| a.target.cmp(&b.target));
    disks
}

fn disk(disk: Node<'_, '_>) -> Option<DomainDisk> {
    let source = child(disk, "source");
    let of_source = |name: &str| source.and_then(|source| attribute(source, name));
    let r#type = attribute(disk, "type");
    let kind = r#type.as_deref().unwrap_or("file");
    let shared_storage = match kind {
        "network" => Some(true),
        "nvme" => Some(false),
        _ => None,
    };
    Some(DomainDisk {
        target: attribute(child(disk, "target")?, "dev")?,
        // libvirt's own default.
        device: attribute(disk, "device").or_else(|| Some("disk".to_owned())),
        source: match kind {
            "block" => of_source("dev"),
            "network" => network_source(source),
            "dir" => of_source("dir"),
            "volume" => of_source("volume"),
            _ => of_source("file"),
        },
        pool: of_source("pool").filter(|_| kind == "volume"),
        volume: of_source("volume").filter(|_| kind == "volume"),
        format: child(disk, "driver").and_then(|driver| attribute(driver, "type")),
        virtual_bytes: None,
        allocation_bytes: None,
        read_only: Some(child(disk, "readonly").is_some()),
        shareable: Some(child(disk, "shareable").is_some()),
        shared_storage,
        r#type,
    })
}

/// "rbd:pool/image".
fn network_source(source: Option<Node<'_, '_>>) -> Option<String> {
    let source = source?;
    let name = attribute(source, "name").unwrap_or_default();
    let protocol = attribute(source, "protocol").filter(|protocol| !protocol.contains(':'))?;
    Some(format!("{protocol}:{name}"))
}

/// PCI functions given to the guest, as devices or as network interfaces; sorted.
pub(super) fn host_devices(domain: Node<'_, '_>) -> Vec<String> {
    let given = |node: &Node<'_, '_>| {
        let is_pci_device = node.has_tag_name("hostdev") && node.attribute("type") == Some("pci");
        is_pci_device || node.has_tag_name("interface") && node.attribute("type") == Some("hostdev")
    };
    let devices = child(domain, "devices").into_iter().flat_map(|devices| devices.children());
    let mut addresses: Vec<String> = devices.filter(given).filter_map(pci_address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Of the host's function that a device is, in the kernel's form; libvirt writes "0x" numbers.
pub(super) fn pci_address(device: Node<'_, '_>) -> Option<String> {
    let address = child(child(device, "source")?, "address")?;
    let part = |name: &str| {
        let text = address.attribute(name)?;
        text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    };
    let (domain, bus) = (part("domain").unwrap_or(0), part("bus")?);
    Some(format!("{domain:04x}:{bus:02x}:{:02x}.{:x}", part("slot")?, part("function")?))
}
