//! The live agent says of disks, PCI functions and file systems what lsblk(8), lspci(8) and findmnt(8) say.
//!
//! Known differences are where they are allowed for. A column that a tool's version does not have is not compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use serde_json::Value;
use vmuster_proto::model::{Bytes, Disk, Filesystem, Partition, PciDevice};
use vmuster_tests::tools::{Comparison, are_there, command, live_snapshot, printed, printed_json};

/// Free space changes while both look: this part of the whole.
const DRIFT: u64 = 20;

/// 512 bytes, whatever a disk's own block.
const SECTOR_BYTES: u64 = 512;

/// Types that are file systems on a disk or a network, whatever else is.
const REAL_TYPES: [&str; 20] = [
    "9p", "bcachefs", "btrfs", "ceph", "cifs", "exfat", "ext2", "ext3", "ext4", "f2fs", "gfs2", "jfs", "nfs",
    "nfs4", "ntfs3", "smb3", "vfat", "virtiofs", "xfs", "zfs",
];

/// One row of a tool's table. Older versions write numbers and truth as texts.
#[derive(Clone, Copy)]
struct Row<'a>(&'a Value);

impl Row<'_> {
    fn text(&self, column: &str) -> Option<String> {
        let text = self.0.get(column)?.as_str()?.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(text).filter(|text| !text.is_empty())
    }

    fn number(&self, column: &str) -> Option<u64> {
        match self.0.get(column)? {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        }
    }

    fn flag(&self, column: &str) -> Option<bool> {
        match self.0.get(column)? {
            Value::String(text) => Some(text == "1"),
            value => value.as_bool(),
        }
    }
}

/// All rows of a tree, each with its parent's name.
fn rows<'a>(tree: &'a Value, name: &str, parent: Option<String>, found: &mut Vec<(Option<String>, Row<'a>)>) {
    for entry in tree.as_array().map(Vec::as_slice).unwrap_or_default() {
        found.push((parent.clone(), Row(entry)));
        let own = entry[name].as_str().map(str::to_owned);
        rows(&entry["children"], name, own, found);
    }
}

/// Compares a field of which the tool says something.
fn known<T: PartialEq + Debug>(comparison: &mut Comparison, field: &str, ours: Option<T>, theirs: Option<T>) {
    if theirs.is_some() {
        comparison.same(field, &ours, &theirs);
    }
}

#[test]
fn lsblk_says_the_same() {
    if !are_there(&[("lsblk", "util-linux")]) {
        return;
    }
    let disks = live_snapshot().inventory.disks.unwrap_or_default();
    // All columns that this version has; all devices, RAM disks included.
    let table = printed_json("lsblk -J -b -a -O");
    let mut all = Vec::new();
    rows(&table["blockdevices"], "kname", None, &mut all);
    let mut comparison = Comparison::default();
    let (mut their_disks, mut their_partitions) = (BTreeSet::new(), BTreeSet::new());
    for (parent, row) in all.iter().filter(|(_, row)| row.number("size") != Some(0)) {
        let name = row.text("kname").expect("a name");
        if row.text("type").as_deref() == Some("part") {
            let parent = parent.clone().expect("a partition is below its disk");
            let disk = disks.iter().find(|disk| disk.name == parent);
            let ours = disk.and_then(|disk| disk.partitions.iter().find(|it| it.name == name));
            compare_partition(&mut comparison, &name, ours, *row);
            their_partitions.insert((parent, name));
        } else {
            compare_disk(&mut comparison, &name, disks.iter().find(|disk| disk.name == name), *row);
            // Below each device that it is made of.
            if let (Some(parent), Some(disk)) = (parent, disks.iter().find(|disk| disk.name == name)) {
                comparison.holds(&format!("{name} members"), disk.members.contains(parent), &disk.members);
            }
            their_disks.insert(name);
        }
    }
    comparison.same("disks", &disks.iter().map(|disk| disk.name.clone()).collect(), &their_disks);
    let partitions = |disk: &Disk| {
        let disk_name = disk.name.clone();
        let names = disk.partitions.iter().map(move |it| (disk_name.clone(), it.name.clone()));
        names.collect::<Vec<_>>()
    };
    comparison.same("partitions", &disks.iter().flat_map(partitions).collect(), &their_partitions);
    comparison.finish(2);
}

fn compare_partition(comparison: &mut Comparison, name: &str, ours: Option<&Partition>, row: Row<'_>) {
    let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0);
    known(comparison, &format!("{name} size"), ours.and_then(|it| bytes(it.size_bytes)), row.number("size"));
    let start = row.number("start").map(|sectors| sectors * SECTOR_BYTES);
    known(comparison, &format!("{name} start"), ours.and_then(|it| bytes(it.start_bytes)), start);
    known(comparison, &format!("{name} ro"), ours.and_then(|it| it.read_only), row.flag("ro"));
    let number = ours.and_then(|it| it.number).map(u64::from);
    known(comparison, &format!("{name} partn"), number, row.number("partn"));
}

fn compare_disk(comparison: &mut Comparison, name: &str, ours: Option<&Disk>, row: Row<'_>) {
    let nothing = Disk::default();
    let ours = ours.unwrap_or(&nothing);
    let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0);
    let field = |column: &str| format!("{name} {column}");
    known(comparison, &field("size"), bytes(ours.size_bytes), row.number("size"));
    known(comparison, &field("log-sec"), bytes(ours.logical_block_bytes), row.number("log-sec"));
    known(comparison, &field("phy-sec"), bytes(ours.physical_block_bytes), row.number("phy-sec"));
    known(comparison, &field("rota"), ours.rotational, row.flag("rota"));
    known(comparison, &field("rm"), ours.removable, row.flag("rm"));
    known(comparison, &field("ro"), ours.read_only, row.flag("ro"));
    known(comparison, &field("maj:min"), ours.device.clone(), row.text("maj:min"));
    // Where udev runs, lsblk has names from it: an ATA disk's is longer there than the kernel's, a USB bridge's
    // number is the bridge's, and a name is hexadecimal without its sort.
    if let Some(theirs) = row.text("model") {
        let model = ours.model.as_deref().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
        let is_so = model.is_some_and(|model| theirs.starts_with(&model));
        comparison.holds(&field("model"), is_so, &(&ours.model, &theirs));
    }
    if row.text("tran").as_deref() != Some("usb") {
        known(comparison, &field("serial"), ours.serial.clone(), row.text("serial"));
    }
    if let Some(theirs) = row.text("wwn") {
        let digits = theirs.trim_start_matches("0x");
        let is_so = ours.wwn.as_deref().is_some_and(|wwn| wwn == theirs || wwn == format!("naa.{digits}"));
        comparison.holds(&field("wwn"), is_so, &(&ours.wwn, &theirs));
    }
    // lsblk tells what a device mapper's or RAID's device does ("lvm", "raid1"), and calls other devices that the
    // kernel makes disks.
    let kind = ours.kind.as_deref().unwrap_or_default();
    let is_so = match row.text("type").as_deref().unwrap_or_default() {
        "disk" => !["rom", "dm", "md", "loop"].contains(&kind),
        both @ ("rom" | "loop") => both == kind,
        raid if raid.starts_with("raid") || raid == "linear" => kind == "md",
        _ if name.starts_with("dm-") => kind == "dm",
        _ => !kind.is_empty(),
    };
    comparison.holds(&field("type"), is_so, &(kind, row.text("type")));
}

/// lspci's blocks of "Slot:\t0000:00:00.0", by slot.
fn lspci(options: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    // Where udev's data base is used, lspci knows names that the host's pci.ids does not have.
    let no_hwdb = printed("lspci -O help").contains("hwdb.disable");
    let option = if no_hwdb { " -O hwdb.disable=1" } else { "" };
    let text = printed(&format!("lspci {options}{option}"));
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let fields = blocks.map(|block| {
        let lines = block.lines().filter_map(|line| line.split_once(":\t"));
        lines.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect::<BTreeMap<_, _>>()
    });
    fields.map(|fields| (fields.get("Slot").expect("a slot").clone(), fields)).collect()
}

#[test]
fn lspci_says_the_same() {
    if !are_there(&[("lspci", "pciutils")]) {
        return;
    }
    let ours = live_snapshot().inventory.pci.unwrap_or_default();
    if ours.is_empty() && vmuster_tests::programs::run(&mut command("lspci -Dn")).stdout.is_empty() {
        vmuster_tests::tools::say("lspci and we agree that there is no PCI");
        return;
    }
    let (numbers, names) = (lspci("-Dnvmmk"), lspci("-Dnnvmmk"));
    let mut comparison = Comparison::default();
    let slots: BTreeSet<&String> = ours.iter().map(|device| &device.address).collect();
    comparison.same("slots", &slots, &numbers.keys().collect());
    for device in &*ours {
        let (Some(numbers), Some(names)) = (numbers.get(&device.address), names.get(&device.address)) else {
            continue;
        };
        compare_numbers(&mut comparison, device, numbers);
        for (key, name) in
            [("Class", &device.class_name), ("Vendor", &device.vendor_name), ("Device", &device.device_name)]
        {
            // "Intel Corporation [8086]"; "Device [0d57]" has no name.
            let theirs = names.get(key).and_then(|text| text.rsplit_once(" [")).map(|(name, _)| name);
            let theirs = theirs.filter(|name| *name != key).map(str::to_owned);
            comparison.same(&format!("{} {key} name", device.address), name, &theirs);
        }
    }
    comparison.finish(2);
}

fn compare_numbers(comparison: &mut Comparison, device: &PciDevice, theirs: &BTreeMap<String, String>) {
    let field = |key: &str| format!("{} {key}", device.address);
    let text = |key: &str| theirs.get(key).cloned();
    let class = device.class.as_deref().and_then(|class| class.get(..4)).map(str::to_owned);
    comparison.same(&field("Class"), &class, &text("Class"));
    comparison.same(&field("Vendor"), &device.vendor_id, &text("Vendor"));
    comparison.same(&field("Device"), &device.device_id, &text("Device"));
    let interface = device.class.as_deref().and_then(|class| class.get(4..)).map(str::to_owned);
    known(comparison, &field("ProgIf"), interface, text("ProgIf"));
    // lspci leaves out what is 0, and what a bridge has in a capability that only root may read.
    let is_bridge = class.as_deref() == Some("0604");
    for (key, ours) in [
        ("SVendor", &device.subsystem_vendor_id),
        ("SDevice", &device.subsystem_device_id),
        ("Rev", &device.revision),
    ] {
        let ours = ours.clone().filter(|number| number.chars().any(|digit| digit != '0'));
        let theirs = text(key).filter(|number| number.chars().any(|digit| digit != '0'));
        // A subsystem is a pair, of which one half may be 0.
        if !(is_bridge && theirs.is_none()) {
            comparison.same(&field(key), &ours, &theirs);
        }
    }
    comparison.same(&field("Driver"), &device.driver, &text("Driver"));
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    comparison.same(&field("NUMANode"), &number(device.numa_node), &text("NUMANode"));
    comparison.same(&field("IOMMUGroup"), &number(device.iommu_group), &text("IOMMUGroup"));
}

#[test]
fn findmnt_says_the_same() {
    if !are_there(&[("findmnt", "util-linux")]) {
        return;
    }
    let usage = live_snapshot().usage.expect("usage");
    let ours = usage.filesystems.expect("file systems");
    // -v: a source without the directory that is mounted.
    let table = printed_json("findmnt -J -b -v -o SOURCE,FSTYPE,TARGET,MAJ:MIN,SIZE,AVAIL");
    let mut theirs = Vec::new();
    rows(&table["filesystems"], "target", None, &mut theirs);
    let theirs: Vec<Row<'_>> = theirs.into_iter().map(|(_, row)| row).collect();
    let mut comparison = Comparison::default();
    for filesystem in &ours {
        let mut there =
            theirs.iter().filter(|row| row.text("target").as_deref() == Some(&filesystem.mount_point));
        // Of several at one place the last one is seen.
        match there.next_back() {
            Some(row) => compare_filesystem(&mut comparison, filesystem, *row),
            None => comparison.holds(&filesystem.mount_point, false, &"findmnt does not list it"),
        }
    }
    let listed: BTreeSet<&str> = ours.iter().filter_map(|it| it.device.as_deref()).collect();
    for row in &theirs {
        let is_real = row.text("fstype").is_some_and(|it| REAL_TYPES.contains(&it.as_str()));
        let target = row.text("target").unwrap_or_default();
        if is_real && row.number("size") != Some(0) && is_seen(&target, *row, &theirs) {
            let device = row.text("maj:min").expect("a number");
            comparison.holds(&format!("{target} is listed"), listed.contains(device.as_str()), &device);
        }
    }
    comparison.finish(ours.len() * 3);
}

/// Whether no other mount hides it: at the same place, or above it and later.
fn is_seen(target: &str, row: Row<'_>, all: &[Row<'_>]) -> bool {
    let later = all.iter().skip_while(|other| !std::ptr::eq(other.0, row.0)).skip(1);
    let hides = |other: &Row<'_>| {
        let above = other.text("target").unwrap_or_default();
        above == target || target.starts_with(&format!("{}/", above.trim_end_matches('/')))
    };
    !later.into_iter().any(hides)
}

fn compare_filesystem(comparison: &mut Comparison, ours: &Filesystem, row: Row<'_>) {
    let field = |column: &str| format!("{} {column}", ours.mount_point);
    comparison.same(&field("source"), &ours.source, &row.text("source"));
    comparison.same(&field("fstype"), &ours.r#type, &row.text("fstype"));
    comparison.same(&field("maj:min"), &ours.device, &row.text("maj:min"));
    let (Some(size), Some(available)) = (row.number("size"), row.number("avail")) else { return };
    let ours_of = |bytes: Option<Bytes>| bytes.map_or(0, |bytes| bytes.0);
    // The size of a ZFS dataset changes with what its pool has left.
    let drift = if ours.pool.is_some() { size / DRIFT } else { 0 };
    let ours_size = ours_of(ours.size_bytes);
    comparison.holds(&field("size"), ours_size.abs_diff(size) <= drift, &(ours_size, size));
    let ours_available = ours_of(ours.available_bytes);
    let is_near = ours_available.abs_diff(available) <= size / DRIFT;
    comparison.holds(&field("avail"), is_near, &(ours_available, available));
}
