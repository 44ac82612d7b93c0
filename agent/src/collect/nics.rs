//! Network interfaces: /sys/class/net.
//!
//! A hypervisor has hundreds for its guests: of those only what can be told of them is read.

use rustix::io::Errno;
use vmuster_proto::model::{Issue, IssueKind, Nic};

use super::{device::DeviceFiles, reading::Reading};
use crate::{
    host_root::{HostRoot, ReadFailure},
    parse::{pci_path, uevent::Uevent},
};

const DIRECTORY: &str = "/sys/class/net";

/// The kind that hardware is behind; other kinds have the kernel's names.
const PHYSICAL: &str = "physical";

/// Kinds whose link is somebody else's program: always there, and without a speed.
const WITHOUT_LINK: [&str; 3] = ["tap", "tun", "virtual"];

/// Bits of tun_flags (linux/if_tun.h).
const IFF_TUN: u32 = 1;
const IFF_TAP: u32 = 2;

/// What drivers give that do not know the speed: nothing, and -1 in 16 or 32 bits or with its sign.
const UNKNOWN_SPEEDS: [&str; 4] = ["0", "65535", "4294967295", "-1"];

/// The section, by name, without the loopback.
pub(crate) fn collect(root: &HostRoot) -> (Option<Vec<Nic>>, Vec<Issue>) {
    let mut reading = Reading::new(root);
    let names = match root.read_dir(DIRECTORY) {
        Ok(names) => names,
        Err(error) if error.is_absent() => {
            let detail = "no network interfaces: the kernel is built without them, or they were not recorded";
            reading.issue(Issue::new("nics", DIRECTORY, IssueKind::Unsupported, detail));
            return (None, reading.finish());
        }
        Err(error) => {
            reading.failed("nics", &error);
            return (None, reading.finish());
        }
    };
    let names = names.iter().filter(|name| *name != "lo");
    let nics = names.filter_map(|name| nic(&mut reading, name)).collect();
    (Some(nics), reading.finish())
}

/// None for what is no interface (the file bonding_masters) and for one that went away.
fn nic(reading: &mut Reading<'_>, name: &str) -> Option<Nic> {
    let directory = format!("{DIRECTORY}/{name}");
    let mut files = DeviceFiles::new(reading, "nics", format!("nics[{name}]"), directory.clone());
    if !files.is_directory() {
        let is_file = |error| matches!(error, ReadFailure::Os(Errno::NOTDIR));
        if files.reading.root.directory(&directory).is_err_and(|error| is_file(error.source)) {
            return None;
        }
        if files.is_gone() {
            files.vanished();
            return None;
        }
    }
    let target = files.link_if_there("pci_address", &directory);
    // What is in this directory hangs on nothing, and need not be asked.
    let is_virtual = target.as_deref().is_some_and(|target| target.contains("/devices/virtual/net/"));
    let device = if is_virtual { None } else { files.link_if_there("kind", "device") };
    // In a recording the link may lead nowhere, or be a directory.
    let is_physical = device.is_some() || (!is_virtual && files.reading.root.exists(&files.path("device")));
    let kind = if is_physical { Some(PHYSICAL.to_owned()) } else { made_kind(&mut files) };
    let mut nic = Nic {
        name: name.to_owned(),
        // An interface without a link layer, as a tun, has an empty one.
        mac: files.text("mac", "address").filter(|mac| !mac.is_empty()),
        mtu: files.number("mtu", "mtu"),
        operstate: files.text("operstate", "operstate").filter(|state| !state.is_empty()),
        master: files.link_name("master", "master"),
        ..Nic::default()
    };
    if kind.as_deref().is_none_or(|kind| !WITHOUT_LINK.contains(&kind)) {
        nic.carrier = carrier(&mut files, nic.operstate.as_deref());
    }
    if nic.carrier == Some(true) && matches!(kind.as_deref(), Some(PHYSICAL | "bond")) {
        nic.speed_mbps = speed(&mut files);
    }
    if is_physical {
        nic.driver = files.link_name("driver", "device/driver");
        let mut paths = [target, device].into_iter().flatten();
        nic.pci_address = paths.find_map(|path| pci_path::upward(&path).next().map(str::to_owned));
        // A virtio device has none of its own.
        let node = files.text_if_there("numa_node", "device/numa_node");
        nic.numa_node = node.and_then(|text| files.node_of("numa_node", "device/numa_node", &text));
    }
    nic.kind = kind;
    Some(nic)
}

/// What the kernel calls an interface that it made.
fn made_kind(files: &mut DeviceFiles<'_, '_>) -> Option<String> {
    let text = files.text("kind", "uevent")?;
    match Uevent::new(&text).get("DEVTYPE").filter(|kind| !kind.is_empty()) {
        // Of a driver that has interfaces of both sorts.
        None | Some("tun") => tun_kind(files),
        Some(kind) => Some(kind.to_owned()),
    }
}

fn tun_kind(files: &mut DeviceFiles<'_, '_>) -> Option<String> {
    if !files.reading.root.exists(&files.path("tun_flags")) {
        return Some("virtual".to_owned());
    }
    let text = files.text("kind", "tun_flags")?;
    let flags = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match flags.map(|flags| (flags & IFF_TAP != 0, flags & IFF_TUN != 0)) {
        Some((true, false)) => Some("tap".to_owned()),
        Some((false, true)) => Some("tun".to_owned()),
        _ => {
            files.malformed("kind", "tun_flags", &format!("'{text}' is neither a tap's nor a tun's"));
            None
        }
    }
}

/// The kernel tells it of an interface that is up only, with or without a cable.
fn carrier(files: &mut DeviceFiles<'_, '_>, operstate: Option<&str>) -> Option<bool> {
    // Recordings by other tools have no file for what the kernel refused.
    if operstate == Some("down") && !files.reading.root.exists(&files.path("carrier")) {
        return None;
    }
    let text = files.text_if_told("carrier", "carrier")?;
    files.flag_of("carrier", "carrier", &text)
}

fn speed(files: &mut DeviceFiles<'_, '_>) -> Option<u32> {
    let text = files.text_if_told("speed_mbps", "speed")?;
    if UNKNOWN_SPEEDS.contains(&text.as_str()) {
        return None;
    }
    files.number_of("speed_mbps", "speed", &text)
}

#[cfg(test)]
#[path = "nics_tests.rs"]
mod tests;
