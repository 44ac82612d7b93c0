//! `<cpu>` elements: tolerantly, as libvirt writes them, and strictly, as callers send them.

use std::collections::BTreeSet;

use crate::model::{CpuDefinition, CpuFeature};
use roxmltree::Node;

use super::xml::{XmlError, attribute, child, child_text, children, document, number, own_text, switch};

/// A caller's definition; libvirt's own, expanded, with some 200 features, have under 12 KB.
pub const CALLER_CPU_MAX_BYTES: usize = 64 << 10;

/// libvirt's longest name has 32 bytes.
const NAME_MAX_BYTES: usize = 64;

/// libvirt 12 knows some 500.
const FEATURES_MAX: usize = 2_000;

const MODES: [&str; 4] = ["custom", "host-model", "host-passthrough", "maximum"];
const MATCHES: [&str; 3] = ["minimum", "exact", "strict"];
const CHECKS: [&str; 3] = ["none", "partial", "full"];
const POLICIES: [&str; 5] = ["force", "require", "optional", "disable", "forbid"];
const FALLBACKS: [&str; 2] = ["allow", "forbid"];
const ADDRESS_MODES: [&str; 2] = ["passthrough", "emulate"];

/// Elements of hosts' and guests' definitions that say nothing of features: they are left out of what is rebuilt.
const BESIDE_THE_POINT: [&str; 8] =
    ["topology", "cache", "numa", "microcode", "signature", "counter", "pages", "power_management"];

/// A `<cpu>` or host-model element as libvirt writes it; what it may add in future is passed over.
#[must_use]
pub fn definition(node: Node<'_, '_>) -> CpuDefinition {
    let model = child(node, "model");
    let address = child(node, "maxphysaddr");
    let mut features: Vec<CpuFeature> = children(node, "feature")
        .filter_map(|feature| {
            Some(CpuFeature { name: attribute(feature, "name")?, policy: attribute(feature, "policy") })
        })
        .collect();
    features.sort_by(|a, b| a.name.cmp(&b.name));
    CpuDefinition {
        arch: child_text(node, "arch"),
        mode: attribute(node, "mode"),
        r#match: attribute(node, "match"),
        check: attribute(node, "check"),
        migratable: switch(node, "migratable"),
        model: model.and_then(own_text),
        fallback: model.and_then(|model| attribute(model, "fallback")),
        vendor: child_text(node, "vendor"),
        physical_address_bits: address
            .and_then(|address| number(address, "bits").or_else(|| number(address, "limit"))),
        physical_address_mode: address.and_then(|address| attribute(address, "mode")),
        features,
    }
}

/// An answer of libvirt's that is one `<cpu>`.
///
/// # Errors
/// It is not.
pub fn answer(text: &str) -> Result<CpuDefinition, XmlError> {
    Ok(definition(document(text, "cpu", super::xml::ANSWER_MAX_BYTES)?.root_element()))
}

/// A caller's `<cpu>`: only known elements, attributes and values, sane names.
///
/// # Errors
/// What is wrong with it.
pub fn of_caller(text: &str) -> Result<CpuDefinition, XmlError> {
    let document = document(text, "cpu", CALLER_CPU_MAX_BYTES)?;
    let root = document.root_element();
    only_attributes(root, &["mode", "match", "check", "migratable"])?;
    let mut singles = BTreeSet::new();
    for element in root.children().filter(Node::is_element) {
        let name = element.tag_name().name();
        let allowed: &[&str] = match name {
            "arch" | "vendor" => &[],
            "model" => &["fallback", "vendor_id"],
            "feature" => &["name", "policy"],
            "maxphysaddr" => &["mode", "bits", "limit"],
            name if BESIDE_THE_POINT.contains(&name) => continue,
            name => return Err(XmlError::value(format!("<{name}>"), "such an element is not taken")),
        };
        only_attributes(element, allowed)?;
        if let Some(within) = element.children().find(Node::is_element) {
            let inner = within.tag_name().name();
            return Err(XmlError::value(format!("<{name}>"), format!("there is no <{inner}> in it")));
        }
        if name == "feature" && element.attribute("name").is_none() {
            return Err(XmlError::value("<feature>", "it has no name"));
        }
        if name != "feature" && !singles.insert(name) {
            return Err(XmlError::value(format!("<{name}>"), "there is more than one"));
        }
    }
    let definition = definition(root);
    validate(&definition)?;
    Ok(definition)
}

/// Whether every part of a definition is one that libvirt could have written.
///
/// # Errors
/// Which is not, and why.
pub fn validate(definition: &CpuDefinition) -> Result<(), XmlError> {
    let CpuDefinition {
        arch,
        mode,
        r#match,
        check,
        migratable: _,
        model,
        fallback,
        vendor,
        physical_address_bits,
        physical_address_mode,
        features,
    } = definition;
    one_of("mode", mode.as_deref(), &MODES)?;
    one_of("match", r#match.as_deref(), &MATCHES)?;
    one_of("check", check.as_deref(), &CHECKS)?;
    one_of("fallback", fallback.as_deref(), &FALLBACKS)?;
    one_of("<maxphysaddr mode=>", physical_address_mode.as_deref(), &ADDRESS_MODES)?;
    for (element, value) in [("<arch>", arch), ("<model>", model), ("<vendor>", vendor)] {
        value.as_deref().map_or(Ok(()), |value| name(element, value))?;
    }
    if physical_address_bits.is_some_and(|bits| !(1..=64).contains(&bits)) {
        return Err(XmlError::value("<maxphysaddr>", "it is not from 1 to 64 bits"));
    }
    if features.len() > FEATURES_MAX {
        return Err(XmlError::value(
            "<feature>",
            format!("there are {}, limit {FEATURES_MAX}", features.len()),
        ));
    }
    for feature in features {
        name("<feature name=>", &feature.name)?;
        one_of("<feature policy=>", feature.policy.as_deref(), &POLICIES)?;
    }
    if let Some(twice) = features.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(XmlError::value("<feature name=>", format!("'{}' is there twice", twice[0].name)));
    }
    Ok(())
}

/// The same, and that it is no larger than one that is sent alone; of a whole definition's CPU.
pub(super) fn validate_of_caller(definition: &CpuDefinition) -> Result<(), XmlError> {
    validate(definition)?;
    let length = super::render::cpu(definition).len();
    if length > CALLER_CPU_MAX_BYTES {
        return Err(XmlError::value("<cpu>", format!("{length} bytes, limit {CALLER_CPU_MAX_BYTES}")));
    }
    Ok(())
}

fn only_attributes(node: Node<'_, '_>, allowed: &[&str]) -> Result<(), XmlError> {
    match node.attributes().find(|attribute| !allowed.contains(&attribute.name())) {
        None => Ok(()),
        Some(other) => {
            let problem = format!("such an attribute is not taken: {}", other.name());
            Err(XmlError::value(format!("<{}>", node.tag_name().name()), problem))
        }
    }
}

fn one_of(place: &str, value: Option<&str>, allowed: &[&str]) -> Result<(), XmlError> {
    match value {
        Some(value) if !allowed.contains(&value) => {
            Err(XmlError::value(place, format!("'{value}' is none of {}", allowed.join(", "))))
        }
        _ => Ok(()),
    }
}

/// Whether libvirt could have such a name for a model, vendor, architecture or feature.
#[must_use]
pub fn is_name(value: &str) -> bool {
    (1..=NAME_MAX_BYTES).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
}

fn name(place: &str, value: &str) -> Result<(), XmlError> {
    if is_name(value) {
        Ok(())
    } else {
        Err(XmlError::value(
            place,
            format!("'{value}' is not a name: 1 to {NAME_MAX_BYTES} of A-Z a-z 0-9 . _ + -"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    const GUEST: &str = "<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>EPYC-Rome</model>\
        <vendor>AMD</vendor><maxphysaddr mode='passthrough' limit='48'/><topology sockets='1'/>\
        <feature policy='require' name='x2apic'/><feature policy='disable' name='amd-stibp'/></cpu>";

    #[test]
    fn what_a_caller_sends_is_rebuilt() {
        let definition = of_caller(GUEST).expect("a CPU");
        assert_eq!(
            render::cpu(&definition),
            "<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>EPYC-Rome</model>\
             <vendor>AMD</vendor><maxphysaddr mode='passthrough' bits='48'/>\
             <feature policy='disable' name='amd-stibp'/><feature policy='require' name='x2apic'/></cpu>"
        );
        assert_eq!(of_caller(&render::cpu(&definition)), Ok(definition));
        let host = "<cpu><arch>x86_64</arch><model>Penryn</model><feature name='dca'/></cpu>";
        assert_eq!(render::cpu(&of_caller(host).expect("a host's CPU")), host);
    }

    #[test]
    fn what_a_caller_may_not_send_is_named() {
        let problem = |text: &str| of_caller(text).expect_err(text).to_string();
        assert_eq!(problem("<cpu><script/></cpu>"), "<script>: such an element is not taken");
        assert_eq!(problem("<cpu id='1'/>"), "<cpu>: such an attribute is not taken: id");
        assert_eq!(
            problem("<cpu mode='fast'/>"),
            "mode: 'fast' is none of custom, host-model, host-passthrough, maximum"
        );
        assert_eq!(problem("<cpu><model><b/></model></cpu>"), "<model>: there is no <b> in it");
        assert_eq!(problem("<cpu><model>a</model><model>b</model></cpu>"), "<model>: there is more than one");
        assert_eq!(problem("<cpu><feature/></cpu>"), "<feature>: it has no name");
        assert_eq!(
            problem("<cpu><feature name='a'/><feature name='a'/></cpu>"),
            "<feature name=>: 'a' is there twice"
        );
        let quote = "<cpu><model>&apos;/&gt;&lt;emulator&gt;</model></cpu>";
        assert_eq!(problem(quote), "<model>: ''/><emulator>' is not a name: 1 to 64 of A-Z a-z 0-9 . _ + -");
        assert_eq!(
            problem("<cpu><maxphysaddr bits='65'/></cpu>"),
            "<maxphysaddr>: it is not from 1 to 64 bits"
        );
        assert!(
            problem(&format!("<cpu>{}</cpu>", " ".repeat(CALLER_CPU_MAX_BYTES))).contains("are not read")
        );
        let many: String = (0..65).map(|at| format!(" a{at}=''")).collect();
        for within in ["<topology{}/>", "<numa><cell{}/></numa>"] {
            let text = format!("<cpu>{}</cpu>", within.replace("{}", &many));
            assert!(problem(&text).contains("more than 64 attributes"), "also in what is left out");
        }
    }
}
