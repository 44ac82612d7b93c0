//! Levels of the x86-64 psABI: what a compiler may take for granted under `-march=x86-64-vN`. Pure.
//!
//! The lists are those of "System V Application Binary Interface, AMD64 Architecture Processor Supplement", section
//! "Processor Architecture", table "Micro-Architecture Levels", in full: some tools look at one feature a level and promise
//! too much. Names are libvirt's, so the level is of the guest layer.

use std::sync::LazyLock;

use vmuster_proto::model::FeatureSet;

/// What each level adds to the one before, from the first.
///
/// Two of the psABI's are not libvirt's to give: OSFXSR, which a guest's kernel sets where there is `fxsr`, and OSXSAVE,
/// which it sets where there is `xsave`. `lm` is not in the table, for it is what makes a processor x86-64; SCE is
/// `syscall`, SSE3 `pni`, LZCNT `abm`.
const LEVELS: [&[&str]; 4] = [
    &["cmov", "cx8", "fpu", "fxsr", "lm", "mmx", "sse", "sse2", "syscall"],
    &["cx16", "lahf_lm", "pni", "popcnt", "sse4.1", "sse4.2", "ssse3"],
    &["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"],
    &["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"],
];

static SETS: LazyLock<[FeatureSet; 4]> =
    // The names are feature names: a test looks each up.
    LazyLock::new(|| {
        LEVELS.map(|names| FeatureSet::from_names(names.iter().copied()).unwrap_or_default())
    });

/// The highest level (1 to 4) all of whose features, and all of the levels' below, are among these; 0: not even the first.
#[must_use]
pub fn psabi_level(features: &FeatureSet) -> u32 {
    (1..)
        .zip(SETS.iter())
        .take_while(|(_, set)| set.is_subset(features))
        .map(|(level, _)| level)
        .last()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use vmuster_proto::features::{Spelling, lookup};

    use super::*;

    fn up_to(level: usize) -> Vec<&'static str> {
        LEVELS[..level].concat()
    }

    fn level_of(names: &[&str]) -> u32 {
        psabi_level(&FeatureSet::from_names(names.iter().copied()).expect("valid"))
    }

    #[test]
    fn libvirt_knows_every_name() {
        for name in up_to(4) {
            assert!(lookup(name, Spelling::Libvirt).feature().is_some(), "{name}");
        }
        assert!(SETS.iter().zip(LEVELS).all(|(set, names)| set.len() == names.len()));
    }

    #[test]
    fn a_level_is_all_of_its_features_and_of_those_below() {
        for level in 0..=4 {
            assert_eq!(level_of(&up_to(level)) as usize, level);
        }
        for (index, names) in LEVELS.iter().enumerate() {
            for lacking in *names {
                let rest: Vec<_> = up_to(4).into_iter().filter(|name| name != lacking).collect();
                assert_eq!(level_of(&rest) as usize, index, "without {lacking}");
            }
        }
    }
}
