//! File systems that answer, that do not, and that answer nonsense.

use super::*;
use crate::{host_root::HostRoot, testing::RecordedTree};

const MOUNTINFO: &str = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 27 8:2 / /srv ro - xfs /dev/sdb1 rw\n";

const STATVFS: &str = r#"{"/": {"f_bsize": 1048576, "f_frsize": 4096, "f_blocks": 100, "f_bfree": 50,
    "f_bavail": 45, "f_files": 10, "f_ffree": 9}, "/srv": {"bsize": 512, "blocks": 8, "bfree": 8, "bavail": 8, "files": 0, "ffree": 0}}"#;

const STATS: FsStats = FsStats {
    block_size_bytes: 4096,
    blocks: 100,
    blocks_free: 50,
    blocks_available: 45,
    inodes: 10,
    inodes_free: 9,
};

fn collected(root: &HostRoot, statvfs: Statvfs<'_>) -> (Option<Vec<Filesystem>>, Vec<String>) {
    let mut reading = Reading::new(root);
    let filesystems = read(&mut reading, &mut KeptMounts::default(), statvfs);
    let told = |issue: Issue| format!("{} {} {:?}", issue.section, issue.source, issue.kind).to_lowercase();
    (filesystems, reading.finish().into_iter().map(told).collect())
}

fn candidates() -> Vec<Candidate> {
    select(&mountinfo::parse(MOUNTINFO).0)
}

/// Of "/" as `stats` has it, and the issues.
fn root_with(stats: FsStats) -> (Option<Filesystem>, Vec<(String, IssueKind)>) {
    let (measured, issues) = measure(&candidates()[..1], &|_| Ok(stats));
    (measured.into_iter().next(), issues.into_iter().map(|issue| (issue.section, issue.kind)).collect())
}

#[test]
fn a_recorded_host() {
    let tree = RecordedTree::new().file("/proc/self/mountinfo", MOUNTINFO).file("/statvfs.json", STATVFS);
    let (filesystems, told) = collected(&tree.root(), Statvfs::Recorded);
    let root = Filesystem {
        mount_point: "/".to_owned(),
        source: Some("/dev/sda1".to_owned()),
        r#type: Some("ext4".to_owned()),
        device: Some("8:1".to_owned()),
        size_bytes: Some(Bytes(409_600)),
        free_bytes: Some(Bytes(204_800)),
        available_bytes: Some(Bytes(184_320)),
        inodes: Some(10),
        inodes_free: Some(9),
        read_only: Some(false),
        pool: None,
    };
    let filesystems = filesystems.expect("file systems");
    assert_eq!((filesystems.first(), told), (Some(&root), vec![]));
    let srv = filesystems.get(1).expect("another");
    assert_eq!((srv.size_bytes, srv.inodes, srv.inodes_free), (Some(Bytes(4096)), None, None));
    assert_eq!(srv.read_only, Some(false), "the mount is, the file system is not");
}

#[test]
fn answers_that_were_not_recorded() {
    let tree = RecordedTree::new().file("/proc/self/mountinfo", MOUNTINFO);
    let (filesystems, told) = collected(&tree.root(), Statvfs::Recorded);
    let sizes: Vec<_> = filesystems.expect("file systems").into_iter().map(|it| it.size_bytes).collect();
    assert_eq!((sizes, told), (vec![None, None], vec!["usage.filesystems statvfs.json missing".to_owned()]));
    let some = r#"{"/srv": {"f_blocks": "many"}}"#;
    let (_, told) = collected(&tree.file("/statvfs.json", some).root(), Statvfs::Recorded);
    assert_eq!(told, ["usage.filesystems[/] / missing", "usage.filesystems[/srv] /srv malformed"]);
}

#[test]
fn the_first_table_there_is() {
    let mut tree = RecordedTree::new();
    let live = |_: &str| Ok(STATS);
    let (filesystems, told) = collected(&tree.root(), Statvfs::Live(&live));
    assert_eq!(
        (filesystems, told),
        (None, vec!["usage.filesystems /proc/self/mountinfo missing".to_owned()])
    );
    for (path, text, device) in [
        ("/proc/mounts", "/dev/sdc1 / ext4 rw 0 0\n", None),
        ("/proc/self/mounts", "/dev/sdd1 / ext4 rw 0 0\n", None),
        ("/proc/1/mountinfo", "27 1 8:7 / / rw - ext4 /dev/sda7 rw\n", Some("8:7")),
        ("/proc/self/mountinfo", "27 1 8:8 / / rw - ext4 /dev/sda8 rw\n", Some("8:8")),
    ] {
        tree = tree.file(path, text);
        let (filesystems, told) = collected(&tree.root(), Statvfs::Live(&live));
        let root = filesystems.and_then(|all| all.into_iter().next()).expect("one");
        let is_first = path == FIRST_TABLE;
        assert_eq!((root.device.as_deref(), told.is_empty()), (device, is_first), "{path} {told:?}");
        assert!(root.source.is_some_and(|source| text.contains(&source)));
    }
    let refused = tree.root().denying(&["/proc/self/mountinfo"]);
    let (filesystems, told) = collected(&refused, Statvfs::Live(&live));
    assert_eq!(told, ["usage.filesystems /proc/self/mountinfo denied"]);
    assert!(filesystems.is_some(), "the next one");
}

#[test]
fn bad_lines_are_told_once() {
    let torn = format!("{MOUNTINFO}31 27 8:3\n32 27 8:4\n");
    let tree = RecordedTree::new().file("/proc/self/mountinfo", &torn).file("/statvfs.json", STATVFS);
    let (filesystems, told) = collected(&tree.root(), Statvfs::Recorded);
    assert_eq!((filesystems.map(|all| all.len()), told.len()), (Some(2), 1), "{told:?}");
}

#[test]
fn a_mount_that_is_read_only_tells_nothing_of_its_file_system() {
    let tree = RecordedTree::new().file("/proc/mounts", "/dev/sda3 /boot ext4 ro 0 0\n");
    let (filesystems, told) = collected(&tree.root(), Statvfs::Live(&|_| Ok(STATS)));
    assert_eq!(filesystems.and_then(|all| all.first()?.read_only), None);
    let missing = "usage.filesystems /proc/self/mountinfo missing";
    assert_eq!(told, [missing, "usage.filesystems[/boot].read_only /proc/mounts unsupported"]);
}

#[test]
fn one_that_does_not_answer_costs_its_numbers() {
    let kinds = [
        (Errno::ACCESS, IssueKind::Denied),
        (Errno::NOENT, IssueKind::Missing),
        (Errno::STALE, IssueKind::Malformed),
        (Errno::IO, IssueKind::Malformed),
        (Errno::TIMEDOUT, IssueKind::Timeout),
    ];
    for (errno, kind) in kinds {
        let ask = |mount_point: &str| if mount_point == "/srv" { Err(errno.into()) } else { Ok(STATS) };
        let (measured, issues) = measure(&candidates(), &ask);
        let sizes: Vec<_> = measured.iter().map(|it| it.size_bytes.is_some()).collect();
        assert_eq!(sizes, [true, false]);
        let told: Vec<_> =
            issues.iter().map(|it| (it.section.as_str(), it.source.as_str(), it.kind)).collect();
        assert_eq!(told, [("usage.filesystems[/srv]", "/srv", kind)]);
    }
    let late = StatvfsError { kind: IssueKind::Timeout, detail: "no answer in 250 ms".to_owned() };
    let (_, issues) = measure(&candidates()[..1], &|_| Err(late.clone()));
    assert_eq!(issues.first().map(|issue| issue.detail.as_str()), Some("no answer in 250 ms"));
}

#[test]
fn nonsense_is_told_and_not_shown() {
    assert_eq!(root_with(FsStats { blocks: 0, ..STATS }), (None, vec![]), "as df leaves it out");
    for stats in [FsStats { blocks: u64::MAX, ..STATS }, FsStats { block_size_bytes: 0, ..STATS }] {
        let (root, told) = root_with(stats);
        let root = root.expect("it is mounted");
        assert_eq!((root.size_bytes, root.free_bytes, root.inodes), (None, None, None));
        assert_eq!(told, [("usage.filesystems[/]".to_owned(), IssueKind::Malformed)]);
    }
    let (root, told) = root_with(FsStats { blocks_available: 101, inodes_free: 11, ..STATS });
    let root = root.expect("it is mounted");
    assert_eq!((root.free_bytes.is_some(), root.available_bytes, root.inodes_free), (true, None, None));
    assert_eq!(told.len(), 2);
    assert_eq!(root_with(FsStats { inodes: u64::MAX, ..STATS }).0.and_then(|root| root.inodes), None);
}

#[test]
fn this_machines_root() {
    let stats = live("/").expect("a root");
    assert!(stats.block_size_bytes > 0 && stats.blocks >= stats.blocks_free);
    assert_eq!(live("/no such place").map_err(|error| error.kind), Err(IssueKind::Missing));
}

#[test]
fn what_is_kept_holds_for_the_same_table_only() {
    let table = |device: &str| format!("27 1 8:1 / / rw - ext4 {device} rw\n");
    let mut kept = KeptMounts::default();
    let mut tree = RecordedTree::new();
    for (device, more) in [
        ("/dev/sda1", ""),
        ("/dev/sda1", ""),
        ("/dev/sdb1", ""),
        ("/dev/sdb1", "torn\n"),
        ("/dev/sdb1", "torn\n"),
    ] {
        tree = tree.file(FIRST_TABLE, &(table(device) + more));
        let (filesystems, issues) = collect(&tree.root(), None, &mut kept, Statvfs::Live(&|_| Ok(STATS)));
        let sources: Vec<_> = filesystems.expect("one").into_iter().filter_map(|it| it.source).collect();
        assert_eq!(
            (sources, issues.len()),
            (vec![device.to_owned()], usize::from(!more.is_empty())),
            "{more:?}"
        );
    }
}
