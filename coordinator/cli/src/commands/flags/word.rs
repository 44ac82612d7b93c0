//! Which feature does somebody mean? Words of libvirt, Linux and QEMU are all taken; the layer's own win.

use vmuster_proto::{
    features::{Feature, Meaning, Spelling, lookup, lookup_any},
    model::Layer,
};

/// A word as the layer spells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) feature: String,
    /// What to know about the word.
    pub(super) notes: Vec<String>,
}

/// What a word means in a layer of x86 hosts.
///
/// # Errors
/// The layer cannot tell who has it: "no host" would be a wrong answer.
pub(super) fn meant(word: &str, layer: Layer) -> Result<Meant, String> {
    let own = match layer {
        Layer::Host => Spelling::Linux,
        Layer::Guest => Spelling::Libvirt,
    };
    let meanings = lookup_any(word);
    let as_it_is = |notes| Ok(Meant { feature: word.to_owned(), notes });
    if let Some(meaning) = meanings.iter().find(|meaning| meaning.spellings.contains(&own)) {
        let others: Vec<&Meaning> =
            meanings.iter().filter(|other| !std::ptr::eq(other.feature, meaning.feature)).collect();
        return as_it_is(false_friend(word, own, meaning, &others).into_iter().collect());
    }
    let Some(meaning) = meanings.first() else { return as_it_is(Vec::new()) };
    let whose = names(&meaning.spellings);
    let (feature, theirs) = match layer {
        Layer::Host => (in_cpuinfo(word, meaning)?, "/proc/cpuinfo's"),
        Layer::Guest => (in_libvirt(word, meaning)?, "libvirt's"),
    };
    Ok(Meant {
        feature: feature.to_owned(),
        notes: vec![format!("note: {whose}'s {word} is {theirs} {feature}")],
    })
}

/// A word that others use for something else.
fn false_friend(word: &str, own: Spelling, meaning: &Meaning, others: &[&Meaning]) -> Option<String> {
    let theirs: Vec<Spelling> = others.iter().flat_map(|other| other.spellings.iter().copied()).collect();
    if theirs.is_empty() {
        return None;
    }
    let (own, others_are) = (name(own), names(&theirs));
    let of_kernel = std::iter::once(&meaning).chain(others).find_map(|meaning| set_by(meaning.feature));
    let explained =
        of_kernel.map_or(String::new(), |by| format!(" (Linux sets its own where a host has {by})"));
    Some(format!("note: {word} is {own}'s word here; to {others_are} it means another thing{explained}"))
}

fn in_libvirt(word: &str, meaning: &Meaning) -> Result<&'static str, String> {
    meaning.feature.libvirt.ok_or_else(|| {
        let advice = set_by(meaning.feature).map_or_else(
            || "ask for --layer host".to_owned(),
            |by| format!("the kernel sets it where a host has {by}: ask for that, or for --layer host"),
        );
        format!("libvirt has no feature {word}, so no guest can be given it by name; {advice}")
    })
}

fn in_cpuinfo(word: &str, meaning: &Meaning) -> Result<&'static str, String> {
    let words = meaning.feature.linux();
    // Its own word stands first; the others the kernel may set for other reasons too.
    let own = words.first().filter(|linux| {
        lookup(linux, Spelling::Linux).feature().is_some_and(|row| std::ptr::eq(row, meaning.feature))
    });
    own.copied().ok_or_else(|| {
        let nearest = match words {
            [] => String::new(),
            words => format!(", or for {}, which the kernel sets for it among others", words.join(" or ")),
        };
        format!(
            "/proc/cpuinfo never shows {word}, so the host layer cannot tell who has it; ask for --layer guest{nearest}"
        )
    })
}

/// libvirt's names of the bits that make the kernel set a word of its own.
fn set_by(feature: &Feature) -> Option<String> {
    let names = feature.may_be();
    (feature.libvirt.is_none() && !names.is_empty()).then(|| match names {
        [one] => (*one).to_owned(),
        several => format!("any of {}", several.join(", ")),
    })
}

fn name(spelling: Spelling) -> &'static str {
    match spelling {
        Spelling::Libvirt => "libvirt",
        Spelling::Linux => "Linux",
        Spelling::Qemu => "QEMU",
    }
}

fn names(spellings: &[Spelling]) -> String {
    spellings.iter().map(|spelling| name(*spelling)).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(word: &str, layer: Layer) -> String {
        match meant(word, layer) {
            Ok(Meant { feature, notes }) => [vec![feature], notes].concat().join(" | "),
            Err(why) => format!("error: {why}"),
        }
    }

    #[test]
    fn every_vocabulary_is_taken_and_the_layers_own_wins() {
        for (layer, word, expected) in [
            (Layer::Guest, "sse4.1", "sse4.1"),
            (Layer::Guest, "sse4_1", "sse4.1 | note: Linux and QEMU's sse4_1 is libvirt's sse4.1"),
            (Layer::Guest, "lahf-lm", "lahf_lm | note: QEMU's lahf-lm is libvirt's lahf_lm"),
            (Layer::Host, "sse4_1", "sse4_1"),
            (Layer::Host, "sse4.1", "sse4_1 | note: libvirt and QEMU's sse4.1 is /proc/cpuinfo's sse4_1"),
            (
                Layer::Host,
                "pclmuldq",
                "pclmulqdq | note: libvirt and QEMU's pclmuldq is /proc/cpuinfo's pclmulqdq",
            ),
            (Layer::Host, "asimd", "asimd"),
            (Layer::Guest, "from-the-future", "from-the-future"),
        ] {
            assert_eq!(told(word, layer), expected, "{word}");
        }
    }

    #[test]
    fn false_friends_are_named() {
        assert_eq!(
            told("ssbd", Layer::Guest),
            "ssbd | note: ssbd is libvirt's word here; to Linux it means another thing \
             (Linux sets its own where a host has any of ssbd, amd-ssbd, virt-ssbd)"
        );
        assert_eq!(
            told("ssbd", Layer::Host),
            "ssbd | note: ssbd is Linux's word here; to libvirt and QEMU it means another thing \
             (Linux sets its own where a host has any of ssbd, amd-ssbd, virt-ssbd)"
        );
    }

    #[test]
    fn what_a_layer_cannot_tell_is_refused() {
        assert_eq!(
            told("constant_tsc", Layer::Guest),
            "error: libvirt has no feature constant_tsc, so no guest can be given it by name; \
             the kernel sets it where a host has invtsc: ask for that, or for --layer host"
        );
        assert_eq!(
            told("rep_good", Layer::Guest),
            "error: libvirt has no feature rep_good, so no guest can be given it by name; ask for --layer host"
        );
        assert_eq!(
            told("spec-ctrl", Layer::Host),
            "error: /proc/cpuinfo never shows spec-ctrl, so the host layer cannot tell who has it; \
             ask for --layer guest, or for ibrs or ibpb, which the kernel sets for it among others"
        );
        assert_eq!(
            told("vmx-ins-outs", Layer::Host),
            "error: /proc/cpuinfo never shows vmx-ins-outs, so the host layer cannot tell who has it; \
             ask for --layer guest"
        );
    }
}
