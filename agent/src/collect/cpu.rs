//! The processors: what they are, which there are, where they sit, and their flags.

use std::collections::HashMap;

use vmuster_proto::model::{CoreType, Cpu, CpuCache, CpuSet, Issue, IssueKind, Numa};

use super::{
    Origin, caches, core_types, cpu_sets,
    cpuid::CpuidFacts,
    flags,
    flags::HostFlags,
    reading::{Reading, doubt},
    topology::{self, Topology},
    vulnerabilities,
};
use crate::{
    fingerprint::ANNOUNCEMENT,
    host_root::HostRoot,
    parse::cpuinfo::{self, Cpuinfo, Identity},
};

const CPUINFO: &str = "/proc/cpuinfo";

/// The section, and what else /proc/cpuinfo tells.
#[derive(Debug)]
pub(crate) struct CpuReading {
    pub(crate) cpu: Option<Cpu>,
    pub(crate) issues: Vec<Issue>,
    /// The architecture whose form the file has.
    pub(crate) arch: Option<&'static str>,
    /// No CPU came or went meanwhile.
    settled: bool,
}

/// What sysfs says of cores and caches: thousands of files on a large host, which cannot change without notice.
#[derive(Debug, Default, Clone)]
struct Layout {
    topology: Topology,
    caches: Vec<CpuCache>,
    core_types: Vec<CoreType>,
}

/// The layout as it was read last, for as long as nothing says that it changed.
#[derive(Debug, Default)]
pub(crate) struct KeptCpus {
    layout: Option<(LayoutKey, Layout)>,
}

/// A layout holds for these CPUs and as long as the kernel announces no change of any device: CPUs that come and go, and
/// changes of s390x and ppc64 topologies, are announced.
type LayoutKey = (CpuSet, String);

/// Reads the section; once more if a CPU was unplugged or taken offline meanwhile, so that its parts fit together.
pub(crate) fn collect(
    root: &HostRoot,
    cpuid: Option<&CpuidFacts>,
    origin: Origin,
    kept: &mut KeptCpus,
) -> CpuReading {
    let reading = read(root, cpuid, origin, kept);
    if reading.settled || origin == Origin::Recorded {
        return reading;
    }
    kept.layout = None;
    read(root, cpuid, origin, kept)
}

fn read(root: &HostRoot, cpuid: Option<&CpuidFacts>, origin: Origin, kept: &mut KeptCpus) -> CpuReading {
    let mut reading = Reading::new(root);
    let sets = cpu_sets::read(&mut reading);
    let info = read_cpuinfo(&mut reading);
    let identity = identity(info.as_ref(), cpuid);
    let vulnerabilities = vulnerabilities::read(&mut reading);
    let layout = sets.online.as_ref().map(|online| layout(&mut reading, online, origin, kept));
    let Layout { topology, caches, core_types } = layout.unwrap_or_default();
    // The highest rate follows a switch (turbo, boost) that nothing announces.
    let frequencies = core_types::frequencies(&mut reading, &topology.cores);
    let vanished = reading.any_vanished();
    let mut issues = reading.finish();
    // Without /sys, which has its issue, cpuinfo lists the online CPUs.
    let listed =
        || info.as_ref().map(|info| info.processors.iter().map(|processor| processor.id).collect::<CpuSet>());
    let online = sets.online.or_else(listed).filter(|online| !online.is_empty());
    let flags = match (&info, &online) {
        (Some(info), Some(online)) => flags::of(info, online, &mut issues),
        _ => HostFlags::default(),
    };
    let settled = !vanished && flags.untold.is_empty();
    let cpu = Cpu {
        vendor: identity.vendor,
        model_name: identity.model_name,
        family: identity.family,
        model: identity.model,
        stepping: identity.stepping,
        microcode: identity.microcode,
        physical_address_bits: identity.physical_address_bits,
        virtual_address_bits: identity.virtual_address_bits,
        present: sets.present,
        thread_count: online.as_ref().map(CpuSet::len),
        online,
        offline: sets.offline,
        isolated: sets.isolated,
        socket_count: topology.socket_count,
        core_count: topology.core_count,
        threads_per_core: topology.threads_per_core,
        topology: topology.cpus,
        host_flags: flags.on_all,
        host_flags_not_on_all: flags.not_on_all,
        cpuid_features: cpuid.map(|facts| facts.features.clone()),
        smt_active: sets.smt_active,
        smt_control: sets.smt_control,
        caches,
        core_types,
        frequencies,
        vulnerabilities,
        // Of the hypervisor, not of the host.
        guest: None,
    };
    let arch = info.and_then(|info| info.arch);
    CpuReading { cpu: (cpu != Cpu::default()).then_some(cpu), issues, arch, settled }
}

fn layout(reading: &mut Reading<'_>, online: &CpuSet, origin: Origin, kept: &mut KeptCpus) -> Layout {
    // A recorded host announces nothing.
    let number = match origin {
        Origin::Live => reading.text_if_there("cpu.topology", ANNOUNCEMENT),
        Origin::Recorded => None,
    };
    let key = number.map(|number| (online.clone(), number));
    if let (Some(key), Some((kept_key, layout))) = (&key, &kept.layout)
        && key == kept_key
    {
        return layout.clone();
    }
    let issues = reading.issue_count();
    let topology = topology::read(reading, online);
    let caches = caches::read(reading, &topology.cores, online);
    let core_types = core_types::read(reading, &topology.cores, online);
    let layout = Layout { topology, caches, core_types };
    // What has issues is read again, for they would not be told the next time.
    kept.layout = key.filter(|_| reading.issue_count() == issues).map(|key| (key, layout.clone()));
    layout
}

fn read_cpuinfo(reading: &mut Reading<'_>) -> Option<Cpuinfo> {
    let bytes = reading.bytes(CPUINFO).map_err(|error| reading.failed("cpu", &error)).ok()?;
    if let Some(doubt) = doubt(&bytes) {
        reading.malformed("cpu", CPUINFO, doubt);
    }
    let info = reading.parsed("cpu", CPUINFO, cpuinfo::parse(&bytes))?;
    for bad in &info.bad_fields {
        reading.malformed("cpu", CPUINFO, bad);
    }
    if info.processors.is_empty() {
        reading.issue(Issue::new("cpu", CPUINFO, IssueKind::Malformed, "it lists no CPU"));
    }
    Some(info)
}

/// The machine's own CPUID is asked first: kernels take memory encryption's bits off the address size. Of a recorded host
/// that we did not capture, the kernel's file: its CPUID leaves may come from elsewhere.
fn identity(info: Option<&Cpuinfo>, cpuid: Option<&CpuidFacts>) -> Identity {
    let kernel = info.map(|info| info.identity.clone()).unwrap_or_default();
    let hardware = cpuid.map(|facts| facts.identity.clone()).unwrap_or_default();
    let is_own = cpuid.is_some_and(|facts| facts.is_own);
    let (first, second) = if is_own { (hardware, kernel) } else { (kernel, hardware) };
    Identity {
        vendor: first.vendor.or(second.vendor),
        model_name: first.model_name.or(second.model_name),
        family: first.family.or(second.family),
        model: first.model.or(second.model),
        stepping: first.stepping.or(second.stepping),
        microcode: first.microcode.or(second.microcode),
        physical_address_bits: first.physical_address_bits.or(second.physical_address_bits),
        virtual_address_bits: first.virtual_address_bits.or(second.virtual_address_bits),
    }
}

/// Fills in the node of each CPU. One that several nodes claim gets none; the numa section has the issue.
pub(crate) fn place_on_nodes(cpu: &mut Cpu, numa: &Numa) {
    let mut nodes: HashMap<u32, Option<u32>> = HashMap::new();
    for node in &numa.nodes {
        for cpu in node.cpus.iter().flat_map(CpuSet::iter) {
            nodes.entry(cpu).and_modify(|several| *several = None).or_insert(Some(node.id));
        }
    }
    for place in &mut cpu.topology {
        place.node = nodes.get(&place.cpu).copied().flatten();
    }
}
