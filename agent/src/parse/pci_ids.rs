//! Names of PCI vendors, devices and classes, from a system's pci.ids.
//!
//! The file has 1.4 MB and a host some twenty vendors: only what is wanted is looked for, and nothing else is kept, not
//! even the file.
//!
//! A vendor's line is "8086  Intel Corporation", below it its devices, "\t1533  I210", and below those what others
//! built with them, with two tabs. A class's line is "C 02  Network controller", below it its subclasses.

use std::collections::{BTreeMap, BTreeSet};

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

/// What the lines at hand are below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heading {
    /// Nothing that is wanted.
    Other,
    Vendor(u16),
    Class(u8),
}

/// Looks names up, whole lines at a time. What decides about a line is looked at byte by byte, without making text of it:
/// there are 36,000.
#[derive(Debug)]
pub struct Search<'a> {
    wanted: &'a Wanted,
    vendors: BTreeSet<u16>,
    classes: BTreeSet<u8>,
    below: Heading,
    names: Names,
}

impl<'a> Search<'a> {
    /// For these names.
    #[must_use]
    pub fn new(wanted: &'a Wanted) -> Self {
        Self {
            wanted,
            vendors: wanted.devices.iter().map(|(vendor, _)| *vendor).collect(),
            classes: wanted.classes.iter().map(|(class, _)| *class).collect(),
            below: Heading::Other,
            names: Names::default(),
        }
    }

    /// The next lines of the file.
    pub fn feed(&mut self, lines: &[u8]) {
        let mut start = Some(0).filter(|at| self.matters(lines, *at));
        newlines(lines, |newline| {
            if let Some(start) = start {
                self.line(lines.get(start..newline).unwrap_or_default());
            }
            start = Some(newline + 1).filter(|at| self.matters(lines, *at));
        });
        if let Some(start) = start {
            self.line(lines.get(start..).unwrap_or_default());
        }
    }

    /// Whether the line that begins there is looked at. Most are of vendors that are not wanted, or of what others built
    /// with a device (two tabs).
    fn matters(&self, lines: &[u8], start: usize) -> bool {
        match lines.get(start) {
            Some(b'\t') => self.below != Heading::Other && lines.get(start + 1) != Some(&b'\t'),
            Some(b'#' | b'\n') | None => false,
            Some(_) => true,
        }
    }

    fn line(&mut self, line: &[u8]) {
        match line.split_first() {
            Some((b'\t', entry)) => self.entry(entry),
            _ => self.heading(line),
        }
    }

    /// What was found; a name that is not in the file is not in the answer either.
    #[must_use]
    pub fn names(self) -> Names {
        self.names
    }

    fn heading(&mut self, line: &[u8]) {
        self.below = Heading::Other;
        if let Some((id, name)) = line.strip_prefix(b"C ").and_then(|class| named(class, 2)) {
            if let Some(class) = u8::try_from(id).ok().filter(|class| self.classes.contains(class)) {
                self.below = Heading::Class(class);
                self.names.classes.entry(class).or_insert_with(|| text(name));
            }
        } else if let Some((vendor, name)) = named(line, 4).filter(|(id, _)| self.vendors.contains(id)) {
            self.below = Heading::Vendor(vendor);
            self.names.vendors.entry(vendor).or_insert_with(|| text(name));
        }
    }

    /// A line without its first tab; a second one is of what others built with the device.
    fn entry(&mut self, line: &[u8]) {
        match self.below {
            Heading::Vendor(vendor) => {
                let device = named(line, 4).map(|(device, name)| ((vendor, device), name));
                if let Some((id, name)) = device.filter(|(id, _)| self.wanted.devices.contains(id)) {
                    self.names.devices.entry(id).or_insert_with(|| text(name));
                    let all = (vendor, u16::MIN)..=(vendor, u16::MAX);
                    if self.wanted.devices.range(all.clone()).count() == self.names.devices.range(all).count()
                    {
                        self.below = Heading::Other;
                    }
                }
            }
            Heading::Class(class) => {
                let subclass =
                    named(line, 2).and_then(|(id, name)| Some(((class, u8::try_from(id).ok()?), name)));
                if let Some((id, name)) = subclass.filter(|(id, _)| self.wanted.classes.contains(id)) {
                    self.names.subclasses.entry(id).or_insert_with(|| text(name));
                }
            }
            Heading::Other => {}
        }
    }
}

/// Looks the names up in a whole pci.ids.
#[must_use]
pub fn find(ids: &[u8], wanted: &Wanted) -> Names {
    let mut search = Search::new(wanted);
    search.feed(ids);
    search.names()
}

/// Calls for the place of each newline. Eight bytes at a time, for the lines are short: a library's search of each costs
/// three times as much.
fn newlines(text: &[u8], mut found: impl FnMut(usize)) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let differing = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\n'));
        // A high bit where a byte is zero, that is, equal to a newline; exact, unlike the shorter form of it.
        let mut equal = !(((differing & !HIGH) + !HIGH) | differing | !HIGH);
        while equal != 0 {
            found(at * 8 + (equal.trailing_zeros() / 8) as usize);
            equal &= equal - 1;
        }
    }
    let done = words.len() * 8;
    rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n').for_each(|(at, _)| found(done + at));
}

/// A number of so many digits, two blanks, a name.
fn named(line: &[u8], digits: usize) -> Option<(u16, &[u8])> {
    let (id, name) = line.split_at_checked(digits)?;
    Some((hex(id)?, name.strip_prefix(b"  ")?))
}

/// A number of at most four hexadecimal digits alone.
fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        Some(number << 4 | u16::from(value))
    })
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
        fn newlines_are_where_they_are(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\x0b'), Just(0x8a_u8), any::<u8>()], 0..60)) {
            let mut found = Vec::new();
            newlines(&bytes, |at| found.push(at));
            let plain: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
            prop_assert_eq!(found, plain);
        }

        #[test]
        fn any_bytes_have_names_or_none(ids in any::<Vec<u8>>(), lines in "(?s)([\t\nC #0 1]|0001  |C 00  )*") {
            let wanted = wanted(&[(0, 0), (1, 1), (1, 0x1000)], &[(0, 0), (0, 1)]);
            let _ = find(&ids, &wanted);
            let _ = find(lines.as_bytes(), &wanted);
        }
    }
}
