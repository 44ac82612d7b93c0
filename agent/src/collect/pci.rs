//! PCI functions: /sys/bus/pci/devices, and their names in the host's pci.ids.
//!
//! Facts and names are read apart: facts each time, names once for as long as the functions are the same.

use vmuster_proto::model::{Issue, IssueKind, PciDevice};

use super::{
    device::DeviceFiles,
    reading::{CUT_OFF, Reading},
};
use crate::{
    host_root::{HostRoot, ReadError},
    parse::{
        pci_ids::{Names, Search, Wanted},
        pci_path,
        uevent::Uevent,
    },
};

const DIRECTORY: &str = "/sys/bus/pci/devices";

/// Where distributions put it: Debian's and most others', Red Hat's.
const NAME_FILES: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

/// The section as it was read last, and the names of what is in it.
#[derive(Debug, Default)]
pub(crate) struct KeptPci {
    /// With the number of the kernel's last announcement then: functions, drivers and virtual functions that come and go
    /// are announced.
    devices: Option<(String, Vec<PciDevice>)>,
    names: Option<(Wanted, Names)>,
}

/// The section, by address, with names. `announcement`: None where nothing is announced, as of a recorded host.
pub(crate) fn collect(
    root: &HostRoot,
    announcement: Option<&str>,
    kept: &mut KeptPci,
) -> (Option<Vec<PciDevice>>, Vec<Issue>) {
    if let (Some(now), Some((then, devices))) = (announcement, &kept.devices)
        && now == then
        && let Some(devices) = refreshed(root, devices)
    {
        return (Some(devices), Vec::new());
    }
    let (mut devices, mut issues) = read(root);
    if let Some(devices) = &mut devices {
        let wanted = wanted(devices);
        match &kept.names {
            Some((then, names)) if *then == wanted => name(devices, names),
            _ => {
                let (found, more) = names(root, &wanted);
                name(devices, &found);
                // Names that were not found are looked for again, for the file may be installed meanwhile.
                kept.names = more.is_empty().then_some((wanted, found));
                issues.extend(more);
            }
        }
    }
    // What has issues is read again, for they would not be told the next time.
    let known = devices.clone().filter(|_| issues.is_empty());
    kept.devices = announcement.map(str::to_owned).zip(known);
    (devices, issues)
}

/// The section, by address, without names.
pub(crate) fn read(root: &HostRoot) -> (Option<Vec<PciDevice>>, Vec<Issue>) {
    let mut reading = Reading::new(root);
    let addresses = match root.read_dir(DIRECTORY) {
        Ok(addresses) => addresses,
        Err(error) if error.is_absent() => {
            let detail = "no PCI: the machine or its kernel has none, or it was not recorded";
            reading.issue(Issue::new("pci", DIRECTORY, IssueKind::Unsupported, detail));
            return (None, reading.finish());
        }
        Err(error) => {
            reading.failed("pci", &error);
            return (None, reading.finish());
        }
    };
    let devices = addresses.iter().filter_map(|address| device(&mut reading, address)).collect();
    (Some(devices), reading.finish())
}

/// The same functions with what may change without an announcement: drivers on kernels before 4.14, and the number of
/// virtual functions for a second after the last of them went. None: they have to be read again.
fn refreshed(root: &HostRoot, devices: &[PciDevice]) -> Option<Vec<PciDevice>> {
    let refresh = |device: &PciDevice| {
        let file = |name: &str| format!("{DIRECTORY}/{}/{name}", device.address);
        let driver = match root.read_link(&file("driver")) {
            Ok(target) => target.rsplit('/').next().map(str::to_owned),
            Err(error) if error.is_absent() => None,
            Err(_) => return None,
        };
        let is_same = driver == device.driver
            && (device.sriov_vfs.is_none()
                || root.read(&file("sriov_numvfs")).is_ok_and(|bytes| {
                    String::from_utf8_lossy(&bytes).trim().parse().ok() == device.sriov_vfs
                }));
        is_same.then(|| device.clone())
    };
    devices.iter().map(refresh).collect()
}

/// What to look up in pci.ids.
pub(crate) fn wanted(devices: &[PciDevice]) -> Wanted {
    Wanted {
        devices: devices.iter().filter_map(ids).collect(),
        classes: devices.iter().filter_map(class).collect(),
    }
}

/// The names of what is wanted, if anything is.
pub(crate) fn names(root: &HostRoot, wanted: &Wanted) -> (Names, Vec<Issue>) {
    let mut reading = Reading::new(root);
    let names = if *wanted == Wanted::default() { None } else { found_names(&mut reading, wanted) };
    (names.unwrap_or_default(), reading.finish())
}

/// Names each function that has a name.
pub(crate) fn name(devices: &mut [PciDevice], names: &Names) {
    for device in devices {
        if let Some(ids) = ids(device) {
            device.vendor_name = names.vendors.get(&ids.0).cloned();
            device.device_name = names.devices.get(&ids).cloned();
        }
        if let Some(class) = class(device) {
            // A subclass says more; a class without that subclass still says something.
            let name = names.subclasses.get(&class).or_else(|| names.classes.get(&class.0));
            device.class_name = name.cloned();
        }
    }
}

fn found_names(reading: &mut Reading<'_>, wanted: &Wanted) -> Option<Names> {
    let mut failed: Vec<ReadError> = Vec::new();
    for path in NAME_FILES {
        let mut search = Search::new(wanted);
        let mut read = reading.root.read_in_pieces(path, |lines| search.feed(lines));
        if read.is_ok() && !search.is_over() {
            search = search.again();
            read = reading.root.read_in_pieces(path, |lines| search.feed(lines));
        }
        match read {
            Ok(is_whole) => {
                let names = search.names();
                if !is_whole {
                    reading.malformed("pci", path, CUT_OFF);
                }
                if names == Names::default() {
                    reading.malformed("pci", path, "it names none of the host's PCI functions");
                }
                return Some(names);
            }
            Err(error) if error.is_absent() => {}
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() {
        let detail = "PCI functions have no names: install pci.ids (package pci.ids, hwdata or pciutils)";
        reading.issue(Issue::new("pci", NAME_FILES.join(", "), IssueKind::Missing, detail));
    }
    for error in failed {
        reading.failed("pci", &error);
    }
    None
}

fn ids(device: &PciDevice) -> Option<(u16, u16)> {
    let number = |id: &Option<String>| u16::from_str_radix(id.as_deref()?, 16).ok();
    Some((number(&device.vendor_id)?, number(&device.device_id)?))
}

fn class(device: &PciDevice) -> Option<(u8, u8)> {
    let digits = |range| u8::from_str_radix(device.class.as_deref()?.get(range)?, 16).ok();
    Some((digits(0..2)?, digits(2..4)?))
}

/// None for a function that went away between listing and reading. One whose link leads nowhere, as some recordings
/// have them, is kept with what the link itself tells.
fn device(reading: &mut Reading<'_>, address: &str) -> Option<PciDevice> {
    let directory = format!("{DIRECTORY}/{address}");
    let mut files = DeviceFiles::new(reading, "pci", format!("pci[{address}]"), directory);
    if files.is_gone() {
        files.vanished();
        let is_linked = files.reading.root.read_link(files.directory()).is_ok();
        return is_linked.then(|| {
            let parent = parent(&mut files, address);
            PciDevice { address: address.to_owned(), parent, ..PciDevice::default() }
        });
    }
    let uevent = files.text_if_there("uevent", "uevent");
    let uevent = Uevent::new(uevent.as_deref().unwrap_or_default());
    let (vendor_id, device_id) =
        id_pair(&mut files, uevent, "PCI_ID", [("vendor_id", "vendor"), ("device_id", "device")]);
    let (subsystem_vendor_id, subsystem_device_id) = id_pair(
        &mut files,
        uevent,
        "PCI_SUBSYS_ID",
        [("subsystem_vendor_id", "subsystem_vendor"), ("subsystem_device_id", "subsystem_device")],
    );
    let sriov_total_vfs = files.number_if_there("sriov_total_vfs", "sriov_totalvfs");
    Some(PciDevice {
        address: address.to_owned(),
        vendor_id,
        device_id,
        subsystem_vendor_id,
        subsystem_device_id,
        class: class_digits(&mut files, uevent),
        revision: id_file(&mut files, "revision", "revision", 2),
        driver: driver(&mut files, uevent),
        numa_node: numa_node(&mut files),
        iommu_group: iommu_group(&mut files),
        sriov_total_vfs,
        // The kernel has both files or neither.
        sriov_vfs: sriov_total_vfs.and_then(|_| files.number("sriov_vfs", "sriov_numvfs")),
        physical_function: files.link_name("physical_function", "physfn"),
        parent: parent(&mut files, address),
        ..PciDevice::default()
    })
}

/// A key with two identifiers, "8086:1533", else a file for each.
fn id_pair(
    files: &mut DeviceFiles<'_, '_>,
    uevent: Uevent<'_>,
    key: &str,
    [first, second]: [(&str, &str); 2],
) -> (Option<String>, Option<String>) {
    let Some(value) = uevent.get(key) else {
        return (id_file(files, first.0, first.1, 4), id_file(files, second.0, second.1, 4));
    };
    let pair = value.split_once(':').and_then(|(a, b)| Some((hexadecimal(a, 4, 4)?, hexadecimal(b, 4, 4)?)));
    let Some((a, b)) = pair else {
        files.malformed(first.0, "uevent", &format!("'{key}={value}' has no two identifiers"));
        return (None, None);
    };
    (Some(a), Some(b))
}

/// A file with an identifier of so many digits, "0x8086".
fn id_file(files: &mut DeviceFiles<'_, '_>, field: &str, file: &str, digits: usize) -> Option<String> {
    let text = files.text(field, file)?;
    let id = text.strip_prefix("0x").and_then(|text| hexadecimal(text, digits, digits));
    if id.is_none() {
        files.malformed(field, file, &format!("'{text}' is not 0x and {digits} hexadecimal digits"));
    }
    id
}

/// In uevent a class has no leading zeros, but four digits at least.
fn class_digits(files: &mut DeviceFiles<'_, '_>, uevent: Uevent<'_>) -> Option<String> {
    let Some(value) = uevent.get("PCI_CLASS") else { return id_file(files, "class", "class", 6) };
    let class = hexadecimal(value, 4, 6);
    if class.is_none() {
        files.malformed("class", "uevent", &format!("'PCI_CLASS={value}' is no class"));
    }
    class
}

/// Lower case, with leading zeros to `most` digits.
fn hexadecimal(text: &str, least: usize, most: usize) -> Option<String> {
    let is_number = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| format!("{:0>most$}", text.to_ascii_lowercase()))
}

fn driver(files: &mut DeviceFiles<'_, '_>, uevent: Uevent<'_>) -> Option<String> {
    uevent.get("DRIVER").map(str::to_owned).or_else(|| files.link_name("driver", "driver"))
}

fn numa_node(files: &mut DeviceFiles<'_, '_>) -> Option<u32> {
    let text = files.text("numa_node", "numa_node")?;
    files.node_of("numa_node", "numa_node", &text)
}

/// 0 is a group; without an IOMMU there is no link.
fn iommu_group(files: &mut DeviceFiles<'_, '_>) -> Option<u32> {
    let name = files.link_name("iommu_group", "iommu_group")?;
    files.number_of("iommu_group", "iommu_group", &name)
}

/// The address before its own in the path: a VMD controller for those in the domain it makes.
fn parent(files: &mut DeviceFiles<'_, '_>, address: &str) -> Option<String> {
    let directory = files.directory().to_owned();
    let Some(target) = files.link_if_there("parent", &directory) else {
        files.missing("parent", &directory, "it is no link, so that nothing tells what it sits behind");
        return None;
    };
    let mut upward = pci_path::upward(&target);
    if upward.next() != Some(address) {
        files.malformed("parent", &directory, &format!("its link leads to '{target}', which is another"));
        return None;
    }
    upward.next().map(str::to_owned)
}

#[cfg(test)]
#[path = "pci_tests.rs"]
mod tests;
