//! The rows, put together from the data once for the process, and indexed by each vocabulary's words.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use super::{
    Feature, Origin, RegisterBits, Spelling,
    beyond_libvirt::{UNNAMED, UNNAMED_MSR_BITS},
    cpuid,
    msr::{self, MsrBits},
    words::{KERNEL_WORDS, LINUX_DIFFERS, LINUX_FORMERLY, LINUX_HIDES, QEMU_ALIASES, QEMU_DIFFERS},
};

/// A word of a vocabulary → its row.
type Index = HashMap<&'static str, usize>;

struct Table {
    rows: Vec<Feature>,
    libvirt: Index,
    linux: Index,
    qemu: Index,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let rows: Vec<Feature> = named().chain(unnamed()).chain(kernel_words()).collect();
    let index = |words: &dyn Fn(&Feature) -> Option<&'static str>| -> Index {
        rows.iter().enumerate().filter_map(|(at, row)| Some((words(row)?, at))).collect()
    };
    let libvirt = index(&|row| row.libvirt);
    let mut qemu = index(&|row| row.qemu);
    add_aliases(&mut qemu, QEMU_ALIASES);
    // A word the kernel sets is the kernel's row's, although bits that make it do so list it too.
    let is_own = |row: &Feature, word: &str| is_synthetic(row) || !is_kernel_word(word);
    let mut linux = index(&|row| row.linux.first().copied().filter(|word| is_own(row, word)));
    let formerly = LINUX_FORMERLY.iter();
    let formerly: Vec<_> =
        formerly.filter_map(|(word, now)| Some((*word, *libvirt.get(now).or(linux.get(now))?))).collect();
    linux.extend(formerly);
    Table { rows, libvirt, linux, qemu }
});

pub(super) fn rows() -> &'static [Feature] {
    &TABLE.rows
}

pub(super) fn find(word: &str, spelling: Spelling) -> Option<&'static Feature> {
    let index = match spelling {
        Spelling::Libvirt => &TABLE.libvirt,
        Spelling::Linux => &TABLE.linux,
        Spelling::Qemu => &TABLE.qemu,
    };
    index.get(word).and_then(|at| TABLE.rows.get(*at))
}

fn add_aliases(index: &mut Index, aliases: &[(&'static str, &str)]) {
    let added: Vec<_> =
        aliases.iter().filter_map(|(alias, word)| Some((*alias, *index.get(word)?))).collect();
    index.extend(added);
}

fn is_kernel_word(word: &str) -> bool {
    KERNEL_WORDS.iter().any(|(kernel, _)| *kernel == word)
}

fn is_synthetic(row: &Feature) -> bool {
    matches!(row.origin, Origin::KernelSynthetic { .. })
}

/// What libvirt names.
fn named() -> impl Iterator<Item = Feature> {
    let hidden: HashSet<&str> = LINUX_HIDES.iter().copied().collect();
    let in_cpuid = |registers: &'static [RegisterBits], is_later| {
        registers.iter().flat_map(move |place| place.features.iter().map(move |row| (place, row, is_later)))
    };
    let in_msrs = |msrs: &'static [MsrBits], is_later| {
        msrs.iter().flat_map(move |place| place.features.iter().map(move |row| (place, row, is_later)))
    };
    let cpuid = in_cpuid(cpuid::REGISTERS, false).chain(in_cpuid(cpuid::LATER, true)).map(
        move |(place, &(bit, name), is_later)| {
            let RegisterBits { leaf, subleaf, register, .. } = *place;
            let own = (!hidden.contains(name)).then(|| differing(LINUX_DIFFERS, name).unwrap_or(name));
            feature(name, own, Origin::Cpuid { leaf, subleaf, register, bit }, is_later)
        },
    );
    let msr =
        in_msrs(msr::MSRS, false).chain(in_msrs(msr::LATER, true)).map(|(place, &(bit, name), is_later)| {
            feature(name, None, Origin::Msr { index: place.index, bit }, is_later)
        });
    cpuid.chain(msr)
}

/// `own`: its own word in cpuinfo.
fn feature(name: &'static str, own: Option<&'static str>, origin: Origin, is_later: bool) -> Feature {
    let by_kernel = KERNEL_WORDS.iter().filter(|(_, set_by)| set_by.contains(&name)).map(|(word, _)| *word);
    Feature {
        libvirt: Some(name),
        qemu: qemu_spelling(name),
        origin,
        is_later,
        linux: own.into_iter().chain(by_kernel).collect(),
    }
}

fn differing(spellings: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    spellings.iter().find(|(libvirt, _)| *libvirt == name).map(|(_, theirs)| *theirs)
}

fn qemu_spelling(name: &'static str) -> Option<&'static str> {
    if let Some((_, qemu)) = QEMU_DIFFERS.iter().find(|(libvirt, _)| *libvirt == name) {
        return *qemu;
    }
    // QEMU's own spellings have no '_'; each that libvirt writes with one is an alias of QEMU's.
    if name.contains('_') { differing(QEMU_ALIASES, name) } else { Some(name) }
}

/// Bits without a libvirt name.
fn unnamed() -> impl Iterator<Item = Feature> {
    let cpuid = UNNAMED.iter().map(|row| Feature {
        libvirt: None,
        qemu: row.qemu,
        origin: Origin::Cpuid { leaf: row.leaf, subleaf: row.subleaf, register: row.register, bit: row.bit },
        is_later: false,
        linux: row.linux.into_iter().collect(),
    });
    let msr = UNNAMED_MSR_BITS.iter().map(|&(index, bit, qemu)| Feature {
        libvirt: None,
        qemu: Some(qemu),
        origin: Origin::Msr { index, bit },
        is_later: false,
        linux: Vec::new(),
    });
    cpuid.chain(msr)
}

fn kernel_words() -> impl Iterator<Item = Feature> {
    KERNEL_WORDS.iter().map(|&(word, set_by)| Feature {
        libvirt: None,
        qemu: None,
        origin: Origin::KernelSynthetic { set_by },
        is_later: false,
        linux: vec![word],
    })
}
