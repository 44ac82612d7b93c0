//! Which CPUs a host has: the lists of /sys/devices/system/cpu.

use vmuster_proto::model::{CpuSet, Issue, IssueKind};

use super::reading::Reading;

const DIRECTORY: &str = "/sys/devices/system/cpu";
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// CPUs by state; None where an issue says why.
#[derive(Debug, Default)]
pub(super) struct CpuSets {
    pub(super) present: Option<CpuSet>,
    pub(super) online: Option<CpuSet>,
    pub(super) offline: Option<CpuSet>,
    pub(super) isolated: Option<CpuSet>,
    /// Whether a core runs several threads now.
    pub(super) smt_active: Option<bool>,
    pub(super) smt_control: Option<String>,
}

pub(super) fn read(reading: &mut Reading<'_>) -> CpuSets {
    let mut online = reading.list_if_there("cpu.online", ONLINE);
    if online.as_ref().is_some_and(CpuSet::is_empty) {
        // Something runs this.
        reading.malformed("cpu.online", ONLINE, "it lists no CPU");
        online = None;
    }
    let mut directories = None;
    if online.is_none() {
        directories = cpu_directories(reading);
        let Some(cpus) = &directories else { return CpuSets::default() };
        online = Some(online_one_by_one(reading, cpus)).filter(|online| !online.is_empty());
    }
    let present = reading.list("cpu.present", "/sys/devices/system/cpu/present");
    let offline = offline(reading, present.as_ref().or(directories.as_ref()), online.as_ref());
    // Kernels before 4.6, and those without CPU isolation, have no such file.
    let isolated = reading.list_if_there("cpu.isolated", "/sys/devices/system/cpu/isolated");
    // Kernels before 4.19 have neither.
    let active = "/sys/devices/system/cpu/smt/active";
    let smt_active = reading.text_if_there("cpu.smt_active", active).and_then(|text| match text.as_str() {
        "0" => Some(false),
        "1" => Some(true),
        other => {
            reading.malformed("cpu.smt_active", active, format!("'{other}' is neither 0 nor 1"));
            None
        }
    });
    let control = reading.text_if_there("cpu.smt_control", "/sys/devices/system/cpu/smt/control");
    let smt_control = control.filter(|text| !text.is_empty());
    CpuSets { present, online, offline, isolated, smt_active, smt_control }
}

/// Present and not online. The kernel's own `offline` also names CPUs that could be plugged in and never were, up to its
/// largest number.
fn offline(reading: &mut Reading<'_>, present: Option<&CpuSet>, online: Option<&CpuSet>) -> Option<CpuSet> {
    match (present, online) {
        (Some(present), Some(online)) => Some(present.difference(online)),
        _ => reading.list_if_there("cpu.offline", "/sys/devices/system/cpu/offline"),
    }
}

/// The N of each cpuN.
fn cpu_directories(reading: &mut Reading<'_>) -> Option<CpuSet> {
    let names =
        reading.root.read_dir(DIRECTORY).map_err(|error| reading.failed("cpu.online", &error)).ok()?;
    let cpus: CpuSet =
        names.iter().filter_map(|name| name.strip_prefix("cpu")?.parse::<u32>().ok()).collect();
    if cpus.is_empty() {
        reading.issue(Issue::new(
            "cpu.online",
            DIRECTORY,
            IssueKind::Missing,
            "neither online nor any cpuN is there",
        ));
        return None;
    }
    Some(cpus)
}

/// For kernels without cpu/online. A CPU that cannot be taken offline, as cpu0 mostly, has no file of its own.
fn online_one_by_one(reading: &mut Reading<'_>, cpus: &CpuSet) -> CpuSet {
    let is_online = |cpu: &u32| {
        let path = format!("{DIRECTORY}/cpu{cpu}/online");
        match reading.text_if_there("cpu.online", &path).as_deref() {
            None | Some("1") => true,
            Some("0") => false,
            Some(other) => {
                reading.malformed("cpu.online", &path, format!("'{other}' is neither 0 nor 1"));
                false
            }
        }
    };
    cpus.iter().filter(is_online).collect()
}
