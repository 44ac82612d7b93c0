//! The machine and its kernel.

use vmuster_proto::model::{Issue, IssueKind, System};

use super::{
    identity, own_process,
    reading::Reading,
    virtualization::{self, CpuHints},
};
use crate::{host_root::HostRoot, parse::libvirt_arch, recorded::HostFacts};

/// libvirt's recorded answers that name an architecture, the host's own first.
const LIBVIRT_ANSWERS: [&str; 3] =
    ["libvirt/capabilities.xml", "libvirt/domcapabilities.xml", "libvirt/host-model-expanded.xml"];

/// This machine.
pub(crate) fn live(root: &HostRoot, cpu: CpuHints<'_>) -> (Option<System>, Vec<Issue>) {
    let mut reading = Reading::new(root);
    // One call; the same from /proc/sys/kernel costs a tenth of a millisecond for each name.
    let uname = rustix::system::uname();
    let text =
        |text: &std::ffi::CStr| Some(text.to_string_lossy().into_owned()).filter(|text| !text.is_empty());
    let (booted_at, boot_issues) = own_process::booted_at();
    boot_issues.into_iter().for_each(|issue| reading.issue(issue));
    let mut system = System {
        arch: text(uname.machine()),
        kernel_release: text(uname.release()),
        boot_id: boot_id(&mut reading),
        hostname: text(uname.nodename()),
        booted_at,
        ..System::default()
    };
    read_facts(&mut reading, &mut system, cpu);
    (Some(system), reading.finish())
}

/// A recorded host. `cpuinfo_arch`: the architecture whose form its cpuinfo has; `is_x86`: it has CPUID leaves.
pub(crate) fn recorded(
    root: &HostRoot,
    facts: &HostFacts,
    cpuinfo_arch: Option<&str>,
    is_x86: bool,
    cpu: CpuHints<'_>,
) -> (Option<System>, Vec<Issue>) {
    let mut reading = Reading::new(root);
    let arch = facts
        .arch
        .clone()
        .or_else(|| cpuinfo_arch.map(str::to_owned))
        .or_else(|| libvirt_arch(&mut reading))
        .or_else(|| is_x86.then(|| "x86_64".to_owned()));
    if arch.is_none() {
        let detail = "neither host.json, the form of cpuinfo, libvirt's answers nor CPUID tells it";
        reading.issue(Issue::new("system.arch", "host.json", IssueKind::Missing, detail));
    }
    let mut own_or = |own: Option<&String>, field: &str, path: &str| match own {
        Some(own) => Some(own.clone()),
        None => reading.text(field, path),
    };
    let kernel_release =
        own_or(facts.kernel_release.as_ref(), "system.kernel_release", "/proc/sys/kernel/osrelease");
    let hostname = own_or(facts.hostname.as_ref(), "system.hostname", "/proc/sys/kernel/hostname");
    let boot_id = boot_id(&mut reading);
    let mut system =
        System { arch, kernel_release, boot_id, hostname, booted_at: facts.booted_at, ..System::default() };
    read_facts(&mut reading, &mut system, cpu);
    ((system != System::default()).then_some(system), reading.finish())
}

fn boot_id(reading: &mut Reading<'_>) -> Option<String> {
    reading.text("system.boot_id", "/proc/sys/kernel/random/boot_id").filter(|id| !id.is_empty())
}

/// What files tell, of this machine and a recorded one alike.
fn read_facts(reading: &mut Reading<'_>, system: &mut System, cpu: CpuHints<'_>) {
    let sysinfo = identity::read_sysinfo(reading);
    identity::read_machine(reading, system, sysinfo.as_ref());
    identity::read_installation(reading, system);
    let dmi = identity::dmi_texts(system);
    system.virtualization =
        virtualization::collect(reading, system.arch.as_deref(), cpu, dmi, sysinfo.as_ref());
}

fn libvirt_arch(reading: &mut Reading<'_>) -> Option<String> {
    LIBVIRT_ANSWERS.iter().find_map(|path| {
        // Whether it is whole shows its last tag, not a newline; who reads it whole says so.
        let xml = reading.bytes(path).ok()?;
        libvirt_arch::parse(&String::from_utf8_lossy(&xml)).map(str::to_owned)
    })
}
