//! Names of PCI vendors, devices and classes, from a system's pci.ids.
//!
//! The file has 1.4 MB and a host some twenty vendors: only what is wanted is looked for, and nothing else is kept, not
//! even the file.
//!
//! A vendor's line is "8086  Intel Corporation", below it its devices, "\t1533  I210", and below those what others
//! built with them, with two tabs. A class's line is "C 02  Network controller", below it its subclasses.

use std::collections::{BTreeMap, BTreeSet};

use memchr::{memchr, memmem::Finder};

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
    /// Classes are at the end, a few lines: all are looked at once their first is there.
    Class(Option<u8>),
}

/// Looks names up, whole lines at a time. Headings are searched for as texts, which passes over what is below others
/// without looking at its lines; there are 36,000.
#[derive(Debug)]
pub struct Search<'a> {
    wanted: &'a Wanted,
    /// Headings that were not found yet, with what their line begins with after the newline before it.
    headings: Vec<(Heading, Finder<'static>)>,
    /// The file is sorted, so that one search finds all: each heading is behind the one before.
    in_order: bool,
    below: Heading,
    names: Names,
}

impl<'a> Search<'a> {
    /// For these names.
    #[must_use]
    pub fn new(wanted: &'a Wanted) -> Self {
        let vendors: BTreeSet<u16> = wanted.devices.iter().map(|(vendor, _)| *vendor).collect();
        let vendors =
            vendors.into_iter().map(|vendor| (Heading::Vendor(vendor), format!("\n{vendor:04x}  ")));
        let classes = (!wanted.classes.is_empty()).then(|| (Heading::Class(None), "\nC ".to_owned()));
        let headings = vendors.chain(classes);
        let headings = headings.map(|(heading, start)| (heading, Finder::new(start.as_bytes()).into_owned()));
        Self {
            wanted,
            headings: headings.collect(),
            in_order: true,
            below: Heading::Other,
            names: Names::default(),
        }
    }

    /// Whether every heading was found.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.headings.is_empty()
    }

    /// Once more from the beginning of the file, for headings that were not found: it is not sorted, or lacks one.
    #[must_use]
    pub fn again(self) -> Self {
        Self { in_order: false, below: Heading::Other, ..self }
    }

    /// The next lines of the file.
    pub fn feed(&mut self, lines: &[u8]) {
        let mut done = self.entries(lines, 0);
        while let Some((start, heading)) = self.next_heading(lines, done) {
            let rest = lines.get(start..).unwrap_or_default();
            let end = start + memchr(b'\n', rest).unwrap_or(rest.len());
            self.heading(heading, lines.get(start..end).unwrap_or_default());
            done = self.entries(lines, end + 1);
        }
    }

    /// Where the next wanted heading begins, at this place or behind it.
    fn next_heading(&self, lines: &[u8], from: usize) -> Option<(usize, Heading)> {
        let start = |finder: &Finder<'_>| {
            let Some(newline) = from.checked_sub(1) else {
                let is_first = finder.needle().get(1..).is_some_and(|needle| lines.starts_with(needle));
                return if is_first { Some(0) } else { finder.find(lines).map(|at| at + 1) };
            };
            finder.find(lines.get(newline..)?).map(|at| newline + at + 1)
        };
        let count = if self.in_order { 1 } else { self.headings.len() };
        let headings = self.headings.iter().take(count);
        let found = headings.filter_map(|(heading, finder)| Some((start(finder)?, *heading)));
        found.min_by_key(|(start, _)| *start)
    }

    fn heading(&mut self, heading: Heading, line: &[u8]) {
        self.below = heading;
        self.headings.retain(|(other, _)| *other != heading);
        match heading {
            Heading::Vendor(vendor) => {
                if let Some((_, name)) = named(line, 4) {
                    self.names.vendors.insert(vendor, text(name));
                }
            }
            Heading::Class(_) => self.class(line),
            Heading::Other => {}
        }
    }

    /// A class's line: wanted, or what is below it is passed over.
    fn class(&mut self, line: &[u8]) {
        let class = line.strip_prefix(b"C ").and_then(|line| named(line, 2));
        let class = class.and_then(|(id, name)| Some((u8::try_from(id).ok()?, name)));
        let is_wanted = |id: u8| self.wanted.classes.range((id, u8::MIN)..=(id, u8::MAX)).next().is_some();
        self.below = Heading::Class(class.map(|(id, _)| id).filter(|id| is_wanted(*id)));
        if let (Heading::Class(Some(id)), Some((_, name))) = (self.below, class) {
            self.names.classes.entry(id).or_insert_with(|| text(name));
        }
    }

    /// Entries below the heading at hand; where the next heading begins.
    fn entries(&mut self, lines: &[u8], from: usize) -> usize {
        let mut at = from;
        while self.below != Heading::Other {
            let rest = lines.get(at..).unwrap_or_default();
            let Some(first) = rest.first() else { break };
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            if !matches!(first, b'\t' | b'#' | b'\n') {
                if matches!(self.below, Heading::Class(_)) && rest.starts_with(b"C ") {
                    self.class(rest.get(..end).unwrap_or_default());
                    at += end + 1;
                    continue;
                }
                self.below = Heading::Other;
                break;
            }
            // Two tabs begin what others built with the device.
            if let Some(entry) = rest.get(1..end).filter(|entry| *first == b'\t' && !entry.starts_with(b"\t"))
            {
                self.entry(entry);
            }
            at += end + 1;
        }
        at
    }

    /// What was found; a name that is not in the file is not in the answer either.
    #[must_use]
    pub fn names(self) -> Names {
        self.names
    }

    /// A line without its tab.
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
            Heading::Class(Some(class)) => {
                let subclass =
                    named(line, 2).and_then(|(id, name)| Some(((class, u8::try_from(id).ok()?), name)));
                if let Some((id, name)) = subclass.filter(|(id, _)| self.wanted.classes.contains(id)) {
                    self.names.subclasses.entry(id).or_insert_with(|| text(name));
                }
            }
            Heading::Class(None) | Heading::Other => {}
        }
    }
}

/// Looks the names up in a whole pci.ids.
#[must_use]
pub fn find(ids: &[u8], wanted: &Wanted) -> Names {
    let mut search = Search::new(wanted);
    search.feed(ids);
    if search.is_over() {
        return search.names();
    }
    let mut search = search.again();
    search.feed(ids);
    search.names()
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

    #[test]
    fn a_file_that_is_not_sorted_is_searched_twice() {
        let ids = b"8086  Intel\n\t0002  b\nC 02  Network\n\t00  Ethernet\n1af4  Red Hat\n\t0001  a\n";
        let wanted =
            Wanted { devices: [(0x1af4, 1), (0x8086, 2), (0xffff, 3)].into(), classes: [(2, 0)].into() };
        let names = find(ids, &wanted);
        assert_eq!(names.devices.values().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((names.vendors.len(), names.subclasses.len()), (2, 1), "{names:?}");
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
