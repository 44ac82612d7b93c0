//! libvirt's answers → what guests can be given. Pure.

use std::collections::BTreeMap;

use vmuster_proto::{
    features::{Spelling, lookup},
    model::{CpuDefinition, FeatureSet, GuestCpu, Hypervisor, Issue, IssueKind},
};

use vmuster_proto::libvirt::{
    XmlError,
    capabilities::{self, Capabilities},
    cpu,
    domain_capabilities::{self, DomainCapabilities},
};

/// Section of the guest layer.
pub const GUEST: &str = "cpu.guest";

/// Section of the hypervisor.
pub const HYPERVISOR: &str = "hypervisor";

/// One answer: where it came from, and its text or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// A call or a path.
    pub source: String,
    /// The issue's section is filled in by who uses the text.
    pub content: Result<String, Failure>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What sort of failure.
    pub kind: IssueKind,
    /// For a human, with what to do.
    pub detail: String,
}

impl Text {
    fn issue(&self, section: &str, failure: &Failure) -> Issue {
        Issue::new(section, self.source.as_str(), failure.kind, failure.detail.as_str())
    }

    fn parsed<T>(
        &self,
        section: &str,
        parse: impl FnOnce(&str) -> Result<T, XmlError>,
        issues: &mut Vec<Issue>,
    ) -> Option<T> {
        let text = self.content.as_ref().map_err(|failure| issues.push(self.issue(section, failure))).ok()?;
        let malformed = |error: XmlError| {
            Issue::new(section, self.source.as_str(), IssueKind::Malformed, error.to_string())
        };
        parse(text).map_err(|error| issues.push(malformed(error))).ok()
    }
}

/// What libvirt and QEMU call themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    /// "QEMU".
    pub driver: Option<String>,
    /// "9.0.0".
    pub libvirt: Option<String>,
    /// "7.2.22".
    pub qemu: Option<String>,
}

/// libvirt's version numbers have three decimal digits for each part: 9000000 is "9.0.0".
#[must_use]
pub fn dotted_version(number: u64) -> String {
    format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000)
}

/// Everything libvirt said of guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestTexts {
    /// virConnectGetCapabilities.
    pub capabilities: Text,
    /// virConnectGetDomainCapabilities.
    pub domain_capabilities: Text,
    /// virConnectBaselineHypervisorCPU of host-model alone, expanded, migratable. None where there is nothing to expand.
    pub expanded: Option<Text>,
    /// Versions, as far as they are known.
    pub versions: Versions,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guests {
    /// The guest layer.
    pub guest: Option<GuestCpu>,
    /// What runs guests.
    pub hypervisor: Option<Hypervisor>,
    /// What is absent, and why.
    pub issues: Vec<Issue>,
}

/// Puts the answers together.
#[must_use]
pub fn assemble(texts: &GuestTexts) -> Guests {
    let mut issues = Vec::new();
    let capabilities = texts.capabilities.parsed(HYPERVISOR, capabilities::parse, &mut issues);
    let domain = texts.domain_capabilities.parsed(GUEST, domain_capabilities::parse, &mut issues);
    let expanded =
        texts.expanded.as_ref().and_then(|text| Some((text, text.parsed(GUEST, cpu::answer, &mut issues)?)));
    let features = expanded.as_ref().and_then(|(text, expanded)| {
        let refused = |error: &dyn std::fmt::Display| {
            Issue::new(GUEST, text.source.as_str(), IssueKind::Malformed, error.to_string())
        };
        given_features(expanded).map_err(|error| issues.push(refused(&error))).ok()
    });
    if let Some(domain) = &domain {
        issues.extend(doubts(domain, &texts.domain_capabilities.source, texts.expanded.is_some()));
    }
    let expanded = expanded.map(|(_, expanded)| expanded);
    let guest = (domain.is_some() || features.is_some()).then(|| {
        let domain = domain.clone().unwrap_or_default();
        guest_cpu(domain, features, expanded.as_ref())
    });
    let hypervisor = hypervisor(capabilities, domain.as_ref(), &texts.versions);
    Guests { guest, hypervisor, issues }
}

/// The features of an expanded definition that a guest gets.
fn given_features(expanded: &CpuDefinition) -> Result<FeatureSet, vmuster_proto::model::InvalidFeatureName> {
    let given = expanded
        .features
        .iter()
        .filter(|feature| matches!(feature.policy.as_deref(), None | Some("require" | "force")));
    FeatureSet::from_names(given.map(|feature| feature.name.as_str()))
}

/// Those that the name table does not know.
fn unrecognized(features: &FeatureSet) -> FeatureSet {
    let names = features.names();
    let unknown = names.iter().filter(|name| lookup(name, Spelling::Libvirt).feature().is_none());
    // Names of a set are well formed.
    FeatureSet::from_names(unknown.copied()).unwrap_or_default()
}

fn doubts(domain: &DomainCapabilities, source: &str, is_expanded: bool) -> Vec<Issue> {
    let unsupported = |detail: &str| Issue::new(GUEST, source, IssueKind::Unsupported, detail);
    let mut issues = Vec::new();
    if domain.host_model.is_none() && !is_expanded {
        issues.push(unsupported(
            "libvirt has no host-model for this host, so there is no list of features a guest can take along; \
             guests can have host-passthrough and move between equal hosts only",
        ));
    }
    if domain.virt_type.as_deref() == Some("qemu") {
        issues.push(unsupported(
            "this host has no KVM: these are the features of slow, emulated (TCG) guests; \
             look for /dev/kvm, for kvm_intel or kvm_amd among the loaded modules, and in the firmware's settings",
        ));
    }
    issues
}

fn guest_cpu(
    domain: DomainCapabilities,
    features: Option<FeatureSet>,
    expanded: Option<&CpuDefinition>,
) -> GuestCpu {
    let host_model = domain.host_model;
    let of = |field: fn(&CpuDefinition) -> Option<String>| {
        host_model.as_ref().and_then(field).or_else(|| expanded.and_then(field))
    };
    let models = domain.models.unwrap_or_default();
    let usable = models.iter().filter(|model| model.usable == Some(true));
    GuestCpu {
        virt_type: domain.virt_type,
        machine_type: domain.machine_type,
        unrecognized_features: features.as_ref().map(unrecognized),
        model: of(|cpu| cpu.model.clone()),
        vendor: of(|cpu| cpu.vendor.clone()),
        physical_address_bits: host_model
            .as_ref()
            .and_then(|cpu| cpu.physical_address_bits)
            .or_else(|| expanded?.physical_address_bits),
        usable_models: usable.map(|model| model.name.clone()).collect(),
        features,
        host_model,
        models,
    }
}

fn hypervisor(
    capabilities: Option<Capabilities>,
    domain: Option<&DomainCapabilities>,
    versions: &Versions,
) -> Option<Hypervisor> {
    let Versions { driver, libvirt, qemu } = versions.clone();
    let capabilities = capabilities.unwrap_or_default();
    let hypervisor = Hypervisor {
        driver,
        libvirt_version: libvirt,
        qemu_version: qemu,
        emulator: capabilities.emulator.or_else(|| domain?.emulator.clone()),
        virt_types: Vec::from_iter(capabilities.virt_types),
        machine_types: Vec::from_iter(capabilities.machine_types),
        machine_aliases: capabilities.machine_aliases,
        machine_max_vcpus: capabilities.machine_max_vcpus,
        deprecated_machine_types: Vec::from_iter(capabilities.deprecated_machine_types),
        firmwares: domain.and_then(|domain| domain.firmwares.clone()).unwrap_or_default(),
        kvm_parameters: BTreeMap::new(),
    };
    (hypervisor != Hypervisor::default()).then_some(hypervisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPABILITIES: &str = "<domainCapabilities><domain>kvm</domain><arch>x86_64</arch><cpu>\
        <mode name='host-model' supported='yes'><model fallback='forbid'>EPYC</model><vendor>AMD</vendor>\
        <feature policy='require' name='x2apic'/></mode><mode name='custom' supported='yes'>\
        <model usable='yes'>EPYC</model><model usable='no'>486</model></mode></cpu></domainCapabilities>";
    const EXPANDED: &str = "<cpu mode='custom' match='exact'><model fallback='forbid'>EPYC</model><vendor>AMD</vendor>\
        <feature policy='require' name='x2apic'/><feature policy='require' name='sse2'/>\
        <feature policy='disable' name='svm'/></cpu>";

    fn text(content: &str) -> Text {
        Text { source: "call".to_owned(), content: Ok(content.to_owned()) }
    }

    fn absent(kind: IssueKind) -> Text {
        Text { source: "call".to_owned(), content: Err(Failure { kind, detail: "why".to_owned() }) }
    }

    fn texts(domain_capabilities: Text, expanded: Option<Text>) -> GuestTexts {
        let capabilities = text("<capabilities/>");
        GuestTexts { capabilities, domain_capabilities, expanded, versions: Versions::default() }
    }

    fn told(guests: &Guests) -> Vec<(IssueKind, &str)> {
        guests.issues.iter().map(|issue| (issue.kind, issue.section.as_str())).collect()
    }

    #[test]
    fn features_are_those_of_the_expansion() {
        let guests = assemble(&texts(text(CAPABILITIES), Some(text(EXPANDED))));
        let guest = guests.guest.expect("a guest layer");
        assert_eq!(guest.features.expect("features").names(), ["sse2", "x2apic"]);
        assert_eq!(guest.unrecognized_features.map(|set| set.len()), Some(0));
        assert_eq!((guest.model.as_deref(), guest.vendor.as_deref()), (Some("EPYC"), Some("AMD")));
        assert_eq!(guest.usable_models, ["EPYC"]);
        assert_eq!(guests.issues, []);
    }

    #[test]
    fn names_newer_than_ours_pass_through_marked() {
        let newer = EXPANDED.replace("sse2", "quantum-aes");
        let guest = assemble(&texts(text(CAPABILITIES), Some(text(&newer)))).guest.expect("a guest layer");
        assert_eq!(guest.features.expect("features").names(), ["quantum-aes", "x2apic"]);
        assert_eq!(guest.unrecognized_features.expect("features").names(), ["quantum-aes"]);
    }

    #[test]
    fn without_the_expansion_no_features_are_claimed() {
        let guests = assemble(&texts(text(CAPABILITIES), Some(absent(IssueKind::Unsupported))));
        assert_eq!(told(&guests), [(IssueKind::Unsupported, GUEST)]);
        let guest = guests.guest.expect("the rest is known");
        assert_eq!((guest.features, guest.model.as_deref()), (None, Some("EPYC")));
    }

    #[test]
    fn the_expansion_alone_is_enough_for_features() {
        let guests = assemble(&texts(absent(IssueKind::Missing), Some(text(EXPANDED))));
        assert_eq!(told(&guests), [(IssueKind::Missing, GUEST)]);
        let guest = guests.guest.expect("a guest layer");
        assert_eq!((guest.features.map(|set| set.len()), guest.model.as_deref()), (Some(2), Some("EPYC")));
    }

    #[test]
    fn what_is_not_libvirts_xml_is_told() {
        let bomb = "<!DOCTYPE cpu [<!ENTITY a 'b'>]><cpu>&a;</cpu>";
        let guests = assemble(&texts(text("<domainCapabilities"), Some(text(bomb))));
        assert_eq!(told(&guests), [(IssueKind::Malformed, GUEST), (IssueKind::Malformed, GUEST)]);
        assert_eq!(guests.guest, None);
        let odd = EXPANDED.replace("sse2", "two words");
        assert_eq!(
            told(&assemble(&texts(text(CAPABILITIES), Some(text(&odd))))),
            [(IssueKind::Malformed, GUEST)]
        );
    }

    #[test]
    fn hosts_without_kvm_or_host_model_say_so() {
        let emulated = CAPABILITIES.replace("<domain>kvm", "<domain>qemu");
        let guests = assemble(&texts(text(&emulated), Some(text(EXPANDED))));
        assert_eq!(told(&guests), [(IssueKind::Unsupported, GUEST)]);
        let arm = "<domainCapabilities><domain>kvm</domain><arch>aarch64</arch></domainCapabilities>";
        assert_eq!(told(&assemble(&texts(text(arm), None))), [(IssueKind::Unsupported, GUEST)]);
    }
}
