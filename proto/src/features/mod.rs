//! Names of x86 CPU features: libvirt's, Linux's and QEMU's, and where each comes from.
//!
//! The canonical name is libvirt's. One word can mean different things: Linux's `ssbd` is set by the kernel from
//! Intel's or AMD's bit, libvirt's is Intel's alone. So a word is looked up in a vocabulary, or in all with the answer
//! saying which. What no vocabulary has is passed on, marked as unknown: kernels and libvirts newer than this table are
//! no errors. Must not know files, hosts, or how leaves are read; other architectures' words are not here.

mod beyond_libvirt;
mod cpuid;
mod msr;
mod table;
mod words;

#[cfg(test)]
mod tests;

/// Whose words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Spelling {
    /// Names in cpu_map and domain XML; canonical here.
    Libvirt,
    /// Words of the line "flags" in /proc/cpuinfo, of older kernels too.
    Linux,
    /// Properties of `-cpu`, with QEMU's own aliases.
    Qemu,
}

impl Spelling {
    /// All, canonical first.
    pub const ALL: [Self; 3] = [Self::Libvirt, Self::Linux, Self::Qemu];
}

/// A register that the CPUID instruction answers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Register {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

/// Features of one register of one CPUID leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterBits {
    /// EAX as asked.
    pub leaf: u32,
    /// ECX as asked.
    pub subleaf: u32,
    /// Where the bits are.
    pub register: Register,
    /// (bit, libvirt's name), sorted.
    pub features: &'static [(u8, &'static str)],
}

/// Where a word comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A bit the CPUID instruction shows.
    Cpuid {
        /// EAX as asked.
        leaf: u32,
        /// ECX as asked; 0 where the leaf has no subleaves.
        subleaf: u32,
        /// Where the bit is.
        register: Register,
        /// Its number, from 0.
        bit: u8,
    },
    /// A bit of a model-specific register, which CPUID does not show.
    Msr {
        /// The register's number.
        index: u32,
        /// The bit's number, of 64.
        bit: u8,
    },
    /// A word the kernel sets itself: no bit has the same meaning.
    KernelSynthetic {
        /// libvirt's names of the bits any one of which makes the kernel set it. Empty: it looks at none that libvirt
        /// names, at several together, or at its own settings.
        set_by: &'static [&'static str],
    },
}

/// One row: a bit or a word of the kernel's, with its spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Canonical. None: libvirt has no such feature, so none can be asked for in a domain.
    pub libvirt: Option<&'static str>,
    /// A property of `-cpu`. None: QEMU has none, and refuses the name.
    pub qemu: Option<&'static str>,
    /// Where it comes from.
    pub origin: Origin,
    /// libvirt 11.3 does not know the name, and refuses it.
    pub is_later: bool,
    linux: Vec<&'static str>,
}

impl Feature {
    /// What to call it: libvirt's name, else Linux's, else QEMU's.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.libvirt.or(self.linux.first().copied()).or(self.qemu).unwrap_or_default()
    }

    /// What a present kernel shows in /proc/cpuinfo where this is set: its own word first, then words the kernel sets for
    /// it. Empty: it is never shown.
    #[must_use]
    pub fn linux(&self) -> &[&'static str] {
        &self.linux
    }

    /// libvirt's names that it may stand for: its own, or those the kernel sets the word by.
    #[must_use]
    pub fn may_be(&self) -> &[&'static str] {
        match self.origin {
            Origin::KernelSynthetic { set_by } => set_by,
            Origin::Cpuid { .. } | Origin::Msr { .. } => self.libvirt.as_slice(),
        }
    }
}

/// What a word means in one vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// This.
    Known(&'static Feature),
    /// The table does not have the word, as given.
    Unknown(&'a str),
}

impl Lookup<'_> {
    /// The row, if there is one.
    #[must_use]
    pub fn feature(self) -> Option<&'static Feature> {
        match self {
            Self::Known(feature) => Some(feature),
            Self::Unknown(_) => None,
        }
    }
}

/// What a word means, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The row.
    pub feature: &'static Feature,
    /// The vocabularies in which the word means this, in the order of [`Spelling::ALL`].
    pub spellings: Vec<Spelling>,
}

/// A libvirt name in another vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation<'a> {
    /// The words; empty: that vocabulary has none for it.
    Words(&'static [&'static str]),
    /// The table does not have the name, as given.
    Unknown(&'a str),
}

impl<'a> Translation<'a> {
    /// The words, an unknown name as itself.
    #[must_use]
    pub fn or_as_given(self) -> Vec<&'a str> {
        match self {
            Self::Words(words) => words.to_vec(),
            Self::Unknown(name) => vec![name],
        }
    }
}

/// The CPUID bits that libvirt 11.3 names, sorted by place.
///
/// Later names are left out, so that a list made of these is one an older libvirt can be asked about; they are in
/// [`all`].
#[must_use]
pub fn registers() -> &'static [RegisterBits] {
    cpuid::REGISTERS
}

/// All rows, in no order to rely on.
#[must_use]
pub fn all() -> &'static [Feature] {
    table::rows()
}

/// What a word means in a vocabulary.
#[must_use]
pub fn lookup(word: &str, spelling: Spelling) -> Lookup<'_> {
    table::find(word, spelling).map_or(Lookup::Unknown(word), Lookup::Known)
}

/// All that a word means. Empty: it is unknown. More than one: a false friend, and whoever uses it must say whose word it
/// is; canonical first.
#[must_use]
pub fn lookup_any(word: &str) -> Vec<Meaning> {
    let mut meanings: Vec<Meaning> = Vec::new();
    for spelling in Spelling::ALL {
        let Some(feature) = table::find(word, spelling) else { continue };
        match meanings.iter_mut().find(|meaning| std::ptr::eq(meaning.feature, feature)) {
            Some(meaning) => meaning.spellings.push(spelling),
            None => meanings.push(Meaning { feature, spellings: vec![spelling] }),
        }
    }
    meanings
}

/// A libvirt name as a property of `-cpu`: one word, or none if QEMU cannot be asked for it.
#[must_use]
pub fn to_qemu(libvirt: &str) -> Translation<'_> {
    match lookup(libvirt, Spelling::Libvirt) {
        Lookup::Known(feature) => Translation::Words(feature.qemu.as_slice()),
        Lookup::Unknown(name) => Translation::Unknown(name),
    }
}

/// A libvirt name as /proc/cpuinfo shows it; no word: it is never shown.
#[must_use]
pub fn to_linux(libvirt: &str) -> Translation<'_> {
    match lookup(libvirt, Spelling::Libvirt) {
        Lookup::Known(feature) => Translation::Words(&feature.linux),
        Lookup::Unknown(name) => Translation::Unknown(name),
    }
}
