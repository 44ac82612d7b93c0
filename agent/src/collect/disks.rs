//! Block devices: /sys/block, or /sys/class/block where only that was recorded.
//!
//! Which disk a partition belongs to is told by the tree alone: `sda1` is a directory within that of `sda`.

use std::collections::{BTreeMap, BTreeSet};

use vmuster_proto::model::{Bytes, Disk, Issue, IssueKind, Partition};

use super::{device::DeviceFiles, reading::Reading};
use crate::{host_root::HostRoot, parse::pci_path};

/// Disks only.
const DISKS: &str = "/sys/block";

/// Disks and partitions.
const DISKS_AND_PARTITIONS: &str = "/sys/class/block";

/// All devices are below it.
const DEVICES: &str = "/sys/devices";

/// Kinds that are made of other devices.
const MADE_OF_OTHERS: [&str; 3] = ["bcache", "dm", "md"];

/// A CD or DVD drive's type (SCSI Primary Commands, peripheral device type).
const SCSI_TYPE_CD: &str = "5";

/// The unit serial number page of SCSI's vital product data: its code, and what comes before the number.
const SERIAL_PAGE: u8 = 0x80;
const PAGE_HEADER_BYTES: usize = 4;

/// The section, by name.
pub(crate) fn collect(root: &HostRoot) -> (Option<Vec<Disk>>, Vec<Issue>) {
    let mut reader = Reader { reading: Reading::new(root), nodes: BTreeMap::new() };
    let disks = reader.disks();
    (disks, reader.reading.finish())
}

struct Reader<'a> {
    reading: Reading<'a>,
    /// What directories above disks say of their node: many disks hang on one controller.
    nodes: BTreeMap<String, Option<u32>>,
}

impl Reader<'_> {
    fn disks(&mut self) -> Option<Vec<Disk>> {
        let (directory, names) = self.names()?;
        let is_mixed = directory == DISKS_AND_PARTITIONS;
        let mut partitions = BTreeSet::new();
        let mut disks = Vec::new();
        for name in names {
            if is_mixed && self.reading.root.exists(&format!("{directory}/{name}/partition")) {
                partitions.insert(spoken(&name));
            } else {
                disks.extend(self.disk(directory, &name));
            }
        }
        for name in disks.iter().flat_map(|disk| &disk.partitions).map(|partition| &partition.name) {
            partitions.remove(name);
        }
        for name in partitions {
            let detail = "a partition in no disk's directory: nothing tells whose it is";
            let issue = Issue::new("disks", format!("{directory}/{name}"), IssueKind::Missing, detail);
            self.reading.repeated("partitions of no disk", issue);
        }
        disks.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Some(disks)
    }

    fn names(&mut self) -> Option<(&'static str, Vec<String>)> {
        for directory in [DISKS, DISKS_AND_PARTITIONS] {
            match self.reading.root.read_dir(directory) {
                Ok(names) => return Some((directory, names)),
                Err(error) if error.is_absent() => {}
                Err(error) => {
                    self.reading.failed("disks", &error);
                    return None;
                }
            }
        }
        let detail = "no block devices: the kernel is built without them, or they were not recorded";
        self.reading.issue(Issue::new("disks", DISKS, IssueKind::Unsupported, detail));
        None
    }

    /// None for a device without a size (no medium, not in use), a hidden one (one path of several to an NVMe disk, which
    /// is listed as a whole beside it), and one that went away.
    fn disk(&mut self, parent: &str, entry: &str) -> Option<Disk> {
        let directory = format!("{parent}/{entry}");
        let name = spoken(entry);
        let section = format!("disks[{name}]");
        let mut files = DeviceFiles::new(&mut self.reading, "disks", section.clone(), directory.clone());
        if files.is_gone() {
            files.vanished();
            return None;
        }
        let size_bytes = files.sectors("size_bytes", "size");
        if size_bytes == Some(Bytes(0)) || files.text_if_there("hidden", "hidden").as_deref() == Some("1") {
            return None;
        }
        let place = Place::of(&mut files);
        let kind = kind(&mut files, &name, &place);
        let mut disk = Disk {
            device: device_number(&mut files),
            size_bytes,
            rotational: files.flag("rotational", "queue/rotational"),
            removable: files.flag("removable", "removable"),
            read_only: files.flag("read_only", "ro"),
            logical_block_bytes: files.number("logical_block_bytes", "queue/logical_block_size").map(Bytes),
            physical_block_bytes: files
                .number("physical_block_bytes", "queue/physical_block_size")
                .map(Bytes),
            members: members(&mut files, &kind),
            kind: Some(kind),
            name,
            ..Disk::default()
        };
        if disk.is_hardware() {
            disk.model = files.name("model", "device/model");
            disk.serial = serial(&mut files);
            disk.wwn = files.name("wwn", "wwid").or_else(|| files.name("wwn", "device/wwid"));
            disk.pci_address = pci_address(&mut files, &place);
            disk.numa_node = numa_node(&mut files, &place, &mut self.nodes);
        }
        disk.partitions = self.partitions(&directory, entry, &section);
        Some(disk)
    }

    /// Directories in the disk's own that have a number in its partition table. Others are not: `mmcblk0boot0` lies in
    /// `mmcblk0` and is a disk.
    fn partitions(&mut self, directory: &str, disk: &str, section: &str) -> Vec<Partition> {
        let names = match self.reading.root.read_dir(directory) {
            Ok(names) => names,
            Err(error) => {
                let section = format!("{section}.partitions");
                self.reading.repeated("directories of disks", error.issue(&section));
                return Vec::new();
            }
        };
        // The kernel begins their names with the disk's: thirty other names need not be looked into.
        let names = names.iter().filter(|name| name.starts_with(disk) && name.as_str() != disk);
        let partitions = names.filter_map(|entry| {
            let path = format!("{directory}/{entry}");
            if !self.reading.root.exists(&format!("{path}/partition")) {
                return None;
            }
            let name = spoken(entry);
            let section = format!("{section}.partitions[{name}]");
            let mut files = DeviceFiles::new(&mut self.reading, "partitions", section, path);
            Some(Partition {
                number: files.number("number", "partition"),
                start_bytes: files.sectors("start_bytes", "start"),
                size_bytes: files.sectors("size_bytes", "size"),
                read_only: files.flag("read_only", "ro"),
                name,
            })
        });
        let mut partitions: Vec<_> = partitions.collect();
        partitions.sort_unstable_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
        partitions
    }
}

/// A name as everybody but sysfs writes it: "cciss/c0d0".
fn spoken(entry: &str) -> String {
    entry.replace('!', "/")
}

/// Where a disk is among all devices, as far as links tell.
#[derive(Debug)]
enum Place {
    /// Its directory in /sys/devices.
    At(String),
    /// A recording has copied it: no more is known than where its link `device` leads, if that is one.
    Copied { device: Option<String>, has_device: bool },
}

impl Place {
    fn of(files: &mut DeviceFiles<'_, '_>) -> Self {
        let directory = files.directory().to_owned();
        let target = files.link_if_there("pci_address", &directory);
        if let Some(path) = target.as_deref().and_then(in_devices) {
            return Self::At(path);
        }
        let device = files.link_if_there("pci_address", "device");
        let has_device = device.is_some() || files.reading.root.exists(&files.path("device"));
        Self::Copied { device, has_device }
    }

    /// Whether it is more than something the kernel made.
    fn is_hardware(&self) -> bool {
        let path = match self {
            Self::At(path) => Some(path.clone()),
            Self::Copied { has_device: false, .. } => return false,
            Self::Copied { device, .. } => device.as_deref().and_then(in_devices),
        };
        let Some(path) = path else { return true };
        // An NVMe disk with several paths, or over a network, hangs on no single bus. Ceph's are not in `virtual`.
        path.contains("/virtual/nvme-") || !(path.contains("/virtual/") || path.contains("/devices/rbd/"))
    }
}

/// A link of /sys/block or /sys/class/block as the path it leads to.
fn in_devices(target: &str) -> Option<String> {
    let below = target.trim_start_matches("../").trim_start_matches("/sys/");
    below.starts_with("devices/").then(|| format!("/sys/{below}"))
}

fn kind(files: &mut DeviceFiles<'_, '_>, name: &str, place: &Place) -> String {
    if !place.is_hardware() {
        // "dm-0", "md127", "md_home", "etherd/e1.0"
        let prefix: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
        return if prefix.is_empty() { name.to_owned() } else { prefix };
    }
    let is_numbered_sr = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    let is_rom = name.strip_prefix("sr").is_some_and(is_numbered_sr)
        || files.text_if_there("kind", "device/type").as_deref() == Some(SCSI_TYPE_CD);
    if is_rom { "rom".to_owned() } else { "disk".to_owned() }
}

fn device_number(files: &mut DeviceFiles<'_, '_>) -> Option<String> {
    let text = files.text("device", "dev")?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if text.split_once(':').is_some_and(|(major, minor)| is_number(major) && is_number(minor)) {
        return Some(text);
    }
    files.malformed("device", "dev", &format!("'{text}' is no major and minor number"));
    None
}

fn members(files: &mut DeviceFiles<'_, '_>, kind: &str) -> Vec<String> {
    if !MADE_OF_OTHERS.contains(&kind) {
        return Vec::new();
    }
    match files.reading.root.read_dir(&files.path("slaves")) {
        Ok(names) => {
            let mut names: Vec<_> = names.iter().map(|name| spoken(name)).collect();
            names.sort_unstable();
            names
        }
        Err(error) => {
            files.failed("members", &error);
            Vec::new()
        }
    }
}

/// virtio's, else NVMe's and MMC's, else SCSI's.
fn serial(files: &mut DeviceFiles<'_, '_>) -> Option<String> {
    let serial = files.bare_name("serial", "serial").or_else(|| files.name("serial", "device/serial"));
    serial.or_else(|| {
        let page = files.page("serial", "device/vpd_pg80")?;
        let number = serial_of_page(&page);
        if number.is_none() {
            files.malformed("serial", "device/vpd_pg80", "it is no unit serial number page");
        }
        number.filter(|number| !number.is_empty())
    })
}

/// A page's header is device type, code and length (two bytes); what follows the number is not the device's.
fn serial_of_page(page: &[u8]) -> Option<String> {
    let (header, rest) = page.split_at_checked(PAGE_HEADER_BYTES)?;
    let &[_, SERIAL_PAGE, high, low] = header else { return None };
    let number = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
    let number = std::str::from_utf8(number).ok()?;
    Some(number.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}

fn pci_address(files: &mut DeviceFiles<'_, '_>, place: &Place) -> Option<String> {
    let path = match place {
        Place::At(path) => Some(path),
        Place::Copied { device, .. } => device.as_ref(),
    };
    let address = path.and_then(|path| pci_path::upward(path).next());
    if address.is_none() && matches!(place, Place::Copied { .. }) {
        let directory = files.directory().to_owned();
        files.missing("pci_address", &directory, "it is no link, so that nothing tells what it hangs on");
    }
    address.map(str::to_owned)
}

/// Of the nearest device above it that has the file.
fn numa_node(
    files: &mut DeviceFiles<'_, '_>,
    place: &Place,
    known: &mut BTreeMap<String, Option<u32>>,
) -> Option<u32> {
    match place {
        Place::At(path) => node_above(files, path, known),
        Place::Copied { .. } => {
            let text = files.text_if_there("numa_node", "device/numa_node")?;
            files.node_of("numa_node", "device/numa_node", &text)
        }
    }
}

fn node_above(
    files: &mut DeviceFiles<'_, '_>,
    path: &str,
    known: &mut BTreeMap<String, Option<u32>>,
) -> Option<u32> {
    let mut passed = Vec::new();
    let mut node = None;
    let mut here = path;
    while let Some((above, _)) = here.rsplit_once('/').filter(|(above, _)| *above != DEVICES) {
        if let Some(found) = known.get(above) {
            node = *found;
            break;
        }
        passed.push(above);
        let file = format!("{above}/numa_node");
        if files.reading.root.exists(&file) {
            let text = files.text("numa_node", &file);
            node = text.and_then(|text| files.node_of("numa_node", &file, &text));
            break;
        }
        here = above;
    }
    known.extend(passed.into_iter().map(|above| (above.to_owned(), node)));
    node
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
