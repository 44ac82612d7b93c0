//! Links, FIFOs, sizes and refusals.

use std::os::unix::fs::symlink;

use rustix::fs::mknodat;

use super::*;
use crate::testing::RecordedTree;

fn content(root: &HostRoot, path: &str) -> Result<String, IssueKind> {
    root.read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|e| e.kind())
}

#[test]
fn links_never_lead_out_of_a_recorded_root() {
    let tree = RecordedTree::new().file("/proc/cpuinfo", "inside\n");
    let outside = tempfile::tempdir().expect("a directory");
    let secret = outside.path().join("secret");
    RecordedTree::write(&secret, "outside");
    let links = [
        ("absolute", secret.display().to_string()),
        ("dots", format!("../../../../../../..{}", secret.display())),
        ("passwd", "/etc/passwd".to_owned()),
        ("magic", "/proc/self/root/etc/passwd".to_owned()),
    ];
    for (name, target) in &links {
        symlink(target, tree.path().join(name)).expect("a link");
    }
    symlink("/proc/cpuinfo", tree.path().join("stays")).expect("a link");
    let root = tree.root();
    for (name, _) in &links {
        assert_eq!(content(&root, name), Err(IssueKind::Missing), "{name}");
    }
    assert_eq!(content(&root, "../../../../etc/passwd"), Err(IssueKind::Missing));
    assert_eq!(
        content(&root, "stays").as_deref(),
        Ok("inside\n"),
        "an absolute link means the recorded root"
    );
}

#[test]
fn only_regular_files_are_read() {
    let tree = RecordedTree::new().file("/sys/file", "");
    let fifo = tree.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo");
    let root = tree.root();
    assert_eq!(content(&root, "/fifo"), Err(IssueKind::Malformed));
    assert_eq!(content(&root, "/sys"), Err(IssueKind::Malformed));
    assert_eq!(content(&root, "/sys/file").as_deref(), Ok(""));
    assert_eq!(content(&root, "/sys/file/below"), Err(IssueKind::Missing));
    assert_eq!(content(&root.denying(&["/sys/file"]), "/sys/file"), Err(IssueKind::Denied));
}

#[test]
fn reads_whole_files_up_to_the_limit() {
    let tree = RecordedTree::new()
        .file("/large", &"x".repeat(100_000))
        .file("/huge", &"x".repeat(FILE_BYTES_MAX + 1));
    let root = tree.root();
    assert_eq!(content(&root, "/large").map(|text| text.len()), Ok(100_000));
    let error = root.read("/huge").expect_err("too large");
    assert_eq!((error.source, error.kind()), (ReadFailure::TooLarge, IssueKind::Malformed));
    assert_eq!(error.to_string(), "cannot read /huge");
}

#[test]
fn lists_directories_sorted() {
    let tree = RecordedTree::new().file("/d/cpu10", "").file("/d/cpu2", "").file("/d/a/b", "");
    let root = tree.root();
    assert_eq!(root.read_dir("/d").expect("a directory"), ["a", "cpu10", "cpu2"]);
    assert!(root.read_dir("/d/cpu2").expect_err("a file").is_absent());
    assert!(root.read_dir("/none").expect_err("nothing").is_absent());
    assert!(root.exists("/d/a/b") && !root.exists("/d/a/c"));
    assert!(root.denying(&["/d/a/b"]).exists("/d/a/b"));
}

#[test]
fn a_root_is_checked_first() {
    let tree = RecordedTree::new().file("/file", "");
    assert!(HostRoot::recorded(&tree.path().join("none")).is_err());
    assert!(HostRoot::recorded(&tree.path().join("file")).is_err());
    assert!(content(&HostRoot::live().expect("a root"), "/proc/cpuinfo").is_ok());
}

#[test]
fn pieces_are_whole_lines() {
    let line = "x".repeat(1000) + "\n";
    let long = "y".repeat(PIECE_BYTES * 2);
    for (text, ends) in [
        (line.repeat(200), true),
        (line.repeat(200) + "end", false),
        (String::new(), false),
        (format!("{line}{long}\n{line}"), true),
    ] {
        let tree = RecordedTree::new().file("/ids", &text);
        let (mut read, mut torn) = (Vec::new(), 0);
        let is_whole = tree.root().read_in_pieces("/ids", |piece| {
            torn += usize::from(!piece.is_empty() && piece.last() != Some(&b'\n'));
            read.extend_from_slice(piece);
        });
        assert_eq!((is_whole.ok(), read.len()), (Some(ends), text.len()));
        assert!(read == text.as_bytes() && (torn <= 2 || text.contains(&long)), "{torn}");
    }
}

#[test]
fn the_running_kernels_files_and_links_are_read_alike() {
    let root = HostRoot::live().expect("a root");
    assert_eq!(content(&root, "/proc/sys"), Err(IssueKind::Malformed), "a directory");
    assert_eq!(content(&root, "/sys/devices"), Err(IssueKind::Malformed));
    assert!(content(&root, "/proc/version").is_ok_and(|text| text.starts_with("Linux")));
    assert!(root.read_link("/proc/self").is_ok_and(|target| target == std::process::id().to_string()));
    assert!(
        root.read_link("/proc/version").is_err()
            && root.read_link("/proc/none").is_err_and(|e| e.is_absent())
    );
    assert_eq!(
        root.denying(&["/proc/self"]).read_link("/proc/self").map_err(|e| e.kind()),
        Err(IssueKind::Denied)
    );
}

#[test]
fn links_are_followed_to_another_file_system() {
    let tree = RecordedTree::new().file("/file", "");
    let link = tree.path().join("link");
    symlink("/proc/self/", &link).expect("a link");
    let root = HostRoot::live().expect("a root");
    let location = |path: &Path| root.location(path.to_str().expect("UTF-8"));
    let by_link = location(&link).expect("a directory");
    assert_eq!(by_link.device, root.location("/proc").expect("a directory").device);
    assert_eq!(by_link.path, Some(format!("/proc/{}", std::process::id())));
    let own = location(tree.path()).expect("a directory");
    assert_ne!(own.device, by_link.device);
    let refused = |path: &str| location(&tree.path().join(path)).map_err(|error| error.kind());
    assert_eq!(refused("file"), Err(IssueKind::Missing), "it is no directory");
    assert_eq!(refused("nothing"), Err(IssueKind::Missing));
    let recorded = tree.root().location("/").expect("a directory");
    assert_eq!(recorded, Location { path: None, ..own });
    assert!(tree.root().denying(&["/srv"]).location("/srv").is_err_and(|e| e.kind() == IssueKind::Denied));
}
