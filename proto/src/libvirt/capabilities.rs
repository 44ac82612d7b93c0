//! `<capabilities>`: what a host can run. Only of the host's own architecture: emulated others move nowhere fast.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::Node;

use super::xml::{
    ANSWER_MAX_BYTES, XmlError, attribute, child, child_text, children, document, number, own_text, switch,
};

/// What is used of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// The host's, "x86_64".
    pub arch: Option<String>,
    /// Path of the emulator of that architecture.
    pub emulator: Option<String>,
    /// "kvm", "qemu".
    pub virt_types: BTreeSet<String>,
    /// Machine types, their own names.
    pub machine_types: BTreeSet<String>,
    /// Other names of theirs.
    pub machine_aliases: BTreeMap<String, String>,
    /// Most vCPUs, by machine type.
    pub machine_max_vcpus: BTreeMap<String, u32>,
    /// Those that will go.
    pub deprecated_machine_types: BTreeSet<String>,
}

/// Reads them.
///
/// # Errors
/// It is another document, or none.
pub fn parse(text: &str) -> Result<Capabilities, XmlError> {
    let document = document(text, "capabilities", ANSWER_MAX_BYTES)?;
    let root = document.root_element();
    let host_cpu = child(root, "host").and_then(|host| child(host, "cpu"));
    let arch = host_cpu.and_then(|cpu| child_text(cpu, "arch"));
    let mut capabilities = Capabilities { arch: arch.clone(), ..Capabilities::default() };
    let own = children(root, "guest")
        .filter(|guest| child_text(*guest, "os_type").as_deref() == Some("hvm"))
        .filter_map(|guest| child(guest, "arch"))
        .find(|guest| guest.attribute("name") == arch.as_deref());
    let Some(own) = own else { return Ok(capabilities) };
    capabilities.emulator = child_text(own, "emulator");
    add_machines(&mut capabilities, own);
    for domain in children(own, "domain") {
        capabilities.virt_types.extend(attribute(domain, "type"));
        add_machines(&mut capabilities, domain);
    }
    Ok(capabilities)
}

fn add_machines(capabilities: &mut Capabilities, within: Node<'_, '_>) {
    for machine in children(within, "machine") {
        let Some(name) = own_text(machine) else { continue };
        let own_name = match attribute(machine, "canonical") {
            Some(canonical) => {
                capabilities.machine_aliases.insert(name, canonical.clone());
                canonical
            }
            None => name,
        };
        if let Some(most) = number(machine, "maxCpus") {
            capabilities.machine_max_vcpus.insert(own_name.clone(), most);
        }
        if switch(machine, "deprecated") == Some(true) {
            capabilities.deprecated_machine_types.insert(own_name.clone());
        }
        capabilities.machine_types.insert(own_name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_hosts_own_architecture() {
        let text = "<capabilities><host><cpu><arch>x86_64</arch></cpu></host>\
            <guest><os_type>hvm</os_type><arch name='i686'><emulator>/i</emulator><machine>old</machine></arch></guest>\
            <guest><os_type>hvm</os_type><arch name='x86_64'><emulator>/x</emulator>\
            <machine maxCpus='288'>pc-q35-7.2</machine><machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>\
            <machine maxCpus='255' deprecated='yes'>pc-i440fx-1.4</machine>\
            <domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>";
        let capabilities = parse(text).expect("capabilities");
        assert_eq!(capabilities.emulator.as_deref(), Some("/x"));
        assert_eq!(Vec::from_iter(&capabilities.machine_types), ["pc-i440fx-1.4", "pc-q35-7.2"]);
        assert_eq!(capabilities.machine_aliases["q35"], "pc-q35-7.2");
        assert_eq!(capabilities.machine_max_vcpus["pc-q35-7.2"], 288);
        assert_eq!(Vec::from_iter(&capabilities.deprecated_machine_types), ["pc-i440fx-1.4"]);
        assert_eq!(Vec::from_iter(&capabilities.virt_types), ["kvm", "qemu"]);
    }
}
