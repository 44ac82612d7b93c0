//! What tells one state of a host from another.
//!
//! Knows the digest of an inventory, and the few small files that change when the inventory may have. Must not know how
//! an inventory is collected.

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest, Sha256};
use vmuster_proto::model::{Bytes, Inventory};

use crate::{
    collect::{self, Origin},
    host_root::HostRoot,
    parse::meminfo::Meminfo,
};

/// Half of SHA-256: two states of one host never meet by chance, and nobody gains by making them.
const DIGEST_BYTES: usize = 16;

/// Number of the kernel's last announcement of a device (uevent).
pub(crate) const ANNOUNCEMENT: &str = "/sys/kernel/uevent_seqnum";

/// There while KVM can be used. Not /dev/kvm: a service with a /dev of its own never sees that.
const KVM_DEVICE: &str = "/sys/class/misc/kvm";

/// A digest, in hexadecimal, of what an inventory says without what drifts.
///
/// # Errors
/// The inventory cannot be written as JSON.
pub fn fingerprint(inventory: &Inventory) -> Result<String, serde_json::Error> {
    let json = serde_json::to_vec(&inventory.without_drift())?;
    Ok(Sha256::digest(json).iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect())
}

/// What an inventory depends on and a usage request can afford to read. None: the host does not have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheapInputs {
    boot_id: Option<String>,
    kernel_release: Option<String>,
    hostname: Option<String>,
    online_cpus: Option<String>,
    online_nodes: Option<String>,
    microcode: Option<String>,
    memory_total: Option<Bytes>,
    swap_total: Option<Bytes>,
    hugepages: Option<(Option<Bytes>, Option<u64>)>,
    devices: Arc<[String]>,
    /// Modules are announced when they are loaded.
    kvm_parameters: Arc<BTreeMap<String, String>>,
    /// Whether KVM can be used; its device is announced.
    kvm: bool,
    /// What libvirt says the guest layer depends on; None where it did not answer.
    hypervisor: Option<String>,
    /// Number of the kernel's last announcement of a device: while it stands, the devices do.
    announcement: Option<String>,
    agent_version: &'static str,
}

/// A reader of small files: their text without white space around it, None where there is none.
pub(crate) type ReadText<'a> = dyn FnMut(&str) -> Option<String> + 'a;

impl CheapInputs {
    /// Reads them; of this machine also from uname. `meminfo`, `kvm_parameters`: as the caller has just read them. `last`:
    /// devices and modules are looked at again only if something was announced since.
    pub(crate) fn read(
        root: &HostRoot,
        origin: Origin,
        text: &mut ReadText<'_>,
        meminfo: Option<&Meminfo>,
        last: Option<&Self>,
        kvm_parameters: Option<&Arc<BTreeMap<String, String>>>,
    ) -> Self {
        let uname = (origin == Origin::Live).then(rustix::system::uname);
        let (kernel_release, hostname) = match &uname {
            Some(uname) => (
                Some(uname.release().to_string_lossy().into_owned()),
                Some(uname.nodename().to_string_lossy().into_owned()),
            ),
            None => (text("/proc/sys/kernel/osrelease"), text("/proc/sys/kernel/hostname")),
        };
        // A recorded host announces nothing.
        let announcement = if origin == Origin::Live { text(ANNOUNCEMENT) } else { None };
        let unannounced = last.filter(|last| announcement.is_some() && last.announcement == announcement);
        Self {
            boot_id: text("/proc/sys/kernel/random/boot_id"),
            kernel_release,
            hostname,
            online_cpus: text("/sys/devices/system/cpu/online"),
            online_nodes: text("/sys/devices/system/node/online"),
            // x86 only; a late load changes it without a reboot.
            microcode: text("/sys/devices/system/cpu/cpu0/microcode/version"),
            memory_total: meminfo.and_then(|info| info.total),
            swap_total: meminfo.and_then(|info| info.swap_total),
            // A pool that was resized shows in one of the two.
            hugepages: meminfo.map(|info| (info.hugetlb, info.hugepages_total)),
            devices: unannounced.map_or_else(|| devices(root), |last| Arc::clone(&last.devices)),
            kvm_parameters: kvm_parameters
                .or_else(|| Some(&unannounced?.kvm_parameters))
                .map_or_else(|| Arc::new(collect::kvm::collect(root).0), Arc::clone),
            kvm: unannounced.map_or_else(|| has_kvm(root), |last| last.kvm),
            hypervisor: None,
            announcement,
            agent_version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Number of the kernel's last announcement of a device that came, went or changed.
    #[must_use]
    pub fn announcement(&self) -> Option<&str> {
        self.announcement.as_deref()
    }

    /// The same, with what libvirt says.
    #[must_use]
    pub fn with_hypervisor(self, standing: Option<String>) -> Self {
        Self { hypervisor: standing, ..self }
    }

    /// The same, with what libvirt said earlier if it says nothing now.
    #[must_use]
    pub fn or_hypervisor_of(self, earlier: &Self) -> Self {
        let hypervisor = self.hypervisor.or_else(|| earlier.hypervisor.clone());
        Self { hypervisor, ..self }
    }

    /// Names of the inputs that differ; empty if the inventory still holds as far as these tell.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        // Every field has to be here.
        let Self {
            boot_id,
            kernel_release,
            hostname,
            online_cpus,
            online_nodes,
            microcode,
            memory_total,
            swap_total,
            hugepages,
            devices,
            kvm_parameters,
            kvm,
            hypervisor,
            announcement: _,
            agent_version,
        } = self;
        let compared = [
            ("boot_id", *boot_id != other.boot_id),
            ("kernel_release", *kernel_release != other.kernel_release),
            ("hostname", *hostname != other.hostname),
            ("online_cpus", *online_cpus != other.online_cpus),
            ("online_nodes", *online_nodes != other.online_nodes),
            ("microcode", *microcode != other.microcode),
            ("memory_total", *memory_total != other.memory_total),
            ("swap_total", *swap_total != other.swap_total),
            ("hugepages", *hugepages != other.hugepages),
            ("devices", *devices != other.devices),
            ("kvm_parameters", *kvm_parameters != other.kvm_parameters),
            ("kvm", *kvm != other.kvm),
            // That libvirt does not answer now changes nothing.
            ("hypervisor", other.hypervisor.is_some() && *hypervisor != other.hypervisor),
            ("agent_version", *agent_version != other.agent_version),
        ];
        compared.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// Whether guests can run with KVM.
pub(crate) fn has_kvm(root: &HostRoot) -> bool {
    root.exists(KVM_DEVICE)
}

/// PCI functions, and the disks with hardware behind them: a guest's volumes come and go with it.
fn devices(root: &HostRoot) -> Arc<[String]> {
    let mut devices = root.read_dir("/sys/bus/pci/devices").unwrap_or_default();
    let is_virtual = |name: &str| {
        let target = root.read_link(&format!("/sys/block/{name}"));
        target.is_ok_and(|target| target.contains("/virtual/block/"))
    };
    let disks = root.read_dir("/sys/block").unwrap_or_default();
    devices.extend(disks.into_iter().filter(|name| !is_virtual(name)));
    devices.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordedTree;

    const DEVICE: &str = "/sys/devices/virtual/misc/kvm/uevent";

    fn inputs(tree: &RecordedTree, last: Option<&CheapInputs>) -> CheapInputs {
        let root = tree.root();
        let mut text = |path: &str| collect::small_text(&root, None, path);
        CheapInputs::read(&root, Origin::Live, &mut text, None, last, None)
    }

    #[test]
    fn kvm_that_comes_or_goes_is_a_change() {
        let tree = RecordedTree::whole_host().file(ANNOUNCEMENT, "7\n");
        let without = inputs(&tree, None);
        let tree = tree.file(DEVICE, "").link("/sys/class/misc/kvm", "../../devices/virtual/misc/kvm");
        assert!(inputs(&tree, Some(&without)).differing(&without).is_empty(), "nothing was announced");
        let tree = tree.file(ANNOUNCEMENT, "8\n");
        let with = inputs(&tree, Some(&without));
        assert_eq!(without.differing(&with), ["kvm"]);
        let tree = tree.without("/sys/class/misc/kvm").file(ANNOUNCEMENT, "9\n");
        assert_eq!(with.differing(&inputs(&tree, Some(&with))), ["kvm"]);
    }
}
