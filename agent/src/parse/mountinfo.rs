//! Mounts: /proc/PID/mountinfo, and /proc/mounts, which knows less, for recordings that have only that.

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// None in /proc/mounts.
    pub ids: Option<MountIds>,
    /// Major and minor number of the file system, "8:1": one for all subvolumes of a btrfs. None in /proc/mounts.
    pub device: Option<String>,
    /// Directory of the file system that is seen here, "/" for all of it. None in /proc/mounts.
    pub root: Option<String>,
    /// Where it is.
    pub mount_point: String,
    /// "ext4", "fuse.sshfs" …
    pub fs_type: String,
    /// Device, export or whatever was given to mount; may be empty.
    pub source: String,
    /// Whether the file system itself is read-only. /proc/mounts says "ro" for a mount that is read-only alone, too: None.
    pub super_read_only: Option<bool>,
    /// Options of the file system as they are written, commas inside of them still escaped; see [`Mount::option`].
    pub super_options: String,
}

/// Numbers of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountIds {
    /// Its own.
    pub mount: u64,
    /// Of the mount it sits on; of one that is not listed, or its own, for the root of all.
    pub parent: u64,
}

/// A line that is no mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct MountError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Mount {
    /// The value of an option of the file system, "upperdir".
    #[must_use]
    pub fn option(&self, name: &str) -> Option<String> {
        let mut options = self.super_options.split(',');
        options.find_map(|option| option.strip_prefix(name)?.strip_prefix('=')).map(unescaped)
    }
}

/// The mounts of a mountinfo, in its order, and the lines that are none.
#[must_use]
pub fn parse(text: &str) -> (Vec<Mount>, Vec<MountError>) {
    each_line(text, mountinfo_line)
}

/// The same of /proc/mounts.
#[must_use]
pub fn parse_mounts(text: &str) -> (Vec<Mount>, Vec<MountError>) {
    each_line(text, mounts_line)
}

fn each_line(text: &str, read: fn(&str) -> Result<Mount, &'static str>) -> (Vec<Mount>, Vec<MountError>) {
    let (mut mounts, mut errors) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match read(line) {
            Ok(mount) => mounts.push(mount),
            Err(reason) => errors.push(MountError { line: at + 1, reason }),
        }
    }
    (mounts, errors)
}

const CUT_OFF: &str = "it has too few fields";

/// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue", any number of fields before "-".
fn mountinfo_line(line: &str) -> Result<Mount, &'static str> {
    // One blank each: an empty source has none of its own between two.
    let mut fields = line.split(' ');
    let mut next = || fields.next().ok_or(CUT_OFF);
    let number = |text: &str| text.parse::<u64>().map_err(|_| "its number or its parent's is none");
    let ids = MountIds { mount: number(next()?)?, parent: number(next()?)? };
    let device = device(next()?).ok_or("its third field is no major:minor")?;
    let root = unescaped(next()?);
    let mount_point = mount_point(next()?)?;
    let _options_of_the_mount = next()?;
    while next()? != "-" {}
    let (fs_type, source, options) = (unescaped(next()?), unescaped(next()?), next()?);
    Ok(Mount {
        ids: Some(ids),
        device: Some(device),
        root: Some(root),
        mount_point,
        fs_type,
        source,
        super_read_only: Some(is_read_only(options).ok_or("its options begin with neither ro nor rw")?),
        super_options: options.to_owned(),
    })
}

/// "/dev/sda1 /boot ext4 rw,relatime 0 0".
fn mounts_line(line: &str) -> Result<Mount, &'static str> {
    let mut fields = line.split(' ');
    let mut next = || fields.next().ok_or(CUT_OFF);
    let (source, mount_point, fs_type) = (unescaped(next()?), mount_point(next()?)?, unescaped(next()?));
    let options = next()?;
    let read_only = is_read_only(options).ok_or("its options begin with neither ro nor rw")?;
    Ok(Mount {
        mount_point,
        fs_type,
        source,
        // Nothing can be written by a mount of a read-only file system: "rw" says that neither is.
        super_read_only: (!read_only).then_some(false),
        super_options: options.to_owned(),
        ..Mount::default()
    })
}

fn device(text: &str) -> Option<String> {
    let (major, minor) = text.split_once(':')?;
    Some(format!("{}:{}", major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
}

fn mount_point(text: &str) -> Result<String, &'static str> {
    if text.starts_with('/') { Ok(unescaped(text)) } else { Err("its mount point is no absolute path") }
}

fn is_read_only(options: &str) -> Option<bool> {
    match options.split(',').next() {
        Some("ro") => Some(true),
        Some("rw") => Some(false),
        _ => None,
    }
}

/// A field as it was before the kernel wrote blanks, line ends, "#" and "\" as "\040" and so on.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = if *first == b'\\' { after.split_first_chunk::<3>() } else { None };
        match escaped.and_then(|(digits, after)| Some((octal(*digits)?, after))) {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    let value = digits.into_iter().try_fold(0u32, |value, digit| {
        matches!(digit, b'0'..=b'7').then(|| value * 8 + u32::from(digit - b'0'))
    })?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_mountinfo() {
        let text = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
            60 27 0:44 /@home /home\\040of\\134all rw shared:1 master:2 - btrfs /dev/mapper/a\\040b ro,subvol=/@home\n\
            61 27 0:45 / /empty rw - fuse.x  rw,user_id=0\n";
        let (mounts, errors) = parse(text);
        assert_eq!(errors, []);
        let root = Mount {
            ids: Some(MountIds { mount: 27, parent: 1 }),
            device: Some("254:0".to_owned()),
            root: Some("/".to_owned()),
            mount_point: "/".to_owned(),
            fs_type: "ext4".to_owned(),
            source: "/dev/vda".to_owned(),
            super_read_only: Some(false),
            super_options: "rw,discard".to_owned(),
        };
        assert_eq!(mounts.first(), Some(&root));
        let home = mounts.get(1).expect("a mount");
        assert_eq!((home.mount_point.as_str(), home.source.as_str()), ("/home of\\all", "/dev/mapper/a b"));
        assert_eq!((home.root.as_deref(), home.super_read_only), (Some("/@home"), Some(true)));
        assert_eq!(
            mounts.get(2).map(|mount| (mount.fs_type.as_str(), mount.source.as_str())),
            Some(("fuse.x", ""))
        );
    }

    #[test]
    fn the_mount_may_be_read_only_and_the_file_system_not() {
        let (mounts, _) = parse("1 0 8:1 / /usr ro,relatime - ext4 /dev/sda1 rw\n");
        assert_eq!(mounts.first().and_then(|mount| mount.super_read_only), Some(false));
        let (mounts, errors) = parse_mounts("/dev/sda1 /a\\011b ext4 rw,x 0 0\n/dev/sda1 /usr ext4 ro 0 0\n");
        let shown: Vec<_> = mounts
            .iter()
            .map(|mount| (mount.mount_point.as_str(), mount.super_read_only, mount.ids))
            .collect();
        assert_eq!((shown, errors), (vec![("/a\tb", Some(false), None), ("/usr", None, None)], vec![]));
    }

    #[test]
    fn a_bad_line_costs_itself() {
        let text = "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 x 8:1 / /a rw - ext4 a rw\n\n29 1 8-1 / /a rw - ext4 a rw\n\
            30 1 8:1 / a rw - ext4 a rw\n31 1 8:1 / /a rw shared:1\n32 1 8:1 / /a rw - ext4 a what\n33 1 8:2 / /b rw - xfs b r";
        let (mounts, errors) = parse(text);
        assert_eq!(mounts.len(), 1);
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 4, 5, 6, 7, 8]);
        assert_eq!(parse_mounts("/dev/vda /").1, [MountError { line: 1, reason: CUT_OFF }]);
    }

    #[test]
    fn options_are_split_before_they_are_unescaped() {
        let (mounts, _) = parse(
            "1 0 0:9 / / rw - overlay overlay rw,context=\"a:c1,c2\",lowerdir=/l,upperdir=/u\\054x=\\040y,workdir=/w\n",
        );
        let overlay = mounts.first().expect("a mount");
        assert_eq!(overlay.option("upperdir").as_deref(), Some("/u,x= y"));
        assert_eq!((overlay.option("upper"), overlay.option("context").as_deref()), (None, Some("\"a:c1")));
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in ["\\", "\\0", "\\04", "\\089", "\\777", "a\\n"] {
            assert_eq!(unescaped(text), text);
        }
        assert_eq!(unescaped("\\043\\0400"), "# 0");
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "(?s)(([0-9]{1,3} |8:1 |/[a-z\\\\0-9]* |- |rw,|ext4 |\n)|.){0,40}") {
            let _ = (parse(&text), parse_mounts(&text));
        }
    }
}
