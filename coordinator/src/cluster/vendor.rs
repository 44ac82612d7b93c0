//! Vendors of x86 CPUs, in libvirt's words and in cpuinfo's.

/// (libvirt, cpuinfo). Source: libvirt's cpu_map/x86_vendors.xml.
const VENDORS: [(&str, &str); 3] =
    [("Intel", "GenuineIntel"), ("AMD", "AuthenticAMD"), ("Hygon", "HygonGenuine")];

/// None: a vendor libvirt has no word for.
pub(super) fn to_cpuinfo(libvirt: &str) -> Option<&'static str> {
    VENDORS.iter().find(|(word, _)| *word == libvirt).map(|(_, cpuinfo)| *cpuinfo)
}

/// The other way round.
pub(super) fn to_libvirt(cpuinfo: &str) -> Option<&'static str> {
    VENDORS.iter().find(|(_, word)| *word == cpuinfo).map(|(libvirt, _)| *libvirt)
}
