//! Hosts with equal features are one class: what is asked of features costs by the class, not by the host.

use std::collections::{BTreeMap, HashMap};

use vmuster_proto::model::{AbsentFeature, FeatureSet, HostClass};

use super::{HostFeatures, count};

/// Hosts with equal features.
pub(super) struct Class<'a> {
    pub(super) features: &'a FeatureSet,
    /// Sorted.
    pub(super) hosts: Vec<&'a str>,
}

impl Class<'_> {
    pub(super) fn to_model(&self) -> HostClass {
        HostClass { hosts: owned(&self.hosts), feature_count: count(self.features.len()) }
    }
}

/// Largest first, then by the first host's name.
pub(super) fn classes<'a>(hosts: &[&HostFeatures<'a>]) -> Vec<Class<'a>> {
    let mut places = HashMap::<&FeatureSet, usize>::new();
    let mut classes: Vec<Class<'a>> = Vec::new();
    for host in hosts {
        let place = *places.entry(host.features).or_insert(classes.len());
        match classes.get_mut(place) {
            Some(class) => class.hosts.push(host.host),
            None => classes.push(Class { features: host.features, hosts: vec![host.host] }),
        }
    }
    for class in &mut classes {
        class.hosts.sort_unstable();
    }
    classes.sort_unstable_by(|a, b| b.hosts.len().cmp(&a.hosts.len()).then_with(|| a.hosts.cmp(&b.hosts)));
    classes
}

/// What all have; None of nobody.
pub(super) fn common<'a>(sets: impl IntoIterator<Item = &'a FeatureSet>) -> Option<FeatureSet> {
    let mut sets = sets.into_iter();
    let first = sets.next()?.clone();
    Some(sets.fold(first, |common, set| common.intersection(set)))
}

/// For each feature that some but not all classes have: which lack it.
pub(super) fn absent(classes: &[Class<'_>], common: &FeatureSet) -> Vec<AbsentFeature> {
    let all = classes.iter().fold(FeatureSet::default(), |all, class| all.union(class.features));
    let differing = all.difference(common);
    let mut absent: Vec<AbsentFeature> = differing
        .names()
        .into_iter()
        .map(|name| AbsentFeature { name: name.to_owned(), lacking_classes: Vec::new() })
        .collect();
    for (index, class) in (0u32..).zip(classes) {
        // Both lists are sorted, so the search begins where the last one ended.
        let mut rest = absent.iter_mut();
        for name in differing.difference(class.features).names() {
            if let Some(feature) = rest.find(|feature| feature.name == name) {
                feature.lacking_classes.push(index);
            }
        }
    }
    absent
}

/// Features that only one host takes away: what is common without its class, where it is alone in it.
pub(super) fn sole_blockers(classes: &[Class<'_>], common: &FeatureSet) -> BTreeMap<String, FeatureSet> {
    let mut blockers = BTreeMap::new();
    // What all classes from here on share; the last has none after it.
    let mut after = vec![None::<FeatureSet>; classes.len()];
    for index in (1..classes.len()).rev() {
        after[index - 1] = Some(both(after[index].as_ref(), classes[index].features));
    }
    let mut before = None::<FeatureSet>;
    for (class, after) in classes.iter().zip(&after) {
        if let [host] = class.hosts.as_slice() {
            let others = match (&before, after) {
                (Some(before), Some(after)) => Some(before.intersection(after)),
                (one, other) => one.as_ref().or(other.as_ref()).cloned(),
            };
            let gained = others.map(|others| others.difference(common)).filter(|gained| !gained.is_empty());
            blockers.extend(gained.map(|gained| ((*host).to_owned(), gained)));
        }
        before = Some(both(before.as_ref(), class.features));
    }
    blockers
}

fn both(shared: Option<&FeatureSet>, set: &FeatureSet) -> FeatureSet {
    shared.map_or_else(|| set.clone(), |shared| shared.intersection(set))
}

pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
