//! A definition as libvirt, QEMU, Proxmox VE, OpenStack Nova and Incus write it.

use vmuster_proto::{
    features::{Translation, to_qemu},
    libvirt::render,
    model::{BaselineForms, CpuDefinition, FeatureSet},
};

use super::known::with_policy;

/// The model's name in Proxmox VE's file; a guest names it `custom-vmuster`.
const PROXMOX_NAME: &str = "vmuster";

/// A definition in every form, and what to know of them.
///
/// Sources: QEMU's `-cpu help`; pve-docs cpu-models.conf(5); nova's `[libvirt]` options cpu_mode, cpu_models and
/// cpu_model_extra_flags; Incus' cluster group keys instances.vm.cpu.x86_64.baseline and .flags.
#[must_use]
pub fn forms(cpu: &CpuDefinition) -> (BaselineForms, Vec<String>) {
    let model = cpu.model.as_deref().unwrap_or_default();
    let require = with_policy(cpu, |policy| policy == "require");
    let disable = with_policy(cpu, |policy| policy == "disable");
    let (add, unsaid) = qemu_names(&require);
    // What QEMU has no property for it cannot give, so it need not be taken away.
    let (remove, _) = qemu_names(&disable);
    let mut notes = Vec::new();
    if !unsaid.is_empty() {
        notes.push(format!(
            "QEMU has no property for {}: left out of the forms other than libvirt's and nova's",
            unsaid.join(", ")
        ));
    }
    let incus_conf = incus(model, &add, &remove);
    if incus_conf.is_none() {
        notes.push(format!(
            "Incus adds features to a model and takes none away: it cannot be said there with {model}"
        ));
    }
    let forms = BaselineForms {
        libvirt_xml: on_lines(&render::cpu(cpu)),
        qemu_cpu: qemu(model, &add, &remove),
        proxmox_conf: Some(proxmox(model, &add, &remove)),
        nova_conf: nova(model, &require, &disable),
        incus_conf,
    };
    (forms, notes)
}

/// One element a line, as virsh shows it.
fn on_lines(cpu: &str) -> String {
    let mut lines: Vec<String> = cpu.replace("><", ">\n  <").lines().map(str::to_owned).collect();
    if let Some(last) = lines.last_mut() {
        *last = last.trim_start().to_owned();
    }
    lines.join("\n") + "\n"
}

/// QEMU's names, sorted, and libvirt's of those it has none for.
fn qemu_names(set: &FeatureSet) -> (Vec<String>, Vec<String>) {
    let (mut names, mut unsaid) = (Vec::new(), Vec::new());
    for name in set.names() {
        match to_qemu(name) {
            Translation::Words([]) => unsaid.push(name.to_owned()),
            Translation::Words(words) => names.extend(words.first().map(|word| (*word).to_owned())),
            // QEMU spells its properties with hyphens.
            Translation::Unknown(name) => names.push(name.replace('_', "-")),
        }
    }
    names.sort_unstable();
    (names, unsaid)
}

/// `enforce`: QEMU then refuses to start instead of leaving out what the host lacks.
fn qemu(model: &str, add: &[String], remove: &[String]) -> String {
    let mut words = vec![model.to_owned()];
    words.extend(add.iter().map(|name| format!("{name}=on")));
    words.extend(remove.iter().map(|name| format!("{name}=off")));
    words.push("enforce=on".to_owned());
    words.join(",")
}

fn proxmox(model: &str, add: &[String], remove: &[String]) -> String {
    let flags = add.iter().map(|name| format!("+{name}")).chain(remove.iter().map(|name| format!("-{name}")));
    let flags: Vec<String> = flags.collect();
    let flags = if flags.is_empty() { String::new() } else { format!("\tflags {}\n", flags.join(";")) };
    format!("cpu-model: {PROXMOX_NAME}\n{flags}\treported-model {model}\n")
}

/// Nova takes libvirt's names.
fn nova(model: &str, require: &FeatureSet, disable: &FeatureSet) -> String {
    let (require, disable) = (require.names(), disable.names());
    let add = require.iter().map(|name| format!("+{name}"));
    let flags: Vec<String> = add.chain(disable.iter().map(|name| format!("-{name}"))).collect();
    let flags = if flags.is_empty() {
        String::new()
    } else {
        format!("cpu_model_extra_flags = {}\n", flags.join(", "))
    };
    format!("[libvirt]\ncpu_mode = custom\ncpu_models = {model}\n{flags}")
}

/// None: the model has features that must be taken away, and there is no way to say so.
fn incus(model: &str, add: &[String], remove: &[String]) -> Option<String> {
    if !remove.is_empty() {
        return None;
    }
    let flags = match add {
        [] => String::new(),
        add => format!("instances.vm.cpu.x86_64.flags: {}\n", add.join(",")),
    };
    Some(format!("instances.vm.cpu.x86_64.baseline: {model}\n{flags}"))
}
