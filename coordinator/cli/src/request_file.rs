//! A placement request as a file says it: YAML, every key known.

use std::collections::BTreeMap;

use serde::Deserialize;
use vmuster_proto::model::{
    AffinityRule, Bytes, Completeness, CpuPolicy, DiskDemand, DiskPlace, EmulatorThreads, FeatureSet,
    GuestTopology, GuestTopologyCell, INSTANCES_MAX, InstanceGroup, InstanceTemplate, PageChoice,
    ThreadPolicy,
};

use crate::{
    args::{PagesArgument, equal_cells},
    exit::Failure,
};

/// A request of 10,000 UUIDs has 400 KB.
pub(crate) const FILE_MAX_BYTES: usize = 4 << 20;

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestFile {
    /// Sorts of instances, placed in this order.
    groups: Vec<GroupEntry>,
    /// "all" (the default) or "best_effort".
    #[serde(default)]
    completeness: Option<CompletenessEntry>,
    /// Instead: at least so many.
    #[serde(default)]
    min_count: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CompletenessEntry {
    All,
    BestEffort,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupEntry {
    #[serde(default)]
    name: String,
    /// How many; 1 unless `uuids` says which.
    count: Option<u32>,
    #[serde(default)]
    uuids: Vec<String>,
    vcpus: u32,
    memory: Size,
    #[serde(default)]
    disks: Vec<DiskEntry>,
    #[serde(default)]
    required_features: Vec<String>,
    #[serde(default)]
    forbidden_features: Vec<String>,
    cpu_model: Option<String>,
    arch: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Where they may be beside others.
    #[serde(default)]
    rules: Vec<AffinityRule>,
    /// NUMA cells that they are bound to.
    numa: Option<NumaEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumaEntry {
    cells: CellsEntry,
    #[serde(default)]
    cpu_policy: CpuPolicy,
    #[serde(default)]
    thread_policy: ThreadPolicy,
    #[serde(default)]
    emulator_threads: EmulatorThreads,
    /// As `--pages`.
    pages: Option<String>,
}

/// So many with equal shares, or each as it is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CellsEntry {
    Equal(u32),
    Each(Vec<CellEntry>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CellEntry {
    vcpus: u32,
    memory: Size,
    #[serde(default)]
    dedicated_vcpus: u32,
}

impl NumaEntry {
    fn topology(self, vcpus: u32, memory: Bytes) -> Result<GuestTopology, Failure> {
        let refused = |problem: String| Failure::usage(format!("--file: numa: {problem}"));
        let cell = |cell: CellEntry| GuestTopologyCell {
            vcpus: cell.vcpus,
            memory_bytes: cell.memory.0,
            dedicated_vcpus: cell.dedicated_vcpus,
        };
        let pages = self.pages.map(|pages| pages.parse::<PagesArgument>()).transpose().map_err(refused)?;
        Ok(GuestTopology {
            cells: match self.cells {
                CellsEntry::Equal(count) => equal_cells(count, vcpus, memory).map_err(refused)?,
                CellsEntry::Each(cells) => cells.into_iter().map(cell).collect(),
            },
            cpu_policy: self.cpu_policy,
            thread_policy: self.thread_policy,
            emulator_threads: self.emulator_threads,
            pages: pages.map_or(PageChoice::Ordinary, |pages| pages.0),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskEntry {
    size: Size,
    pool: Option<String>,
    storage_class: Option<String>,
}

/// "8GiB", or a number of bytes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "SizeText")]
struct Size(Bytes);

#[derive(Deserialize)]
#[serde(untagged)]
enum SizeText {
    Number(u64),
    Text(String),
}

impl TryFrom<SizeText> for Size {
    type Error = String;

    fn try_from(size: SizeText) -> Result<Self, String> {
        match size {
            SizeText::Number(bytes) => Ok(Self(Bytes(bytes))),
            SizeText::Text(text) => text.parse().map(Self).map_err(|error| format!("{error}")),
        }
    }
}

/// Groups and how many of all must find a host; `uuid_of` makes the UUIDs that the file leaves out, by number.
pub(crate) fn parse(
    text: &str,
    uuid_of: impl Fn(usize) -> String,
) -> Result<(Vec<InstanceGroup>, Completeness), Failure> {
    let file: RequestFile =
        serde_saphyr::from_str(text).map_err(|error| Failure::usage(format!("--file: {error}")))?;
    let completeness = match (file.completeness, file.min_count) {
        (None | Some(CompletenessEntry::All), None) => Completeness::All,
        (Some(CompletenessEntry::BestEffort), None) => Completeness::BestEffort,
        (None, Some(count)) => Completeness::AtLeast(count),
        (Some(_), Some(_)) => return Err(Failure::usage("--file: give completeness or min_count, not both")),
    };
    let mut groups = Vec::new();
    let mut count = 0;
    for entry in file.groups {
        let group = group(entry, &mut count, &uuid_of)?;
        groups.push(group);
    }
    Ok((groups, completeness))
}

fn group(
    entry: GroupEntry,
    all: &mut usize,
    uuid_of: &impl Fn(usize) -> String,
) -> Result<InstanceGroup, Failure> {
    let uuids = match (entry.count, entry.uuids.is_empty()) {
        (Some(_), false) => return Err(Failure::usage("--file: give count or uuids of a group, not both")),
        (None, false) => entry.uuids,
        (count, true) => {
            let count = count.unwrap_or(1) as usize;
            if *all + count > INSTANCES_MAX {
                return Err(Failure::usage(format!("--file: more than {INSTANCES_MAX} instances")));
            }
            (*all..*all + count).map(uuid_of).collect()
        }
    };
    *all += uuids.len();
    let features = |names: &[String]| {
        FeatureSet::from_names(names.iter().map(String::as_str))
            .map_err(|error| Failure::usage(format!("--file: {error}")))
    };
    let disk = |disk: DiskEntry| {
        let on = match (disk.pool, disk.storage_class) {
            (None, None) => DiskPlace::Default,
            (Some(pool), None) => DiskPlace::Pool(pool),
            (None, Some(class)) => DiskPlace::StorageClass(class),
            (Some(_), Some(_)) => {
                return Err(Failure::usage("--file: give a disk's pool or storage_class, not both"));
            }
        };
        Ok(DiskDemand { size_bytes: disk.size.0, on })
    };
    Ok(InstanceGroup {
        name: entry.name,
        uuids,
        template: InstanceTemplate {
            vcpus: entry.vcpus,
            memory_bytes: entry.memory.0,
            disks: entry.disks.into_iter().map(disk).collect::<Result<_, _>>()?,
            required_features: features(&entry.required_features)?,
            forbidden_features: features(&entry.forbidden_features)?,
            cpu_model: entry.cpu_model,
            arch: entry.arch,
            labels: entry.labels,
            numa: entry.numa.map(|numa| numa.topology(entry.vcpus, entry.memory.0)).transpose()?,
        },
        rules: entry.rules,
    })
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::AffinityPolicy;

    use super::*;

    fn parsed(text: &str) -> Result<(Vec<InstanceGroup>, Completeness), Failure> {
        parse(text, |number| format!("u{number}"))
    }

    #[test]
    fn groups_come_in_their_order_with_sizes_in_any_unit() {
        let (groups, completeness) = parsed(
            "min_count: 3
groups:
  - name: web
    count: 2
    vcpus: 2
    memory: 4GiB
    disks: [{size: 20GiB}, {size: 1073741824, storage_class: ssd}]
    required_features: [avx2]
    labels: {zone: a}
    rules: [{group: web, policy: anti_affinity, topology_key: rack, partition: '1'}, {group: web, policy: soft_affinity}]
    numa: {cells: 2, cpu_policy: dedicated, emulator_threads: isolate, pages: 2MiB}
  - uuids: [one, two]
    vcpus: 8
    memory: 1024M
    numa:
      cells: [{vcpus: 6, memory: 1000M, dedicated_vcpus: 4}, {vcpus: 2, memory: 24M}]
      cpu_policy: mixed
      pages: any
    disks: [{size: 1GiB, pool: fast}]
",
        )
        .expect("valid");
        assert_eq!(completeness, Completeness::AtLeast(3));
        assert_eq!(groups[0].uuids, ["u0", "u1"]);
        assert_eq!(groups[1].uuids, ["one", "two"]);
        let [first, second] = [0, 1].map(|group: usize| groups[group].template.numa.clone().expect("bound"));
        let half = GuestTopologyCell { vcpus: 1, memory_bytes: Bytes(2 << 30), dedicated_vcpus: 0 };
        assert_eq!((first.cells, first.cpu_policy), (vec![half, half], CpuPolicy::Dedicated));
        assert_eq!((first.pages, second.pages), (PageChoice::Bytes(Bytes(2 << 20)), PageChoice::Any));
        assert_eq!((second.cells[0].dedicated_vcpus, second.cells[1].memory_bytes), (4, Bytes(24 << 20)));
        assert_eq!(groups[0].template.memory_bytes, Bytes(4 << 30));
        assert_eq!(groups[0].template.disks[1].on, DiskPlace::StorageClass("ssd".to_owned()));
        assert_eq!(groups[1].template.disks[0].on, DiskPlace::Pool("fast".to_owned()));
        assert!(groups[0].template.required_features.contains("avx2"));
        let rule = AffinityRule {
            group: "web".to_owned(),
            policy: AffinityPolicy::AntiAffinity,
            topology_key: Some("rack".to_owned()),
            partition: Some("1".to_owned()),
        };
        assert_eq!(groups[0].rules[0], rule);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, words) in [
            ("groups: [{vcpus: 1, memory: 1GiB, cpus: 2}]", "cpus"),
            ("groups: [{vcpus: 1, memory: lots}]", "lots"),
            ("groups: [{vcpus: 1, memory: 1GiB, rules: [{group: a, policy: near}]}]", "near"),
            ("groups: [{vcpus: 1}]", "memory"),
            ("groups: [{vcpus: 1, memory: 1GiB, count: 1, uuids: [x]}]", "count or uuids"),
            ("groups: [{vcpus: 1, memory: 1GiB, count: 20000}]", "more than 10000"),
            (
                "groups: [{vcpus: 1, memory: 1GiB, disks: [{size: 1GiB, pool: a, storage_class: b}]}]",
                "pool or storage_class",
            ),
        ] {
            let refused = parsed(text).expect_err(text).to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
