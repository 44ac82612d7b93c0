//! Addresses of PCI functions in a path of /sys/devices.

/// The addresses in a path, the nearest to its end first: "0000:3b:00.0", or "10000:e1:00.0" behind a VMD controller.
pub fn upward(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit('/').filter(|component| is_address(component))
}

/// Domain (four digits, or more), bus, device and function, as the kernel writes them.
fn is_address(text: &str) -> bool {
    let Some((before, function)) = text.split_once('.') else { return false };
    let mut parts = before.rsplit(':');
    let is_part = |part: Option<&str>, digits: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    is_part(parts.next(), 2..=2)
        && is_part(parts.next(), 2..=2)
        && is_part(parts.next(), 4..=8)
        && parts.next().is_none()
        && matches!(function.as_bytes(), [b'0'..=b'7'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(path: &str) -> Vec<&str> {
        upward(path).collect()
    }

    #[test]
    fn finds_addresses_from_the_end() {
        let path = "../devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        assert_eq!(found(path), ["0000:00:1f.2"]);
        let path = "../../../devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0";
        assert_eq!(found(path), ["10000:e1:00.0", "10000:e0:06.0", "0000:00:0e.0"]);
        assert_eq!(found("../devices/virtual/block/dm-0"), [""; 0]);
        assert_eq!(found("0000:00:1f.8/0000:00:1f/000:00:1f.0/0000:00:1g.0/0:0000:00:1f.0"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_a_path(path in ".*") {
            found(&path);
        }
    }
}
