//! Takes out of a capture what tells one machine or its owner from others: serial numbers, UUIDs, MACs and host names.
//!
//! Knows which files hold such things. A secret becomes a text of the same form, the same secret the same text, so that
//! what refers to each other still does; the key is made anew for each capture and kept nowhere.

use std::{collections::hash_map::RandomState, hash::BuildHasher as _};

/// Files whose whole content is a secret, by the end of their path.
const SECRET_FILES: [&str; 18] = [
    "/dmi/id/product_serial",
    "/dmi/id/product_uuid",
    "/dmi/id/board_serial",
    "/dmi/id/board_asset_tag",
    "/dmi/id/chassis_serial",
    "/dmi/id/chassis_asset_tag",
    "/etc/machine-id",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/random/boot_id",
    "/serial",
    "/wwid",
    "/wwn",
    "/nguid",
    "/eui",
    "/vpd_pg80",
    "/vpd_pg83",
    "/address",
    "/dm/uuid",
];

/// Shortest host name that is replaced wherever it stands: "a" would be found in every file.
const NAME_MIN_BYTES: usize = 4;

/// Lengths of a UUID's groups.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// What is taken out, and with which key.
#[derive(Debug)]
pub struct Redactor {
    key: RandomState,
    hostname: String,
}

impl Redactor {
    /// Of a host of this name, with a key of its own.
    #[must_use]
    pub fn new(hostname: &str) -> Self {
        Self { key: RandomState::new(), hostname: hostname.to_owned() }
    }

    /// A file's content without secrets.
    #[must_use]
    pub fn content(&self, path: &str, bytes: &[u8]) -> Vec<u8> {
        if SECRET_FILES.iter().any(|end| path.ends_with(end)) {
            return self.disguised(bytes);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text).into_bytes(),
            Err(_) => bytes.to_vec(),
        }
    }

    /// A text without UUIDs, the host's name and names of servers.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let text = self.without_uuids(text);
        if self.hostname.len() < NAME_MIN_BYTES {
            return text;
        }
        text.replace(&self.hostname, &self.name(&self.hostname))
    }

    /// Another name in place of a name.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.disguised(name.as_bytes())).into_owned()
    }

    /// The same form: digits for digits, letters a to f for letters, all else kept. Zeros alone are no secret.
    fn disguised(&self, secret: &[u8]) -> Vec<u8> {
        if secret.iter().all(|byte| !byte.is_ascii_alphanumeric() || *byte == b'0') {
            return secret.to_vec();
        }
        // "naa.", "eui." and "nvme." say of what sort the rest is.
        let kept = secret.iter().position(|byte| *byte == b'.').filter(|at| *at <= 4).unwrap_or(0);
        let trimmed = secret.trim_ascii();
        let disguise = |(at, byte): (usize, &u8)| {
            let number = self.key.hash_one((trimmed, at));
            let of = |first: u8, count: u64| first + u8::try_from(number % count).unwrap_or(0);
            match byte {
                _ if at < kept => *byte,
                b'0'..=b'9' => of(b'0', 10),
                b'a'..=b'z' => of(b'a', 6),
                b'A'..=b'Z' => of(b'A', 6),
                _ => *byte,
            }
        };
        secret.iter().enumerate().map(disguise).collect()
    }

    fn without_uuids(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, uuid, after)) = first_uuid(rest) {
            out.push_str(before);
            out.push_str(&self.name(uuid));
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// What is before the first UUID, the UUID, and what is after it.
fn first_uuid(text: &str) -> Option<(&str, &str, &str)> {
    const LENGTH: usize = 36;
    let starts = text.char_indices().map(|(at, _)| at);
    for at in starts {
        let Some(uuid) = text.get(at..at + LENGTH) else { continue };
        let groups: Vec<&str> = uuid.split('-').collect();
        let is_hex = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fits = groups.len() == UUID_GROUPS.len()
            && groups.iter().zip(UUID_GROUPS).all(|(group, length)| group.len() == length && is_hex(group));
        if fits {
            return Some((text.get(..at)?, uuid, text.get(at + LENGTH..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "9f2c4c1e-55aa-4b6f-8a51-2f9d3c4b5a60";

    fn content(redactor: &Redactor, path: &str, text: &str) -> String {
        String::from_utf8(redactor.content(path, text.as_bytes())).expect("text")
    }

    #[test]
    fn secrets_keep_their_form_only() {
        let redactor = Redactor::new("kvm-01");
        let mac = content(&redactor, "/sys/class/net/eth0/address", "ac:1f:6b:8a:5f:c8\n");
        assert_eq!((mac.len(), mac.matches(':').count(), mac.ends_with('\n')), (18, 5, true));
        assert_ne!(mac, "ac:1f:6b:8a:5f:c8\n");
        assert_eq!(
            content(&redactor, "/sys/class/net/lo/address", "00:00:00:00:00:00\n"),
            "00:00:00:00:00:00\n"
        );
        let wwid = content(&redactor, "/sys/block/sda/device/wwid", "naa.5000c500a1b2c3d4\n");
        assert!(wwid.starts_with("naa.") && !wwid.contains("5000c500a1b2c3d4"), "{wwid}");
        assert_ne!(content(&redactor, "/sys/class/dmi/id/product_serial", "CZ1234ABCD\n"), "CZ1234ABCD\n");
        assert_eq!(content(&redactor, "/proc/cpuinfo", "processor : 0\n"), "processor : 0\n");
    }

    #[test]
    fn what_is_equal_stays_equal() {
        let redactor = Redactor::new("kvm-01");
        let text = format!("/dev/disk/by-uuid/{UUID} and {UUID} on kvm-01:/export");
        let once = redactor.text(&text);
        assert!(!once.contains(UUID) && !once.contains("kvm-01"), "{once}");
        let (_, first, rest) = first_uuid(&once).expect("a UUID");
        assert_eq!(first_uuid(rest).map(|(_, second, _)| second), Some(first));
        assert_eq!(redactor.text(&text), once);
        assert_ne!(Redactor::new("kvm-01").text(&text), once, "each capture has its own key");
    }

    #[test]
    fn text_of_any_kind_survives() {
        let redactor = Redactor::new("ab");
        for text in [
            "",
            "ä",
            "€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€",
            "ab ab ab",
            "------------------------------------",
        ] {
            assert_eq!(redactor.text(text), text);
        }
    }
}
