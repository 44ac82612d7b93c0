//! What guests one host can have, those it has, and the storage they are on.

use vmuster_proto::model::{
    Domain, FeatureSet, GuestCpu, Hypervisor, Inventory, Promised, StoragePool, Usage,
};

use super::{
    Columns,
    devices::{dash, shown, text},
    hosts::Facts,
};

/// The guest layer, what runs guests, and what they were promised.
pub(super) fn describe(inventory: &Inventory, usage: Option<&Usage>, facts: &mut Facts) {
    if let Some(guest) = inventory.cpu.as_ref().and_then(|cpu| cpu.guest.as_ref()) {
        describe_cpu(guest, facts);
    }
    if let Some(hypervisor) = &inventory.hypervisor {
        describe_hypervisor(hypervisor, facts);
    }
    let promised = usage.and_then(|usage| usage.promised.as_ref());
    facts.value("Promised", promised.map(promised_to));
}

fn describe_cpu(guest: &GuestCpu, facts: &mut Facts) {
    facts.text("Guests run by", guest.virt_type.as_ref());
    let vendor = guest.vendor.as_ref().map(|vendor| format!(" ({vendor})")).unwrap_or_default();
    facts.value("Guest CPU model", guest.model.as_ref().map(|model| format!("{model}{vendor}")));
    let unknown = guest.unrecognized_features.as_ref().map(FeatureSet::len).filter(|count| *count > 0);
    let unknown = unknown.map(|count| format!(", {count} of them new to vmuster")).unwrap_or_default();
    facts.value("Guest features", guest.features.as_ref().map(|names| format!("{}{unknown}", names.len())));
    facts.value("Guest phys. bits", guest.physical_address_bits);
    if !guest.models.is_empty() {
        let models = format!("{} of {} usable", guest.usable_models.len(), guest.models.len());
        facts.value("Named models", Some(models));
    }
}

fn describe_hypervisor(hypervisor: &Hypervisor, facts: &mut Facts) {
    facts.text("libvirt", hypervisor.libvirt_version.as_ref());
    // The driver's own name: there are others than QEMU.
    let driver = hypervisor.driver.as_deref().unwrap_or("QEMU");
    facts.text(driver, hypervisor.qemu_version.as_ref());
    let types = hypervisor.machine_types.len();
    facts.value("Machine types", (types > 0).then_some(types));
}

fn promised_to(promised: &Promised) -> String {
    let amounts = [
        promised.vcpus.map(|vcpus| format!("{vcpus} vCPUs")),
        promised.memory_bytes.map(|bytes| format!("{bytes} memory")),
        promised.disk_virtual_bytes.map(|bytes| format!("{bytes} disk")),
    ];
    let names = ["vCPUs", "memory", "disk"];
    let amounts =
        amounts.into_iter().zip(names).map(|(amount, name)| amount.unwrap_or(format!("{name} not known")));
    let guests = if promised.domain_count == 1 { "guest" } else { "guests" };
    format!("to {} {guests}: {}", promised.domain_count, amounts.collect::<Vec<_>>().join(", "))
}

/// Every table that has a row, each after an empty line.
pub(super) fn tables(usage: Option<&Usage>, width: u16) -> String {
    let domains = usage.and_then(|usage| usage.domains.as_deref()).unwrap_or_default();
    let pools = usage.and_then(|usage| usage.pools.as_deref()).unwrap_or_default();
    let tables = [domains_table(domains, width), pools_table(pools, width)];
    tables.into_iter().flatten().map(|table| format!("\n{table}")).collect()
}

/// What each may have; what it has now, where that is less.
fn domains_table(domains: &[Domain], width: u16) -> Option<String> {
    let mut list = Columns::new(&["STATE", "VCPUS", "MEMORY", "DISK", "MACHINE", "GUEST"], width);
    for domain in domains {
        let vcpus = shown(domain.vcpus_max);
        let vcpus = match domain.vcpus.filter(|now| Some(*now) != domain.vcpus_max) {
            Some(now) => format!("{now}/{vcpus}"),
            None => vcpus,
        };
        list.row([
            domain.state.as_ref().map_or_else(dash, |state| state.replace('_', " ")),
            vcpus,
            shown(domain.memory_max_bytes),
            shown(domain.disk_virtual_bytes),
            text(domain.machine_type.as_ref()),
            domain.name.clone(),
        ]);
    }
    (!domains.is_empty()).then(|| list.text())
}

fn pools_table(pools: &[StoragePool], width: u16) -> Option<String> {
    let mut list = Columns::new(&["POOL", "TYPE", "STATE", "SIZE", "AVAILABLE", "WHERE"], width);
    for pool in pools {
        list.row([
            pool.name.clone(),
            text(pool.r#type.as_ref()),
            text(pool.state.as_ref()),
            shown(pool.capacity_bytes),
            shown(pool.available_bytes),
            text(pool.identity.as_ref().or(pool.target_path.as_ref())),
        ]);
    }
    (!pools.is_empty()).then(|| list.text())
}
