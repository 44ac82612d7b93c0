//! Definitions of guests that were read already: each costs a call of libvirt's, and few change between two questions.
//!
//! Knows when one has to be read again. Must not know libvirt.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use vmuster_agent::hypervisor::figures::DomainFigures;
use vmuster_proto::model::Domain;

/// libvirt tells of most changes and not of all: not of pins and devices changed for a stopped guest's next start.
const AGE_MAX: Duration = Duration::from_secs(30);

/// Read again for their age at one question, the oldest first: some 0.3 ms each.
const AGED_MAX: usize = 256;

/// What a definition must agree with: a difference in the figures is a change that needs no announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    is_active: bool,
    vcpus_max: Option<u32>,
    memory_max: Option<u64>,
    /// Of running guests.
    places: BTreeSet<String>,
}

impl Outline {
    pub(crate) fn of(figures: &DomainFigures, places: BTreeSet<String>) -> Self {
        Self {
            is_active: !matches!(figures.state.as_deref(), None | Some("shut_off" | "crashed")),
            vcpus_max: figures.vcpus_max,
            memory_max: figures.memory_max_bytes.map(|bytes| bytes.0),
            places,
        }
    }
}

#[derive(Debug)]
struct Kept {
    domain: Domain,
    outline: Outline,
    read_at: Instant,
}

/// By UUID.
#[derive(Debug, Default)]
pub(crate) struct Definitions(BTreeMap<String, Kept>);

impl Definitions {
    /// Which have to be read: new ones, those that changed, and the oldest of those that are old.
    pub(crate) fn due<'a>(
        &self,
        domains: impl IntoIterator<Item = (&'a str, &'a Outline)>,
        changed: &BTreeSet<String>,
        now: Instant,
    ) -> BTreeSet<&'a str> {
        let mut due = BTreeSet::new();
        let mut aged = Vec::new();
        for (uuid, outline) in domains {
            match self.0.get(uuid) {
                Some(kept) if !changed.contains(uuid) && kept.outline == *outline => {
                    if now.saturating_duration_since(kept.read_at) >= AGE_MAX {
                        aged.push((kept.read_at, uuid));
                    }
                }
                _ => {
                    due.insert(uuid);
                }
            }
        }
        aged.sort_unstable();
        due.extend(aged.into_iter().take(AGED_MAX).map(|(_, uuid)| uuid));
        due
    }

    /// Keeps what was read.
    pub(crate) fn keep(&mut self, domain: Domain, outline: Outline, now: Instant) {
        let kept = Kept { outline, read_at: now, domain };
        self.0.insert(kept.domain.uuid.clone(), kept);
    }

    /// Forgets those that are not there any more, and one that could not be read.
    pub(crate) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|uuid, _| is_there(uuid));
    }

    pub(crate) fn get(&self, uuid: &str) -> Option<&Domain> {
        self.0.get(uuid).map(|kept| &kept.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(state: &str, vcpus_max: u32, place: &str) -> Outline {
        let state = Some(state.to_owned());
        let figures = DomainFigures { state, vcpus_max: Some(vcpus_max), ..DomainFigures::default() };
        Outline::of(&figures, BTreeSet::from([place.to_owned()]))
    }

    fn domain(uuid: &str) -> Domain {
        Domain { uuid: uuid.to_owned(), ..Domain::default() }
    }

    #[test]
    fn what_changed_is_read_again() {
        let now = Instant::now();
        let mut kept = Definitions::default();
        let same = outline("running", 2, "/a");
        for uuid in ["a", "b", "c", "d", "f"] {
            kept.keep(domain(uuid), same.clone(), now);
        }
        let (stopped, larger) = (outline("shut_off", 2, "/a"), outline("running", 4, "/a"));
        let moved = outline("running", 2, "/snapshot");
        let seen = [("a", &same), ("b", &stopped), ("c", &larger), ("d", &same), ("e", &same), ("f", &moved)];
        let changed = BTreeSet::from(["d".to_owned()]);
        assert_eq!(kept.due(seen, &changed, now), BTreeSet::from(["b", "c", "d", "e", "f"]));
        kept.retain(|uuid| uuid == "a");
        assert_eq!((kept.get("a").is_some(), kept.get("b").is_some()), (true, false));
    }

    #[test]
    fn the_oldest_are_read_again_a_few_at_a_time() {
        let begin = Instant::now();
        let mut kept = Definitions::default();
        let same = outline("running", 2, "/a");
        let uuids: Vec<String> = (0..300).map(|i| format!("{i:03}")).collect();
        for (uuid, i) in uuids.iter().zip(0..) {
            kept.keep(domain(uuid), same.clone(), begin + Duration::from_millis(i));
        }
        let seen = || uuids.iter().map(|uuid| (uuid.as_str(), &same));
        let due = |now| kept.due(seen(), &BTreeSet::new(), now);
        assert_eq!(due(begin + AGE_MAX - Duration::from_millis(1)), BTreeSet::new());
        assert_eq!(due(begin + AGE_MAX + Duration::from_millis(9)).len(), 10);
        let many = due(begin + AGE_MAX * 2);
        assert_eq!((many.len(), many.contains("255"), many.contains("256")), (AGED_MAX, true, false));
    }
}
