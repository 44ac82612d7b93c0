//! XML with bounds: no document type, no entities of its own, no more bytes and nodes than a real answer has.

use crate::model::{Bytes, CpuSet};
use memchr::memmem;
use roxmltree::{Document, Node, ParsingOptions};

/// The largest real answers, capabilities of a host with 2,048 CPUs and domain capabilities with the blockers of 200
/// models, have some 500 KB.
pub const ANSWER_MAX_BYTES: usize = 4 << 20;

/// One guest's definition; with 100 disks and their backing chains it has some 200 KB.
pub const DEFINITION_MAX_BYTES: usize = 1 << 20;

/// A node takes some 60 bytes of memory; the answers above have under 40,000.
const NODES_MAX: u32 = 100_000;

/// Of one tag: each is compared with all others. libvirt's own have some ten.
const ATTRIBUTES_MAX: usize = 64;

/// `a=""`, the shortest there is: a shorter tag need not be counted.
const ATTRIBUTE_MIN_BYTES: usize = 4;

/// Declarations of namespaces in a document: those within each other cost the third power of their number. Guests' own
/// have one for each program that keeps its notes in them.
const NAMESPACES_MAX: usize = 256;

/// Text that is not the XML it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Larger than any real one.
    #[error("it has {bytes} bytes, and more than {limit} are not read")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit that was passed.
        limit: usize,
    },
    /// Not XML, or with a document type.
    #[error("it is not XML that libvirt writes: {0}")]
    Malformed(String),
    /// Another document.
    #[error("its root is <{found}> and should be <{expected}>")]
    WrongRoot {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// An element or value that makes no sense.
    #[error("{element}: {problem}")]
    Value {
        /// Which.
        element: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl XmlError {
    pub(super) fn value(element: impl Into<String>, problem: impl Into<String>) -> Self {
        // What is quoted is a peer's or libvirt's and may be of any length.
        let cut = |text: String| text.chars().take(200).collect();
        Self::Value { element: cut(element.into()), problem: cut(problem.into()) }
    }
}

/// A document of at most `max_bytes` whose root element is `root`.
///
/// # Errors
/// See [`XmlError`].
pub fn document<'a>(text: &'a str, root: &'static str, max_bytes: usize) -> Result<Document<'a>, XmlError> {
    if text.len() > max_bytes {
        return Err(XmlError::TooLarge { bytes: text.len(), limit: max_bytes });
    }
    bounded_tags(text)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| XmlError::Malformed(error.to_string()))?;
    let found = document.root_element().tag_name().name();
    if found == root {
        Ok(document)
    } else {
        Err(XmlError::WrongRoot { expected: root, found: found.chars().take(64).collect() })
    }
}

/// Refuses what would take long to parse; in time that grows with the text only. What is no XML, the parser tells.
fn bounded_tags(text: &str) -> Result<(), XmlError> {
    let too_many = |what: &str, limit: usize| {
        Err(XmlError::Malformed(format!(
            "it has more than {limit} {what}; leave out what libvirt did not write"
        )))
    };
    if memmem::find_iter(text.as_bytes(), "xmlns").count() > NAMESPACES_MAX {
        return too_many("declarations of namespaces", NAMESPACES_MAX);
    }
    // No tag has a "<" in it, not even in quotes, so each begins anew whatever was before it.
    for run in text.as_bytes().split(|byte| *byte == b'<').skip(1) {
        // A comment, CDATA or instruction: tags that seem to be in it are looked at like any other.
        if run.len() <= ATTRIBUTES_MAX * ATTRIBUTE_MIN_BYTES || run.starts_with(b"!") || run.starts_with(b"?")
        {
            continue;
        }
        let mut attributes = 0;
        let mut quote = None;
        for byte in run {
            match (quote, *byte) {
                (None, b'>') => break,
                (None, mark @ (b'"' | b'\'')) => {
                    quote = Some(mark);
                    attributes += 1;
                }
                (Some(mark), byte) if byte == mark => quote = None,
                _ => {}
            }
        }
        if attributes > ATTRIBUTES_MAX {
            return too_many("attributes in one tag", ATTRIBUTES_MAX);
        }
    }
    Ok(())
}

/// The first child element of this name.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// Child elements of this name.
pub(super) fn children<'a, 'i: 'a>(
    node: Node<'a, 'i>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

/// An element's text, trimmed; None where there is none.
pub(super) fn own_text(node: Node<'_, '_>) -> Option<String> {
    node.text().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A child's text.
pub(super) fn child_text(node: Node<'_, '_>, name: &str) -> Option<String> {
    own_text(child(node, name)?)
}

/// An attribute, if it is there and not empty.
pub(super) fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attribute(name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// An attribute's number, if it is one.
pub(super) fn number<T: std::str::FromStr>(node: Node<'_, '_>, name: &str) -> Option<T> {
    node.attribute(name)?.trim().parse().ok()
}

/// An attribute's set of CPUs or nodes.
///
/// # Errors
/// It is there and is no set.
pub(super) fn set(node: Node<'_, '_>, name: &str) -> Result<Option<CpuSet>, XmlError> {
    let Some(list) = attribute(node, name) else { return Ok(None) };
    let refused = |error: crate::model::ParseCpuSetError| {
        XmlError::value(format!("{}/@{name}", node.tag_name().name()), error.to_string())
    };
    list.parse().map(Some).map_err(refused)
}

/// "yes", "on" and "no", "off".
pub(super) fn switch(node: Node<'_, '_>, name: &str) -> Option<bool> {
    match node.attribute(name)? {
        "yes" | "on" => Some(true),
        "no" | "off" => Some(false),
        _ => None,
    }
}

/// An element's amount in its `unit`; `default_unit` where it has none.
///
/// # Errors
/// It is no number, of no unit libvirt knows, or too large.
pub(super) fn amount(node: Node<'_, '_>, default_unit: &str) -> Result<Bytes, XmlError> {
    let text = own_text(node).unwrap_or_default();
    scaled(node, &text, node.attribute("unit").unwrap_or(default_unit))
}

/// `number` in `unit` as bytes. Units as virScaleInteger has them: decimal with a B ("KB"), binary without or with iB.
///
/// # Errors
/// As [`amount`].
pub(super) fn scaled(node: Node<'_, '_>, number: &str, unit: &str) -> Result<Bytes, XmlError> {
    let refused = |problem: String| XmlError::value(node.tag_name().name(), problem);
    let value: u64 = number.parse().map_err(|_| refused(format!("'{number}' is not a number")))?;
    let unit_bytes = unit_bytes(unit).ok_or_else(|| refused(format!("'{unit}' is not a unit")))?;
    let bytes = value.checked_mul(unit_bytes).ok_or_else(|| refused("it is too large".to_owned()))?;
    Ok(Bytes(bytes))
}

fn unit_bytes(unit: &str) -> Option<u64> {
    const POWERS: &str = "KMGTPE";
    let unit = unit.trim().to_ascii_uppercase();
    if matches!(unit.as_str(), "" | "B" | "BYTE" | "BYTES") {
        return Some(1);
    }
    let mut letters = unit.chars();
    let power = u32::try_from(POWERS.find(letters.next()?)?).ok()? + 1;
    match letters.as_str() {
        "" | "IB" => Some(1024u64.pow(power)),
        "B" => Some(1000u64.pow(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_libvirt_does_not_write() {
        let problem = |text: &str| document(text, "cpu", 1000).map(|_| ()).expect_err("refused").to_string();
        assert_eq!(problem(&" ".repeat(1001)), "it has 1001 bytes, and more than 1000 are not read");
        assert_eq!(problem("<domain/>"), "its root is <domain> and should be <cpu>");
        let bomb = r#"<!DOCTYPE cpu [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><cpu>&b;</cpu>"#;
        assert_eq!(problem(bomb), "it is not XML that libvirt writes: XML with DTD detected");
        assert!(problem("<cpu>&unknown;</cpu>").contains("unknown"));
        assert!(problem("<cpu>").starts_with("it is not XML"));
        assert!(problem("").starts_with("it is not XML"));
    }

    #[test]
    fn depth_and_breadth_have_an_end() {
        let deep = "<a>".repeat(90_000) + &"</a>".repeat(90_000);
        let read = |text: &str| document(text, "a", ANSWER_MAX_BYTES).map(|_| ());
        assert_eq!(read(&deep), Ok(()));
        let broad = format!("<a>{}</a>", "<b/>".repeat(100_001));
        assert!(read(&broad).expect_err("refused").to_string().contains("nodes limit"), "{:?}", read(&broad));
    }

    #[test]
    fn what_would_take_long_to_parse_is_refused_before() {
        let read = |text: &str| document(text, "a", ANSWER_MAX_BYTES).map(|_| ());
        let tag = |count: usize| -> String { (0..count).map(|at| format!(" b{at}='>&quot;'")).collect() };
        assert_eq!(read(&format!("<a{}><b{}/></a>", tag(64), tag(64))), Ok(()));
        let refusal = "it is not XML that libvirt writes: it has more than 64 attributes in one tag; leave out what \
             libvirt did not write";
        for hidden in
            ["", "<!-- ' -->", "<!-- < -->", "<![CDATA[<a b=\"]]>", "<?p '<x?>", "text with \" and '"]
        {
            let text = format!("<a>{hidden}<b{}/></a>", tag(65));
            assert_eq!(read(&text).map_err(|error| error.to_string()), Err(refusal.to_owned()), "{hidden}");
        }
        assert_eq!(read(&format!("<a>{}<![CDATA[{}]]></a>", "'b' ".repeat(100), "'b' ".repeat(100))), Ok(()));
        // Unending, each in its own way.
        for text in ["<", "<a b='", "<a b=\"'>", "<!", "<![CDATA[", "<?", "<a xmlns", "é<é é='é"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn namespaces_within_each_other_have_an_end() {
        let nested = |depth: usize| {
            let open: String = (0..depth).map(|at| format!("<a xmlns:n{at}='u'>")).collect();
            open + &"</a>".repeat(depth)
        };
        let read = |text: &str| document(text, "a", ANSWER_MAX_BYTES).map(|_| ());
        assert_eq!(read(&nested(256)), Ok(()));
        let refused = read(&nested(257)).expect_err("refused").to_string();
        assert!(refused.contains("it has more than 256 declarations of namespaces"), "{refused}");
    }

    #[test]
    fn amounts_have_libvirts_units() {
        let bytes = |unit: &str| unit_bytes(unit);
        assert_eq!(
            [bytes("b"), bytes("bytes"), bytes("KiB"), bytes("k")],
            [Some(1), Some(1), Some(1024), Some(1024)]
        );
        assert_eq!([bytes("KB"), bytes("GiB"), bytes("E")], [Some(1000), Some(1 << 30), Some(1 << 60)]);
        assert_eq!([bytes("Kib ps"), bytes("Z"), bytes("iB")], [None; 3]);
        let document = document("<memory unit='EiB'>17</memory>", "memory", 100).expect("XML");
        assert!(amount(document.root_element(), "KiB").is_err(), "17 EiB are more than 64 bits hold");
    }
}
