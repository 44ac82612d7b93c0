//! /proc/meminfo, and a memory node's meminfo, whose lines begin with "Node N".

use vmuster_proto::model::Bytes;

/// The lines vmuster uses; None where there is no such line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meminfo {
    /// MemTotal.
    pub total: Option<Bytes>,
    /// MemFree.
    pub free: Option<Bytes>,
    /// MemAvailable; kernels before 3.14 and nodes have none.
    pub available: Option<Bytes>,
    /// Buffers; nodes have none.
    pub buffers: Option<Bytes>,
    /// Cached; nodes have none.
    pub cached: Option<Bytes>,
    /// Shmem.
    pub shared: Option<Bytes>,
    /// SwapTotal; nodes have none.
    pub swap_total: Option<Bytes>,
    /// SwapFree; nodes have none.
    pub swap_free: Option<Bytes>,
    /// HugePages_Total: pages of the default size.
    pub hugepages_total: Option<u64>,
    /// HugePages_Free.
    pub hugepages_free: Option<u64>,
    /// Hugepagesize: the default size.
    pub hugepage_size: Option<Bytes>,
    /// Hugetlb: memory in huge pages of all sizes.
    pub hugetlb: Option<Bytes>,
}

/// Text that is not meminfo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {field}: {reason}")]
pub struct MeminfoError {
    /// Counted from 1.
    pub line: usize,
    /// The line's key.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads the lines vmuster uses and passes over the others.
///
/// # Errors
/// One of them is there twice, has no number, or not the unit the kernel gives it.
pub fn parse(text: &str) -> Result<Meminfo, MeminfoError> {
    let mut read = Meminfo::default();
    for (at, line) in text.lines().enumerate() {
        let Some((key, value)) = without_node(line).split_once(':') else { continue };
        let value = value.trim();
        let done = match key.trim() {
            "MemTotal" => set(&mut read.total, "MemTotal", kib(value)),
            "MemFree" => set(&mut read.free, "MemFree", kib(value)),
            "MemAvailable" => set(&mut read.available, "MemAvailable", kib(value)),
            "Buffers" => set(&mut read.buffers, "Buffers", kib(value)),
            "Cached" => set(&mut read.cached, "Cached", kib(value)),
            "Shmem" => set(&mut read.shared, "Shmem", kib(value)),
            "SwapTotal" => set(&mut read.swap_total, "SwapTotal", kib(value)),
            "SwapFree" => set(&mut read.swap_free, "SwapFree", kib(value)),
            "HugePages_Total" => set(&mut read.hugepages_total, "HugePages_Total", value.parse().ok()),
            "HugePages_Free" => set(&mut read.hugepages_free, "HugePages_Free", value.parse().ok()),
            "Hugepagesize" => set(&mut read.hugepage_size, "Hugepagesize", kib(value)),
            "Hugetlb" => set(&mut read.hugetlb, "Hugetlb", kib(value)),
            _ => Ok(()),
        };
        done.map_err(|(field, reason)| MeminfoError { line: at + 1, field, reason })?;
    }
    Ok(read)
}

/// "Node 12 MemTotal: …" without its node.
fn without_node(line: &str) -> &str {
    let after_node = line.strip_prefix("Node ").and_then(|rest| rest.trim_start().split_once(' '));
    after_node.map_or(line, |(_, rest)| rest)
}

fn set<T>(
    field: &mut Option<T>,
    name: &'static str,
    value: Option<T>,
) -> Result<(), (&'static str, &'static str)> {
    let value = value.ok_or((name, "not the number it should be"))?;
    if field.replace(value).is_some() {
        return Err((name, "there twice"));
    }
    Ok(())
}

fn kib(value: &str) -> Option<Bytes> {
    Bytes::from_kib(value.strip_suffix("kB")?.trim_end().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_whole_hosts() {
        let text = "MemTotal:       24646232 kB\nMemFree:  1 kB\nMemAvailable: 2 kB\nDirty: x\nno colon\n\
                    Buffers: 5 kB\nCached: 6 kB\nSwapCached: 1 kB\nShmem: 7 kB\nSwapTotal: 8 kB\nSwapFree: 0 kB\n\
                    HugePages_Total:    3\nHugePages_Free: 1\nHugepagesize:  2048 kB\nHugetlb: 6144 kB\n";
        let read = Meminfo {
            total: Bytes::from_kib(24_646_232),
            free: Some(Bytes(1024)),
            available: Some(Bytes(2048)),
            buffers: Some(Bytes(5120)),
            cached: Some(Bytes(6144)),
            shared: Some(Bytes(7168)),
            swap_total: Some(Bytes(8192)),
            swap_free: Some(Bytes(0)),
            hugepages_total: Some(3),
            hugepages_free: Some(1),
            hugepage_size: Some(Bytes(2 << 20)),
            hugetlb: Some(Bytes(6 << 20)),
        };
        assert_eq!(parse(text), Ok(read));
        assert_eq!(parse(""), Ok(Meminfo::default()));
    }

    #[test]
    fn reads_a_nodes() {
        let read =
            parse("\nNode 12 MemTotal:       4 kB\nNode 12 MemFree:  3 kB\nNode 12 HugePages_Total:   0\n")
                .expect("meminfo");
        let shown = (read.total, read.free, read.hugepages_total, read.available);
        assert_eq!(shown, (Some(Bytes(4096)), Some(Bytes(3072)), Some(0), None));
    }

    #[test]
    fn refuses_what_it_would_have_to_guess() {
        let error = |text| parse(text).map_err(|e| (e.line, e.field)).expect_err("an error");
        assert_eq!(error("MemFree: 1 kB\nMemTotal: 1 kB\nMemTotal: 1 kB\n"), (3, "MemTotal"));
        assert_eq!(error("MemTotal: 1 MB"), (1, "MemTotal"));
        assert_eq!(error("MemTotal: -1 kB"), (1, "MemTotal"));
        assert_eq!(error("MemTotal:"), (1, "MemTotal"));
        assert_eq!(error("MemTotal: 18446744073709551615 kB"), (1, "MemTotal"));
        assert_eq!(error("HugePages_Free: 1 kB"), (1, "HugePages_Free"));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "(?s)((Node [0-9]+ )?(MemTotal|MemFree|Hugepagesize|x):? *[0-9-]{0,22} ?(kB)?\n?|.){0,20}") {
            let _ = parse(&text);
        }
    }
}
