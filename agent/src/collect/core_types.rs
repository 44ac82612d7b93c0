//! Sorts of cores (P and E), and the clock rates each can have.
//!
//! Threads of a core are of one sort, so each core is read once.

use std::collections::BTreeMap;

use vmuster_proto::model::{CoreType, CpuFrequency, CpuSet, Issue, IssueKind};

use super::{reading::Reading, topology::Core};

/// x86 kernels list hybrid cores by the PMU they have; strongest first.
const PMUS: [(&str, &str); 3] = [
    ("performance", "/sys/devices/cpu_core/cpus"),
    ("efficiency", "/sys/devices/cpu_atom/cpus"),
    ("low_power", "/sys/devices/cpu_lowpower/cpus"),
];

/// Sorts, strongest first; empty where all CPUs are alike.
pub(super) fn read(reading: &mut Reading<'_>, cores: &[Core], online: &CpuSet) -> Vec<CoreType> {
    let section = "cpu.core_types";
    let mut types = Vec::new();
    for (kind, path) in PMUS {
        let Some(cpus) = reading.list_if_there(section, path) else { continue };
        let cpus = cpus.intersection(online);
        if !cpus.is_empty() {
            types.push(CoreType { kind: kind.to_owned(), capacity: None, cpus });
        }
    }
    if types.is_empty() { by_capacity(reading, section, cores) } else { types }
}

/// arm64 and riscv64: cores of less than the strongest's capacity are the efficient ones.
fn by_capacity(reading: &mut Reading<'_>, section: &str, cores: &[Core]) -> Vec<CoreType> {
    let mut capacities: BTreeMap<u32, CpuSet> = BTreeMap::new();
    for (at, core) in cores.iter().enumerate() {
        let path = format!("/sys/devices/system/cpu/cpu{}/cpu_capacity", core.first);
        let text = match at {
            // A kernel gives it for all CPUs or none.
            0 => reading.text_if_there(section, &path),
            _ => reading.text_of_many("cpu_capacity", section, &path),
        };
        let Some(text) = text else {
            if at == 0 {
                return Vec::new();
            }
            continue;
        };
        let capacity = text.parse::<u32>().map_err(|_| format!("'{text}' is not a number"));
        if let Some(capacity) = reading.parsed_of_many("cpu_capacity", section, &path, capacity) {
            let cpus = capacities.entry(capacity).or_default();
            cpus.extend(&core.cpus);
        }
    }
    if capacities.len() < 2 {
        return Vec::new();
    }
    let types = capacities.into_iter().rev().enumerate().map(|(rank, (capacity, cpus))| {
        let kind = if rank == 0 { "performance" } else { "efficiency" };
        CoreType { kind: kind.to_owned(), capacity: Some(capacity), cpus }
    });
    types.collect()
}

/// What clock rates CPUs can have; empty where the kernel controls none, which is no issue.
pub(super) fn frequencies(reading: &mut Reading<'_>, cores: &[Core]) -> Vec<CpuFrequency> {
    type Rates = (Option<u64>, Option<u64>, Option<u64>);
    let mut found: BTreeMap<Rates, CpuSet> = BTreeMap::new();
    let mut has_base = true;
    for core in cores {
        let directory = format!("/sys/devices/system/cpu/cpu{}/cpufreq", core.first);
        if !reading.enter(&directory) {
            continue;
        }
        let path = format!("{directory}/base_frequency");
        // intel_pstate alone has it.
        let base = if has_base { reading.text_if_there("cpu.frequencies", &path) } else { None };
        has_base = base.is_some();
        let base = base.and_then(|text| khz(reading, &path, &text));
        let mut rate = |name: &str| {
            let path = format!("{directory}/{name}");
            let text = reading.text_of_many(name, "cpu.frequencies", &path)?;
            khz(reading, &path, &text)
        };
        let rates = (base, rate("cpuinfo_min_freq"), rate("cpuinfo_max_freq"));
        if rates != (None, None, None) {
            let cpus = found.entry(rates).or_default();
            cpus.extend(&core.cpus);
        }
    }
    let mut frequencies: Vec<_> = found
        .into_iter()
        .map(|((base_khz, minimum_khz, maximum_khz), cpus)| CpuFrequency {
            base_khz,
            minimum_khz,
            maximum_khz,
            cpus,
        })
        .collect();
    frequencies.sort_unstable_by_key(|rates| rates.cpus.first());
    frequencies
}

fn khz(reading: &mut Reading<'_>, path: &str, text: &str) -> Option<u64> {
    let Ok(khz) = text.parse::<u64>() else {
        let detail = format!("'{text}' is no clock rate");
        reading.repeated("khz", Issue::new("cpu.frequencies", path, IssueKind::Malformed, detail));
        return None;
    };
    // A driver that does not know prints 0.
    (khz > 0).then_some(khz)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordedTree;

    fn cores() -> Vec<Core> {
        [(0, "0-1"), (2, "2"), (3, "3")]
            .map(|(first, cpus)| Core { first, cpus: cpus.parse().expect("a list") })
            .into()
    }

    fn types(tree: &RecordedTree) -> (Vec<String>, Vec<Issue>) {
        let root = tree.root();
        let mut reading = Reading::new(&root);
        let types = read(&mut reading, &cores(), &"0-3".parse().expect("a list"));
        let shown = |t: &CoreType| format!("{} {} {}", t.kind, t.capacity.unwrap_or(0), t.cpus);
        (types.iter().map(shown).collect(), reading.finish())
    }

    #[test]
    fn hybrid_cores_by_pmu() {
        let tree = RecordedTree::new()
            .file("/sys/devices/cpu_core/cpus", "0-1\n")
            .file("/sys/devices/cpu_atom/cpus", "2-5\n");
        assert_eq!(
            types(&tree),
            (vec!["performance 0 0-1".to_owned(), "efficiency 0 2-3".to_owned()], vec![])
        );
    }

    #[test]
    fn unlike_cores_by_capacity() {
        let with = |capacities: [&str; 3]| {
            [0, 2, 3].into_iter().zip(capacities).fold(RecordedTree::new(), |tree, (cpu, capacity)| {
                tree.file(&format!("/sys/devices/system/cpu/cpu{cpu}/cpu_capacity"), &format!("{capacity}\n"))
            })
        };
        let (shown, issues) = types(&with(["1024", "446", "446"]));
        assert_eq!(
            (shown, issues),
            (vec!["performance 1024 0-1".to_owned(), "efficiency 446 2-3".to_owned()], vec![])
        );
        assert_eq!(types(&with(["1024", "1024", "1024"])), (vec![], vec![]), "all alike");
        assert_eq!(types(&with(["1024", "446", "x"])).1.len(), 1);
        assert_eq!(types(&RecordedTree::new()), (vec![], vec![]));
    }

    #[test]
    fn clock_rates_by_core() {
        let mut tree = RecordedTree::new();
        for (cpu, max) in [(0, "4700000"), (2, "3400000"), (3, "3400000")] {
            let directory = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq");
            tree = tree
                .file(&format!("{directory}/cpuinfo_min_freq"), "400000\n")
                .file(&format!("{directory}/cpuinfo_max_freq"), &format!("{max}\n"));
        }
        let root = tree.root();
        let mut reading = Reading::new(&root);
        let shown: Vec<_> = frequencies(&mut reading, &cores())
            .iter()
            .map(|f| format!("{:?}-{:?} {}", f.minimum_khz, f.maximum_khz, f.cpus))
            .collect();
        assert_eq!(shown, ["Some(400000)-Some(4700000) 0-1", "Some(400000)-Some(3400000) 2-3"]);
        assert_eq!(reading.finish(), []);
    }
}
