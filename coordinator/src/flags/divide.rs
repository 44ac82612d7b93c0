//! How could a group be divided so that its parts share more?
//!
//! Begins with the classes, each a part of its own, and joins the two whose union loses least, again and again: every host
//! counts the features it has and its part does not share. Ties go to the larger classes, so the answer depends on the
//! hosts alone and not on their order.

use vmuster_proto::model::{Division, DivisionPart, FeatureSet};

use super::{
    classes::{Class, owned},
    count,
};

/// A fleet has a handful of classes. The work grows with their square: so many take 20 ms of one CPU.
pub(super) const CLASSES_MAX: usize = 512;

/// Parts more than a person would want to manage.
pub const PARTS_MAX: u32 = 8;

/// Divisions in 2 to at most `parts_max` parts, or why there is none though hosts differ.
pub(super) fn divisions(
    classes: &[Class<'_>],
    common: &FeatureSet,
    parts_max: u32,
    level_of: impl Fn(&FeatureSet) -> Option<u32>,
) -> Result<Vec<Division>, String> {
    if classes.len() > CLASSES_MAX {
        return Err(format!(
            "the hosts are of {} sorts, and more than {CLASSES_MAX} are not compared; ask about fewer hosts",
            classes.len()
        ));
    }
    let parts_max = parts_max.min(PARTS_MAX) as usize;
    let mut parts: Vec<Part> =
        classes.iter().enumerate().map(|(index, class)| Part::of(index, class)).collect();
    let mut losses = Losses::new(&parts);
    let mut divisions = Vec::new();
    loop {
        let left = parts.iter().filter(|part| !part.classes.is_empty()).count();
        if left < 2 {
            break;
        }
        if left <= parts_max {
            divisions.push(division(&parts, classes, common, &level_of));
        }
        let Some((into, from)) = losses.least() else { break };
        let other = std::mem::take(&mut parts[from]);
        parts[into].join(other);
        losses.joined(&parts, into, from);
    }
    divisions.reverse();
    Ok(divisions)
}

/// Classes taken together; no class: it was joined to another.
#[derive(Default)]
struct Part {
    classes: Vec<usize>,
    common: FeatureSet,
    common_len: usize,
    host_count: usize,
}

impl Part {
    fn of(index: usize, class: &Class<'_>) -> Self {
        let (common, common_len) = (class.features.clone(), class.features.len());
        Self { classes: vec![index], common, common_len, host_count: class.hosts.len() }
    }

    fn join(&mut self, other: Self) {
        self.common = self.common.intersection(&other.common);
        self.common_len = self.common.len();
        self.classes.extend(other.classes);
        self.host_count += other.host_count;
    }

    /// Features that the hosts of both lose together when the two are joined.
    fn loss(&self, other: &Self) -> usize {
        let shared = self.common.intersection_len(&other.common);
        self.host_count * (self.common_len - shared) + other.host_count * (other.common_len - shared)
    }
}

/// For each part the later one it is cheapest to join; so a step looks at one number a part, not one a pair.
struct Losses {
    /// None: nothing comes after it, or it was joined to another.
    nearest: Vec<Option<(usize, usize)>>,
}

impl Losses {
    fn new(parts: &[Part]) -> Self {
        Self { nearest: (0..parts.len()).map(|index| nearest(parts, index)).collect() }
    }

    /// The pair that loses least, the earlier one first.
    fn least(&self) -> Option<(usize, usize)> {
        let found =
            self.nearest.iter().enumerate().filter_map(|(index, near)| near.map(|near| (near, index)));
        found
            .min_by_key(|((loss, other), index)| (*loss, *index, *other))
            .map(|((_, other), index)| (index, other))
    }

    fn joined(&mut self, parts: &[Part], into: usize, from: usize) {
        self.nearest[from] = None;
        for index in 0..into.max(from) {
            if parts[index].classes.is_empty() {
                continue;
            }
            let lost = self.nearest[index].is_some_and(|(_, other)| other == into || other == from);
            if index == into || lost {
                self.nearest[index] = nearest(parts, index);
            } else if index < into {
                // The joined part may now be the nearest one.
                let new = (parts[index].loss(&parts[into]), into);
                self.nearest[index] = self.nearest[index].min(Some(new)).or(Some(new));
            }
        }
    }
}

fn nearest(parts: &[Part], index: usize) -> Option<(usize, usize)> {
    let later = parts.iter().enumerate().skip(index + 1).filter(|(_, part)| !part.classes.is_empty());
    later.map(|(other, part)| (parts[index].loss(part), other)).min()
}

fn division(
    parts: &[Part],
    classes: &[Class<'_>],
    common: &FeatureSet,
    level_of: &impl Fn(&FeatureSet) -> Option<u32>,
) -> Division {
    let part = |part: &Part| {
        let hosts =
            part.classes.iter().filter_map(|index| classes.get(*index)).flat_map(|class| &class.hosts);
        let mut hosts: Vec<&str> = hosts.copied().collect();
        hosts.sort_unstable();
        DivisionPart {
            hosts: owned(&hosts),
            feature_count: count(part.common_len),
            gained: part.common.difference(common),
            psabi_level: level_of(&part.common),
        }
    };
    let mut parts: Vec<_> = parts.iter().filter(|part| !part.classes.is_empty()).map(part).collect();
    parts.sort_by(|a, b| b.hosts.len().cmp(&a.hosts.len()).then_with(|| a.hosts.cmp(&b.hosts)));
    Division { parts }
}
