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

/// Files in which the host's name and those of servers stand within other texts. In others it may be a word by chance:
/// "debian" is also a distribution.
const WITH_NAMES: [&str; 3] = ["/mountinfo", "/mounts", "statvfs.json"];

/// Lines of cpuinfo (Raspberry Pi) and sysinfo (s390x) that are the machine's own.
const SECRET_KEYS: [&str; 5] = ["Serial", "Sequence Code", "LPAR Name", "VM00 Name", "VM00 Extended Name"];

/// What comes before an s390x machine's serial number in cpuinfo.
const IDENTIFICATION: &str = "identification = ";

/// What says of which sort a disk's world-wide name is.
const WWN_KINDS: [&str; 5] = ["naa.", "eui.", "nvme.", "t10.", "uuid."];

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
        // What is no text is a text with odd bytes in it, a mount point of another character set.
        let text = self.without_uuids(&String::from_utf8_lossy(bytes));
        let text = match path {
            "/proc/cpuinfo" | "/proc/sysinfo" => self.without_values(&text),
            path if WITH_NAMES.iter().any(|end| path.ends_with(end)) => self.mount_point(&text),
            _ => text,
        };
        text.into_bytes()
    }

    /// Another name in place of a name.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.disguised(name.as_bytes())).into_owned()
    }

    /// Another name, in which a UUID becomes what it becomes everywhere.
    pub(super) fn word(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, uuid, after)) = first_uuid(rest) {
            out += &self.name(before);
            out += &self.name(uuid);
            rest = after;
        }
        out + &self.name(rest)
    }

    /// A mount point, as mountinfo shows it in a capture.
    pub(super) fn mount_point(&self, path: &str) -> String {
        self.without_hostname(&self.without_servers(&self.without_uuids(path)))
    }

    /// The same form: digits for digits, letters a to f for letters and what is no ASCII, all else kept. Zeros alone are no
    /// secret.
    fn disguised(&self, secret: &[u8]) -> Vec<u8> {
        if secret.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() || *byte == b'0') {
            return secret.to_vec();
        }
        let kept =
            WWN_KINDS.iter().find(|kind| secret.starts_with(kind.as_bytes())).map_or(0, |kind| kind.len());
        let trimmed = secret.trim_ascii();
        let disguise = |(at, byte): (usize, &u8)| {
            let number = self.key.hash_one((trimmed, at));
            let of = |first: u8, count: u64| first + u8::try_from(number % count).unwrap_or(0);
            match byte {
                _ if at < kept => *byte,
                b'0'..=b'9' => of(b'0', 10),
                b'a'..=b'z' | 128.. => of(b'a', 6),
                b'A'..=b'Z' => of(b'A', 6),
                _ => *byte,
            }
        };
        secret.iter().enumerate().map(disguise).collect()
    }

    fn without_hostname(&self, text: &str) -> String {
        if self.hostname.len() < NAME_MIN_BYTES {
            return text.to_owned();
        }
        text.replace(&self.hostname, &self.name(&self.hostname))
    }

    /// Lines "key : value" whose value is a serial number or a name.
    fn without_values(&self, text: &str) -> String {
        let line = |line: &str| match line.split_once(':') {
            Some((key, value)) if SECRET_KEYS.contains(&key.trim()) => format!("{key}:{}", self.name(value)),
            // s390x: "processor 0: version = FF,  identification = 0829D8,  machine = 2964"
            _ => match line.split_once(IDENTIFICATION) {
                Some((before, after)) => {
                    let (number, rest) = after.split_at(after.find(',').unwrap_or(after.len()));
                    format!("{before}{IDENTIFICATION}{}{rest}", self.name(number))
                }
                None => line.to_owned(),
            },
        };
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }

    /// Sources of network mounts: "server:/export", "//server/share".
    fn without_servers(&self, text: &str) -> String {
        let word = |word: &str| {
            if let Some((server, share)) = word.strip_prefix("//").and_then(|rest| rest.split_once('/')) {
                return format!("//{}/{share}", self.name(server));
            }
            match word.split_once(":/") {
                Some((server, export)) if !server.is_empty() && !server.contains('/') => {
                    format!("{}:/{export}", self.name(server))
                }
                _ => word.to_owned(),
            }
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
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

/// Whether a text is one UUID.
pub(super) fn is_uuid(text: &str) -> bool {
    matches!(first_uuid(text), Some(("", _, "")))
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
        let once = content(&redactor, "/proc/1/mountinfo", &text);
        assert!(!once.contains(UUID) && !once.contains("kvm-01"), "{once}");
        let (_, first, rest) = first_uuid(&once).expect("a UUID");
        assert_eq!(first_uuid(rest).map(|(_, second, _)| second), Some(first));
        assert_eq!(content(&redactor, "/proc/1/mountinfo", &text), once);
        let other = content(&Redactor::new("kvm-01"), "/proc/1/mountinfo", &text);
        assert_ne!(other, once, "each capture has its own key");
    }

    #[test]
    fn names_and_numbers_within_other_texts() {
        let redactor = Redactor::new("debian");
        assert_eq!(content(&redactor, "/etc/os-release", "ID=debian\n"), "ID=debian\n", "a distribution");
        let mounts = "27 1 0:44 / /srv rw - nfs4 nas01.example:/vm rw\n28 1 0:45 / /w rw - cifs //nas01.example/w rw\n";
        let mounts = content(&redactor, "/proc/self/mountinfo", mounts);
        assert!(
            !mounts.contains("nas01") && mounts.contains(":/vm rw") && mounts.contains("/w rw"),
            "{mounts}"
        );
        let cpu = "processor 0: version = FF,  identification = 0829D8,  machine = 2964\nSerial\t\t: 10000000abcdef12\n";
        let cpu = content(&redactor, "/proc/cpuinfo", cpu);
        assert!(
            !cpu.contains("0829D8") && !cpu.contains("abcdef12") && cpu.contains(",  machine = 2964"),
            "{cpu}"
        );
        let machine = content(&redactor, "/proc/sysinfo", "Manufacturer: IBM\nLPAR Name:  PRODLP7\n");
        assert!(machine.starts_with("Manufacturer: IBM\n") && !machine.contains("PRODLP7"), "{machine}");
        let odd = redactor.content("/proc/self/mountinfo", b"/m\xe4 debian /x\n");
        assert!(!String::from_utf8_lossy(&odd).contains("debian"));
        assert!(!redactor.name("hv01.dc.example").starts_with("hv01"));
        let other = redactor.name("Bücher-数据库");
        assert!(other.is_ascii() && other.len() == "Bücher-数据库".len(), "{other}");
        let disk = redactor.word(&format!("{UUID}_disk.config"));
        assert!(
            disk.starts_with(&redactor.name(UUID)) && !disk.contains("disk") && disk.contains('.'),
            "{disk}"
        );
        assert!(is_uuid(UUID) && !is_uuid(&format!("{UUID}/..")) && !is_uuid(".."));
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
            assert_eq!(content(&redactor, "/proc/mounts", text), text);
        }
    }
}
