//! A recorded host's answers of statvfs(3): an object by mount point, with the names of Python's os.statvfs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A recorded host's file, by mount point.
pub(crate) const RECORDED: &str = "statvfs.json";

/// Size and free space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsStats {
    /// What blocks are counted in: f_frsize, not f_bsize, which is the best size of a read.
    pub block_size_bytes: u64,
    /// f_blocks.
    pub blocks: u64,
    /// f_bfree: with those reserved for root.
    pub blocks_free: u64,
    /// f_bavail: without them.
    pub blocks_available: u64,
    /// f_files; 0 where the file system does not count them.
    pub inodes: u64,
    /// f_ffree.
    pub inodes_free: u64,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "f_frsize", alias = "frsize", default)]
    frsize: u64,
    #[serde(rename = "f_bsize", alias = "bsize", default)]
    bsize: u64,
    #[serde(rename = "f_blocks", alias = "blocks")]
    blocks: u64,
    #[serde(rename = "f_bfree", alias = "bfree")]
    bfree: u64,
    #[serde(rename = "f_bavail", alias = "bavail")]
    bavail: u64,
    #[serde(rename = "f_files", alias = "files")]
    files: u64,
    #[serde(rename = "f_ffree", alias = "ffree")]
    ffree: u64,
}

/// What statvfs said of each mount point, or what is wrong with its entry.
pub type Answers = BTreeMap<String, Result<FsStats, String>>;

/// Reads the answers; a bad entry costs only itself.
///
/// # Errors
/// It is not a JSON object.
pub fn parse(bytes: &[u8]) -> Result<Answers, serde_json::Error> {
    let document: BTreeMap<String, serde_json::Value> = serde_json::from_slice(bytes)?;
    let entry = |value| serde_json::from_value::<Entry>(value).map_err(|error| error.to_string());
    Ok(document
        .into_iter()
        .map(|(mount_point, value)| (mount_point, entry(value).map(|entry| stats(&entry))))
        .collect())
}

/// Writes what [`parse`] reads.
///
/// # Errors
/// None that is known: JSON can hold every such answer.
pub fn write(answers: &BTreeMap<String, FsStats>) -> Result<String, serde_json::Error> {
    let entry = |stats: &FsStats| Entry {
        frsize: stats.block_size_bytes,
        bsize: stats.block_size_bytes,
        blocks: stats.blocks,
        bfree: stats.blocks_free,
        bavail: stats.blocks_available,
        files: stats.inodes,
        ffree: stats.inodes_free,
    };
    let document: BTreeMap<&str, Entry> =
        answers.iter().map(|(mount_point, stats)| (mount_point.as_str(), entry(stats))).collect();
    serde_json::to_string_pretty(&document).map(|json| json + "\n")
}

fn stats(entry: &Entry) -> FsStats {
    FsStats {
        // As the C library does for file systems that leave it out.
        block_size_bytes: if entry.frsize == 0 { entry.bsize } else { entry.frsize },
        blocks: entry.blocks,
        blocks_free: entry.bfree,
        blocks_available: entry.bavail,
        inodes: entry.files,
        inodes_free: entry.ffree,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: FsStats = FsStats {
        block_size_bytes: 4096,
        blocks: 100,
        blocks_free: 50,
        blocks_available: 45,
        inodes: 10,
        inodes_free: 9,
    };

    #[test]
    fn reads_with_and_without_prefix() {
        let text = r#"{"/": {"f_bsize":1048576,"f_frsize":4096,"f_blocks":100,"f_bfree":50,"f_bavail":45,
            "f_files":10,"f_ffree":9,"f_flag":4096,"f_namemax":255},
            "/srv":{"bsize":4096,"blocks":100,"bfree":50,"bavail":45,"files":10,"ffree":9}}"#;
        let answers = parse(text.as_bytes()).expect("answers");
        assert_eq!(answers.into_values().collect::<Vec<_>>(), [Ok(ROOT), Ok(ROOT)]);
    }

    #[test]
    fn a_bad_entry_costs_itself() {
        let text = r#"{"/a":{"f_blocks":-1},"/b":7,"/c":{"bsize":4096,"blocks":100,"bfree":50,"bavail":45,"files":10,"ffree":9}}"#;
        let answers = parse(text.as_bytes()).expect("answers");
        assert_eq!(answers.values().map(Result::is_ok).collect::<Vec<_>>(), [false, false, true]);
        assert!(parse(b"[]").is_err() && parse(b"{").is_err());
    }

    #[test]
    fn what_is_written_is_read() {
        let written = BTreeMap::from([("/".to_owned(), ROOT), ("/a \"b\"".to_owned(), ROOT)]);
        let json = write(&written).expect("JSON");
        let read: BTreeMap<_, _> = parse(json.as_bytes())
            .expect("answers")
            .into_iter()
            .filter_map(|(at, stats)| Some((at, stats.ok()?)))
            .collect();
        assert_eq!(read, written);
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "(?s)([{}\":,]|\"/\"|f_blocks|[0-9]+|.){0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
