//! Sets of CPU feature names as bits over interned names.
//!
//! A fleet has some hundred distinct names and every host most of them, so each name is kept once for the process and a
//! set is a few words. The table has an end: names that come after it is full live in the set itself, slower but equally
//! right, so that an agent that lies with endless new names costs only its own record. A name is never moved from the one
//! place to the other, so equal sets are equal values.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{LazyLock, PoisonError, RwLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest feature name; libvirt's longest has 24 bytes.
pub const FEATURE_NAME_MAX_BYTES: usize = 64;

/// Names in the table. Linux, libvirt and QEMU together know under 1,000; at most 512 KiB.
const INTERNED_MAX: usize = 8192;

/// A name no kernel, libvirt or QEMU would use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a feature name: 1 to {FEATURE_NAME_MAX_BYTES} printable ASCII characters without space, comma, quote, '<', '>', '&'"
)]
pub struct InvalidFeatureName(String);

#[derive(Default)]
struct Interner {
    ids: HashMap<&'static str, u32>,
    names: Vec<&'static str>,
}

static INTERNER: LazyLock<RwLock<Interner>> = LazyLock::new(RwLock::default);

/// The name's place in the table; None if the table is full without it.
fn intern(name: &str) -> Option<u32> {
    // A panic while the lock is held cannot leave the table half-changed: the two inserts below do not fail.
    if let Some(id) = INTERNER.read().unwrap_or_else(PoisonError::into_inner).ids.get(name) {
        return Some(*id);
    }
    let mut table = INTERNER.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(id) = table.ids.get(name) {
        return Some(*id);
    }
    let id = u32::try_from(table.names.len()).ok().filter(|_| table.names.len() < INTERNED_MAX)?;
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    table.names.push(name);
    table.ids.insert(name, id);
    Some(id)
}

fn is_valid(name: &str) -> bool {
    (1..=FEATURE_NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_graphic() && !b",\"'<>&\\`".contains(&b))
}

/// A set of CPU feature names. JSON: a sorted array.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct FeatureSet {
    /// Bit n % 64 of word n / 64 for the name at n in the table; the last word is never zero.
    words: Vec<u64>,
    /// Names the table had no room for.
    overflow: BTreeSet<Box<str>>,
}

impl FeatureSet {
    /// From names in any order, duplicates allowed.
    ///
    /// # Errors
    /// The first name that is not a feature name.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidFeatureName> {
        let mut set = Self::default();
        for name in names {
            if !is_valid(name) {
                return Err(InvalidFeatureName(name.chars().take(FEATURE_NAME_MAX_BYTES).collect()));
            }
            set.insert_at(intern(name), name);
        }
        Ok(set)
    }

    fn insert_at(&mut self, id: Option<u32>, name: &str) {
        let Some(id) = id else {
            self.overflow.insert(name.into());
            return;
        };
        let word = (id / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (id % 64);
    }

    /// The names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let table = INTERNER.read().unwrap_or_else(PoisonError::into_inner);
        let bits = |(index, word): (usize, &u64)| {
            let word = *word;
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * 64 + bit)
        };
        let interned = self.words.iter().enumerate().flat_map(bits);
        let mut names = Vec::with_capacity(self.len());
        names.extend(interned.filter_map(|id| table.names.get(id).copied()));
        names.extend(self.overflow.iter().map(AsRef::as_ref));
        names.sort_unstable();
        names
    }

    /// Whether the set has this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let id = INTERNER.read().unwrap_or_else(PoisonError::into_inner).ids.get(name).copied();
        match id {
            Some(id) => self.words.get((id / 64) as usize).is_some_and(|word| word & (1 << (id % 64)) != 0),
            None => self.overflow.contains(name),
        }
    }

    /// How many names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum::<usize>() + self.overflow.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.overflow.is_empty()
    }

    /// Names in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect();
        Self::trimmed(words, self.overflow.intersection(&other.overflow).cloned().collect())
    }

    /// How many names are in both, without making the set.
    #[must_use]
    pub fn intersection_len(&self, other: &Self) -> usize {
        let words = self.words.iter().zip(&other.words);
        words.map(|(a, b)| (a & b).count_ones() as usize).sum::<usize>()
            + self.overflow.intersection(&other.overflow).count()
    }

    /// Names in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (long, short) = if self.words.len() >= other.words.len() { (self, other) } else { (other, self) };
        let mut words = long.words.clone();
        for (word, more) in words.iter_mut().zip(&short.words) {
            *word |= more;
        }
        Self::trimmed(words, self.overflow.union(&other.overflow).cloned().collect())
    }

    /// Names in this and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        let words = self.words.iter().zip(others).map(|(a, b)| a & !b).collect();
        Self::trimmed(words, self.overflow.difference(&other.overflow).cloned().collect())
    }

    /// Whether every name is in the other too.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    fn trimmed(mut words: Vec<u64>, overflow: BTreeSet<Box<str>>) -> Self {
        while words.last() == Some(&0) {
            words.pop();
        }
        Self { words, overflow }
    }
}

impl fmt::Debug for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for FeatureSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for FeatureSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Self::from_names(names.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Plain = BTreeSet<String>;

    fn set(names: &Plain) -> FeatureSet {
        FeatureSet::from_names(names.iter().map(String::as_str)).expect("valid names")
    }

    /// The same set, with some names kept as if the table had been full when they came.
    fn with_overflow(names: &Plain) -> FeatureSet {
        let mut set = FeatureSet::default();
        for name in names {
            set.insert_at(if name.ends_with('f') { None } else { intern(name) }, name);
        }
        set
    }

    fn owned<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
        names.into_iter().map(String::as_str).collect()
    }

    #[test]
    fn refuses_names_nobody_uses() {
        for bad in ["", "a b", "a,b", "ä", "a\n", "<x>", &"x".repeat(65)] {
            assert!(FeatureSet::from_names([bad]).is_err(), "{bad:?}");
        }
        assert!(FeatureSet::from_names(["sse4.1", "sse4_1", "sha-ni", "cmp-legacy", "fma4"]).is_ok());
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(a in prop::collection::btree_set("[a-f]{1,2}", 0..20), b in prop::collection::btree_set("[a-f]{1,2}", 0..20)) {
            for make in [set, with_overflow] {
                let (x, y) = (make(&a), make(&b));
                prop_assert_eq!(x.names(), owned(&a));
                prop_assert_eq!(x.len(), a.len());
                let intersection = x.intersection(&y);
                prop_assert_eq!(intersection.names(), owned(a.intersection(&b)));
                prop_assert_eq!(x.intersection_len(&y), intersection.len());
                let union = x.union(&y);
                prop_assert_eq!(union.names(), owned(a.union(&b)));
                let difference = x.difference(&y);
                prop_assert_eq!(difference.names(), owned(a.difference(&b)));
                prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
                prop_assert_eq!(x == y, a == b);
                prop_assert_eq!(x.intersection(&y), make(&a.intersection(&b).cloned().collect()));
            }
            for name in a.union(&b) {
                prop_assert_eq!(set(&a).contains(name), a.contains(name));
            }
        }
    }
}
