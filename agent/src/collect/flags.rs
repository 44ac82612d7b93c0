//! Which CPU flags every online CPU shows, and which only some.

use std::collections::BTreeMap;

use vmuster_proto::model::{CpuSet, FeatureSet, Issue, IssueKind};

use crate::parse::cpuinfo::Cpuinfo;

const SECTION: &str = "cpu.host_flags";
const SOURCE: &str = "/proc/cpuinfo";

/// Flags of the online CPUs.
#[derive(Debug, Default)]
pub(super) struct HostFlags {
    /// On every online CPU; None if not known.
    pub(super) on_all: Option<FeatureSet>,
    /// On some only, with the CPUs that show them.
    pub(super) not_on_all: BTreeMap<String, CpuSet>,
    /// Online CPUs whose flags the file does not tell.
    pub(super) untold: CpuSet,
}

pub(super) fn of(info: &Cpuinfo, online: &CpuSet, issues: &mut Vec<Issue>) -> HostFlags {
    let mut groups: BTreeMap<usize, CpuSet> = BTreeMap::new();
    for processor in info.processors.iter().filter(|processor| online.contains(processor.id)) {
        if let Some(list) = processor.flags {
            groups.entry(list).or_default().insert(processor.id);
        }
    }
    let told: CpuSet = groups.values().flat_map(CpuSet::iter).collect();
    if groups.is_empty() && !info.processors.is_empty() {
        let kind = if info.flag_lists.is_empty() { IssueKind::Unsupported } else { IssueKind::Missing };
        let arch = info.arch.unwrap_or("this architecture");
        issues.push(Issue::new(
            SECTION,
            SOURCE,
            kind,
            format!("no flags of an online CPU are there ({arch})"),
        ));
        return HostFlags::default();
    }
    let untold = online.difference(&told);
    if !untold.is_empty() {
        let detail =
            format!("CPUs {untold} are online and their flags are not there: what all have is not known");
        issues.push(Issue::new(SECTION, SOURCE, IssueKind::Missing, detail));
    }
    let sets: Vec<(FeatureSet, CpuSet)> = groups
        .into_iter()
        .filter_map(|(list, cpus)| Some((feature_set(info.flag_lists.get(list)?, issues), cpus)))
        .collect();
    let on_told = sets.iter().map(|(set, _)| set.clone()).reduce(|all, set| all.intersection(&set));
    // A CPU that was not read may lack any flag.
    let on_all = on_told.filter(|_| untold.is_empty());
    let mut not_on_all: BTreeMap<String, CpuSet> = BTreeMap::new();
    for (set, cpus) in &sets {
        let rare = on_all.as_ref().map(|all| set.difference(all)).unwrap_or_default();
        for name in rare.names() {
            let having = not_on_all.entry(name.to_owned()).or_default();
            for cpu in cpus.iter() {
                having.insert(cpu);
            }
        }
    }
    HostFlags { on_all, not_on_all, untold }
}

/// Names that cannot be a flag are left out, and told.
fn feature_set(names: &[String], issues: &mut Vec<Issue>) -> FeatureSet {
    if let Ok(set) = FeatureSet::from_names(names.iter().map(String::as_str)) {
        return set;
    }
    let mut good = Vec::new();
    for name in names {
        match FeatureSet::from_names([name.as_str()]) {
            Ok(_) => good.push(name.as_str()),
            Err(error) => issues.push(Issue::new(SECTION, SOURCE, IssueKind::Malformed, error.to_string())),
        }
    }
    FeatureSet::from_names(good).unwrap_or_default()
}
