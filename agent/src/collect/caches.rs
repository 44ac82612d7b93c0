//! Caches: /sys/devices/system/cpu/cpuN/cache.
//!
//! Each cache is read once, by the first CPU that shares it: a quarter of the files on a large host.

use std::collections::BTreeMap;

use vmuster_proto::model::{Bytes, CpuCache, CpuSet, Issue, IssueKind};

use super::{reading::Reading, topology::Core};

const SECTION: &str = "cpu.caches";

/// The most caches one CPU has here; the kernel knows of five, and more would be a directory made by hand.
const INDEX_MAX: usize = 16;

/// What caches are told apart by.
type Sort = (Option<u32>, Option<String>, Option<Bytes>);

#[derive(Default)]
struct Reader {
    /// By index: CPUs whose cache of that index was read.
    covered: Vec<CpuSet>,
    found: BTreeMap<Sort, Vec<CpuSet>>,
}

pub(super) fn read(reading: &mut Reading<'_>, cores: &[Core], online: &CpuSet) -> Vec<CpuCache> {
    let mut reader = Reader::default();
    for core in cores {
        reader.read_core(reading, core, online);
    }
    if let (true, Some(first)) = (reader.found.is_empty(), cores.first()) {
        let detail = "the kernel tells no caches, as in some guests";
        reading.issue(Issue::new(SECTION, directory(first.first), IssueKind::Unsupported, detail));
    }
    let caches = reader.found.into_iter().map(|((level, r#type, size_bytes), mut shared_by)| {
        shared_by.sort_unstable_by_key(CpuSet::first);
        CpuCache { level, r#type, size_bytes, shared_by }
    });
    caches.collect()
}

impl Reader {
    fn read_core(&mut self, reading: &mut Reading<'_>, core: &Core, online: &CpuSet) {
        let cpu = core.first;
        for index in 0..INDEX_MAX {
            if self.covered.get(index).is_some_and(|covered| covered.contains(cpu)) {
                continue;
            }
            let directory = format!("{}/index{index}", directory(cpu));
            if !reading.enter(&directory) {
                return;
            }
            let Some((sort, cpus)) = cache(reading, &directory, cpu) else { continue };
            let cpus = cpus.intersection(online);
            if self.covered.len() <= index {
                self.covered.resize(index + 1, CpuSet::new());
            }
            if let Some(covered) = self.covered.get_mut(index) {
                covered.extend(&cpus);
            }
            // Cores of another kind may have the same cache under another index.
            let shared_by = self.found.entry(sort).or_default();
            if !shared_by.contains(&cpus) {
                shared_by.push(cpus);
            }
        }
    }
}

/// One cache, and who shares it. None, with an issue, where that is not known.
fn cache(reading: &mut Reading<'_>, directory: &str, cpu: u32) -> Option<(Sort, CpuSet)> {
    let file = |name: &str| format!("{directory}/{name}");
    let list = file("shared_cpu_list");
    let text = reading.text_if_there(SECTION, &list);
    let cpus = match text {
        Some(text) => reading.parsed_of_many("shared_cpu_list", SECTION, &list, text.parse::<CpuSet>()),
        // Kernels before 2.6.24 have the mask only; a cache without either is the CPU's own on some arm64.
        None => {
            let mask = file("shared_cpu_map");
            let text = reading.text_of_many("shared_cpu_map", SECTION, &mask)?;
            reading.parsed_of_many("shared_cpu_map", SECTION, &mask, CpuSet::from_mask(&text))
        }
    }?;
    if !cpus.contains(cpu) {
        let detail = format!("CPU {cpu} is not among those that share its cache, '{cpus}'");
        reading.repeated("cache", Issue::new(SECTION, list, IssueKind::Malformed, detail));
        return None;
    }
    let level = file("level");
    let level = reading.text_of_many("level", SECTION, &level).and_then(|text| {
        let number = text.parse::<u32>().map_err(|_| format!("'{text}' is no level"));
        reading.parsed_of_many("level", SECTION, &level, number)
    });
    let r#type = file("type");
    let r#type = reading.text_of_many("type", SECTION, &r#type).and_then(|text| {
        let known = match text.as_str() {
            "Data" | "Instruction" | "Unified" => Ok(text.to_ascii_lowercase()),
            other => Err(format!("'{other}' is no type of cache")),
        };
        reading.parsed_of_many("type", SECTION, &r#type, known)
    });
    let size = file("size");
    let size = told_size(reading, &size).and_then(|text| {
        let bytes = cache_size(&text).ok_or_else(|| format!("'{text}' is no size"));
        reading.parsed_of_many("size", SECTION, &size, bytes)
    });
    Some(((level, r#type, size), cpus))
}

/// Device trees may leave it out for all CPUs, for ever: no CPU has vanished then.
fn told_size(reading: &mut Reading<'_>, path: &str) -> Option<String> {
    let text = reading.text_if_there(SECTION, path);
    if text.is_none() && !reading.root.exists(path) {
        reading
            .repeated("size", Issue::new(SECTION, path, IssueKind::Missing, "the kernel does not tell it"));
    }
    text
}

/// "1280K": the kernel prints units of 1024 bytes.
fn cache_size(text: &str) -> Option<Bytes> {
    Bytes::from_kib(text.strip_suffix('K')?.parse().ok()?)
}

fn directory(cpu: u32) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/cache")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordedTree;

    fn cache_files(
        tree: RecordedTree,
        cpu: u32,
        index: u32,
        cache: (&str, &str, &str, &str),
    ) -> RecordedTree {
        let directory = format!("{}/index{index}", directory(cpu));
        let (level, r#type, size, list) = cache;
        let files = [("level", level), ("type", r#type), ("size", size), ("shared_cpu_list", list)];
        files
            .into_iter()
            .fold(tree, |tree, (name, text)| tree.file(&format!("{directory}/{name}"), &format!("{text}\n")))
    }

    fn shown(tree: &RecordedTree, cores: &[(u32, &str)]) -> (Vec<String>, Vec<Issue>) {
        let root = tree.root();
        let mut reading = Reading::new(&root);
        let cores: Vec<Core> = cores
            .iter()
            .map(|(first, cpus)| Core { first: *first, cpus: cpus.parse().expect("a list") })
            .collect();
        let online = cores.iter().flat_map(|core| core.cpus.iter()).collect();
        let caches = read(&mut reading, &cores, &online);
        let line = |cache: &CpuCache| {
            let sets: Vec<_> = cache.shared_by.iter().map(ToString::to_string).collect();
            let (level, r#type) = (cache.level.unwrap_or(0), cache.r#type.as_deref().unwrap_or("?"));
            format!("L{level} {} {} {}", r#type, cache.size_bytes.unwrap_or_default().0 >> 10, sets.join(" "))
        };
        (caches.iter().map(line).collect(), reading.finish())
    }

    #[test]
    fn each_cache_once_with_its_own_size() {
        let mut tree = RecordedTree::new();
        for (cpu, size) in [(0, "48K"), (2, "32K")] {
            let pair = format!("{cpu}-{}", cpu + 1);
            tree = cache_files(tree, cpu, 0, ("1", "Data", size, &pair));
        }
        // Only the first core reaches the third level: the second is a small one on another die.
        tree = cache_files(tree, 0, 1, ("3", "Unified", "4096K", "0-1,7"));
        let (caches, issues) = shown(&tree, &[(0, "0-1"), (2, "2-3")]);
        assert_eq!(caches, ["L1 data 32 2-3", "L1 data 48 0-1", "L3 unified 4096 0-1"], "CPU 7 is offline");
        assert_eq!(issues, []);
    }

    #[test]
    fn a_cache_under_two_indexes_is_one() {
        let mut tree = cache_files(RecordedTree::new(), 0, 0, ("3", "Unified", "4096K", "0-1"));
        tree = cache_files(tree, 1, 0, ("1", "Data", "32K", "1"));
        tree = cache_files(tree, 1, 1, ("3", "Unified", "4096K", "0-1"));
        let (caches, issues) = shown(&tree, &[(0, "0"), (1, "1")]);
        assert_eq!(
            (caches.last().map(String::as_str), issues),
            (Some("L3 unified 4096 0-1"), vec![]),
            "{caches:?}"
        );
    }

    #[test]
    fn what_is_shared_is_read_by_its_first_core() {
        let mut tree = RecordedTree::new();
        for cpu in [0, 2] {
            tree = cache_files(tree, cpu, 0, ("1", "Data", "32K", &format!("{cpu}")));
            tree = cache_files(tree, cpu, 1, ("3", "Unified", "4096K", "0,2"));
        }
        let log = crate::host_root::AccessLog::default();
        let root = tree.root().noting(log.clone());
        let mut reading = Reading::new(&root);
        let cores = [0, 2].map(|cpu| Core { first: cpu, cpus: [cpu].into_iter().collect() });
        assert_eq!(read(&mut reading, &cores, &[0, 2].into_iter().collect()).len(), 2);
        assert!(!log.take().iter().any(|(path, _)| path.contains("cpu2/cache/index1/")));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let tree = cache_files(RecordedTree::new(), 0, 0, ("one", "Data", "32M", "0"));
        let (caches, issues) = shown(&tree, &[(0, "0")]);
        assert_eq!((caches, issues.len()), (vec!["L0 data 0 0".to_owned()], 2));
        let tree = cache_files(RecordedTree::new(), 0, 0, ("1", "Data", "32K", "1"));
        let (caches, issues) = shown(&tree, &[(0, "0")]);
        assert_eq!((caches.len(), issues.len()), (0, 2), "{issues:?}");
        let (caches, issues) = shown(&RecordedTree::new(), &[(0, "0")]);
        assert_eq!((caches.len(), issues.first().map(|issue| issue.kind)), (0, Some(IssueKind::Unsupported)));
    }
}
