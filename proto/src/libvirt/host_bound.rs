//! What ties a guest to its host beside PCI functions: devices, files and memory that only this host has.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::{
    domain_devices::pci_address,
    xml::{attribute, child, children},
};

/// libvirt's longest such word has 18 bytes; what is longer or has other letters is no word of its.
const WORD_MAX_BYTES: usize = 32;

/// Disks that can be opened by name on another host.
const ORDINARY_DISKS: [&str; 5] = ["file", "block", "network", "dir", "volume"];

/// Kind and sort, "hostdev usb", of each; sorted. Which of the host's it is would only tell secrets.
pub(super) fn of(domain: Node<'_, '_>) -> Vec<String> {
    let devices = child(domain, "devices").into_iter().flat_map(|devices| devices.children());
    let secured = children(domain, "launchSecurity");
    let things: BTreeSet<String> = devices.chain(secured).filter_map(thing).collect();
    things.into_iter().collect()
}

fn thing(node: Node<'_, '_>) -> Option<String> {
    let kind = node.tag_name().name();
    let sort = match kind {
        "hostdev" => host_device(node)?,
        // One whose function is known is among the PCI functions.
        "interface" => typed(node, &["vdpa", "vhostuser", "hostdev"])
            .filter(|sort| sort != "hostdev" || pci_address(node).is_none())?,
        // Without a target it is no disk of the guest's list either.
        "disk" => {
            child(node, "target").and_then(|target| attribute(target, "dev"))?;
            let kind = attribute(node, "type").filter(|kind| !ORDINARY_DISKS.contains(&kind.as_str()))?;
            word(Some(kind), "other")
        }
        "filesystem" => word(child(node, "driver").and_then(|driver| attribute(driver, "type")), "path"),
        "shmem" => shared_memory(node),
        "tpm" => {
            let backend = child(node, "backend").and_then(|backend| attribute(backend, "type"));
            // What an emulator keeps, libvirt moves along.
            word(backend.filter(|backend| backend != "emulator"), "")
        }
        // More of the host's ordinary memory ties nobody.
        "memory" => {
            let model = attribute(node, "model");
            word(model.filter(|model| !["dimm", "virtio-mem"].contains(&model.as_str())), "")
        }
        "input" => typed(node, &["passthrough", "evdev"])?,
        "smartcard" => word(attribute(node, "mode").filter(|mode| mode.starts_with("host")), ""),
        "serial" | "parallel" | "console" | "channel" => typed(node, &["dev"])?,
        "launchSecurity" => word(attribute(node, "type"), "other"),
        _ => return None,
    };
    (!sort.is_empty()).then(|| format!("{kind} {sort}"))
}

fn host_device(node: Node<'_, '_>) -> Option<String> {
    if node.attribute("mode") == Some("capabilities") {
        return Some("capabilities".to_owned());
    }
    let sort = word(attribute(node, "type"), "other");
    (sort != "pci" || pci_address(node).is_none()).then_some(sort)
}

/// Only its master moves with its guest.
fn shared_memory(node: Node<'_, '_>) -> String {
    let model = word(child(node, "model").and_then(|model| attribute(model, "type")), "ivshmem");
    if node.attribute("role") == Some("master") { model + " master" } else { model }
}

fn typed(node: Node<'_, '_>, sorts: &[&str]) -> Option<String> {
    attribute(node, "type").filter(|sort| sorts.contains(&sort.as_str()))
}

/// The word, `default` without one, "other" for what no libvirt would write.
fn word(text: Option<String>, default: &str) -> String {
    match text {
        None => default.to_owned(),
        Some(text) => {
            let is_word = (1..=WORD_MAX_BYTES).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if is_word { text } else { "other".to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{domain::parse, render};

    fn read(devices: &str, beside: &str) -> Vec<String> {
        let text =
            format!("<domain><name>a</name><uuid>u</uuid><devices>{devices}</devices>{beside}</domain>");
        let domain = parse(&text).expect("a domain");
        assert_eq!(
            parse(&render::domain(&domain)).as_ref(),
            Ok(&domain),
            "a capture says the same: {devices}"
        );
        domain.host_bound
    }

    #[test]
    fn each_has_a_word() {
        for (devices, word) in [
            (
                "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>",
                "hostdev usb",
            ),
            ("<hostdev mode='subsystem' type='mdev' model='vfio-pci'/>", "hostdev mdev"),
            ("<hostdev mode='subsystem' type='scsi_host'/>", "hostdev scsi_host"),
            ("<hostdev mode='capabilities' type='misc'/>", "hostdev capabilities"),
            ("<hostdev mode='subsystem' type='pci'/>", "hostdev pci"),
            ("<hostdev/>", "hostdev other"),
            ("<hostdev type='&lt;a b&gt;'/>", "hostdev other"),
            ("<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>", "interface vdpa"),
            ("<interface type='vhostuser'/>", "interface vhostuser"),
            ("<interface type='hostdev'/>", "interface hostdev"),
            ("<disk type='nvme' device='disk'><source type='pci'/><target dev='vda'/></disk>", "disk nvme"),
            ("<disk type='vhostuser'><source path='/s'/><target dev='vda'/></disk>", "disk vhostuser"),
            ("<disk type='vhostvdpa'><source dev='/d'/><target dev='vda'/></disk>", "disk vhostvdpa"),
            ("<filesystem type='mount'><driver type='virtiofs'/></filesystem>", "filesystem virtiofs"),
            ("<filesystem type='mount'><source dir='/d'/></filesystem>", "filesystem path"),
            ("<shmem name='s'><model type='ivshmem-plain'/></shmem>", "shmem ivshmem-plain"),
            (
                "<shmem name='s' role='master'><model type='ivshmem-plain'/></shmem>",
                "shmem ivshmem-plain master",
            ),
            ("<shmem name='s'/>", "shmem ivshmem"),
            (
                "<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
                "tpm passthrough",
            ),
            ("<memory model='nvdimm'><source><path>/p</path></source></memory>", "memory nvdimm"),
            ("<input type='evdev'/>", "input evdev"),
            ("<smartcard mode='host-certificates'/>", "smartcard host-certificates"),
            ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", "serial dev"),
        ] {
            assert_eq!(read(devices, ""), [word], "{devices}");
        }
        assert_eq!(read("", "<launchSecurity type='sev'/>"), ["launchSecurity sev"]);
    }

    #[test]
    fn what_any_host_has_ties_nobody() {
        let devices = "<hostdev mode='subsystem' type='pci'><source><address bus='0x3b' slot='0' function='0'/></source>\
            </hostdev><interface type='network'/><interface type='bridge'/><disk type='file'><target dev='vda'/></disk>\
            <tpm><backend type='emulator'/></tpm><memory model='dimm'/><input type='tablet'/><serial type='pty'/>\
            <channel type='unix'/><disk type='nvme'/>";
        assert_eq!(read(devices, ""), [""; 0]);
    }

    #[test]
    fn they_are_sorted_and_there_once() {
        let devices = "<hostdev type='usb'/><filesystem/><hostdev type='usb'/>";
        assert_eq!(
            read(devices, "<launchSecurity/>"),
            ["filesystem path", "hostdev usb", "launchSecurity other"]
        );
    }
}
