//! Directories of the machine that runs the tests, on file systems that are said to be others.

use std::{cell::RefCell, os::unix::fs::symlink};

use vmuster_proto::model::{Bytes, Domain, DomainDisk, StoragePool};

use super::*;
use crate::{testing::RecordedTree, watch::Barred};

/// Notes what is asked, and bars one step.
#[derive(Default)]
struct Notes {
    steps: RefCell<Vec<Step>>,
    barred: Option<Step>,
}

impl Watch for Notes {
    fn enter(&self, step: Step) -> Result<(), Barred> {
        self.steps.borrow_mut().push(step.clone());
        if self.barred.as_ref() == Some(&step) { Err(Barred::Crowded) } else { Ok(()) }
    }
}

fn filesystem(mount_point: &str, kind: &str, device: &str) -> Filesystem {
    Filesystem {
        mount_point: mount_point.to_owned(),
        r#type: Some(kind.to_owned()),
        source: Some("nas:/export".to_owned()),
        device: Some(device.to_owned()),
        size_bytes: Some(Bytes(1)),
        ..Filesystem::default()
    }
}

/// A directory with a link to /proc, which is taken for a server's.
struct Machine {
    tree: RecordedTree,
    root: HostRoot,
}

impl Machine {
    fn new() -> Self {
        let tree = RecordedTree::new();
        symlink("/proc/self", tree.path().join("link")).expect("a link");
        Self { tree, root: HostRoot::live().expect("a root") }
    }

    fn path(&self, name: &str) -> String {
        self.tree.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn filesystems(&self) -> Vec<Filesystem> {
        let device = |path: &str| self.root.location(path).expect("a directory").device;
        vec![
            filesystem("/", "ext4", &device(&self.path(""))),
            filesystem("/proc", "nfs4", &device("/proc")),
            filesystem("/sys/hangs", "nfs4", "0:0"),
        ]
    }

    /// A pool in the link; a guest with a disk there, and one beside it.
    fn usage(&self) -> Usage {
        let pool = StoragePool {
            name: "linked".to_owned(),
            target_path: Some(self.path("link")),
            ..StoragePool::default()
        };
        let disk = |target: &str, source: String| DomainDisk {
            target: target.to_owned(),
            r#type: Some("file".to_owned()),
            source: Some(source),
            ..DomainDisk::default()
        };
        let disks = vec![
            disk("vda", self.path("link/fd/disk.qcow2")),
            disk("vdb", self.path("disk.qcow2")),
            disk("vdc", self.path("link/disk.qcow2")),
            disk("vdd", self.path("nothing/disk.qcow2")),
        ];
        Usage {
            filesystems: Some(self.filesystems()),
            pools: Some(vec![pool]),
            domains: Some(vec![Domain { disks, ..Domain::default() }]),
            ..Usage::default()
        }
    }
}

fn shared(usage: &Usage) -> Vec<Option<bool>> {
    let domains = usage.domains.iter().flatten();
    domains.flat_map(|domain| &domain.disks).map(|disk| disk.shared_storage).collect()
}

#[test]
fn what_is_behind_a_link_is_where_it_leads() {
    let machine = Machine::new();
    let notes = Notes::default();
    let mut usage = machine.usage();
    place(&machine.root, Origin::Live, &notes, &mut usage);
    assert_eq!(shared(&usage), [Some(true), Some(false), Some(true), None]);
    let pool = &usage.pools.expect("pools")[0];
    let identity = format!("nfs://nas/export/{}", std::process::id());
    assert_eq!(
        (pool.mount_point.as_deref(), pool.identity.as_deref()),
        (Some("/proc"), Some(identity.as_str()))
    );
    let mut steps = notes.steps.into_inner();
    assert_eq!(steps.pop(), Some(Step::Section("usage.pools")));
    let asked = ["link", "link/fd", "nothing"].map(|name| Step::Mount(machine.path(name)));
    assert!(asked.iter().all(|step| steps.contains(step)), "{steps:?}");
    assert_eq!(steps.len(), 4, "each directory once: {steps:?}");
}

#[test]
fn what_is_not_found_is_not_known() {
    let machine = Machine::new();
    let known = [Some(true), Some(false), Some(true), None];
    let placed = |notes: &Notes, change: &dyn Fn(&mut Vec<Filesystem>)| {
        let mut usage = machine.usage();
        change(usage.filesystems.as_mut().expect("file systems"));
        place(&machine.root, Origin::Live, notes, &mut usage);
        (shared(&usage), usage.pools.expect("pools")[0].mount_point.clone())
    };
    let plain = Notes::default();
    assert_eq!(placed(&plain, &|_| {}), (known.to_vec(), Some("/proc".to_owned())));
    // As btrfs' parts have.
    let other_device = |all: &mut Vec<Filesystem>| all[1].device = Some("0:0".to_owned());
    assert_eq!(placed(&plain, &other_device), (vec![None, Some(false), None, None], None));
    assert_eq!(placed(&plain, &|all| all.clear()), (vec![None; 4], None));
    let barred = Notes { barred: Some(Step::Mount(machine.path("link"))), ..Notes::default() };
    assert_eq!(placed(&barred, &|_| {}), (vec![Some(true), Some(false), None, None], None));
}

#[test]
fn a_mount_that_hangs_is_not_asked() {
    let machine = Machine::new();
    let notes = Notes::default();
    let mut usage = machine.usage();
    // As it is listed when it did not tell its size.
    usage.filesystems.as_mut().expect("file systems")[0].size_bytes = None;
    place(&machine.root, Origin::Live, &notes, &mut usage);
    assert_eq!(notes.steps.into_inner(), [Step::Section("usage.pools")]);
    assert_eq!(shared(&usage), [None; 4]);
}

#[test]
fn a_recorded_host_has_paths_only() {
    let machine = Machine::new();
    let notes = Notes::default();
    let mut usage = machine.usage();
    place(&machine.root, Origin::Recorded, &notes, &mut usage);
    assert_eq!(notes.steps.into_inner(), []);
    assert_eq!(shared(&usage), [Some(false); 4]);
}
