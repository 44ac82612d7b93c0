//! PCI functions of the host that a guest has.

use vmuster_proto::model::{PciDevice, Usage};

use super::{Case, HostFacts, Said, is_running, named, no, unknown, yes};

/// A device stays in its machine: a running guest that has one stays too. One that is shut off needs one there.
pub(super) fn pci(case: &Case<'_>) -> Said {
    let wanted: Vec<&str> = case.domain.host_devices.iter().map(String::as_str).collect();
    if wanted.is_empty() {
        return Said::new();
    }
    if case.is_running() {
        let wanted = named(&wanted);
        return no(format!("it has PCI functions of its host and cannot move while it has them: {wanted}"));
    }
    let Some(there) = &case.target.inventory.pci else {
        return case.target.silent("pci", "its PCI functions");
    };
    wanted.into_iter().flat_map(|address| one(case, address, there)).collect()
}

fn one(case: &Case<'_>, address: &str, there: &[PciDevice]) -> Said {
    let Some(theirs) = there.iter().find(|device| device.address == address) else {
        return no(format!("the host has no PCI function {address}"));
    };
    if let Some(holder) = case.target.usage.and_then(|usage| holder(usage, address)) {
        return no(format!("the guest '{holder}' has PCI function {address} there"));
    }
    match case.source.as_ref().and_then(|source| device(source, address)) {
        Some(ours) if is_alike(ours, theirs) => {
            yes(format!("PCI function {address} there is of the same kind"))
        }
        Some(ours) => no(format!("PCI function {address} there is {}, and here {}", ids(theirs), ids(ours))),
        None => {
            unknown(format!("what PCI function {address} is to be is not known; there it is {}", ids(theirs)))
        }
    }
}

fn holder<'a>(usage: &'a Usage, address: &str) -> Option<&'a str> {
    let domains = usage.domains.as_deref()?;
    let has = |domain: &&vmuster_proto::model::Domain| {
        is_running(domain) && domain.host_devices.iter().any(|device| device == address)
    };
    domains.iter().find(has).map(|domain| domain.name.as_str())
}

fn device<'a>(host: &HostFacts<'a>, address: &str) -> Option<&'a PciDevice> {
    host.inventory.pci.as_ref()?.iter().find(|device| device.address == address)
}

fn is_alike(a: &PciDevice, b: &PciDevice) -> bool {
    a.vendor_id.is_some() && (&a.vendor_id, &a.device_id) == (&b.vendor_id, &b.device_id)
}

fn ids(device: &PciDevice) -> String {
    let part = |id: &Option<String>| id.clone().unwrap_or_else(|| "?".to_owned());
    format!("{}:{}", part(&device.vendor_id), part(&device.device_id))
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::{
        Domain,
        VerdictKind::{No, Unknown, Yes},
    };

    use super::*;
    use crate::migration::testing::{Facts, facts, told};

    fn function(address: &str, device: &str) -> PciDevice {
        PciDevice {
            address: address.to_owned(),
            vendor_id: Some("10de".to_owned()),
            device_id: Some(device.to_owned()),
            ..PciDevice::default()
        }
    }

    const ADDRESS: &str = "0000:3b:00.0";

    fn stopped(theirs: &str) -> Facts {
        let mut facts = facts();
        facts.domain.host_devices = vec![ADDRESS.to_owned()];
        facts.domain.state = Some("shut_off".to_owned());
        facts.source.as_mut().expect("a source").inventory.pci = Some([function(ADDRESS, "2236")].into());
        facts.target.inventory.pci = Some([function(ADDRESS, theirs)].into());
        facts
    }

    #[test]
    fn a_running_guest_stays_with_its_devices() {
        assert_eq!(told(pci, &facts()), []);
        let mut running = stopped("2236");
        running.domain.state = Some("running".to_owned());
        let stays = "it has PCI functions of its host and cannot move while it has them: 0000:3b:00.0";
        assert_eq!(told(pci, &running), [(No, stays.to_owned())]);
    }

    #[test]
    fn one_that_is_shut_off_needs_the_like() {
        assert_eq!(told(pci, &stopped("2236"))[0].0, Yes);
        let other = "PCI function 0000:3b:00.0 there is 10de:1db4, and here 10de:2236";
        assert_eq!(told(pci, &stopped("1db4")), [(No, other.to_owned())]);
        let mut absent = stopped("2236");
        absent.target.inventory.pci = Some([].into());
        assert_eq!(told(pci, &absent), [(No, "the host has no PCI function 0000:3b:00.0".to_owned())]);
        let mut taken = stopped("2236");
        let holder = Domain {
            name: "gpu".to_owned(),
            state: Some("running".to_owned()),
            host_devices: vec![ADDRESS.to_owned()],
            ..Domain::default()
        };
        taken.target.usage.domains = Some(vec![holder]);
        assert_eq!(
            told(pci, &taken),
            [(No, "the guest 'gpu' has PCI function 0000:3b:00.0 there".to_owned())]
        );
        let mut alone = stopped("2236");
        alone.source = None;
        assert_eq!(told(pci, &alone)[0].0, Unknown);
        alone.target.inventory.pci = None;
        assert_eq!(told(pci, &alone)[0].0, Unknown);
    }
}
