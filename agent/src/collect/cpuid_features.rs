//! Which features CPUID leaves show, by libvirt's names.
//!
//! Knows how a leaf's answer is read. Which bit is which feature is in `vmuster_proto::features`, and only there.

use vmuster_proto::{
    features::{Register, registers},
    model::FeatureSet,
};

use crate::parse::cpuid_dump::CpuidLeaves;

/// The leaves the table looks at.
#[cfg(target_arch = "x86_64")]
pub(super) fn leaves() -> Vec<(u32, u32)> {
    registers().iter().map(|place| (place.leaf, place.subleaf)).collect()
}

/// The features the leaves show. Hardware's word: the kernel may have turned some off.
pub(super) fn of(leaves: &CpuidLeaves) -> FeatureSet {
    let mut names = Vec::new();
    for place in registers() {
        let Some(answer) = leaves.get(place.leaf, place.subleaf) else { continue };
        let value = match place.register {
            Register::Eax => answer.eax,
            Register::Ebx => answer.ebx,
            Register::Ecx => answer.ecx,
            Register::Edx => answer.edx,
        };
        let set = place.features.iter().filter(|(bit, _)| value >> bit & 1 == 1);
        names.extend(set.map(|(_, name)| *name));
    }
    // The table's names are all well formed: a test of proto's reads them.
    FeatureSet::from_names(names).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{host_root::HostRoot, parse::cpuid_dump};

    /// Real CPUs' leaves and the features libvirt's own data finds in them; not part of the repository.
    #[test]
    fn agrees_with_real_cpus() {
        let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let data = std::env::var_os("VMUSTER_SHARED_DATA").map_or_else(default, PathBuf::from);
        let Ok(root) = HostRoot::recorded(&data.join("cpu")) else {
            println!("skipped: no recorded CPUs in {}; set VMUSTER_SHARED_DATA", data.display());
            return;
        };
        let mut compared = 0;
        for host in root.read_dir("/").expect("hosts") {
            let Ok(dump) = root.read(&format!("/{host}/cpuid.txt")) else { continue };
            let expected = root.read(&format!("/{host}/expected.json")).expect("expected.json");
            let expected: serde_json::Value = serde_json::from_slice(&expected).expect("JSON");
            let expected: Vec<&str> = expected["cpuid_features"]
                .as_array()
                .expect("names")
                .iter()
                .filter_map(|name| name.as_str())
                .collect();
            let leaves = cpuid_dump::parse(&String::from_utf8_lossy(&dump)).expect("leaves");
            assert_eq!(of(&leaves).names(), expected, "{host}");
            compared += 1;
        }
        println!("{compared} CPUs agree");
        assert!(compared > 0, "{} has no CPU", data.display());
    }
}
