//! Two hosts that are alike, and a guest that may move from one to the other.

use std::{collections::BTreeMap, sync::Arc};

use vmuster_proto::model::{
    AllocationSettings, Bytes, ClaimReport, ClaimState, Cpu, CpuDefinition, CpuFeature, CpuSet, Domain,
    FeatureSet, GuestCpu, GuestCpuModel, HostSettings, Hypervisor, Inventory, Issue, Memory, MemoryUsage,
    Numa, NumaNode, Purpose, System, Timestamp, Usage, VerdictKind,
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
    pub(super) claims: Vec<ClaimReport>,
    pub(super) comparison: Option<Comparison>,
}

impl Host {
    pub(super) fn facts(&self) -> HostFacts<'_> {
        HostFacts {
            name: "b",
            inventory: &self.inventory,
            usage: Some(&self.usage),
            issues: &self.issues,
            doubt: self.doubt.as_deref(),
            maintenance: self.maintenance,
            settings: &self.settings,
            profile: Profile::Standard,
            claims: &self.claims,
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

    pub(super) fn domains(&mut self) -> &mut Vec<Domain> {
        self.target.usage.domains.as_mut().expect("guests")
    }

    pub(super) fn memory(&mut self) -> &mut Memory {
        self.target.inventory.memory.as_mut().expect("memory")
    }

    pub(super) fn nodes(&mut self) -> &mut Vec<NumaNode> {
        &mut Arc::make_mut(self.target.inventory.numa.as_mut().expect("nodes")).nodes
    }
}

/// What one rule says of them.
pub(super) fn told(rule: fn(&Case<'_>) -> Said, facts: &Facts) -> Vec<(VerdictKind, String)> {
    let source = facts.source.as_ref().map(Host::facts);
    rule(&Case::new(&facts.domain, source, facts.target.facts()))
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

/// Somebody else, who may use so much.
pub(super) fn other(name: &str, vcpus: u32, gib: u64) -> Domain {
    Domain {
        uuid: format!("u-{name}"),
        name: name.to_owned(),
        vcpus_max: Some(vcpus),
        memory_max_bytes: Some(Bytes(gib << 30)),
        ..Domain::default()
    }
}

/// So much of the target, held for whom.
pub(super) fn claim(uuid: &str, vcpus: u64, gib: u64) -> ClaimReport {
    ClaimReport {
        id: "c1".to_owned(),
        uuid: uuid.to_owned(),
        host: "b".to_owned(),
        state: ClaimState::Held,
        vcpus,
        memory_bytes: Bytes(gib << 30),
        disk_bytes: BTreeMap::new(),
        purpose: Purpose::New,
        request_id: String::new(),
        over_committed: false,
        created_at: Timestamp::default(),
        expires_at: None,
        observed_at: None,
        first_missing_at: None,
        groups: Vec::new(),
        cells: Vec::new(),
    }
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
    let usage = Usage { memory: Some(MemoryUsage::default()), domains: Some(vec![]), ..Usage::default() };
    let settings = resolve(&AllocationSettings::default(), &BTreeMap::new(), &[], Profile::Standard);
    Host {
        inventory,
        usage,
        issues: vec![],
        doubt: None,
        maintenance: false,
        settings,
        claims: vec![],
        comparison: None,
    }
}
