//! Two hosts that are alike, and a guest that may move from one to the other.

use std::{collections::BTreeMap, sync::Arc};

use vmuster_proto::model::{
    AllocationSettings, Bytes, Cpu, CpuDefinition, CpuFeature, CpuSet, Domain, FeatureSet, GuestCpu,
    GuestCpuModel, HostSettings, Hypervisor, Inventory, Issue, Memory, MemoryUsage, Numa, NumaNode, Promised,
    System, Usage, VerdictKind,
};

use super::{Case, Comparison, HostFacts, Said};
use crate::{accounting::Profile, hosts::resolve};

/// A host's facts, owned.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) inventory: Inventory,
    pub(super) usage: Usage,
    pub(super) issues: Vec<Issue>,
    pub(super) doubt: Option<String>,
    pub(super) maintenance: bool,
    pub(super) settings: HostSettings,
    pub(super) comparison: Option<Comparison>,
}

impl Host {
    pub(super) fn facts(&self) -> HostFacts<'_> {
        HostFacts {
            inventory: &self.inventory,
            usage: Some(&self.usage),
            issues: &self.issues,
            doubt: self.doubt.as_deref(),
            maintenance: self.maintenance,
            settings: &self.settings,
            profile: Profile::Standard,
            comparison: self.comparison.as_ref(),
        }
    }
}

/// A guest and two hosts; the methods reach into the target.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) domain: Domain,
    pub(super) source: Option<Host>,
    pub(super) target: Host,
}

impl Facts {
    pub(super) fn source_cpu(&mut self) -> &mut Cpu {
        Arc::make_mut(self.source.as_mut().expect("a source").inventory.cpu.as_mut().expect("a CPU"))
    }

    pub(super) fn cpu(&mut self) -> &mut Cpu {
        Arc::make_mut(self.target.inventory.cpu.as_mut().expect("a CPU"))
    }

    pub(super) fn guest_cpu(&mut self) -> &mut GuestCpu {
        self.cpu().guest.as_mut().expect("a guest layer")
    }

    pub(super) fn driver(&mut self) -> &mut Hypervisor {
        Arc::make_mut(self.target.inventory.hypervisor.as_mut().expect("a hypervisor"))
    }

    pub(super) fn promised(&mut self) -> &mut Promised {
        self.target.usage.promised.as_mut().expect("promises")
    }

    pub(super) fn nodes(&mut self) -> &mut Vec<NumaNode> {
        &mut Arc::make_mut(self.target.inventory.numa.as_mut().expect("nodes")).nodes
    }
}

/// What one rule says of them.
pub(super) fn told(rule: fn(&Case<'_>) -> Said, facts: &Facts) -> Vec<(VerdictKind, String)> {
    let source = facts.source.as_ref().map(Host::facts);
    rule(&Case { domain: &facts.domain, source, target: facts.target.facts() })
}

pub(super) fn set(names: &[&str]) -> FeatureSet {
    FeatureSet::from_names(names.iter().copied()).expect("valid")
}

pub(super) fn cpus(list: &str) -> CpuSet {
    list.parse().expect("a list")
}

/// (policy, name).
pub(super) fn features(listed: &[(&str, &str)]) -> Vec<CpuFeature> {
    let feature = |(policy, name): &(&str, &str)| CpuFeature {
        name: (*name).to_owned(),
        policy: Some((*policy).to_owned()),
    };
    listed.iter().map(feature).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A running KVM guest of 2 vCPUs and 2 GiB, on nothing that only one host has.
pub(super) fn guest() -> Domain {
    Domain {
        uuid: "7c9f57ce-50b5-4207-9f43-89aac77ba169".to_owned(),
        name: "db-1".to_owned(),
        state: text("running"),
        vcpus_max: Some(2),
        memory_max_bytes: Some(Bytes(2 << 30)),
        virt_type: text("kvm"),
        arch: text("x86_64"),
        machine_type: text("pc-q35-7.2"),
        cpu: Some(CpuDefinition { mode: text("custom"), model: text("Rome"), ..CpuDefinition::default() }),
        ..Domain::default()
    }
}

/// A guest that may move, and hosts of 8 CPUs, 16 GiB and two nodes.
pub(super) fn facts() -> Facts {
    Facts { domain: guest(), source: Some(host()), target: host() }
}

fn guest_layer() -> GuestCpu {
    let model = |name: &str, usable: bool, blockers: &[&str]| GuestCpuModel {
        name: name.to_owned(),
        usable: Some(usable),
        blockers: (!blockers.is_empty()).then(|| set(blockers)),
        ..GuestCpuModel::default()
    };
    let own = CpuDefinition {
        model: text("Own"),
        features: features(&[("require", "x2apic"), ("disable", "svm")]),
        ..CpuDefinition::default()
    };
    GuestCpu {
        virt_type: text("kvm"),
        features: Some(set(&["aes", "avx", "x2apic"])),
        model: text("Own"),
        vendor: text("AMD"),
        physical_address_bits: Some(48),
        host_model: Some(own),
        usable_models: vec!["Rome".to_owned()],
        models: vec![
            model("Milan", false, &["pku", "pcid"]),
            model("Odd", false, &[]),
            model("Own", false, &[]),
            model("Rome", true, &[]),
        ],
        ..GuestCpu::default()
    }
}

fn host() -> Host {
    let cpu = Cpu {
        vendor: text("AuthenticAMD"),
        family: Some(23),
        model: Some(49),
        stepping: Some(0),
        microcode: text("0x1"),
        physical_address_bits: Some(48),
        online: Some(cpus("0-7")),
        thread_count: Some(8),
        cpuid_features: Some(set(&["aes", "avx", "invtsc"])),
        guest: Some(guest_layer()),
        ..Cpu::default()
    };
    let hypervisor = Hypervisor {
        libvirt_version: text("9.0.0"),
        qemu_version: text("7.2.22"),
        virt_types: vec!["kvm".to_owned(), "qemu".to_owned()],
        machine_types: vec!["pc-i440fx-2.0".to_owned(), "pc-q35-7.2".to_owned()],
        machine_aliases: [("q35".to_owned(), "pc-q35-7.2".to_owned())].into(),
        deprecated_machine_types: vec!["pc-i440fx-2.0".to_owned()],
        ..Hypervisor::default()
    };
    let node = |id: u32| NumaNode { id, memory_total_bytes: Some(Bytes(8 << 30)), ..NumaNode::default() };
    let inventory = Inventory {
        system: Some(System { arch: text("x86_64"), kernel_release: text("6.1"), ..System::default() }),
        cpu: Some(Arc::new(cpu)),
        memory: Some(Memory { total_bytes: Some(Bytes(16 << 30)), ..Memory::default() }),
        numa: Some(Arc::new(Numa { nodes: vec![node(0), node(1)] })),
        hypervisor: Some(Arc::new(hypervisor)),
        ..Inventory::default()
    };
    let promised = Promised {
        vcpus: Some(0),
        memory_bytes: Some(Bytes(0)),
        disk_virtual_bytes: Some(Bytes(0)),
        domain_count: 0,
    };
    let usage = Usage {
        memory: Some(MemoryUsage::default()),
        domains: Some(vec![]),
        promised: Some(promised),
        ..Usage::default()
    };
    let settings = resolve(&AllocationSettings::default(), &BTreeMap::new(), &[], Profile::Standard);
    Host { inventory, usage, issues: vec![], doubt: None, maintenance: false, settings, comparison: None }
}
