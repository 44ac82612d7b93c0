//! Names of PCI vendors, devices and classes, from a system's pci.ids.
//!
//! The file has 1.4 MB and a host some twenty vendors: only what is wanted is looked for, and nothing else is kept.
//!
//! A vendor's line is "8086  Intel Corporation", below it its devices, "\t1533  I210", and below those what others
//! built with them, with two tabs. A class's line is "C 02  Network controller", below it its subclasses.

use std::collections::{BTreeMap, BTreeSet};

use memchr::{memchr, memchr_iter, memmem};

/// What names are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Vendor and device.
    pub devices: BTreeSet<(u16, u16)>,
    /// Class and subclass.
    pub classes: BTreeSet<(u8, u8)>,
}

/// The names that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// By vendor.
    pub vendors: BTreeMap<u16, String>,
    /// By vendor and device.
    pub devices: BTreeMap<(u16, u16), String>,
    /// By class.
    pub classes: BTreeMap<u8, String>,
    /// By class and subclass.
    pub subclasses: BTreeMap<(u8, u8), String>,
}

/// Looks the names up in the bytes of a pci.ids; one that is not in it is not in the answer either.
#[must_use]
pub fn find(ids: &[u8], wanted: &Wanted) -> Names {
    let mut names = Names::default();
    let mut file = File { ids, at: 0 };
    for (vendor, devices) in grouped(&wanted.devices) {
        let Some((name, below)) = file.heading(&format!("\n{vendor:04x}  ")) else { continue };
        names.vendors.insert(vendor, name);
        let entries = entries(below, 4, devices, hex).into_iter();
        names.devices.extend(entries.map(|(id, name)| ((vendor, id), name)));
    }
    for (class, subclasses) in grouped(&wanted.classes) {
        let Some((name, below)) = file.heading(&format!("\nC {class:02x}  ")) else { continue };
        names.classes.insert(class, name);
        let byte = |digits: &[u8]| hex(digits).and_then(|number| u8::try_from(number).ok());
        let entries = entries(below, 2, subclasses, byte).into_iter();
        names.subclasses.extend(entries.map(|(id, name)| ((class, id), name)));
    }
    names
}

fn grouped<T: Ord + Copy>(pairs: &BTreeSet<(T, T)>) -> BTreeMap<T, BTreeSet<T>> {
    let mut groups: BTreeMap<T, BTreeSet<T>> = BTreeMap::new();
    for (first, second) in pairs {
        groups.entry(*first).or_default().insert(*second);
    }
    groups
}

/// Where in the file the last heading was found: they are sorted, so that the next is behind it.
struct File<'a> {
    ids: &'a [u8],
    at: usize,
}

impl<'a> File<'a> {
    /// The name at a line that begins like this, and what is below that line.
    fn heading(&mut self, start: &str) -> Option<(String, &'a [u8])> {
        let (before, behind) = self.ids.split_at_checked(self.at)?;
        let start = start.as_bytes();
        let found = memmem::find(behind, start).map(|at| before.len() + at);
        // A file that is not sorted, or that begins with this line.
        let found = found.or_else(|| memmem::find(self.ids, start)).map(|at| at + start.len());
        let first = || start.get(1..).filter(|start| self.ids.starts_with(start)).map(<[u8]>::len);
        let name_at = found.or_else(first)?;
        let (name, below) = first_line(self.ids.get(name_at..)?);
        // The newline that ends this line begins the next heading.
        self.at = name_at + name.len();
        Some((text(name), below))
    }
}

/// The wanted entries below a heading: until a line that is not indented, or all are found.
///
/// Intel has nine thousand lines: what decides about a line is looked at byte by byte, without making text of it.
fn entries<T: Ord + Copy>(
    below: &[u8],
    digits: usize,
    wanted: BTreeSet<T>,
    number: impl Fn(&[u8]) -> Option<T>,
) -> Vec<(T, String)> {
    let mut wanted = wanted;
    let mut found = Vec::new();
    let mut start = 0;
    for end in memchr_iter(b'\n', below).chain([below.len()]) {
        let line = below.get(start..end).unwrap_or_default();
        start = end + 1;
        match line {
            // What others built with the device, a comment, an empty line.
            [b'\t', b'\t', ..] | [b'#', ..] | [] => continue,
            [b'\t', entry @ ..] => {
                let Some((id, name)) = entry.split_at_checked(digits) else { continue };
                let id = number(id).filter(|_| name.starts_with(b"  "));
                if let Some(id) = id.filter(|id| wanted.remove(id)) {
                    found.push((id, text(name)));
                }
            }
            _ => break,
        }
        if wanted.is_empty() {
            break;
        }
    }
    found
}

/// A number of hexadecimal digits alone.
fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |number, digit| {
        let value = char::from(*digit).to_digit(16).and_then(|value| u16::try_from(value).ok())?;
        number.checked_mul(16)?.checked_add(value)
    })
}

/// The first line without its newline, and what follows.
fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = memchr(b'\n', text) else { return (text, &[]) };
    let (line, rest) = text.split_at(end);
    (line, rest.get(1..).unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDS: &str = "\
#\tList of PCI ID's
# 8086  not a vendor but a comment

0001  SafeNet (wrong ID)
10de  NVIDIA Corporation
\t0002  a device
\t\t8086 1533  a subsystem, neither vendor nor device
1af4  Red Hat, Inc.
\t1041  Virtio 1.0 network device
# a comment among devices
\t1042  Virtio 1.0 block device

8086  Intel Corporation
\t0002  of another vendor
\t15330  too long for a device
\t1533  I210 Gigabit Network Connection
\t\t10de 1533  I210 of somebody

# List of known device classes
C 00  Unclassified device
\t00  Non-VGA unclassified device
C 02  Network controller
\t00  Ethernet controller
\t\t1533  no device
\t80  Network controller
C 03  Display controller
\t80  Display controller
";

    fn wanted(devices: &[(u16, u16)], classes: &[(u8, u8)]) -> Wanted {
        Wanted { devices: devices.iter().copied().collect(), classes: classes.iter().copied().collect() }
    }

    fn devices(devices: &[(u16, u16)]) -> Vec<(u16, u16, String)> {
        let names = find(IDS.as_bytes(), &wanted(devices, &[]));
        names.devices.into_iter().map(|((vendor, device), name)| (vendor, device, name)).collect()
    }

    #[test]
    fn finds_vendors_and_devices() {
        let names =
            find(IDS.as_bytes(), &wanted(&[(0x1af4, 0x1041), (0x1af4, 0x1042), (0x8086, 0x1533)], &[]));
        assert_eq!(names.vendors[&0x8086], "Intel Corporation");
        assert_eq!(names.vendors[&0x1af4], "Red Hat, Inc.");
        assert_eq!(names.devices[&(0x1af4, 0x1042)], "Virtio 1.0 block device", "after a comment");
        assert_eq!(names.devices[&(0x8086, 0x1533)], "I210 Gigabit Network Connection");
        assert_eq!(names.vendors.len() + names.devices.len(), 5, "nothing that was not wanted");
    }

    #[test]
    fn a_device_is_its_vendors_alone() {
        assert_eq!(devices(&[(0x10de, 2)]), [(0x10de, 2, "a device".to_owned())]);
        assert_eq!(devices(&[(0x10de, 0x1533), (0x10de, 0x8086), (0x0001, 2)]), []);
        assert_eq!(devices(&[(0x1af4, 0x1533)]), [], "the next vendor's");
    }

    #[test]
    fn classes_are_not_vendors_nor_vendors_classes() {
        let names =
            find(IDS.as_bytes(), &wanted(&[(0x0002, 0), (0x00c0, 2)], &[(2, 0), (3, 0x80), (0x80, 0x86)]));
        assert_eq!(names.vendors, BTreeMap::new());
        assert_eq!(
            names.classes.into_iter().collect::<Vec<_>>(),
            [(2, "Network controller".to_owned()), (3, "Display controller".to_owned())]
        );
        assert_eq!(
            names.subclasses.into_iter().collect::<Vec<_>>(),
            [((2, 0), "Ethernet controller".to_owned()), ((3, 0x80), "Display controller".to_owned())]
        );
        let names = find(IDS.as_bytes(), &wanted(&[(0x8086, 0)], &[(0x02, 0x15)]));
        assert!(names.devices.is_empty() && names.subclasses.is_empty());
    }

    #[test]
    fn neighbours_the_first_line_and_disorder_are_found() {
        let ids = b"8086  Intel\n10de  NVIDIA\n\t0002  a device\n1000  Broadcom";
        let names = find(ids, &wanted(&[(0x1000, 1), (0x10de, 2), (0x8086, 3)], &[]));
        assert_eq!(names.vendors.values().collect::<Vec<_>>(), ["Broadcom", "NVIDIA", "Intel"]);
        assert_eq!(names.devices[&(0x10de, 2)], "a device");
    }

    proptest! {
        #[test]
        fn any_bytes_have_names_or_none(ids in any::<Vec<u8>>(), lines in "(?s)([\t\nC #0 1]|0001  |C 00  )*") {
            let wanted = wanted(&[(0, 0), (1, 1), (1, 0x1000)], &[(0, 0), (0, 1)]);
            let _ = find(&ids, &wanted);
            let _ = find(lines.as_bytes(), &wanted);
        }
    }
}
