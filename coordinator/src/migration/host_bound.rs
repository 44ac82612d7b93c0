//! What else ties a guest to its host: devices, files and memory that are no PCI functions.

use super::{Case, Said, named, no, unknown};

/// What libvirt or QEMU surely refuse to move: libvirt's qemuMigrationSrcIsAllowed and its check of unsafe disks, and
/// QEMU's own blocker of encrypted memory. USB devices they let go, and the guest finds them unplugged.
fn is_refused(thing: &str) -> bool {
    match thing.split_once(' ') {
        Some(("hostdev", sort)) => matches!(sort, "capabilities" | "mdev" | "pci" | "scsi" | "scsi_host"),
        Some(("shmem", sort)) => !sort.ends_with(" master"),
        Some(("filesystem", sort)) => sort == "virtiofs",
        Some(("disk", sort)) => sort == "nvme",
        Some(("launchSecurity", _)) => true,
        _ => false,
    }
}

pub(super) fn judge(case: &Case<'_>) -> Said {
    let things = case.domain.host_bound.iter().map(String::as_str);
    let (refused, others): (Vec<_>, Vec<_>) =
        things.partition(|thing| case.is_running() && is_refused(thing));
    let mut said = Said::new();
    if !refused.is_empty() {
        said.extend(no(format!("it cannot move while it has {}", named(&refused))));
    }
    if !others.is_empty() {
        said.extend(unknown(format!(
            "whether it finds what it has of its host is not known: {}",
            named(&others)
        )));
    }
    said
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::VerdictKind::{No, Unknown};

    use super::*;
    use crate::migration::testing::{Facts, facts, told};

    fn with(things: &[&str]) -> Facts {
        let mut facts = facts();
        facts.domain.host_bound = things.iter().map(|thing| (*thing).to_owned()).collect();
        facts
    }

    #[test]
    fn what_is_refused_for_sure_is_a_no() {
        assert_eq!(told(judge, &with(&[])), []);
        for thing in [
            "disk nvme",
            "filesystem virtiofs",
            "hostdev capabilities",
            "hostdev mdev",
            "hostdev pci",
            "hostdev scsi",
            "launchSecurity sev",
            "shmem ivshmem-plain",
        ] {
            let mut facts = with(&[thing]);
            assert_eq!(told(judge, &facts), [(No, format!("it cannot move while it has {thing}"))]);
            facts.domain.state = Some("shut_off".to_owned());
            assert_eq!(told(judge, &facts)[0].0, Unknown, "{thing}: it may be there too");
        }
    }

    #[test]
    fn what_may_move_is_not_known() {
        for thing in [
            "disk vhostuser",
            "disk vhostvdpa",
            "filesystem path",
            "hostdev usb",
            "interface vdpa",
            "memory nvdimm",
            "shmem ivshmem-plain master",
            "tpm passthrough",
        ] {
            let why = format!("whether it finds what it has of its host is not known: {thing}");
            assert_eq!(told(judge, &with(&[thing])), [(Unknown, why)]);
        }
        let both = told(judge, &with(&["hostdev mdev", "hostdev usb"]));
        assert_eq!(both.iter().map(|said| said.0).collect::<Vec<_>>(), [No, Unknown]);
    }
}
