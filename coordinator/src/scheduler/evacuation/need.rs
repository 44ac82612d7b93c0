//! What an instance needs on another host: the figures by which its own is charged.
//!
//! It starts there anew. So a CPU that is its host's, whatever that is, asks for nothing; one that is named must be there.

use vmuster_proto::model::{Bytes, CpuDefinition, Domain, FeatureSet, InstanceTemplate};

use super::disks::{Disks, Wanted};
use crate::{baseline::with_policy, claims::Claim};

/// Given only to guests that stay, so no host lists it.
const INVARIANT_TSC: &str = "invtsc";

/// See above.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) template: InstanceTemplate,
    /// Targets of its disks.
    pub(super) disks: Vec<String>,
    /// What nobody looks at, for a human.
    pub(super) doubts: Vec<String>,
    /// Sizes of the disks that stay.
    pub(super) staying: Vec<Bytes>,
    /// Whether a disk is on storage of the host alone.
    pub(super) is_stranded: bool,
}

/// The larger of what a guest may use and what it was promised; of a guest, disks are those it has.
///
/// # Errors
/// What is not known, for a human.
pub(super) fn needed<'a>(
    domain: Option<&'a Domain>,
    claim: Option<&Claim>,
    arch: Option<&str>,
    disks: &mut Disks<'a>,
) -> Result<Needed, String> {
    if let Some(why) = in_cells(domain, claim) {
        return Err(why.to_owned());
    }
    let mut template = InstanceTemplate { arch: arch.map(str::to_owned), ..InstanceTemplate::default() };
    if let Some(claim) = claim {
        template.vcpus = u32::try_from(claim.resources.vcpus).unwrap_or(u32::MAX);
        template.memory_bytes = claim.resources.memory_bytes;
    }
    let mut wanted = match (domain, claim) {
        (Some(domain), _) => of_domain(domain, &mut template, disks)?,
        (None, Some(claim)) => of_claim(claim, disks),
        (None, None) => Wanted::default(),
    };
    template.disks = std::mem::take(&mut wanted.demands);
    let Wanted { targets, staying, is_stranded, doubts, .. } = wanted;
    Ok(Needed { template, disks: targets, doubts, staying, is_stranded })
}

/// Why what it needs of NUMA cells is not known: to ask for vCPUs and memory in its stead would promise neither its CPUs nor
/// its pages.
fn in_cells(domain: Option<&Domain>, claim: Option<&Claim>) -> Option<&'static str> {
    if claim.is_some_and(|claim| !claim.resources.cells.is_empty()) {
        return Some(
            "it was placed on NUMA cells, and what it asked for is not remembered: place it with the same options and \
             its UUID (--uuid, --move)",
        );
    }
    domain.is_some_and(|domain| !domain.hugepages.is_empty()).then_some(
        "its memory is in huge pages, which an evacuation does not look for: place it with --pages and its UUID \
         (--uuid, --move)",
    )
}

fn of_claim(claim: &Claim, disks: &Disks<'_>) -> Wanted {
    let mut wanted = disks.of_claim(claim);
    let forgotten = "only its claim is known: CPU features and labels it asked for are not remembered";
    wanted.doubts.push(forgotten.to_owned());
    wanted
}

fn of_domain<'a>(
    domain: &'a Domain,
    template: &mut InstanceTemplate,
    disks: &mut Disks<'a>,
) -> Result<Wanted, String> {
    // Every definition says it. Without one nobody knows its disks.
    if domain.virt_type.is_none() {
        return Err("its definition could not be read".to_owned());
    }
    let vcpus = domain.vcpus_max.ok_or("how many vCPUs it may use is not known")?;
    let memory = domain.memory_max_bytes.ok_or("how much memory it may use is not known")?;
    template.vcpus = template.vcpus.max(vcpus);
    template.memory_bytes = template.memory_bytes.max(memory);
    let mut wanted = disks.of_domain(domain)?;
    if domain.virt_type.as_deref() == Some("qemu") {
        emulated(domain, template, &mut wanted.doubts);
    } else if let Some(definition) = &domain.cpu {
        cpu(definition, template, &mut wanted.doubts);
    }
    bound(domain, &mut wanted.doubts);
    Ok(wanted)
}

/// QEMU computes its CPU, whatever the host's is.
fn emulated(domain: &Domain, template: &mut InstanceTemplate, doubts: &mut Vec<String>) {
    if domain.arch.is_some() && domain.arch != template.arch {
        template.arch = None;
        let arch = domain.arch.as_deref().unwrap_or_default();
        doubts.push(format!("it is emulated: whether its new host can emulate {arch} was not looked at"));
    }
}

fn cpu(definition: &CpuDefinition, template: &mut InstanceTemplate, doubts: &mut Vec<String>) {
    let is_custom = matches!(definition.mode.as_deref(), None | Some("custom"));
    // Then it starts with less where its host has less, and libvirt does not look.
    if is_custom && definition.check.as_deref() == Some("none") {
        return;
    }
    let with = |policy: &str| with_policy(definition, |is| is == policy);
    let required = with("require");
    if required.contains(INVARIANT_TSC) {
        doubts.push("it has invtsc: whether its new host's CPU has it was not looked at".to_owned());
    }
    let tsc = FeatureSet::from_names([INVARIANT_TSC]).unwrap_or_default();
    template.forbidden_features = with("forbid").difference(&required);
    template.required_features = required.difference(&tsc);
    let Some(model) = definition.model.as_ref().filter(|_| is_custom) else { return };
    if with_policy(definition, |is| is != "require").is_empty() {
        template.cpu_model = Some(model.clone());
    } else {
        // A host that cannot give the model as it is may give what is left of it.
        doubts.push(format!(
            "its CPU is {model} without some of its features: those it must have were looked at, the model was not"
        ));
    }
}

/// What ties it to its host.
fn bound(domain: &Domain, doubts: &mut Vec<String>) {
    let on_nodes = domain.numa.as_ref().is_some_and(|numa| {
        numa.host_nodes.is_some() || numa.cells.iter().any(|cell| cell.host_nodes.is_some())
    });
    if domain.cpus.is_some() || !domain.vcpu_pins.is_empty() || domain.emulator_cpus.is_some() || on_nodes {
        doubts.push(
            "it is bound to CPUs or memory nodes of its host by number: look at its definition".to_owned(),
        );
    }
    if !domain.host_devices.is_empty() {
        let devices = domain.host_devices.join(", ");
        doubts.push(format!("it has {devices} of its host: look for the like on its new host"));
    }
    if !domain.host_bound.is_empty() {
        doubts.push(format!("what else ties it to its host: {}", domain.host_bound.join(", ")));
    }
}
