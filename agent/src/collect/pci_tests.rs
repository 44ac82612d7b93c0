//! The traps of /sys/bus/pci, one test each.

use super::*;
use crate::testing::RecordedTree;

fn collected(root: &HostRoot) -> (Option<Vec<PciDevice>>, Vec<Issue>) {
    collect(root, None, &mut KeptPci::default())
}

const UEVENT: &str = "DRIVER=igb\nPCI_CLASS=20000\nPCI_ID=8086:1533\nPCI_SUBSYS_ID=15D9:1533\n";
const ROOT_PORT: &str = "0000:00:1c.0";
const CARD: &str = "0000:3b:00.0";
const IDS: &str =
    "8086  Intel Corporation\n\t1533  I210\nC 02  Network controller\n\t00  Ethernet controller\n";

fn at(address: &str) -> String {
    format!("{DIRECTORY}/{address}")
}

/// A function as a live kernel shows it: `above` is its path below /sys/devices without its own address.
fn function(tree: RecordedTree, above: &str, address: &str, uevent: &str) -> RecordedTree {
    let directory = format!("/sys/devices/{above}/{address}");
    tree.link(&at(address), &format!("../../../devices/{above}/{address}"))
        .file(&format!("{directory}/uevent"), uevent)
        .file(&format!("{directory}/revision"), "0x03\n")
        .file(&format!("{directory}/numa_node"), "0\n")
}

fn card(uevent: &str) -> RecordedTree {
    function(RecordedTree::new(), &format!("pci0000:00/{ROOT_PORT}"), CARD, uevent)
}

fn with_ids(tree: RecordedTree) -> RecordedTree {
    tree.file("/usr/share/hwdata/pci.ids", IDS)
}

fn only(tree: &RecordedTree) -> (PciDevice, Vec<Issue>) {
    let (devices, issues) = collected(&tree.root());
    let devices: [PciDevice; 1] = devices.expect("a section").try_into().expect("one function");
    let [device] = devices;
    (device, issues)
}

#[test]
fn reads_and_names_a_function() {
    let tree =
        with_ids(card(UEVENT)).link(&format!("{}/iommu_group", at(CARD)), "../../../kernel/iommu_groups/0");
    let (device, issues) = only(&tree);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        device,
        PciDevice {
            address: CARD.to_owned(),
            vendor_id: text("8086"),
            device_id: text("1533"),
            subsystem_vendor_id: text("15d9"),
            subsystem_device_id: text("1533"),
            class: text("020000"),
            revision: text("03"),
            vendor_name: text("Intel Corporation"),
            device_name: text("I210"),
            class_name: text("Ethernet controller"),
            driver: text("igb"),
            numa_node: Some(0),
            iommu_group: Some(0),
            parent: text(ROOT_PORT),
            ..PciDevice::default()
        }
    );
    assert_eq!(issues, []);
}

#[test]
fn single_files_serve_without_a_uevent_and_for_each_key_it_lacks() {
    let files = |mut tree: RecordedTree| {
        for (file, content) in [
            ("vendor", "0x8086\n"),
            ("device", "0x1533\n"),
            ("subsystem_vendor", "0x15d9\n"),
            ("subsystem_device", "0x1533\n"),
            ("class", "0x020000\n"),
        ] {
            tree = tree.file(&format!("{}/{file}", at(CARD)), content);
        }
        with_ids(tree).link(&format!("{}/driver", at(CARD)), "../../../../bus/pci/drivers/igb")
    };
    let (whole, _) = only(&with_ids(card(UEVENT)));
    let without = files(card(UEVENT)).without(&format!("{}/uevent", at(CARD)));
    assert_eq!(only(&without), (whole.clone(), vec![]));
    assert_eq!(only(&files(card("PCI_ID=8086:1533\n"))), (whole, vec![]));
}

#[test]
fn node_minus_one_is_unknown_and_a_missing_file_is_told_once() {
    let tree = with_ids(card(UEVENT)).file(&format!("{}/numa_node", at(CARD)), "-1\n");
    let (device, issues) = only(&tree);
    assert_eq!((device.numa_node, issues), (None, vec![]));
    let tree = function(tree, "pci0000:00", ROOT_PORT, UEVENT)
        .without(&format!("{}/numa_node", at(CARD)))
        .without(&format!("{}/numa_node", at(ROOT_PORT)));
    let (_, issues) = collected(&tree.root());
    let [issue] = issues.as_slice() else { panic!("{issues:?}") };
    assert_eq!((issue.section.as_str(), issue.kind), ("pci[0000:00:1c.0].numa_node", IssueKind::Missing));
    assert!(issue.detail.ends_with("and 1 more like it"), "{}", issue.detail);
}

#[test]
fn virtual_functions_know_the_physical_one() {
    let virtual_function = "0000:3b:10.0";
    let above = format!("pci0000:00/{ROOT_PORT}");
    let tree = function(with_ids(card(UEVENT)), &above, virtual_function, UEVENT)
        .file(&format!("{}/sriov_totalvfs", at(CARD)), "63\n")
        .file(&format!("{}/sriov_numvfs", at(CARD)), "1\n")
        .link(&format!("{}/physfn", at(virtual_function)), &format!("../{CARD}"));
    let (devices, issues) = collected(&tree.root());
    let devices = devices.unwrap();
    assert_eq!((devices[0].sriov_total_vfs, devices[0].sriov_vfs), (Some(63), Some(1)));
    assert_eq!((devices[1].sriov_total_vfs, devices[1].sriov_vfs), (None, None));
    assert_eq!(devices[1].physical_function.as_deref(), Some(CARD));
    assert_eq!(devices[0].physical_function, None);
    assert_eq!(issues, []);
}

#[test]
fn domains_of_five_digits_have_the_controller_above_them() {
    let tree = with_ids(function(
        RecordedTree::new(),
        "pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0",
        "10000:e1:00.0",
        UEVENT,
    ));
    assert_eq!(only(&tree).0.parent.as_deref(), Some("10000:e0:06.0"));
    let tree = with_ids(function(
        RecordedTree::new(),
        "pci0000:00/0000:00:0e.0/pci10000:e0",
        "10000:e0:06.0",
        UEVENT,
    ));
    assert_eq!(only(&tree).0.parent.as_deref(), Some("0000:00:0e.0"));
    let tree = with_ids(function(RecordedTree::new(), "pci0000:00", "0000:00:0e.0", UEVENT));
    assert_eq!(only(&tree), (PciDevice { parent: None, ..only(&tree).0 }, vec![]));
}

#[test]
fn dangling_links_are_kept_by_address_and_told_once() {
    let tree = RecordedTree::new()
        .link(&at(CARD), &format!("../../../devices/pci0000:00/{ROOT_PORT}/{CARD}"))
        .link(&at(ROOT_PORT), &format!("../../../devices/pci0000:00/{ROOT_PORT}"));
    let (devices, issues) = collected(&tree.root());
    let bare = |address: &str, parent: Option<&str>| PciDevice {
        address: address.to_owned(),
        parent: parent.map(str::to_owned),
        ..PciDevice::default()
    };
    assert_eq!(devices, Some(vec![bare(ROOT_PORT, None), bare(CARD, Some(ROOT_PORT))]));
    let [issue] = issues.as_slice() else { panic!("{issues:?}") };
    assert_eq!((issue.section.as_str(), issue.kind), ("pci[0000:00:1c.0]", IssueKind::Missing));
    assert!(issue.detail.ends_with("and 1 more like it"), "{}", issue.detail);
}

#[test]
fn a_link_to_another_function_tells_no_parent() {
    let other = "../../../devices/pci0000:00/0000:00:1c.0/0000:3b:00.1";
    let (devices, issues) = collected(&RecordedTree::new().link(&at(CARD), other).root());
    assert_eq!(devices.unwrap()[0].parent, None);
    let told: Vec<_> = issues.iter().map(|issue| (issue.section.as_str(), issue.kind)).collect();
    assert_eq!(
        told,
        [("pci[0000:3b:00.0]", IssueKind::Missing), ("pci[0000:3b:00.0].parent", IssueKind::Malformed)]
    );
}

#[test]
fn plain_directories_have_all_but_a_parent() {
    let tree = with_ids(RecordedTree::new())
        .file(&format!("{}/uevent", at(CARD)), UEVENT)
        .file(&format!("{}/revision", at(CARD)), "0x03\n")
        .file(&format!("{}/numa_node", at(CARD)), "0\n");
    let (device, issues) = only(&tree);
    assert_eq!((device.vendor_id.as_deref(), device.parent), (Some("8086"), None));
    assert_eq!(
        issues.iter().map(|issue| issue.section.as_str()).collect::<Vec<_>>(),
        ["pci[0000:3b:00.0].parent"]
    );
}

#[test]
fn nonsense_and_refusals_are_issues_and_no_values() {
    let uevent = "DRIVER=igb\nPCI_CLASS=xyz\nPCI_ID=8086:15\nPCI_SUBSYS_ID=15D9\n";
    let tree = with_ids(card(uevent))
        .file(&format!("{}/revision", at(CARD)), "3\n")
        .file(&format!("{}/numa_node", at(CARD)), "many\n")
        .file(&format!("{}/sriov_totalvfs", at(CARD)), "");
    let (device, issues) = only(&tree);
    assert_eq!(
        device,
        PciDevice {
            address: CARD.to_owned(),
            driver: Some("igb".to_owned()),
            parent: Some(ROOT_PORT.to_owned()),
            ..PciDevice::default()
        }
    );
    let sections: Vec<_> = issues.iter().map(|issue| (issue.section.as_str(), issue.kind)).collect();
    let expected = ["class", "numa_node", "revision", "sriov_total_vfs", "subsystem_vendor_id", "vendor_id"];
    let expected = expected.map(|field| format!("pci[{CARD}].{field}"));
    assert_eq!(sections, expected.iter().map(|s| (s.as_str(), IssueKind::Malformed)).collect::<Vec<_>>());

    let link = format!("{}/iommu_group", at(CARD));
    let (_, issues) = collected(&with_ids(card(UEVENT)).root().denying(&[&link]));
    let [issue] = issues.as_slice() else { panic!("{issues:?}") };
    assert_eq!((issue.source.as_str(), issue.kind), (link.as_str(), IssueKind::Denied));
}

#[test]
fn without_pci_nothing_is_known_and_no_name_is_missed() {
    let (devices, issues) = collected(&RecordedTree::new().root());
    assert_eq!(devices, None);
    let [issue] = issues.as_slice() else { panic!("{issues:?}") };
    assert_eq!((issue.section.as_str(), issue.kind), ("pci", IssueKind::Unsupported));
    let tree = RecordedTree::new().file(&at("x"), "").without(&at("x"));
    assert_eq!(collected(&tree.root()), (Some(vec![]), vec![]));
}

#[test]
fn without_a_list_of_names_one_issue_says_what_to_install() {
    let (device, issues) = only(&card(UEVENT));
    assert_eq!((device.vendor_id.as_deref(), device.vendor_name), (Some("8086"), None));
    let [issue] = issues.as_slice() else { panic!("{issues:?}") };
    assert_eq!((issue.section.as_str(), issue.kind), ("pci", IssueKind::Missing));
    assert!(issue.detail.contains("install pci.ids"), "{}", issue.detail);

    let root = with_ids(card(UEVENT)).file("/usr/share/misc/pci.ids", IDS);
    let (devices, issues) = collected(&root.root().denying(&["/usr/share/misc/pci.ids"]));
    assert_eq!(
        (devices.unwrap()[0].device_name.as_deref(), issues),
        (Some("I210"), vec![]),
        "the other serves"
    );
    let (_, issues) = collected(&card(UEVENT).file("/usr/share/misc/pci.ids", "\n").root());
    assert_eq!(issues.iter().map(|issue| issue.kind).collect::<Vec<_>>(), [IssueKind::Malformed]);
}

#[test]
fn a_class_names_functions_whose_subclass_has_no_name() {
    let tree = with_ids(card("PCI_CLASS=2FF00\nPCI_ID=8086:1533\nPCI_SUBSYS_ID=0000:0000\n"));
    assert_eq!(only(&tree).0.class_name.as_deref(), Some("Network controller"));
}

#[test]
fn this_machine_makes_sense() {
    let (devices, issues) = collected(&HostRoot::live().unwrap());
    assert!(issues.iter().all(|issue| issue.kind != IssueKind::Malformed), "{issues:?}");
    for device in devices.into_iter().flatten() {
        assert!(device.vendor_id.is_some() && device.class.is_some(), "{device:?}");
    }
}

#[test]
fn functions_are_read_again_only_after_an_announcement() {
    let log = crate::host_root::AccessLog::default();
    let link = format!("/sys/devices/pci0000:00/{ROOT_PORT}/{CARD}/driver");
    let tree = with_ids(card(UEVENT)).link(&link, "../../../../bus/pci/drivers/igb");
    let driver = tree.path().join(link.trim_start_matches('/'));
    let root = tree.root().noting(log.clone());
    let mut kept = KeptPci::default();
    let first = collect(&root, Some("7"), &mut kept);
    assert!(first.0.as_ref().is_some_and(|devices| !devices.is_empty()) && !log.take().is_empty());
    assert_eq!(collect(&root, Some("7"), &mut kept).0, first.0);
    let read = log.take();
    assert!(!read.iter().any(|(path, _)| path.ends_with("/uevent")), "nothing was announced: {read:?}");
    assert_eq!(collect(&root, Some("8"), &mut kept).0, first.0);
    let read = log.take();
    assert!(!read.is_empty() && !read.iter().any(|(path, _)| path.ends_with("pci.ids")), "{read:?}");
    // Kernels before 4.14 announce no driver that lets go.
    std::fs::remove_file(&driver).expect("removed");
    collect(&root, Some("8"), &mut kept);
    assert!(log.take().iter().any(|(path, _)| path.ends_with("/uevent")), "read again");
}
