//! Pools of huge pages: one directory for each size, of the whole host or of a node.

use vmuster_proto::model::{Bytes, FreeHugepages};

use super::reading::Reading;

/// Of the whole host.
pub(super) const HOST: &str = "/sys/kernel/mm/hugepages";

/// Pages in the pool, free or not.
pub(super) const TOTAL: &str = "nr_hugepages";

/// Pages nobody uses.
pub(super) const FREE: &str = "free_hugepages";

/// Pages by size, ascending, from the file of that name; None if there is no such directory, which is no issue.
pub(super) fn counts(
    reading: &mut Reading<'_>,
    section: &str,
    directory: &str,
    file: &str,
) -> Option<Vec<(Bytes, Option<u64>)>> {
    let names = match reading.root.read_dir(directory) {
        Ok(names) => names,
        Err(error) if error.is_absent() => return None,
        Err(error) => {
            reading.failed(section, &error);
            return None;
        }
    };
    let mut counts: Vec<_> = names
        .iter()
        .filter_map(|name| {
            Some((page_size(name)?, count(reading, section, &format!("{directory}/{name}/{file}"))))
        })
        .collect();
    counts.sort_unstable();
    Some(counts)
}

/// What is free by size, ascending; None as for [`counts`].
pub(super) fn free(reading: &mut Reading<'_>, section: &str, directory: &str) -> Option<Vec<FreeHugepages>> {
    let counts = counts(reading, section, directory, FREE)?;
    let mut pool = |(size_bytes, free): (Bytes, Option<u64>)| {
        let mut optional = |file: &str| {
            let path = format!("{directory}/hugepages-{}kB/{file}", size_bytes.0 / 1024);
            let text = reading.text_if_there(section, &path)?;
            number(reading, section, &path, &text)
        };
        // Promised to mappings of the whole host; a node has no such file.
        let reserved = if directory == HOST { optional("resv_hugepages") } else { None };
        FreeHugepages { size_bytes, free, reserved, surplus: optional("surplus_hugepages") }
    };
    Some(counts.into_iter().map(&mut pool).collect())
}

/// "hugepages-2048kB".
fn page_size(name: &str) -> Option<Bytes> {
    Bytes::from_kib(name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?)
}

fn count(reading: &mut Reading<'_>, section: &str, path: &str) -> Option<u64> {
    let text = reading.text(section, path)?;
    number(reading, section, path, &text)
}

fn number(reading: &mut Reading<'_>, section: &str, path: &str, text: &str) -> Option<u64> {
    reading.parsed(section, path, text.parse::<u64>().map_err(|_| format!("'{text}' is not a number")))
}
