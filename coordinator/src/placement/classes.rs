//! The classes that are kept between decisions: those asked for last.
//!
//! Knows demands and profiles by value. Must not know batches. What was thrown away is made anew, and says the same.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    class::{self, Class},
    columns::Columns,
    need::{Lists, Need},
    request::{Demand, Profile},
};

/// Classes kept at most. Real streams have 15 to 460. Tests keep few, so that they throw some away.
const KEPT_MAX: usize = if cfg!(test) { 3 } else { 1024 };

/// Scores kept at most, all classes together: 8 bytes each, so 64 MiB.
const KEPT_SCORES_MAX: usize = 8 << 20;

/// Classes that are kept however many hosts there are: below it, a mixed stream would make them anew all the time.
const KEPT_MIN: usize = if cfg!(test) { 2 } else { 16 };

type Key = (Arc<Demand>, Profile);

#[derive(Debug)]
struct Kept {
    class: Class,
    key: Key,
    last_used: u64,
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct Classes {
    kept: Vec<Kept>,
    places: HashMap<Key, usize>,
    uses: u64,
    /// The place asked for last.
    last: usize,
    /// Room to work in.
    due: Vec<usize>,
    /// Of classes thrown away: places that were told before hold no more once it grows.
    pub(super) evictions: u64,
}

impl Classes {
    /// The place of this class; made if it is not kept.
    pub(super) fn place(
        &mut self,
        demand: &Arc<Demand>,
        profile: Profile,
        lists: &Lists,
        columns: &Columns,
    ) -> usize {
        self.uses += 1;
        let key = (Arc::clone(demand), profile);
        // Mostly the one asked for last: comparing costs less than hashing.
        let is_last = self.kept.get(self.last).is_some_and(|kept| kept.key == key);
        let place = if is_last { Some(self.last) } else { self.places.get(&key).copied() };
        if let Some(place) = place {
            self.kept[place].last_used = self.uses;
            self.last = place;
            return place;
        }
        let class = Class::new(Need::new(demand, lists.clone(), columns), profile, columns);
        self.keep(class, key, columns)
    }

    /// Makes those that are not kept, all at once; what finds no place is made when it is asked for.
    pub(super) fn make<'a>(
        &mut self,
        demands: impl Iterator<Item = &'a Arc<Demand>>,
        profile: Profile,
        lists: &Lists,
        columns: &Columns,
    ) {
        let mut keys: Vec<Key> = Vec::new();
        let mut met: BTreeSet<*const Demand> = BTreeSet::new();
        let mut known: HashSet<Key> = HashSet::new();
        for demand in demands.filter(|demand| met.insert(Arc::as_ptr(demand))) {
            let key = (Arc::clone(demand), profile);
            if keys.len() < kept_max(columns.len())
                && !self.places.contains_key(&key)
                && known.insert(key.clone())
            {
                keys.push(key);
            }
        }
        let need = |key: &Key| Need::new(&key.0, lists.clone(), columns);
        let mut classes: Vec<Class> =
            keys.iter().map(|key| Class::unseen(need(key), profile, columns)).collect();
        class::look(&mut classes, columns);
        for (class, key) in classes.into_iter().zip(keys) {
            self.keep(class, key, columns);
        }
    }

    fn keep(&mut self, class: Class, key: Key, columns: &Columns) -> usize {
        self.uses += 1;
        let kept = Kept { class, key: key.clone(), last_used: self.uses };
        let place = if self.kept.len() < kept_max(columns.len()) {
            self.kept.push(kept);
            self.kept.len() - 1
        } else {
            self.evictions += 1;
            let oldest = (0..self.kept.len()).min_by_key(|place| self.kept[*place].last_used).unwrap_or(0);
            self.places.remove(&self.kept[oldest].key);
            self.kept[oldest] = kept;
            oldest
        };
        self.places.insert(key, place);
        self.last = place;
        place
    }

    /// The class at this place, up to date.
    pub(super) fn current(&mut self, place: usize, columns: &Columns) -> &Class {
        let class = &mut self.kept[place].class;
        class.catch_up(columns, &mut self.due);
        class
    }
}

fn kept_max(host_count: usize) -> usize {
    (KEPT_SCORES_MAX / host_count.max(1)).clamp(KEPT_MIN, KEPT_MAX)
}
