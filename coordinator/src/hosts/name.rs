//! What a host may be called, by people and by systemd.

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

/// Text that is no machine id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a machine id: 32 hexadecimal digits, as in the host's /etc/machine-id")]
pub struct InvalidMachineId(String);

/// A machine id as machine-id(5) has it, in lower case.
///
/// # Errors
/// It is none.
pub fn machine_id(text: &str) -> Result<String, InvalidMachineId> {
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(InvalidMachineId(vmuster_proto::model::printable(text, NAME_LABEL_MAX_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_ids_are_what_systemd_writes() {
        let good = "0123456789ABCDEF0123456789abcdef";
        assert_eq!(machine_id(good), Ok(good.to_ascii_lowercase()));
        for bad in ["", "0123", "g123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"] {
            assert!(machine_id(bad).is_err(), "{bad}");
        }
    }

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
