//! The architecture a recorded libvirt answer is about.

/// Longest name libvirt has is "microblazeel".
const ARCH_BYTES_MAX: usize = 16;

/// The text of the first `<arch>` element: the host's in capabilities, the guest's, equal but for emulation, in domain
/// capabilities. No XML reader is needed: libvirt writes the element without attributes, and its text is a plain word.
#[must_use]
pub fn parse(xml: &str) -> Option<&str> {
    let (_, rest) = xml.split_once("<arch>")?;
    let (arch, _) = rest.split_once("</arch>")?;
    let is_word = arch.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    (is_word && (1..=ARCH_BYTES_MAX).contains(&arch.len())).then_some(arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_arch() {
        assert_eq!(parse("<domainCapabilities><domain>kvm</domain><arch>x86_64</arch>…"), Some("x86_64"));
        assert_eq!(parse("<cpu><arch>s390x</arch></cpu><guest><arch name='s390'/></guest>"), Some("s390x"));
        for bad in [
            "",
            "<arch>",
            "<arch></arch>",
            "<arch>a b</arch>",
            "<arch>aaaaaaaaaaaaaaaaa</arch>",
            "<arch name='x'>",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
