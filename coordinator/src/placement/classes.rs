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
    scores::{Scores, Size},
};

/// Classes kept at most. Real streams have 15 to 460. Tests keep few, so that they throw some away.
const KEPT_MAX: usize = if cfg!(test) { 3 } else { 1024 };

/// Scores kept at most, if no two classes share any: 8 bytes each, so 64 MiB.
const KEPT_SCORES_MAX: usize = 8 << 20;

/// Classes that are kept however many hosts there are: below it, a mixed stream would make them anew all the time.
const KEPT_MIN: usize = if cfg!(test) { 2 } else { 16 };

type Key = (Arc<Demand>, Profile);

#[derive(Debug)]
struct Kept {
    class: Class,
    key: Key,
    /// Where its scores are.
    scores: usize,
    last_used: u64,
}

/// Scores, and how many classes go by them.
#[derive(Debug)]
struct Shared {
    scores: Scores,
    users: usize,
}

/// A class and its scores, both up to date.
#[derive(Debug)]
pub(super) struct Current<'a> {
    columns: &'a Columns,
    class: &'a mut Class,
    scores: &'a [f64],
}

impl<'a> Current<'a> {
    pub(super) fn need(&self) -> &Need {
        &self.class.need
    }

    /// The first of the best hosts, and its score; None: none can take it.
    pub(super) fn best(&mut self) -> Option<(usize, f64)> {
        self.class.best(self.columns, self.scores)
    }

    /// The score of a host; None: it cannot take it.
    pub(super) fn score_of(&self, host: usize) -> Option<f64> {
        self.class.score_of(host, self.columns, self.scores)
    }

    /// This one is not asked again until it is readmitted.
    pub(super) fn dismiss(&mut self, host: usize) {
        self.class.dismiss(host, self.scores);
    }

    /// One that was dismissed may take it again.
    pub(super) fn readmit(&mut self, host: usize) {
        self.class.admit(host, self.scores);
    }

    /// Hosts that can take it, in their order, with their scores.
    pub(super) fn fitting(&self) -> impl Iterator<Item = (usize, f64)> {
        self.class.fitting(self.columns).map(|host| (host, self.scores[host]))
    }
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct Classes {
    kept: Vec<Kept>,
    places: HashMap<Key, usize>,
    scores: Vec<Shared>,
    uses: u64,
    /// The place asked for last.
    last: usize,
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
        self.add(vec![key], lists, columns)
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
        self.add(keys, lists, columns);
    }

    /// The place of the last.
    fn add(&mut self, keys: Vec<Key>, lists: &Lists, columns: &Columns) -> usize {
        let scores: Vec<usize> =
            keys.iter().map(|key| self.share(Size::new(&key.0, key.1), columns)).collect();
        let class = |(key, scores): (&Key, &usize)| {
            let class = Class::unseen(Need::new(&key.0, lists.clone(), columns), columns);
            (class, &*self.scores[*scores].scores.values)
        };
        let mut classes: Vec<(Class, &[f64])> = keys.iter().zip(&scores).map(class).collect();
        class::look(&mut classes, columns);
        let classes: Vec<Class> = classes.into_iter().map(|(class, _)| class).collect();
        let mut last = 0;
        for ((key, class), scores) in keys.into_iter().zip(classes).zip(scores) {
            last = self.keep(class, key, scores, columns);
        }
        last
    }

    fn keep(&mut self, class: Class, key: Key, scores: usize, columns: &Columns) -> usize {
        self.uses += 1;
        let kept = Kept { class, key: key.clone(), scores, last_used: self.uses };
        let place = if self.kept.len() < kept_max(columns.len()) {
            self.kept.push(kept);
            self.kept.len() - 1
        } else {
            self.evictions += 1;
            let oldest = (0..self.kept.len()).min_by_key(|place| self.kept[*place].last_used).unwrap_or(0);
            self.places.remove(&self.kept[oldest].key);
            self.scores[self.kept[oldest].scores].users -= 1;
            self.kept[oldest] = kept;
            oldest
        };
        self.places.insert(key, place);
        self.last = place;
        place
    }

    /// Where scores for this size are, up to date, with one user more.
    fn share(&mut self, size: Size, columns: &Columns) -> usize {
        if let Some(at) = self.scores.iter().position(|shared| shared.scores.size == size) {
            self.scores[at].scores.catch_up(columns);
            self.scores[at].users += 1;
            return at;
        }
        let new = Shared { scores: Scores::new(size, columns), users: 1 };
        match self.scores.iter().position(|shared| shared.users == 0) {
            Some(unused) => {
                self.scores[unused] = new;
                unused
            }
            None => {
                self.scores.push(new);
                self.scores.len() - 1
            }
        }
    }

    /// What the class at this place needs.
    pub(super) fn need(&self, place: usize) -> &Need {
        &self.kept[place].class.need
    }

    /// The class at this place, up to date.
    #[inline]
    pub(super) fn current<'a>(&'a mut self, place: usize, columns: &'a Columns) -> Current<'a> {
        let kept = &mut self.kept[place];
        let scores = &mut self.scores[kept.scores].scores;
        scores.catch_up(columns);
        kept.class.catch_up(columns, &scores.values);
        Current { columns, class: &mut kept.class, scores: &scores.values }
    }
}

fn kept_max(host_count: usize) -> usize {
    (KEPT_SCORES_MAX / host_count.max(1)).clamp(KEPT_MIN, KEPT_MAX)
}
