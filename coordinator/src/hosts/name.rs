//! What a host may be called.

/// RFC 1123: 253 characters in all, 63 a label.
const NAME_MAX_BYTES: usize = 253;
const NAME_LABEL_MAX_BYTES: usize = 63;

/// Text that is no host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a host name: letters, digits and '-' in parts of at most 63 characters, joined by dots"
)]
pub struct InvalidHostName(String);

/// An RFC 1123 name in lower case: DNS does not tell it from upper case.
///
/// # Errors
/// It is none.
pub fn host_name(text: &str) -> Result<String, InvalidHostName> {
    let name = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=NAME_LABEL_MAX_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if name.len() <= NAME_MAX_BYTES && name.split('.').all(is_label) {
        Ok(name)
    } else {
        // A name of a megabyte is not repeated in the refusal.
        Err(InvalidHostName(vmuster_proto::model::printable(text, NAME_MAX_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_and_the_rest_refused() {
        assert_eq!(host_name("KVM-02.Example.org").as_deref(), Ok("kvm-02.example.org"));
        for bad in
            ["", ".", "-a", "a-", "a..b", "ä", "a b", "a/b", "../etc", &"x".repeat(64), &"x.".repeat(140)]
        {
            assert!(host_name(bad).is_err(), "{bad}");
        }
        let long = host_name(&"/".repeat(1 << 20)).expect_err("refused").to_string();
        assert!(long.len() < 500);
    }
}
