//! What the kernel tells of a device in its `uevent` file: a line KEY=VALUE for each property.

/// The properties of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uevent<'a>(&'a str);

impl<'a> Uevent<'a> {
    /// Of a `uevent` file's text. Lines that are no property are passed over: a key that is not there is the reader's
    /// to tell.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The value of a key; of several the first.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_whole_keys() {
        let uevent =
            Uevent::new("DRIVER=virtio-pci\nPCI_CLASS=20000\nPCI_ID=1AF4:1041\nMODALIAS=pci:v=1\nEMPTY=\n");
        assert_eq!(uevent.get("DRIVER"), Some("virtio-pci"));
        assert_eq!(uevent.get("PCI_ID"), Some("1AF4:1041"));
        assert_eq!(uevent.get("MODALIAS"), Some("pci:v=1"));
        assert_eq!(uevent.get("EMPTY"), Some(""));
        assert_eq!(uevent.get("PCI"), None, "the beginning of a key is not the key");
        assert_eq!(uevent.get("ID"), None, "nor is its end");
    }

    proptest! {
        #[test]
        fn any_text_has_properties_or_none(text in "(?s).*", key in ".*") {
            let _ = Uevent::new(&text).get(&key);
        }
    }
}
