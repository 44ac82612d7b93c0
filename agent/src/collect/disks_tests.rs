//! The traps of /sys/block, one test each.

use super::*;
use crate::testing::RecordedTree;

const SATA: &str = "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0";
const NVME: &str = "/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0";

/// What every block device has, in its directory.
fn block(mut tree: RecordedTree, directory: &str, sectors: &str) -> RecordedTree {
    for (file, content) in [
        ("dev", "8:0\n"),
        ("removable", "0\n"),
        ("ro", "0\n"),
        ("queue/rotational", "1\n"),
        ("queue/logical_block_size", "512\n"),
        ("queue/physical_block_size", "4096\n"),
    ] {
        tree = tree.file(&format!("{directory}/{file}"), content);
    }
    tree.file(&format!("{directory}/size"), &format!("{sectors}\n"))
}

/// A device as a live kernel shows it, listed in /sys/block.
fn device(tree: RecordedTree, directory: &str, sectors: &str) -> RecordedTree {
    let (above, name) = directory.rsplit_once('/').unwrap();
    let tree = if above.ends_with("/virtual/block") {
        tree
    } else {
        // A disk's link to what it hangs on: the directory above, but for the class's own.
        let is_class = above.ends_with("/block");
        tree.link(&format!("{directory}/device"), if is_class { "../.." } else { ".." })
    };
    block(tree, directory, sectors)
        .link(&format!("/sys/block/{name}"), &format!("..{}", directory.replacen("/sys", "", 1)))
}

fn partition(tree: RecordedTree, directory: &str, number: u32) -> RecordedTree {
    tree.file(&format!("{directory}/partition"), &format!("{number}\n"))
        .file(&format!("{directory}/start"), "2048\n")
        .file(&format!("{directory}/size"), "8\n")
        .file(&format!("{directory}/ro"), "1\n")
}

fn sata(name: &str) -> String {
    format!("{SATA}/block/{name}")
}

fn disks(tree: &RecordedTree) -> Vec<Disk> {
    let (disks, issues) = collect(&tree.root());
    assert_eq!(issues, []);
    disks.unwrap()
}

fn only(tree: &RecordedTree) -> Disk {
    let [disk]: [Disk; 1] = disks(tree).try_into().unwrap();
    disk
}

fn names(disks: &[Disk]) -> Vec<&str> {
    disks.iter().map(|disk| disk.name.as_str()).collect()
}

fn partition_names(disk: &Disk) -> Vec<&str> {
    disk.partitions.iter().map(|partition| partition.name.as_str()).collect()
}

#[test]
fn reads_a_disk() {
    let mut page = b"\0\x80\0\x08 S3R1AL ".to_vec();
    page.extend(b"beyond");
    let tree = device(RecordedTree::new(), &sata("sda"), "1000")
        .file(&format!("{SATA}/model"), "Samsung SSD 850 \n")
        .file(&format!("{SATA}/type"), "0\n")
        .file(&format!("{SATA}/wwid"), "naa.5002538d00000000\n")
        .bytes(&format!("{SATA}/vpd_pg80"), &page)
        .file("/sys/devices/pci0000:00/0000:00:1f.2/numa_node", "1\n");
    let tree = partition(tree, &format!("{}/sda1", sata("sda")), 1);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        only(&tree),
        Disk {
            name: "sda".to_owned(),
            device: text("8:0"),
            kind: text("disk"),
            size_bytes: Some(Bytes(512_000)),
            rotational: Some(true),
            removable: Some(false),
            read_only: Some(false),
            model: text("Samsung SSD 850"),
            serial: text("S3R1AL"),
            wwn: text("naa.5002538d00000000"),
            numa_node: Some(1),
            pci_address: text("0000:00:1f.2"),
            logical_block_bytes: Some(Bytes(512)),
            physical_block_bytes: Some(Bytes(4096)),
            partitions: vec![Partition {
                name: "sda1".to_owned(),
                number: Some(1),
                start_bytes: Some(Bytes(2048 * 512)),
                size_bytes: Some(Bytes(8 * 512)),
                read_only: Some(true),
            }],
            members: vec![],
        }
    );
}

#[test]
fn partitions_are_those_in_a_disks_own_directory() {
    let controller = |number: u32| format!("{NVME}/nvme{number}");
    let mut tree = device(device(RecordedTree::new(), &sata("sda"), "1"), &sata("sdaa"), "1");
    for name in ["nvme1n1", "nvme1n10"] {
        tree = device(tree, &controller(1).replace("nvme1", name), "1");
    }
    tree = partition(tree, &format!("{}/sdaa1", sata("sdaa")), 1);
    tree = partition(tree, &format!("{NVME}/nvme1n10/nvme1n10p2"), 2);
    tree = partition(tree, &format!("{}/sda10", sata("sda")), 10);
    tree = partition(tree, &format!("{}/sda9", sata("sda")), 9);
    let disks = disks(&tree.file(&format!("{}/sda_power/control", sata("sda")), "auto\n"));
    let owned: Vec<_> = disks.iter().map(|disk| (disk.name.as_str(), partition_names(disk))).collect();
    assert_eq!(
        owned,
        [
            ("nvme1n1", vec![]),
            ("nvme1n10", vec!["nvme1n10p2"]),
            ("sda", vec!["sda9", "sda10"]),
            ("sdaa", vec!["sdaa1"])
        ]
    );
}

#[test]
fn a_disk_in_a_disks_directory_is_no_partition() {
    let disk = "/sys/devices/platform/soc/mmc0/mmc0:0001/block/mmcblk0";
    let tree = device(RecordedTree::new(), disk, "100");
    let tree = partition(device(tree, &format!("{disk}/mmcblk0boot0"), "8"), &format!("{disk}/mmcblk0p1"), 1);
    let disks = disks(&tree);
    assert_eq!(names(&disks), ["mmcblk0", "mmcblk0boot0"]);
    assert_eq!(partition_names(&disks[0]), ["mmcblk0p1"]);
}

#[test]
fn where_partitions_are_listed_they_are_no_disks() {
    let tree = device(RecordedTree::new(), &sata("sda"), "1").without("/sys/block");
    let tree = partition(tree, &format!("{}/sda1", sata("sda")), 1)
        .link("/sys/class/block/sda", &sata("sda").replacen("/sys", "../..", 1))
        .link("/sys/class/block/sda1", &format!("{}/sda1", sata("sda")).replacen("/sys", "../..", 1));
    let disk = only(&tree);
    assert_eq!(partition_names(&disk), ["sda1"]);
    assert_eq!(disk.pci_address.as_deref(), Some("0000:00:1f.2"));

    let tree = partition(tree, "/sys/class/block/sdb1", 1);
    let (disks, issues) = collect(&tree.root());
    assert_eq!(names(&disks.unwrap()), ["sda"]);
    let [issue] = issues.as_slice() else { panic!("{issues:?}") };
    assert_eq!((issue.source.as_str(), issue.kind), ("/sys/class/block/sdb1", IssueKind::Missing));
}

#[test]
fn devices_without_a_size_and_hidden_ones_are_left_out() {
    let tree = device(RecordedTree::new(), "/sys/devices/virtual/block/loop0", "0");
    let tree =
        device(tree, &format!("{NVME}/nvme0c0n1"), "1000").file(&format!("{NVME}/nvme0c0n1/hidden"), "1\n");
    let tree = device(tree, &format!("{NVME}/nvme1n1"), "1").file(&format!("{NVME}/nvme1n1/hidden"), "0\n");
    assert_eq!(names(&disks(&tree)), ["nvme1n1"]);
}

#[test]
fn sizes_that_cannot_be_are_issues_and_no_sizes() {
    for (sectors, kind) in [("36028797018963968", IssueKind::Malformed), ("many", IssueKind::Malformed)] {
        let tree = device(RecordedTree::new(), &sata("sda"), sectors);
        let (disks, issues) = collect(&tree.root());
        assert_eq!(disks.unwrap()[0].size_bytes, None);
        let [issue] = issues.as_slice() else { panic!("{issues:?}") };
        assert_eq!((issue.section.as_str(), issue.kind), ("disks[sda].size_bytes", kind));
    }
    let tree = device(RecordedTree::new(), &sata("sda"), "36028797018963967");
    assert_eq!(only(&tree).size_bytes, Some(Bytes(u64::MAX - 511)));
    let root = device(RecordedTree::new(), &sata("sda"), "1");
    let (disks, issues) = collect(&root.root().denying(&["/sys/block/sda/size"]));
    assert_eq!(disks.unwrap()[0].size_bytes, None);
    assert_eq!(issues.iter().map(|issue| issue.kind).collect::<Vec<_>>(), [IssueKind::Denied]);
}

#[test]
fn names_have_slashes_again() {
    let directory = "/sys/devices/pci0000:00/0000:05:00.0/cciss0/block/cciss!c0d0";
    let tree = device(RecordedTree::new(), directory, "1");
    let disk = only(&partition(tree, &format!("{directory}/cciss!c0d0p1"), 1));
    assert_eq!((disk.name.as_str(), partition_names(&disk)), ("cciss/c0d0", vec!["cciss/c0d0p1"]));
}

#[test]
fn kinds_follow_what_is_behind_a_device() {
    for (directory, kind) in [
        (sata("sda"), "disk"),
        (sata("sr0"), "rom"),
        (sata("srx"), "disk"),
        (format!("{NVME}/nvme0n1"), "disk"),
        ("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1".to_owned(), "disk"),
        ("/sys/devices/virtual/nvme-fabrics/ctl/nvme0/nvme0n1".to_owned(), "disk"),
        ("/sys/devices/css0/0.0.0001/0.0.0200/block/dasda".to_owned(), "disk"),
        ("/sys/devices/rbd/0/block/rbd0".to_owned(), "rbd"),
        ("/sys/devices/virtual/block/loop7".to_owned(), "loop"),
        ("/sys/devices/virtual/block/zram0".to_owned(), "zram"),
        ("/sys/devices/virtual/block/nbd15".to_owned(), "nbd"),
        ("/sys/devices/virtual/block/zd16".to_owned(), "zd"),
        ("/sys/devices/virtual/block/etherd!e1.0".to_owned(), "etherd"),
        ("/sys/devices/virtual/block/7".to_owned(), "7"),
    ] {
        assert_eq!(
            only(&device(RecordedTree::new(), &directory, "1")).kind.as_deref(),
            Some(kind),
            "{directory}"
        );
    }
    let tree = device(RecordedTree::new(), &sata("hdc"), "1").file(&format!("{SATA}/type"), "5\n");
    assert_eq!(only(&tree).kind.as_deref(), Some("rom"));
}

#[test]
fn members_are_told_of_what_is_made_of_others() {
    for (name, kind) in [("dm-0", "dm"), ("md127", "md"), ("md_home", "md")] {
        let directory = format!("/sys/devices/virtual/block/{name}");
        let tree = device(RecordedTree::new(), &directory, "1");
        let (disks, issues) = collect(&tree.root());
        assert_eq!(disks.unwrap()[0].members, [""; 0]);
        let [issue] = issues.as_slice() else { panic!("{issues:?}") };
        assert_eq!(issue.section, format!("disks[{name}].members"));
        let tree = tree
            .link(&format!("{directory}/slaves/sdb1"), "x")
            .link(&format!("{directory}/slaves/cciss!c0"), "x");
        let disk = only(&tree);
        assert_eq!(
            (disk.kind.as_deref(), disk.members),
            (Some(kind), vec!["cciss/c0".to_owned(), "sdb1".to_owned()])
        );
    }
}

#[test]
fn plain_directories_are_hardware_if_they_have_a_device() {
    let tree = block(block(RecordedTree::new(), "/sys/block/loop0", "1"), "/sys/block/sda", "1")
        .file("/sys/block/sda/device/numa_node", "1\n");
    let tree = block(tree, "/sys/block/sdb", "1")
        .link("/sys/block/sdb/device", "../../devices/pci0000:00/0000:00:1f.2/host0");
    let (disks, issues) = collect(&tree.root());
    let disks = disks.unwrap();
    let kinds: Vec<_> = disks.iter().map(|disk| disk.kind.as_deref().unwrap()).collect();
    assert_eq!(kinds, ["loop", "disk", "disk"]);
    assert_eq!((disks[1].numa_node, disks[1].pci_address.as_deref()), (Some(1), None));
    assert_eq!(disks[2].pci_address.as_deref(), Some("0000:00:1f.2"), "by its device's link");
    assert_eq!(
        issues.iter().map(|issue| issue.section.as_str()).collect::<Vec<_>>(),
        ["disks[sda].pci_address"]
    );
}

#[test]
fn serial_numbers_have_three_sources_and_need_no_newline() {
    let tree = || device(RecordedTree::new(), &sata("vda"), "1");
    let own = format!("{}/serial", sata("vda"));
    assert_eq!(only(&tree().file(&own, "overlayblk\0\0")).serial.as_deref(), Some("overlayblk"));
    assert_eq!(only(&tree().file(&own, "")).serial, None, "virtio has an empty file for no serial number");
    let controller = tree().file(&own, "").file(&format!("{SATA}/serial"), "S4EV      \n");
    assert_eq!(only(&controller).serial.as_deref(), Some("S4EV"));
    let paged = |page: &[u8]| tree().bytes(&format!("{SATA}/vpd_pg80"), page);
    assert_eq!(only(&paged(b"\0\x80\0\x04    ")).serial, None);
    for page in [&b"\0\x80\0"[..], b"\0\x83\0\x01A", b"\0\x80\0\x09A", b"\0\x80\0\x02\xff\xfe"] {
        let (disks, issues) = collect(&paged(page).root());
        assert_eq!(disks.unwrap()[0].serial, None);
        assert_eq!(
            issues.iter().map(|i| i.section.as_str()).collect::<Vec<_>>(),
            ["disks[vda].serial"],
            "{page:?}"
        );
    }
}

#[test]
fn the_disks_own_name_comes_before_its_devices() {
    let tree = device(RecordedTree::new(), &format!("{NVME}/nvme0n1"), "1")
        .file(&format!("{NVME}/nvme0n1/wwid"), "eui.0025385b71b0d0d3\n")
        .file(&format!("{NVME}/wwid"), "another\n");
    assert_eq!(only(&tree).wwn.as_deref(), Some("eui.0025385b71b0d0d3"));
}

#[test]
fn the_nearest_device_above_tells_the_node() {
    let function = "/sys/devices/pci0000:00/0000:00:1f.2";
    let tree = device(RecordedTree::new(), &sata("sda"), "1").file(&format!("{function}/numa_node"), "0\n");
    assert_eq!(only(&tree).numa_node, Some(0));
    let tree = tree.file(&format!("{SATA}/numa_node"), "-1\n");
    assert_eq!(only(&tree).numa_node, None, "-1 is an answer, and not 0");
    let tree = tree.file(&format!("{SATA}/numa_node"), "3\n");
    assert_eq!(only(&tree).numa_node, Some(3));
    let tree = device(tree, &format!("{function}/ata2/block/sdb"), "1");
    assert_eq!(disks(&tree).iter().map(|disk| disk.numa_node).collect::<Vec<_>>(), [Some(3), Some(0)]);
    let virtual_disk = device(RecordedTree::new(), "/sys/devices/virtual/block/dm-0", "1")
        .file("/sys/devices/virtual/block/dm-0/slaves/x", "")
        .file("/sys/devices/virtual/numa_node", "1\n");
    assert_eq!(only(&virtual_disk).numa_node, None);
}

#[test]
fn a_disk_that_went_away_is_one_issue() {
    let tree =
        device(RecordedTree::new(), &sata("sda"), "1").link("/sys/block/sdb", "../devices/gone/block/sdb");
    let (disks, issues) = collect(&tree.root());
    assert_eq!(names(&disks.unwrap()), ["sda"]);
    assert_eq!(issues.iter().map(|issue| issue.section.as_str()).collect::<Vec<_>>(), ["disks[sdb]"]);
}

#[test]
fn the_same_trouble_of_many_disks_is_one_issue() {
    let mut tree = RecordedTree::new();
    for name in ["sda", "sdb", "sdc"] {
        tree = device(tree, &sata(name), "1").without(&format!("{}/queue/rotational", sata(name)));
        tree = tree.file(&format!("{}/removable", sata(name)), "");
    }
    let (disks, issues) = collect(&tree.root());
    assert!(disks.unwrap().iter().all(|disk| disk.rotational.is_none() && disk.removable.is_none()));
    let told: Vec<_> = issues.iter().map(|issue| (issue.section.as_str(), issue.kind)).collect();
    assert_eq!(
        told,
        [("disks[sda].removable", IssueKind::Malformed), ("disks[sda].rotational", IssueKind::Missing)]
    );
    assert!(issues.iter().all(|issue| issue.detail.ends_with("; and 2 more like it")), "{issues:?}");
}

#[test]
fn without_block_devices_the_section_is_absent() {
    let (disks, issues) = collect(&RecordedTree::new().root());
    assert_eq!(disks, None);
    assert_eq!(issues.iter().map(|issue| issue.kind).collect::<Vec<_>>(), [IssueKind::Unsupported]);
}

#[test]
fn this_machine_makes_sense() {
    let (disks, issues) = collect(&HostRoot::live().unwrap());
    assert!(issues.iter().all(|issue| issue.kind != IssueKind::Malformed), "{issues:?}");
    for disk in disks.into_iter().flatten() {
        assert!(disk.size_bytes.is_some_and(|size| size.0 > 0), "{disk:?}");
    }
}
