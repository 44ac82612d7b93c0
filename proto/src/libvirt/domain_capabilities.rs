//! `<domainCapabilities>`: what guests of one architecture, machine type and kind can have.

use crate::model::{CpuDefinition, FeatureSet, GuestCpuModel};
use roxmltree::Node;

use super::{
    cpu,
    xml::{ANSWER_MAX_BYTES, XmlError, attribute, child, child_text, children, document, own_text, switch},
};

/// What is used of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DomainCapabilities {
    /// Path of the emulator.
    pub emulator: Option<String>,
    /// "kvm" or "qemu".
    pub virt_type: Option<String>,
    /// Machine type they are of.
    pub machine_type: Option<String>,
    /// "x86_64".
    pub arch: Option<String>,
    /// What firmware can be chosen by name, sorted; None where libvirt does not say.
    pub firmwares: Option<Vec<String>>,
    /// host-model; None where there is none.
    pub host_model: Option<CpuDefinition>,
    /// Named models, by name; None where guests cannot have a named one.
    pub models: Option<Vec<GuestCpuModel>>,
}

/// Reads them.
///
/// # Errors
/// It is another document, or none.
pub fn parse(text: &str) -> Result<DomainCapabilities, XmlError> {
    let document = document(text, "domainCapabilities", ANSWER_MAX_BYTES)?;
    let root = document.root_element();
    let firmware = child(root, "os")
        .and_then(|os| children(os, "enum").find(|choice| choice.attribute("name") == Some("firmware")));
    let modes = || child(root, "cpu").into_iter().flat_map(|cpu| children(cpu, "mode"));
    let supported = |name: &'static str| {
        modes().find(|mode| mode.attribute("name") == Some(name) && switch(*mode, "supported") == Some(true))
    };
    Ok(DomainCapabilities {
        emulator: child_text(root, "path"),
        virt_type: child_text(root, "domain"),
        machine_type: child_text(root, "machine"),
        arch: child_text(root, "arch"),
        firmwares: firmware.map(|firmware| {
            let mut names: Vec<String> = children(firmware, "value").filter_map(own_text).collect();
            names.sort_unstable();
            names
        }),
        host_model: supported("host-model").map(cpu::definition),
        models: supported("custom").map(models).transpose()?,
    })
}

fn models(mode: Node<'_, '_>) -> Result<Vec<GuestCpuModel>, XmlError> {
    let mut models: Vec<GuestCpuModel> = children(mode, "model")
        .filter_map(|model| {
            Some(GuestCpuModel {
                name: own_text(model)?,
                usable: switch(model, "usable"),
                deprecated: switch(model, "deprecated"),
                vendor: attribute(model, "vendor").filter(|vendor| vendor != "unknown"),
                canonical: attribute(model, "canonical"),
                blockers: None,
            })
        })
        .collect();
    models.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    models.dedup_by(|a, b| a.name == b.name);
    for blockers in children(mode, "blockers") {
        let Some(name) = attribute(blockers, "model") else { continue };
        let features = children(blockers, "feature").filter_map(|feature| feature.attribute("name"));
        let features = FeatureSet::from_names(features)
            .map_err(|error| XmlError::value(format!("<blockers model='{name}'>"), error.to_string()))?;
        if let Ok(place) = models.binary_search_by(|model| model.name.as_str().cmp(&name)) {
            models[place].blockers = Some(features);
        }
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_newer_libvirt() {
        let text = "<domainCapabilities><path>/usr/bin/qemu-system-x86_64</path><domain>kvm</domain>\
            <machine>pc-q35-9.0</machine><arch>x86_64</arch><os supported='yes'><enum name='firmware'>\
            <value>efi</value><value>bios</value></enum></os><cpu><mode name='host-model' supported='yes'>\
            <model fallback='forbid'>Skylake-Client-noTSX-IBRS</model><vendor>Intel</vendor>\
            <maxphysaddr mode='passthrough' limit='39'/><feature policy='require' name='ss'/></mode>\
            <mode name='custom' supported='yes'><model usable='no' deprecated='yes' vendor='AMD' canonical='EPYC-v1'>\
            EPYC</model><blockers model='EPYC'><feature name='svm'/><feature name='npt'/></blockers>\
            <model usable='yes' deprecated='no' vendor='unknown'>486</model><model usable='unknown'>z</model>\
            </mode></cpu></domainCapabilities>";
        let capabilities = parse(text).expect("capabilities");
        assert_eq!(capabilities.firmwares, Some(vec!["bios".to_owned(), "efi".to_owned()]));
        let host_model = capabilities.host_model.expect("host-model");
        assert_eq!(
            (host_model.physical_address_bits, host_model.vendor.as_deref()),
            (Some(39), Some("Intel"))
        );
        let models = capabilities.models.expect("models");
        let told: Vec<_> = models
            .iter()
            .map(|model| {
                let blockers = model.blockers.as_ref().map(|set| set.names().join(" "));
                (model.name.as_str(), model.usable, model.deprecated, model.vendor.as_deref(), blockers)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("486", Some(true), Some(false), None, None),
                ("EPYC", Some(false), Some(true), Some("AMD"), Some("npt svm".to_owned())),
                ("z", None, None, None, None),
            ]
        );
        assert_eq!(models[1].canonical.as_deref(), Some("EPYC-v1"));
    }

    #[test]
    fn of_a_host_without_named_models() {
        let text = "<domainCapabilities><cpu><mode name='host-model' supported='no'/>\
            <mode name='custom' supported='no'/></cpu></domainCapabilities>";
        assert_eq!(parse(text), Ok(DomainCapabilities::default()));
        assert!(parse("<capabilities/>").is_err());
    }
}
