//! Sets of CPU (or node) numbers in the kernel's list and mask forms.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::printable;

/// Numbers from 0 to this, exclusive. The kernel's largest NR_CPUS is 8,192; the cap keeps a hostile "0-4000000000"
/// from costing memory.
pub const CPU_LIMIT: u32 = 1 << 16;

/// A set of CPU numbers below [`CPU_LIMIT`]. Text form: the kernel's list, "0-3,8".
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct CpuSet {
    /// Bit n % 64 of word n / 64; the last word is never zero.
    words: Vec<u64>,
}

/// Text that is not a kernel CPU list or mask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseCpuSetError {
    /// A part is neither "N", "A-B", "A-B:STEP" nor "A-B:USED/GROUP".
    #[error("'{0}' is not a CPU number or range")]
    Malformed(String),
    /// A range runs downwards or has a step of zero.
    #[error("'{0}' is an empty range")]
    EmptyRange(String),
    /// A number is at or above [`CPU_LIMIT`].
    #[error("CPU number {0} is too large (limit {CPU_LIMIT})")]
    TooLarge(String),
}

/// As much of a wrong part as an error message shows.
const SHOWN_MAX_BYTES: usize = 40;

fn shown(part: &str) -> String {
    printable(part, SHOWN_MAX_BYTES)
}

impl CpuSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Adds a number; false, and no change, if it is not below [`CPU_LIMIT`].
    pub fn insert(&mut self, cpu: u32) -> bool {
        if cpu >= CPU_LIMIT {
            return false;
        }
        let word = (cpu / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (cpu % 64);
        true
    }

    /// Whether the number is in the set.
    #[must_use]
    pub fn contains(&self, cpu: u32) -> bool {
        self.words.get((cpu / 64) as usize).is_some_and(|word| word & (1 << (cpu % 64)) != 0)
    }

    /// How many numbers.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The smallest number.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.words).flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    index * 64 + bit
                })
            })
        })
    }

    /// Numbers in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self::trimmed(self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect())
    }

    /// Adds the numbers of another set.
    pub fn extend(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(word, more)| *word |= more);
    }

    /// Numbers in this and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        Self::trimmed(self.words.iter().zip(others).map(|(a, b)| a & !b).collect())
    }

    /// Reads a mask as the kernel prints it: hexadecimal, in groups of 32 bits, most significant first ("ff,00000001").
    ///
    /// # Errors
    /// Not hexadecimal, or a bit at or above [`CPU_LIMIT`].
    pub fn from_mask(text: &str) -> Result<Self, ParseCpuSetError> {
        let mut set = Self::new();
        for (group, digits) in text.trim().rsplit(',').enumerate() {
            // from_str_radix takes a sign.
            let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            let bits = is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
            let bits = bits.ok_or_else(|| ParseCpuSetError::Malformed(shown(digits)))?;
            for bit in (0..32u32).filter(|bit| bits & (1 << bit) != 0) {
                let cpu = u32::try_from(group).ok().and_then(|g| g.checked_mul(32)?.checked_add(bit));
                if !cpu.is_some_and(|cpu| set.insert(cpu)) {
                    return Err(ParseCpuSetError::TooLarge(format!("{group} * 32 + {bit}")));
                }
            }
        }
        Ok(set)
    }

    fn trimmed(mut words: Vec<u64>) -> Self {
        while words.last() == Some(&0) {
            words.pop();
        }
        Self { words }
    }

    fn insert_range(&mut self, part: &str) -> Result<(), ParseCpuSetError> {
        let malformed = || ParseCpuSetError::Malformed(shown(part));
        let number = |text: &str| -> Result<u32, ParseCpuSetError> {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(malformed());
            }
            let small = text.parse().ok().filter(|n| *n < CPU_LIMIT);
            small.ok_or_else(|| ParseCpuSetError::TooLarge(shown(text)))
        };
        let Some((first, rest)) = part.split_once('-') else {
            self.insert(number(part)?);
            return Ok(());
        };
        // "A-B", "A-B:STEP" (lscpu) or "A-B:USED/GROUP" (lib/bitmap-str.c).
        let (last, stride) = rest.split_once(':').map_or((rest, None), |(last, stride)| (last, Some(stride)));
        let (used, group) = match stride.map(|s| s.split_once('/').unwrap_or(("1", s))) {
            Some((used, group)) => (number(used)?, number(group)?),
            None => (CPU_LIMIT, CPU_LIMIT),
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last || group == 0 || used == 0 || used > group {
            return Err(ParseCpuSetError::EmptyRange(shown(part)));
        }
        for start in (first..=last).step_by(group as usize) {
            self.insert_run(start, last.min(start + (used - 1)));
        }
        Ok(())
    }

    /// Adds the numbers from one to another, both below [`CPU_LIMIT`], word by word: a peer's list may have a million
    /// ranges.
    fn insert_run(&mut self, first: u32, last: u32) {
        let (first_word, last_word) = ((first / 64) as usize, (last / 64) as usize);
        if self.words.len() <= last_word {
            self.words.resize(last_word + 1, 0);
        }
        for index in first_word..=last_word {
            let from = if index == first_word { u64::MAX << (first % 64) } else { u64::MAX };
            let to = if index == last_word { u64::MAX >> (63 - last % 64) } else { u64::MAX };
            self.words[index] |= from & to;
        }
    }
}

impl FromStr for CpuSet {
    type Err = ParseCpuSetError;

    /// Reads a kernel list; blank text is the empty set.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = Self::new();
        let text = text.trim();
        if !text.is_empty() {
            text.split(',').try_for_each(|part| set.insert_range(part.trim()))?;
        }
        Ok(set)
    }
}

impl FromIterator<u32> for CpuSet {
    /// Numbers at or above [`CPU_LIMIT`] are left out.
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        let mut set = Self::new();
        for cpu in cpus {
            set.insert(cpu);
        }
        set
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

impl Serialize for CpuSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CpuSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Vec<u32> {
        text.parse::<CpuSet>().expect("a list").iter().collect()
    }

    #[test]
    fn reads_kernel_lists() {
        assert_eq!(list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(list(""), [] as [u32; 0]);
        assert_eq!(list("\n"), [] as [u32; 0]);
        assert_eq!(list("0-10:5"), [0, 5, 10]);
        assert_eq!(list("0-9:2/5"), [0, 1, 5, 6]);
        assert_eq!(list("8,0-1"), [0, 1, 8]);
    }

    #[test]
    fn refuses_what_is_not_a_list() {
        for bad in [
            "a",
            "1-",
            "-1",
            "1,,2",
            "3-1",
            "0-3:0",
            "0-3:3/2",
            "1 2",
            "+1",
            "0x3",
            "65536",
            "0-4000000000",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<CpuSet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_masks() {
        assert_eq!(CpuSet::from_mask("00000001,80000003\n").expect("a mask").to_string(), "0-1,31-32");
        assert!(CpuSet::from_mask("xyz").is_err());
        assert!(CpuSet::from_mask("+f0").is_err(), "found by fuzzing");
        assert!(CpuSet::from_mask("").is_err());
        assert!(CpuSet::from_mask(&format!("1{}", ",0".repeat(3000))).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(a: BTreeSet<u16>, b: BTreeSet<u16>) {
            let set = |s: &BTreeSet<u16>| s.iter().map(|n| u32::from(*n)).collect::<CpuSet>();
            let plain = |s: CpuSet| s.iter().collect::<Vec<u32>>();
            let wide = |s: Vec<&u16>| s.into_iter().map(|n| u32::from(*n)).collect::<Vec<u32>>();
            prop_assert_eq!(plain(set(&a).intersection(&set(&b))), wide(a.intersection(&b).collect()));
            prop_assert_eq!(plain(set(&a).difference(&set(&b))), wide(a.difference(&b).collect()));
            prop_assert_eq!(set(&a).len() as usize, a.len());
            prop_assert_eq!(set(&a) == set(&b), a == b);
            prop_assert_eq!(set(&a).to_string().parse::<CpuSet>().expect("own text"), set(&a));
        }

        #[test]
        fn a_range_has_what_its_stride_leaves(first in 0..400u32, more in 0..400u32, used in 1..150u32, group in 1..300u32) {
            let (last, used) = (first + more, used.min(group));
            let set: CpuSet = format!("{first}-{last}:{used}/{group}").parse().expect("a list");
            let plain: Vec<u32> = (first..=last).filter(|cpu| (cpu - first) % group < used).collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), plain);
            let set: CpuSet = format!("{first}-{last}").parse().expect("a list");
            prop_assert_eq!(set, (first..=last).collect::<CpuSet>());
        }

        #[test]
        fn any_text_parses_or_is_refused(text in ".*") {
            let _ = text.parse::<CpuSet>();
            let _ = CpuSet::from_mask(&text);
        }
    }
}
