//! Parameters of the KVM modules: some decide what a guest can be given.

use std::collections::BTreeMap;

use vmuster_proto::model::Issue;

use super::reading::Reading;
use crate::host_root::HostRoot;

const SECTION: &str = "hypervisor.kvm_parameters";

const MODULES: &str = "/sys/module";

/// What the modules' names begin with: kvm, kvm_intel, kvm_amd, kvm_hv …
const PREFIX: &str = "kvm";

/// Those that change what guests can have; others tune, count or report.
const DECIDING: [&str; 27] = [
    "allow_smaller_maxphyaddr",
    "avic",
    "cpacf",
    "emulate_invalid_guest_state",
    "enable_apicv",
    "enable_pmu",
    "enable_vmware_backdoor",
    "ept",
    "eptad",
    "flexpriority",
    "hpage",
    "ignore_msrs",
    "intercept_smi",
    "lbrv",
    "nested",
    "npt",
    "nrips",
    "sev",
    "sev_es",
    "sev_snp",
    "sgx",
    "tdx",
    "unrestricted_guest",
    "vgif",
    "vls",
    "vnmi",
    "vpid",
];

/// By module and parameter, "kvm_intel.nested". Empty on a host without KVM, or with all its modules built in.
pub(crate) fn collect(root: &HostRoot) -> (BTreeMap<String, String>, Vec<Issue>) {
    let mut reading = Reading::new(root);
    let mut parameters = BTreeMap::new();
    // A host without /sys says so elsewhere.
    let modules = root.read_dir(MODULES).unwrap_or_default();
    for module in modules.iter().filter(|module| module.starts_with(PREFIX)) {
        let directory = format!("{MODULES}/{module}/parameters");
        let Ok(present) = root.read_dir(&directory) else { continue };
        reading.enter(&directory);
        for name in present.iter().filter(|name| DECIDING.contains(&name.as_str())) {
            let path = format!("{directory}/{name}");
            if let Some(value) = reading.text_if_there(SECTION, &path) {
                parameters.insert(format!("{module}.{name}"), value);
            }
        }
    }
    (parameters, reading.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordedTree;

    #[test]
    fn those_that_decide_are_read() {
        let tree = RecordedTree::new()
            .file("/sys/module/kvm_intel/parameters/nested", "Y\n")
            .file("/sys/module/kvm_intel/parameters/ple_gap", "128\n")
            .file("/sys/module/kvm/parameters/ignore_msrs", "N\n")
            .file("/sys/module/loop/parameters/nested", "1\n");
        let (parameters, issues) = collect(&tree.root());
        let expected = [("kvm.ignore_msrs", "N"), ("kvm_intel.nested", "Y")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((parameters, issues), (BTreeMap::from(expected), vec![]));
    }

    #[test]
    fn a_host_without_kvm_has_none() {
        let tree = RecordedTree::new().file("/sys/module/loop/parameters/max_loop", "8\n");
        assert_eq!(collect(&tree.root()), (BTreeMap::new(), vec![]));
    }
}
