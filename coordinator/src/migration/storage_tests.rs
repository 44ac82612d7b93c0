//! Disks on every sort of storage.

use vmuster_proto::model::{
    Filesystem, StoragePool,
    VerdictKind::{No, Unknown, Yes},
};

use super::*;
use crate::migration::testing::{Facts, facts, told};

const FILE: &str = "/srv/nfs/vms/a.qcow2";

fn filesystem(mount_point: &str, kind: &str, source: &str) -> Filesystem {
    Filesystem {
        mount_point: mount_point.to_owned(),
        r#type: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        ..Filesystem::default()
    }
}

fn root() -> Filesystem {
    filesystem("/", "ext4", "/dev/sda1")
}

fn nfs(mount_point: &str) -> Filesystem {
    filesystem(mount_point, "nfs4", "nas:/export")
}

fn pool(name: &str, path: &str) -> StoragePool {
    StoragePool {
        name: name.to_owned(),
        target_path: Some(path.to_owned()),
        identity: Some("nfs://nas/export/vms".to_owned()),
        ..StoragePool::default()
    }
}

fn disk(source: &str, shared: Option<bool>) -> DomainDisk {
    DomainDisk {
        target: "vda".to_owned(),
        device: Some("disk".to_owned()),
        r#type: Some("file".to_owned()),
        source: Some(source.to_owned()),
        shared_storage: shared,
        ..DomainDisk::default()
    }
}

/// A guest with one disk, and the source's mounts and pools.
fn with(disk: DomainDisk, mounts: Vec<Filesystem>, pools: Vec<StoragePool>) -> Facts {
    let mut facts = facts();
    facts.domain.disks = vec![disk];
    let source = facts.source.as_mut().expect("a source");
    (source.usage.filesystems, source.usage.pools) = (Some(mounts), Some(pools));
    facts
}

fn there(facts: &mut Facts, mounts: Vec<Filesystem>, pools: Vec<StoragePool>) {
    (facts.target.usage.filesystems, facts.target.usage.pools) = (Some(mounts), Some(pools));
}

#[test]
fn storage_of_one_host() {
    let local = with(disk("/img/a.qcow2", Some(false)), vec![root()], vec![]);
    let alone = "vda (/img/a.qcow2) is on storage of its host alone: it needs --copy-storage-all";
    assert_eq!(told(judge, &local), [(No, alone.to_owned())]);
    let device = with(disk("/dev/mapper/lun", None), vec![root()], vec![]);
    let which = "whether other hosts reach vda (/dev/mapper/lun) is not known";
    assert_eq!(told(judge, &device), [(Unknown, which.to_owned())]);
    for kind in ["cdrom", "floppy"] {
        let drive = DomainDisk { device: Some(kind.to_owned()), ..disk("/iso/a.iso", Some(false)) };
        assert_eq!(told(judge, &with(drive.clone(), vec![], vec![]))[0].0, Unknown);
        let empty = DomainDisk { source: None, ..drive };
        assert_eq!(told(judge, &with(empty, vec![], vec![])), []);
    }
}

#[test]
fn a_mount_must_be_there_at_the_same_place() {
    let said = |mounts: Vec<Filesystem>| {
        let mut facts = with(disk(FILE, Some(true)), vec![root(), nfs("/srv/nfs")], vec![]);
        there(&mut facts, mounts, vec![]);
        told(judge, &facts).pop()
    };
    assert_eq!(said(vec![root(), nfs("/srv/nfs")]), None);
    let absent = "vda (/srv/nfs/vms/a.qcow2) is on nas:/export, which is not mounted there";
    assert_eq!(said(vec![root()]), Some((No, absent.to_owned())));
    let elsewhere = "vda (/srv/nfs/vms/a.qcow2) is on nas:/export, which is not mounted at /srv/nfs there";
    assert_eq!(said(vec![nfs("/mnt")]), Some((No, elsewhere.to_owned())));
    let hidden = vec![nfs("/srv/nfs"), filesystem("/srv/nfs/vms", "xfs", "/dev/sdb")];
    assert_eq!(said(hidden).map(|said| said.0), Some(No));
    let read_only = Filesystem { read_only: Some(true), ..nfs("/srv/nfs") };
    assert_eq!(said(vec![read_only]).map(|said| said.0), Some(No));
    let mut silent = with(disk(FILE, Some(true)), vec![nfs("/srv/nfs")], vec![]);
    silent.target.usage.filesystems = None;
    assert_eq!(told(judge, &silent)[0].0, Unknown);
    let cluster = filesystem("/srv/nfs", "ocfs2", "/dev/sdc");
    let mut shared = with(disk(FILE, Some(true)), vec![cluster.clone()], vec![]);
    there(&mut shared, vec![cluster], vec![]);
    assert_eq!(told(judge, &shared)[0].0, Unknown, "a device's name proves nothing");
}

#[test]
fn a_pool_is_known_by_its_identity() {
    let file = || DomainDisk { pool: Some("vms".to_owned()), ..disk(FILE, Some(true)) };
    let said = |disk: DomainDisk, pools: Vec<StoragePool>| {
        let mut facts = with(disk, vec![], vec![pool("vms", "/srv/nfs/vms")]);
        there(&mut facts, vec![root()], pools);
        told(judge, &facts).pop()
    };
    assert_eq!(said(file(), vec![pool("other", "/srv/nfs/vms/")]), None, "its name there does not matter");
    assert_eq!(said(file(), vec![pool("vms", "/elsewhere")]).map(|said| said.0), Some(No));
    assert_eq!(said(file(), vec![]).map(|said| said.0), Some(No));
    let inactive = StoragePool { state: Some("inactive".to_owned()), ..pool("vms", "/srv/nfs/vms") };
    let off = "vda (/srv/nfs/vms/a.qcow2): the pool 'vms' is inactive there";
    assert_eq!(said(file(), vec![inactive]), Some((No, off.to_owned())));
    let volume = || DomainDisk { r#type: Some("volume".to_owned()), ..file() };
    assert_eq!(said(volume(), vec![pool("vms", "/elsewhere")]), None);
    assert_eq!(said(volume(), vec![pool("other", "/srv/nfs/vms")]).map(|said| said.0), Some(No));
}

#[test]
fn network_disks_and_definitions_alone() {
    let network = DomainDisk { r#type: Some("network".to_owned()), ..disk("rbd:vms/a", Some(true)) };
    let said = told(judge, &with(network, vec![], vec![]));
    let note = "vda (rbd:vms/a) is on the network; that this host reaches it was not tried";
    assert_eq!(said, [(Yes, note.to_owned())]);
    let volume = DomainDisk {
        r#type: Some("volume".to_owned()),
        pool: Some("vms".to_owned()),
        ..disk("a.qcow2", None)
    };
    let mut alone = with(volume, vec![], vec![]);
    alone.source = None;
    there(&mut alone, vec![], vec![pool("vms", "/p")]);
    assert_eq!(told(judge, &alone)[0].0, Unknown);
    there(&mut alone, vec![], vec![]);
    let none = "vda (a.qcow2): there is no pool 'vms' there";
    assert_eq!(told(judge, &alone), [(No, none.to_owned())]);
}

#[test]
fn only_a_drive_may_be_empty() {
    let said = |device: &str, kind: &str| {
        let empty =
            DomainDisk { device: Some(device.to_owned()), r#type: Some(kind.to_owned()), ..disk("", None) };
        told(judge, &with(DomainDisk { source: None, ..empty }, vec![], vec![]))
    };
    for drive in ["cdrom", "floppy"] {
        assert_eq!(said(drive, "file"), []);
    }
    let nvme = "what vda is on is not known (a disk of type 'nvme')";
    assert_eq!(said("disk", "nvme"), [(Unknown, nvme.to_owned())]);
    assert_eq!(said("lun", "block")[0].0, Unknown);
}
