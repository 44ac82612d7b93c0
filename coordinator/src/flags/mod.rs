//! Which CPU flags do hosts share? Pure: facts in, answer out.
//!
//! The host layer has one group an architecture, across vendors. The guest layer has one an architecture and vendor: no
//! guest moves between vendors, so they are never intersected unasked. Equal feature sets cost one, however many hosts
//! have them: 10,000 hosts are a handful of classes.

mod classes;
mod divide;
mod psabi;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use vmuster_proto::model::{FeatureSet, FlagsGroup, Layer, UnknownFact, WhatIf};

use classes::{Class, absent, classes, common, owned, sole_blockers};
pub use divide::PARTS_MAX;
pub use psabi::psabi_level;

/// Hosts named for each fact that is not known; the count says how many there are.
const UNKNOWN_NAMED_MAX: usize = 10;

/// What one host brings to the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFeatures<'a> {
    /// The registry's name; distinct.
    pub host: &'a str,
    /// As uname -m prints it.
    pub arch: &'a str,
    /// As /proc/cpuinfo spells it. None: not known.
    pub vendor: Option<&'a str>,
    /// Of the asked layer.
    pub features: &'a FeatureSet,
    /// Of the asked layer. None: not known.
    pub physical_address_bits: Option<u32>,
    /// Names of machine types. None: not reported; the host layer has none.
    pub machine_types: Option<&'a FeatureSet>,
    /// Names of CPU models that run as they are. None: as above.
    pub usable_models: Option<&'a FeatureSet>,
}

/// What else the answer should tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// Name every host.
    pub hosts: bool,
    /// Classes of hosts, and which of them lack what.
    pub absent: bool,
    /// What each group would gain without these hosts.
    pub without: BTreeSet<String>,
    /// Divide each group, in 2 to so many parts; 0: do not. At most [`PARTS_MAX`].
    pub suggest_parts_max: u32,
}

/// The common flags of each architecture (guest layer: and vendor), sorted.
#[must_use]
pub fn common_flags(layer: Layer, hosts: &[HostFeatures<'_>], detail: &Detail) -> Vec<FlagsGroup> {
    let mut groups = BTreeMap::<(&str, Option<&str>), Vec<&HostFeatures<'_>>>::new();
    for host in hosts {
        let vendor = host.vendor.filter(|_| layer == Layer::Guest);
        groups.entry((host.arch, vendor)).or_default().push(host);
    }
    groups.into_iter().map(|((arch, _), hosts)| group(layer, arch, &hosts, detail)).collect()
}

fn group(layer: Layer, arch: &str, hosts: &[&HostFeatures<'_>], detail: &Detail) -> FlagsGroup {
    let level_of =
        |features: &FeatureSet| (layer == Layer::Guest && arch == "x86_64").then(|| psabi_level(features));
    let classes = classes(hosts);
    // A group has at least one host, so at least one class.
    let features = common(classes.iter().map(|class| class.features)).unwrap_or_default();
    let vendors: BTreeSet<&str> = hosts.iter().filter_map(|host| host.vendor).collect();
    let one_vendor = vendors.len() == 1 && hosts.iter().all(|host| host.vendor.is_some());
    let mut group = FlagsGroup {
        arch: arch.to_owned(),
        vendor: vendors.first().filter(|_| one_vendor).map(|vendor| (*vendor).to_owned()),
        vendors: vendors.into_iter().map(str::to_owned).collect(),
        host_count: count(hosts.len()),
        hosts: if detail.hosts { names(hosts) } else { Vec::new() },
        sole_blockers: sole_blockers(&classes, &features),
        physical_address_bits: narrowest(hosts.iter().copied()),
        psabi_level: level_of(&features),
        what_if: what_if(hosts, &classes, &features, &detail.without, level_of),
        ..FlagsGroup::default()
    };
    if layer == Layer::Guest {
        group.machine_types = shared(hosts, "machine_types", |host| host.machine_types, &mut group.unknown);
        group.usable_models = shared(hosts, "usable_models", |host| host.usable_models, &mut group.unknown);
    }
    if detail.absent {
        group.classes = classes.iter().map(Class::to_model).collect();
        group.absent = absent(&classes, &features);
    }
    if detail.suggest_parts_max > 0 {
        match divide::divisions(&classes, &features, detail.suggest_parts_max, level_of) {
            Ok(divisions) => group.suggestions = divisions,
            Err(why) => group.suggestions_refused = Some(why),
        }
    }
    group.features = features;
    group
}

/// The smallest width. One that is not known makes it unknown.
fn narrowest<'a, 'b: 'a>(hosts: impl Iterator<Item = &'a HostFeatures<'b>>) -> Option<u32> {
    let mut hosts = hosts.map(|host| host.physical_address_bits);
    let first = hosts.next()??;
    hosts.try_fold(first, |narrowest, bits| Some(narrowest.min(bits?)))
}

/// Names that every host has. Hosts that do not report theirs are noted, and then nothing is known of all.
fn shared<'a>(
    hosts: &[&HostFeatures<'a>],
    fact: &str,
    of: impl Fn(&HostFeatures<'a>) -> Option<&'a FeatureSet>,
    unknown: &mut Vec<UnknownFact>,
) -> Option<BTreeSet<String>> {
    let silent: Vec<_> = hosts.iter().copied().filter(|host| of(host).is_none()).collect();
    if !silent.is_empty() {
        let mut hosts = names(&silent);
        hosts.truncate(UNKNOWN_NAMED_MAX);
        unknown.push(UnknownFact { fact: fact.to_owned(), hosts, host_count: count(silent.len()) });
        return None;
    }
    // Many hosts have few lists.
    let distinct: HashSet<&FeatureSet> = hosts.iter().filter_map(|host| of(host)).collect();
    Some(common(distinct)?.names().into_iter().map(str::to_owned).collect())
}

/// The group without some of its hosts; None if it has none of them.
fn what_if(
    hosts: &[&HostFeatures<'_>],
    classes: &[Class<'_>],
    features: &FeatureSet,
    without: &BTreeSet<String>,
    level_of: impl Fn(&FeatureSet) -> Option<u32>,
) -> Option<WhatIf> {
    if without.is_empty() {
        return None;
    }
    let (gone, left): (Vec<_>, Vec<_>) = hosts.iter().copied().partition(|host| without.contains(host.host));
    if gone.is_empty() {
        return None;
    }
    let stays = |class: &&Class<'_>| class.hosts.iter().any(|host| !without.contains(*host));
    let shared = common(classes.iter().filter(stays).map(|class| class.features));
    Some(WhatIf {
        without: names(&gone),
        host_count: count(left.len()),
        gained: shared.as_ref().map(|shared| shared.difference(features)).unwrap_or_default(),
        psabi_level: shared.as_ref().and_then(level_of),
        physical_address_bits: narrowest(left.into_iter()),
    })
}

/// Sorted.
fn names(hosts: &[&HostFeatures<'_>]) -> Vec<String> {
    let mut names: Vec<&str> = hosts.iter().map(|host| host.host).collect();
    names.sort_unstable();
    owned(&names)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
