//! Who made the machine, what it is called and what is installed on it.

use vmuster_proto::model::{Issue, IssueKind, System};

use super::{
    reading::Reading,
    virtualization::{device_tree, string_list},
};
use crate::parse::{
    os_release,
    sysinfo::{self, Sysinfo},
};

const DMI: &str = "/sys/class/dmi/id";

/// s390x: the machine and what it runs under.
pub(super) const SYSINFO: &str = "/proc/sysinfo";

const MACHINE_ID: &str = "/etc/machine-id";

/// The distribution's own, or an administrator's in its place; the latter is mostly a link to the former.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// The texts of DMI that name a hypervisor, in the order they are looked at: of a KVM guest the product is "KVM" while the
/// vendor may be "QEMU".
pub(super) fn dmi_texts(system: &System) -> Vec<String> {
    let System { product, vendor, board_vendor, firmware_vendor, product_version, .. } = system;
    [product, vendor, board_vendor, firmware_vendor, product_version].into_iter().flatten().cloned().collect()
}

/// The fields of `system` that the firmware tells: DMI's, else the device tree's or the mainframe's maker and product.
pub(super) fn read_machine(reading: &mut Reading<'_>, system: &mut System, sysinfo: Option<&Sysinfo>) {
    if reading.root.exists(DMI) {
        return read_dmi(reading, system);
    }
    if let Some(sysinfo) = sysinfo {
        system.vendor.clone_from(&sysinfo.manufacturer);
        let words: Vec<&str> =
            [&sysinfo.machine_type, &sysinfo.model].into_iter().flatten().map(String::as_str).collect();
        system.product = Some(words.join(" ")).filter(|product| !product.is_empty());
    } else if let Some(model) = tree_model(reading) {
        // "IBM,8233-E8B" as the standard wants it; most boards write a text for people.
        let parts = model.split_once(',').filter(|(vendor, _)| !vendor.is_empty() && !vendor.contains(' '));
        let (vendor, product) =
            parts.map_or((None, model.as_str()), |(vendor, product)| (Some(vendor), product));
        system.vendor = vendor.map(str::to_owned);
        system.product = Some(product.to_owned()).filter(|product| !product.is_empty());
    }
    for (section, file, value) in
        [("system.vendor", "sys_vendor", &system.vendor), ("system.product", "product_name", &system.product)]
    {
        if value.is_none() {
            let detail = "this machine has no DMI, and neither device tree nor /proc/sysinfo names it";
            reading.issue(Issue::new(section, format!("{DMI}/{file}"), IssueKind::Unsupported, detail));
        }
    }
}

fn read_dmi(reading: &mut Reading<'_>, system: &mut System) {
    // Empty where the firmware says nothing.
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    system.vendor = said(reading.text("system.vendor", &format!("{DMI}/sys_vendor")));
    system.product = said(reading.text("system.product", &format!("{DMI}/product_name")));
    // The kernel makes no file for what the firmware leaves out.
    let mut field =
        |section: &str, file: &str| said(reading.text_if_there(section, &format!("{DMI}/{file}")));
    system.product_version = field("system.product_version", "product_version");
    system.product_serial = field("system.product_serial", "product_serial");
    system.product_uuid = field("system.product_uuid", "product_uuid");
    system.board_vendor = field("system.board_vendor", "board_vendor");
    system.board_name = field("system.board_name", "board_name");
    system.firmware_vendor = field("system.firmware_vendor", "bios_vendor");
    system.firmware_version = field("system.firmware_version", "bios_version");
    system.firmware_date = field("system.firmware_date", "bios_date");
}

fn tree_model(reading: &mut Reading<'_>) -> Option<String> {
    let tree = device_tree(reading.root)?;
    let model = string_list(reading, "system.product", &format!("{tree}/model"))?;
    model.lines().next().map(|model| model.trim().to_owned())
}

/// What a mainframe says of itself; other architectures have no such file.
pub(super) fn read_sysinfo(reading: &mut Reading<'_>) -> Option<Sysinfo> {
    reading.text_if_there("system", SYSINFO).map(|text| sysinfo::parse(&text))
}

/// The fields of `system` that the installation tells.
pub(super) fn read_installation(reading: &mut Reading<'_>, system: &mut System) {
    system.machine_id = machine_id(reading);
    let found =
        OS_RELEASE.iter().find_map(|path| Some((*path, reading.text_if_there("system.os_id", path)?)));
    let Some((path, text)) = found else {
        // One that was refused has its issue.
        if OS_RELEASE.iter().all(|path| !reading.root.exists(path)) {
            let detail = "neither it nor /usr/lib/os-release is there";
            reading.issue(Issue::new("system.os_id", "/etc/os-release", IssueKind::Missing, detail));
        }
        return;
    };
    let (read, errors) = os_release::parse(&text);
    for error in errors {
        reading.repeated(
            "os-release",
            Issue::new("system.os_id", path, IssueKind::Malformed, error.to_string()),
        );
    }
    system.os_id = read.id;
    system.os_version = read.version_id;
    system.os_name = read.pretty_name;
}

/// 32 hexadecimal digits; "uninitialized" before systemd has made one.
fn machine_id(reading: &mut Reading<'_>) -> Option<String> {
    let section = "system.machine_id";
    let id = reading.text(section, MACHINE_ID)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id && !id.is_empty() {
        reading.malformed(section, MACHINE_ID, format!("'{id}' is not 32 hexadecimal digits"));
    }
    is_id.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{host_root::HostRoot, testing::RecordedTree};

    const UUID: &str = "/sys/class/dmi/id/product_uuid";

    fn read(root: &HostRoot) -> (System, Vec<(String, IssueKind)>) {
        let mut reading = Reading::new(root);
        let mut system = System::default();
        let sysinfo = read_sysinfo(&mut reading);
        read_machine(&mut reading, &mut system, sysinfo.as_ref());
        read_installation(&mut reading, &mut system);
        (system, reading.finish().into_iter().map(|issue| (issue.section, issue.kind)).collect())
    }

    /// A machine whose firmware says nothing but what the test adds.
    fn installed() -> RecordedTree {
        RecordedTree::new()
            .file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            .file("/usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n")
    }

    fn names(system: &System) -> (Option<&str>, Option<&str>) {
        (system.vendor.as_deref(), system.product.as_deref())
    }

    #[test]
    fn dmi_and_what_only_root_may_read() {
        let tree = installed()
            .file("/sys/class/dmi/id/sys_vendor", "Dell Inc.\n")
            .file("/sys/class/dmi/id/product_name", "PowerEdge R740\n")
            .file("/sys/class/dmi/id/product_version", "\n")
            .file("/sys/class/dmi/id/bios_date", "02/19/2024\n")
            .file(UUID, "4c4c4544-0000-0000-8000-000000000000\n");
        let (system, told) = read(&tree.root());
        assert_eq!((names(&system), told), ((Some("Dell Inc."), Some("PowerEdge R740")), vec![]));
        assert_eq!((system.product_version, system.firmware_date.as_deref()), (None, Some("02/19/2024")));
        assert!(system.product_uuid.is_some() && system.board_name.is_none());
        let (system, told) = read(&tree.root().denying(&[UUID]));
        assert_eq!(
            (system.product_uuid, told),
            (None, vec![("system.product_uuid".to_owned(), IssueKind::Denied)])
        );
    }

    #[test]
    fn machines_without_dmi() {
        let none =
            ["system.vendor", "system.product"].map(|field| (field.to_owned(), IssueKind::Unsupported));
        let (system, told) = read(&installed().root());
        assert_eq!((names(&system), told.as_slice()), ((None, None), none.as_slice()));
        let board = "/proc/device-tree/model";
        let (system, told) = read(&installed().file(board, "Raspberry Pi 4 Model B Rev 1.2\0").root());
        assert_eq!((names(&system), told.len()), ((None, Some("Raspberry Pi 4 Model B Rev 1.2")), 1));
        let (system, told) =
            read(&installed().file("/sys/firmware/devicetree/base/model", "IBM,8233-E8B\0").root());
        assert_eq!((names(&system), told), ((Some("IBM"), Some("8233-E8B")), vec![]));
        let (system, told) = read(&installed().file(board, "IBM,82").root());
        assert_eq!((names(&system), told.len()), ((None, None), 3), "cut off: {told:?}");
        let sysinfo = "Manufacturer:         IBM   \nType:                 3906   \nModel:                704   M04   \n";
        let (system, told) = read(&installed().file("/proc/sysinfo", sysinfo).root());
        assert_eq!((names(&system), told), ((Some("IBM"), Some("3906 704 M04")), vec![]));
    }

    #[test]
    fn installations() {
        let (system, _) = read(&installed().root());
        let shown = [&system.os_id, &system.os_version, &system.os_name].map(Option::as_deref);
        assert_eq!(shown, ["debian", "12", "Debian 12"].map(Some));
        assert_eq!(system.machine_id.as_deref(), Some("0123456789abcdef0123456789abcdef"));
        let tree = installed()
            .file("/etc/os-release", "ID=rolling\nwhat\n")
            .file("/etc/machine-id", "uninitialized\n");
        let (system, told) = read(&tree.root());
        assert_eq!(
            (system.os_id.as_deref(), system.os_version, system.machine_id),
            (Some("rolling"), None, None)
        );
        let malformed = |section: &str| told.contains(&(section.to_owned(), IssueKind::Malformed));
        assert!(malformed("system.os_id") && malformed("system.machine_id"), "{told:?}");
        let (_, told) = read(&RecordedTree::new().root());
        let missing = |section: &str| told.contains(&(section.to_owned(), IssueKind::Missing));
        assert!(missing("system.os_id") && missing("system.machine_id"), "{told:?}");
    }
}
