//! The traps of /sys/class/net, one test each.

use super::*;
use crate::{
    host_root::{Access, AccessLog},
    testing::RecordedTree,
};

const CARD: &str = "/sys/devices/pci0000:5d/0000:5d:02.0/0000:60:00.0";

/// An interface as a live kernel shows it.
fn interface(tree: RecordedTree, directory: &str, uevent: &str) -> RecordedTree {
    let (_, name) = directory.rsplit_once('/').unwrap();
    tree.link(&format!("{DIRECTORY}/{name}"), &directory.replacen("/sys", "../..", 1))
        .file(&format!("{directory}/uevent"), &format!("{uevent}INTERFACE={name}\nIFINDEX=4\n"))
        .file(&format!("{directory}/address"), "ac:1f:6b:8a:5f:c8\n")
        .file(&format!("{directory}/mtu"), "1500\n")
        .file(&format!("{directory}/operstate"), "up\n")
        .file(&format!("{directory}/carrier"), "1\n")
        .file(&format!("{directory}/speed"), "10000\n")
}

fn physical() -> RecordedTree {
    let directory = format!("{CARD}/net/eth0");
    interface(RecordedTree::new(), &directory, "")
        .link(&format!("{directory}/device"), "../../../0000:60:00.0")
        .link(&format!("{CARD}/driver"), "../../../../bus/pci/drivers/i40e")
        .file(&format!("{CARD}/numa_node"), "0\n")
}

fn virtual_interface(name: &str, uevent: &str) -> RecordedTree {
    interface(RecordedTree::new(), &format!("/sys/devices/virtual/net/{name}"), uevent)
}

fn file_of(tree: RecordedTree, file: &str, content: &str) -> RecordedTree {
    tree.file(&format!("{CARD}/net/eth0/{file}"), content)
}

fn only(tree: &RecordedTree) -> Nic {
    let (nics, issues) = collect(&tree.root());
    assert_eq!(issues, []);
    let [nic]: [Nic; 1] = nics.unwrap().try_into().unwrap();
    nic
}

#[test]
fn reads_a_card() {
    let tree = physical().link(&format!("{CARD}/net/eth0/master"), "../../../../../virtual/net/bond0");
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        only(&tree),
        Nic {
            name: "eth0".to_owned(),
            kind: text("physical"),
            mac: text("ac:1f:6b:8a:5f:c8"),
            mtu: Some(1500),
            speed_mbps: Some(10_000),
            carrier: Some(true),
            operstate: text("up"),
            driver: text("i40e"),
            pci_address: text("0000:60:00.0"),
            numa_node: Some(0),
            master: text("bond0"),
        }
    );
}

#[test]
fn kinds_follow_device_type_and_flags() {
    for (uevent, flags, kind) in [
        ("DEVTYPE=bridge\n", None, "bridge"),
        ("DEVTYPE=bond\n", None, "bond"),
        ("DEVTYPE=vlan\n", None, "vlan"),
        ("", None, "virtual"),
        ("", Some("0x1002\n"), "tap"),
        ("", Some("0x1001\n"), "tun"),
        ("DEVTYPE=tun\n", Some("0x5102\n"), "tap"),
    ] {
        let mut tree = virtual_interface("x0", uevent);
        if let Some(flags) = flags {
            tree = tree.file("/sys/devices/virtual/net/x0/tun_flags", flags);
        }
        assert_eq!(only(&tree).kind.as_deref(), Some(kind), "{uevent:?} {flags:?}");
    }
    let tree = file_of(physical(), "uevent", "DEVTYPE=wlan\nINTERFACE=eth0\n");
    assert_eq!(only(&tree).kind.as_deref(), Some("physical"), "hardware whatever its type");

    for flags in ["0x1003\n", "0x1000\n", "two\n"] {
        let tree = virtual_interface("x0", "").file("/sys/devices/virtual/net/x0/tun_flags", flags);
        let (nics, issues) = collect(&tree.root());
        assert_eq!(nics.unwrap()[0].kind, None);
        assert_eq!(issues.iter().map(|issue| issue.section.as_str()).collect::<Vec<_>>(), ["nics[x0].kind"]);
    }
}

#[test]
fn the_loopback_and_plain_files_are_no_interfaces() {
    let tree =
        interface(physical(), "/sys/devices/virtual/net/lo", "").file("/sys/class/net/bonding_masters", "\n");
    assert_eq!(only(&tree).name, "eth0");
}

#[test]
fn an_unknown_speed_is_none_and_no_issue() {
    for speed in ["-1\n", "4294967295\n", "65535\n", "0\n", ""] {
        assert_eq!(only(&file_of(physical(), "speed", speed)).speed_mbps, None, "{speed:?}");
    }
    let (nics, issues) = collect(&file_of(physical(), "speed", "-2\n").root());
    assert_eq!(nics.unwrap()[0].speed_mbps, None);
    assert_eq!(issues.iter().map(|i| i.section.as_str()).collect::<Vec<_>>(), ["nics[eth0].speed_mbps"]);
}

#[test]
fn only_a_link_has_a_speed() {
    let nic = only(&file_of(physical(), "carrier", "0\n"));
    assert_eq!((nic.carrier, nic.speed_mbps), (Some(false), None));
    let nic = only(&file_of(physical(), "carrier", ""));
    assert_eq!((nic.carrier, nic.speed_mbps), (None, None), "a recording of a refusal");
    assert_eq!(only(&virtual_interface("bond0", "DEVTYPE=bond\n")).speed_mbps, Some(10_000));
    assert_eq!(only(&virtual_interface("br0", "DEVTYPE=bridge\n")).speed_mbps, None);
}

#[test]
fn an_interface_without_a_cable_is_not_one_that_is_off() {
    // Both are "down"; of the second the kernel refuses to say, and a recording has an empty file.
    let unplugged = file_of(file_of(physical(), "operstate", "down\n"), "carrier", "0\n");
    assert_eq!(only(&unplugged).carrier, Some(false));
    let log = AccessLog::default();
    let (nics, issues) = collect(&file_of(unplugged, "carrier", "").root().noting(log.clone()));
    assert_eq!((nics.unwrap()[0].carrier, issues), (None, vec![]));
    assert!(log.take().iter().all(|(path, _)| !path.ends_with("/speed")));
}

/// Only a live kernel refuses; where every interface is up, nothing is shown.
#[test]
fn a_refusal_to_tell_of_a_link_is_no_issue() {
    let root = HostRoot::live().unwrap();
    for name in root.read_dir(DIRECTORY).unwrap_or_default() {
        let directory = format!("{DIRECTORY}/{name}");
        let Err(error) = root.read(&format!("{directory}/carrier")) else { continue };
        if error.source == ReadFailure::Os(Errno::INVAL) {
            let mut reading = Reading::new(&root);
            let mut files = DeviceFiles::new(&mut reading, "nics", format!("nics[{name}]"), directory);
            assert_eq!((carrier(&mut files, Some("unknown")), speed(&mut files)), (None, None));
            assert_eq!(reading.finish(), []);
        }
    }
}

#[test]
fn little_is_asked_of_a_guests_interface() {
    let tree = virtual_interface("tap0", "").file("/sys/devices/virtual/net/tap0/tun_flags", "0x1002\n");
    let log = AccessLog::default();
    collect(&tree.root().noting(log.clone()));
    let asked = log.take();
    let files: Vec<_> =
        asked.iter().filter(|(_, access)| *access == Access::File).map(|(path, _)| path.as_str()).collect();
    let expected = ["address", "mtu", "operstate", "tun_flags", "uevent"];
    assert_eq!(files, expected.map(|file| format!("/sys/class/net/tap0/{file}")));
    assert!(asked.len() <= 11, "{asked:?}");
}

#[test]
fn an_interface_without_link_layer_has_no_address() {
    let tree =
        virtual_interface("wg0", "DEVTYPE=wireguard\n").file("/sys/devices/virtual/net/wg0/address", "\n");
    assert_eq!(only(&tree).mac, None);
}

#[test]
fn node_minus_one_is_unknown() {
    assert_eq!(only(&physical().file(&format!("{CARD}/numa_node"), "-1\n")).numa_node, None);
    assert_eq!(only(&physical().without(&format!("{CARD}/numa_node"))).numa_node, None);
}

#[test]
fn plain_directories_are_asked_for_their_devices_link() {
    let directory = "/sys/class/net/eth0";
    let tree = RecordedTree::new()
        .file(&format!("{directory}/address"), "ac:1f:6b:8a:5f:c8\n")
        .file(&format!("{directory}/mtu"), "1500\n")
        .file(&format!("{directory}/operstate"), "down\n")
        .link(&format!("{directory}/device"), "../../../0000:60:00.0");
    let nic = only(&tree);
    assert_eq!((nic.kind.as_deref(), nic.pci_address.as_deref()), (Some("physical"), Some("0000:60:00.0")));
    let copied =
        tree.without(&format!("{directory}/device")).file(&format!("{directory}/device/numa_node"), "1\n");
    let nic = only(&copied);
    assert_eq!((nic.kind.as_deref(), nic.pci_address, nic.numa_node), (Some("physical"), None, Some(1)));
}

#[test]
fn troubles_are_told_once_and_give_no_values() {
    let mut tree = RecordedTree::new().link("/sys/class/net/gone", "../../devices/virtual/net/gone");
    for name in ["a0", "b0"] {
        let directory = format!("/sys/devices/virtual/net/{name}");
        tree = interface(tree, &directory, "DEVTYPE=vlan\n").file(&format!("{directory}/mtu"), "large\n");
    }
    let (nics, issues) =
        collect(&tree.root().denying(&["/sys/class/net/a0/address", "/sys/class/net/b0/address"]));
    let nics = nics.unwrap();
    assert_eq!(nics.len(), 2);
    assert!(nics.iter().all(|nic| nic.mtu.is_none() && nic.mac.is_none()));
    let told: Vec<_> = issues.iter().map(|issue| (issue.section.as_str(), issue.kind)).collect();
    assert_eq!(
        told,
        [
            ("nics[gone]", IssueKind::Missing),
            ("nics[a0].mac", IssueKind::Denied),
            ("nics[a0].mtu", IssueKind::Malformed)
        ]
    );
}

#[test]
fn without_interfaces_the_section_is_absent() {
    let (nics, issues) = collect(&RecordedTree::new().root());
    assert_eq!(nics, None);
    assert_eq!(issues.iter().map(|issue| issue.kind).collect::<Vec<_>>(), [IssueKind::Unsupported]);
}

#[test]
fn this_machine_makes_sense() {
    let (nics, issues) = collect(&HostRoot::live().unwrap());
    assert!(issues.iter().all(|issue| issue.kind != IssueKind::Malformed), "{issues:?}");
    assert!(nics.into_iter().flatten().all(|nic| nic.kind.is_some() && nic.mtu.is_some()));
}
