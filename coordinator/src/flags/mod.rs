//! Which CPU flags do hosts share? Pure: facts in, answer out.
//!
//! The host layer has one group an architecture, across vendors. Equal feature sets cost one, however many hosts have
//! them: 10,000 hosts are a handful of classes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vmuster_proto::model::{AbsentFeature, FeatureSet, FlagsGroup, HostClass};

/// What one host brings to the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFeatures<'a> {
    /// The registry's name; distinct.
    pub host: &'a str,
    /// As uname -m prints it.
    pub arch: &'a str,
    /// None: not known.
    pub vendor: Option<&'a str>,
    /// Of the asked layer.
    pub features: &'a FeatureSet,
    /// None: not known.
    pub physical_address_bits: Option<u32>,
}

/// What else the answer should tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Detail {
    /// Name every host.
    pub hosts: bool,
    /// Classes of hosts, and which of them lack what.
    pub absent: bool,
}

/// Hosts with equal features.
struct Class<'a> {
    features: &'a FeatureSet,
    hosts: Vec<&'a str>,
}

/// The common flags of each architecture, by its name.
#[must_use]
pub fn common_host_flags(hosts: &[HostFeatures<'_>], detail: Detail) -> Vec<FlagsGroup> {
    let mut by_arch = BTreeMap::<&str, Vec<&HostFeatures<'_>>>::new();
    for host in hosts {
        by_arch.entry(host.arch).or_default().push(host);
    }
    by_arch.into_iter().map(|(arch, hosts)| group(arch, &hosts, detail)).collect()
}

fn group(arch: &str, hosts: &[&HostFeatures<'_>], detail: Detail) -> FlagsGroup {
    let classes = classes(hosts);
    let mut sets = classes.iter().map(|class| class.features);
    // A group has at least one host, so at least one class.
    let first = sets.next().cloned().unwrap_or_default();
    let (common, union) = sets
        .fold((first.clone(), first), |(common, union), set| (common.intersection(set), union.union(set)));
    let absent = absent(&classes, &union.difference(&common));
    let vendors: BTreeSet<String> = hosts.iter().filter_map(|host| host.vendor).map(str::to_owned).collect();
    let all_vendors_known = hosts.iter().all(|host| host.vendor.is_some());
    let one_vendor = vendors.first().filter(|_| vendors.len() == 1 && all_vendors_known).cloned();
    let mut names: Vec<&str> = hosts.iter().map(|host| host.host).collect();
    names.sort_unstable();
    FlagsGroup {
        arch: arch.to_owned(),
        vendor: one_vendor,
        vendors,
        features: common,
        host_count: count(hosts.len()),
        hosts: if detail.hosts { owned(&names) } else { Vec::new() },
        sole_blockers: sole_blockers(&classes, &absent),
        // One unknown width makes the smallest unknown.
        physical_address_bits: hosts
            .iter()
            .map(|host| host.physical_address_bits)
            .collect::<Option<Vec<u32>>>()
            .and_then(|widths| widths.into_iter().min()),
        classes: if detail.absent { classes.iter().map(Class::to_model).collect() } else { Vec::new() },
        absent: if detail.absent { absent } else { Vec::new() },
        ..FlagsGroup::default()
    }
}

/// Largest first, then by the first host's name.
fn classes<'a>(hosts: &[&HostFeatures<'a>]) -> Vec<Class<'a>> {
    let mut by_features = HashMap::<&FeatureSet, Vec<&'a str>>::new();
    for host in hosts {
        by_features.entry(host.features).or_default().push(host.host);
    }
    let class = |(features, mut hosts): (&'a FeatureSet, Vec<&'a str>)| {
        hosts.sort_unstable();
        Class { features, hosts }
    };
    let mut classes: Vec<Class<'a>> = by_features.into_iter().map(class).collect();
    classes.sort_unstable_by(|a, b| b.hosts.len().cmp(&a.hosts.len()).then_with(|| a.hosts.cmp(&b.hosts)));
    classes
}

fn absent(classes: &[Class<'_>], names: &FeatureSet) -> Vec<AbsentFeature> {
    let lacking = |name: &str| {
        let indexed = (0u32..).zip(classes);
        indexed.filter(|(_, class)| !class.features.contains(name)).map(|(index, _)| index).collect()
    };
    let names = names.names();
    names
        .into_iter()
        .map(|name| AbsentFeature { name: name.to_owned(), lacking_classes: lacking(name) })
        .collect()
}

/// Features that only one host takes away: the only class that lacks it has only that host.
fn sole_blockers(classes: &[Class<'_>], absent: &[AbsentFeature]) -> BTreeMap<String, FeatureSet> {
    let mut blocked = BTreeMap::<&str, Vec<&str>>::new();
    for feature in absent {
        let [index] = feature.lacking_classes.as_slice() else { continue };
        if let Some([host]) = classes.get(*index as usize).map(|class| class.hosts.as_slice()) {
            blocked.entry(host).or_default().push(&feature.name);
        }
    }
    // The names come out of feature sets, so they are feature names.
    let set = |names: Vec<&str>| FeatureSet::from_names(names).unwrap_or_default();
    blocked.into_iter().map(|(host, names)| (host.to_owned(), set(names))).collect()
}

impl Class<'_> {
    fn to_model(&self) -> HostClass {
        HostClass { hosts: owned(&self.hosts), feature_count: count(self.features.len()) }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
