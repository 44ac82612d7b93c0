//! `<domain>`: what one guest was promised, and where its memory, CPUs and disks are.

use std::collections::BTreeMap;

use crate::model::{Bytes, CpuSet, Domain, DomainHugepages, DomainNuma, GuestCell};
use roxmltree::Node;

use super::{
    cpu,
    domain_devices::{disks, host_devices},
    host_bound,
    xml::{
        DEFINITION_MAX_BYTES, XmlError, amount, attribute, child, child_text, children, document, number,
        own_text, scaled, set,
    },
};

/// A guest of 4,096 vCPUs has as many pins; a definition is no larger than [`DEFINITION_MAX_BYTES`] anyway.
const PINS_MAX: usize = 16_384;

/// Reads one definition, running or not; sizes of disks are not in it.
///
/// # Errors
/// It is another document or none, has no name or UUID, or a value makes no sense: what is promised must be exact.
pub fn parse(text: &str) -> Result<Domain, XmlError> {
    let domain = read(text)?;
    if domain.uuid.is_empty() { Err(missing("uuid")) } else { Ok(domain) }
}

fn missing(element: &str) -> XmlError {
    XmlError::value("<domain>", format!("it has no <{element}>"))
}

/// The same of a definition that libvirt may not have seen: it gives a UUID to one that has none. That is empty here. Its
/// CPU is one that libvirt would take, and of a size that every host can be asked about.
///
/// # Errors
/// See [`parse`], and what is wrong with the CPU.
pub fn of_caller(text: &str) -> Result<Domain, XmlError> {
    let domain = read(text)?;
    domain.cpu.as_ref().map_or(Ok(()), cpu::validate_of_caller)?;
    Ok(domain)
}

fn read(text: &str) -> Result<Domain, XmlError> {
    let document = document(text, "domain", DEFINITION_MAX_BYTES)?;
    let root = document.root_element();
    let memory = child(root, "memory").map(|node| amount(node, "KiB")).transpose()?;
    let current = child(root, "currentMemory").map(|node| amount(node, "KiB")).transpose()?;
    let vcpu = child(root, "vcpu");
    let vcpus_max = vcpu.map(vcpu_count).transpose()?;
    let vcpus = vcpu.and_then(|vcpu| number(vcpu, "current")).or(vcpus_max);
    let os_type = child(root, "os").and_then(|os| child(os, "type"));
    let tuning = child(root, "cputune");
    let emulator_pin = tuning.and_then(|tuning| child(tuning, "emulatorpin"));
    // A running one has a number; whether it is paused, its definition does not say.
    let state = if root.attribute("id").is_some() { "running" } else { "shut_off" };
    Ok(Domain {
        uuid: child_text(root, "uuid").unwrap_or_default().to_ascii_lowercase(),
        name: child_text(root, "name").ok_or_else(|| missing("name"))?,
        state: Some(state.to_owned()),
        persistent: None,
        vcpus,
        vcpus_max,
        memory_bytes: current.or(memory),
        memory_max_bytes: memory.max(current),
        disk_virtual_bytes: None,
        virt_type: attribute(root, "type"),
        arch: os_type.and_then(|node| attribute(node, "arch")),
        machine_type: os_type.and_then(|node| attribute(node, "machine")),
        cpu: child(root, "cpu").map(cpu::definition),
        disks: disks(root),
        hugepages: child(root, "memoryBacking").map(hugepages).transpose()?.unwrap_or_default(),
        cpus: vcpu.map(|vcpu| set(vcpu, "cpuset")).transpose()?.flatten(),
        vcpu_pins: tuning.map(pins).transpose()?.unwrap_or_default(),
        emulator_cpus: emulator_pin.map(|pin| set(pin, "cpuset")).transpose()?.flatten(),
        numa: numa(root)?,
        host_devices: host_devices(root),
        host_bound: host_bound::of(root),
    })
}

fn vcpu_count(vcpu: Node<'_, '_>) -> Result<u32, XmlError> {
    let text = own_text(vcpu).unwrap_or_default();
    text.parse().map_err(|_| XmlError::value("<vcpu>", format!("'{text}' is not a number")))
}

fn pins(tuning: Node<'_, '_>) -> Result<BTreeMap<u32, CpuSet>, XmlError> {
    let mut pins = BTreeMap::new();
    for pin in children(tuning, "vcpupin").take(PINS_MAX) {
        if let (Some(vcpu), Some(cpus)) = (number(pin, "vcpu"), set(pin, "cpuset")?) {
            pins.insert(vcpu, cpus);
        }
    }
    Ok(pins)
}

/// One entry without a size means the host's default size.
fn hugepages(backing: Node<'_, '_>) -> Result<Vec<DomainHugepages>, XmlError> {
    let Some(hugepages) = child(backing, "hugepages") else { return Ok(Vec::new()) };
    let sized = children(hugepages, "page").map(|page| {
        let unit = page.attribute("unit").unwrap_or("KiB");
        let size_bytes = attribute(page, "size").map(|size| scaled(page, &size, unit)).transpose()?;
        Ok(DomainHugepages { size_bytes, guest_nodes: set(page, "nodeset")? })
    });
    let mut sized = sized.collect::<Result<Vec<_>, XmlError>>()?;
    if sized.is_empty() {
        sized.push(DomainHugepages::default());
    }
    Ok(sized)
}

fn numa(root: Node<'_, '_>) -> Result<Option<DomainNuma>, XmlError> {
    let tuning = child(root, "numatune");
    let memory = tuning.and_then(|tuning| child(tuning, "memory"));
    let layout = child(root, "cpu").and_then(|cpu| child(cpu, "numa"));
    if tuning.is_none() && layout.is_none() {
        return Ok(None);
    }
    let mut cells = Vec::new();
    for (position, cell) in (0u32..).zip(layout.into_iter().flat_map(|numa| children(numa, "cell"))) {
        cells.push(guest_cell(position, cell)?);
    }
    cells.sort_by_key(|cell| cell.id);
    for node in tuning.into_iter().flat_map(|tuning| children(tuning, "memnode")) {
        let Some(id) = number(node, "cellid") else { continue };
        // The first of those that have it.
        let at = cells.partition_point(|cell: &GuestCell| cell.id < id);
        let Some(cell) = cells.get_mut(at).filter(|cell| cell.id == id) else { continue };
        cell.mode = attribute(node, "mode");
        cell.host_nodes = set(node, "nodeset")?;
    }
    Ok(Some(DomainNuma {
        mode: memory.and_then(|memory| attribute(memory, "mode")),
        host_nodes: memory.map(|memory| set(memory, "nodeset")).transpose()?.flatten(),
        cells,
    }))
}

fn guest_cell(position: u32, cell: Node<'_, '_>) -> Result<GuestCell, XmlError> {
    let unit = cell.attribute("unit").unwrap_or("KiB");
    let memory_bytes: Option<Bytes> =
        attribute(cell, "memory").map(|memory| scaled(cell, &memory, unit)).transpose()?;
    Ok(GuestCell {
        id: number(cell, "id").unwrap_or(position),
        vcpus: set(cell, "cpus")?,
        memory_bytes,
        mode: None,
        host_nodes: None,
    })
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
