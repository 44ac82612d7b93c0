use std::collections::BTreeSet;

use super::{
    words::{KERNEL_WORDS, LINUX_DIFFERS, LINUX_FORMERLY, LINUX_HIDES, QEMU_ALIASES, QEMU_DIFFERS},
    *,
};
use crate::model::FeatureSet;

fn known(word: &str, spelling: Spelling) -> &'static Feature {
    lookup(word, spelling).feature().unwrap_or_else(|| panic!("{spelling:?} has no {word}"))
}

fn libvirt_rows() -> impl Iterator<Item = (&'static str, &'static Feature)> {
    all().iter().filter_map(|feature| Some((feature.libvirt?, feature)))
}

#[test]
fn every_word_is_there_once_and_every_bit_has_one_row() {
    for words in [
        all().iter().filter_map(|feature| feature.libvirt).collect::<Vec<_>>(),
        all().iter().filter_map(|feature| feature.qemu).collect(),
        registers().iter().flat_map(|place| place.features).map(|(_, name)| *name).collect(),
        KERNEL_WORDS.iter().map(|(word, _)| *word).collect(),
    ] {
        let set = FeatureSet::from_names(words.iter().copied()).expect("well-formed names");
        assert_eq!(set.len(), words.len());
    }
    let mut places = BTreeSet::new();
    for feature in all() {
        let place = match feature.origin {
            Origin::Cpuid { leaf, subleaf, register, bit } => {
                assert!(bit < 32);
                (leaf, subleaf, Some(register), bit)
            }
            Origin::Msr { index, bit } => {
                assert!(bit < 64);
                (index, 0, None, bit)
            }
            Origin::KernelSynthetic { .. } => continue,
        };
        assert!(places.insert(place), "{} is not alone at {place:x?}", feature.name());
        assert!(!feature.name().is_empty());
    }
}

#[test]
fn registers_are_sorted_and_so_are_their_bits() {
    for registers in [registers(), cpuid::LATER] {
        assert!(registers.is_sorted_by_key(|place| (place.leaf, place.subleaf, place.register)));
        assert!(registers.iter().all(|place| place.features.is_sorted_by_key(|(bit, _)| *bit)));
    }
    assert_eq!(
        registers().iter().map(|place| place.features.len()).sum::<usize>(),
        250,
        "libvirt 11.3 names 250"
    );
    let in_msrs = libvirt_rows().filter(|(_, row)| matches!(row.origin, Origin::Msr { .. }) && !row.is_later);
    assert_eq!(in_msrs.count(), 114, "libvirt 11.3 names 114");
}

/// A misspelt name in the lists of differences would silently do nothing.
#[test]
fn every_exception_is_about_a_row() {
    let names = LINUX_DIFFERS
        .iter()
        .map(|(name, _)| *name)
        .chain(LINUX_HIDES.iter().copied())
        .chain(QEMU_DIFFERS.iter().map(|(name, _)| *name))
        .chain(KERNEL_WORDS.iter().flat_map(|(_, set_by)| set_by.iter().copied()));
    for name in names {
        known(name, Spelling::Libvirt);
    }
    for (alias, word) in QEMU_ALIASES {
        assert_eq!(known(alias, Spelling::Qemu), known(word, Spelling::Qemu));
    }
    for (word, _) in LINUX_FORMERLY {
        known(word, Spelling::Linux);
    }
    let twice: Vec<_> =
        LINUX_HIDES.iter().filter(|name| LINUX_DIFFERS.iter().any(|(other, _)| other == *name)).collect();
    assert!(twice.is_empty(), "hidden and shown: {twice:?}");
}

#[test]
fn qemus_words_lead_back() {
    for (name, feature) in libvirt_rows() {
        assert_eq!(to_qemu(name), Translation::Words(feature.qemu.as_slice()));
        if let Some(word) = feature.qemu {
            assert_eq!(known(word, Spelling::Qemu).libvirt, Some(name));
            assert!(!word.contains('_'), "{word} is an alias of QEMU's");
        }
    }
    assert_eq!(to_qemu("lahf_lm"), Translation::Words(&["lahf-lm"]));
    assert_eq!(to_qemu("cmp_legacy"), Translation::Words(&["cmp-legacy"]));
    assert_eq!(to_qemu("tsc_adjust"), Translation::Words(&["tsc-adjust"]));
    assert_eq!(to_qemu("pclmuldq"), Translation::Words(&["pclmulqdq"]));
    assert_eq!(to_qemu("sse4.1"), Translation::Words(&["sse4.1"]));
    assert_eq!(to_qemu("osxsave"), Translation::Words(&[]), "QEMU refuses it");
    assert_eq!(to_qemu("sev"), Translation::Unknown("sev"));
}

#[test]
fn linuxs_words_lead_back() {
    for (name, feature) in libvirt_rows() {
        assert_eq!(to_linux(name), Translation::Words(feature.linux()));
        for word in feature.linux() {
            let back = known(word, Spelling::Linux).may_be();
            assert!(back.contains(&name), "{name} → {word} → {back:?}");
        }
    }
    assert_eq!(to_linux("sse4.1"), Translation::Words(&["sse4_1"]));
    assert_eq!(to_linux("pni"), Translation::Words(&["pni"]));
    assert_eq!(to_linux("cmt"), Translation::Words(&["cqm"]));
    assert_eq!(to_linux("spec-ctrl"), Translation::Words(&["ibrs", "ibpb"]));
    assert_eq!(to_linux("virt-ssbd"), Translation::Words(&["virt_ssbd", "ssbd"]));
    assert_eq!(to_linux("invtsc"), Translation::Words(&["constant_tsc", "nonstop_tsc"]));
    assert_eq!(to_linux("osxsave"), Translation::Words(&[]));
    assert_eq!(to_linux("rdctl-no"), Translation::Words(&[]));
}

#[test]
fn false_friends_are_told_apart() {
    let bit = |word| known(word, Spelling::Libvirt).origin;
    let intel = |bit| Origin::Cpuid { leaf: 7, subleaf: 0, register: Register::Edx, bit };
    let amd = |bit| Origin::Cpuid { leaf: 0x8000_0008, subleaf: 0, register: Register::Ebx, bit };
    assert_eq!([bit("spec-ctrl"), bit("stibp"), bit("ssbd")], [intel(26), intel(27), intel(31)]);
    assert_eq!(
        [bit("ibpb"), bit("ibrs"), bit("amd-stibp"), bit("amd-ssbd")],
        [amd(12), amd(14), amd(15), amd(24)]
    );

    for (word, may_be) in [
        ("ssbd", &["ssbd", "amd-ssbd", "virt-ssbd"][..]),
        ("ibrs", &["spec-ctrl", "ibrs"]),
        ("ibpb", &["spec-ctrl", "ibpb"]),
        ("stibp", &["stibp", "amd-stibp"]),
        ("vnmi", &["vnmi", "vmx-vnmi"]),
    ] {
        let [ours, theirs] = lookup_any(word).try_into().expect("two meanings");
        assert_eq!(ours.spellings, [Spelling::Libvirt, Spelling::Qemu]);
        assert_eq!(ours.feature.libvirt, Some(word));
        assert_eq!(theirs.spellings, [Spelling::Linux]);
        assert_eq!((theirs.feature.libvirt, theirs.feature.may_be()), (None, may_be));
    }
}

#[test]
fn only_the_known_false_friends_mean_two_things() {
    let words = all().iter().flat_map(|row| row.libvirt.iter().chain(row.linux()).chain(&row.qemu));
    let friends: BTreeSet<_> = words.filter(|word| lookup_any(word).len() > 1).copied().collect();
    assert_eq!(friends.into_iter().collect::<Vec<_>>(), ["ibpb", "ibrs", "ssbd", "stibp", "vnmi"]);
}

#[test]
fn any_spelling_is_found() {
    for (word, libvirt, spellings) in [
        ("avx2", Some("avx2"), &Spelling::ALL[..]),
        ("pclmulqdq", Some("pclmuldq"), &[Spelling::Linux, Spelling::Qemu]),
        ("pclmuldq", Some("pclmuldq"), &[Spelling::Libvirt, Spelling::Qemu]),
        ("dts", Some("ds"), &[Spelling::Linux]),
        ("spec_ctrl", Some("spec-ctrl"), &[Spelling::Linux]),
        ("intel_stibp", Some("stibp"), &[Spelling::Linux]),
        ("xd", Some("nx"), &[Spelling::Qemu]),
        ("ibt", Some("cet-ibt"), &[Spelling::Linux]),
        ("bpext", None, &[Spelling::Linux]),
        ("constant_tsc", None, &[Spelling::Linux]),
        ("kvm-pv-eoi", None, &[Spelling::Qemu]),
    ] {
        let [meaning] = lookup_any(word).try_into().unwrap_or_else(|all| panic!("{word}: {all:?}"));
        assert_eq!((meaning.feature.libvirt, meaning.spellings.as_slice()), (libvirt, spellings), "{word}");
    }
    let rep_good = known("rep_good", Spelling::Linux);
    assert_eq!((rep_good.origin, rep_good.name()), (Origin::KernelSynthetic { set_by: &[] }, "rep_good"));
}

#[test]
fn what_is_unknown_passes_through_marked() {
    assert_eq!(lookup("no-such", Spelling::Libvirt), Lookup::Unknown("no-such"));
    assert_eq!(lookup("rep_good", Spelling::Libvirt), Lookup::Unknown("rep_good"), "Linux's alone");
    assert!(lookup_any("no-such").is_empty());
    assert_eq!(to_qemu("no-such").or_as_given(), ["no-such"]);
    assert_eq!(to_linux("osxsave").or_as_given(), [""; 0]);
}
