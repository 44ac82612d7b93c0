//! Recorded hosts.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The workspace's root.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

/// A recorded host of our own.
#[must_use]
pub fn host(name: &str) -> PathBuf {
    let path = workspace().join("tests/fixtures/hosts").join(name);
    assert!(path.is_dir(), "there is no recorded host {}", path.display());
    path
}

/// The names of all recorded hosts, sorted.
#[must_use]
pub fn host_names() -> Vec<String> {
    let entries = fs::read_dir(workspace().join("tests/fixtures/hosts")).expect("the fixtures");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Copies a recorded host, so that a test can change it. Symbolic links stay links.
pub fn copy_host(name: &str, to: &Path) {
    copy_tree(&host(name), to);
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_symlink() {
            let link = fs::read_link(entry.path()).expect("a link");
            std::os::unix::fs::symlink(link, target).expect("a link");
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}
