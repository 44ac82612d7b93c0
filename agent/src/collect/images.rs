//! Images in directories that the agent's configuration names. Those of storage pools are the reader process's.

use std::{collections::BTreeSet, path::PathBuf};

use vmuster_proto::model::{Bytes, Image, Issue, IssueKind};

use crate::host_root::HostRoot;

const SECTION: &str = "usage.images";

/// In all directories together. Each takes some 100 bytes of every usage answer, of which there are 8 MiB at most; who has
/// more keeps them elsewhere and caches some here.
const IMAGES_MAX: usize = 4096;

/// The regular files of each directory itself, by directory and name. None: there is no directory that can be listed.
pub(crate) fn collect(root: &HostRoot, directories: &[PathBuf]) -> (Option<Vec<Image>>, Vec<Issue>) {
    let mut images = None;
    let mut issues = Vec::new();
    // One that is named twice, in whatever spelling, counts once.
    let directories: BTreeSet<PathBuf> =
        directories.iter().map(|directory| directory.components().collect()).collect();
    for directory in directories {
        let location = directory.to_string_lossy();
        match root.sizes_in(&location) {
            Ok(sizes) => {
                let images: &mut Vec<Image> = images.get_or_insert_default();
                let room = IMAGES_MAX - images.len().min(IMAGES_MAX);
                if let Some(left_out) = sizes.len().checked_sub(room).filter(|count| *count > 0) {
                    let detail =
                        format!("{left_out} of its files are left out: no more than {IMAGES_MAX} are listed");
                    issues.push(Issue::new(SECTION, &*location, IssueKind::Unsupported, detail));
                }
                images.extend(sizes.into_iter().take(room).map(|(id, size)| Image {
                    id,
                    location: location.clone().into_owned(),
                    size_bytes: Some(Bytes(size)),
                }));
            }
            Err(error) => issues.push(error.issue(SECTION)),
        }
    }
    (images, issues)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordedTree;

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn files_of_the_directories_themselves() {
        let tree = RecordedTree::new()
            .file("/srv/images/debian 12.qcow2", &"x".repeat(10_000))
            .file("/srv/images/empty.img", "")
            .file("/srv/images/below/not.qcow2", "x")
            .file("/elsewhere/secret", "x")
            .file("/more/a.img", "x")
            .link("/srv/images/linked.img", "/elsewhere/secret");
        let (images, issues) =
            collect(&tree.root(), &paths(&["/srv/images", "/none", "/more", "/elsewhere/secret"]));
        let images = images.expect("images");
        let told: Vec<_> = images.iter().map(|it| (it.location.as_str(), it.id.as_str())).collect();
        assert_eq!(
            told,
            [("/more", "a.img"), ("/srv/images", "debian 12.qcow2"), ("/srv/images", "empty.img")]
        );
        assert!(images[1].size_bytes >= Some(Bytes(10_000)), "{images:?}");
        assert_eq!(images[2].size_bytes, Some(Bytes(0)));
        let told: Vec<_> =
            issues.iter().map(|it| (it.source.as_str(), it.kind, it.section.as_str())).collect();
        let missing = |path| (path, IssueKind::Missing, SECTION);
        assert_eq!(told, [missing("/elsewhere/secret"), missing("/none")]);
    }

    #[test]
    fn what_takes_no_space_has_no_size_to_speak_of() {
        let tree = RecordedTree::new().file("/i/sparse", "");
        let file = tree.path().join("i/sparse");
        std::fs::OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|it| it.set_len(1 << 30))
            .expect("a hole");
        let (images, _) = collect(&tree.root(), &paths(&["/i"]));
        assert!(images.expect("images")[0].size_bytes < Some(Bytes(1 << 20)), "a copy takes as little");
    }

    #[test]
    fn there_is_an_end_to_them_and_none_is_not_an_empty_list() {
        let tree =
            (0..IMAGES_MAX).fold(RecordedTree::new(), |tree, n| tree.file(&format!("/many/{n:04}"), ""));
        let tree = tree.file("/more/last", "").file("/empty/below/x", "");
        let (images, issues) = collect(&tree.root(), &paths(&["/many", "/many/", "/more"]));
        assert_eq!(images.expect("images").len(), IMAGES_MAX);
        let left_out: Vec<_> =
            issues.iter().map(|it| it.detail.split(' ').next().expect("a number")).collect();
        assert_eq!(left_out, ["1"]);
        assert_eq!(collect(&tree.root(), &paths(&["/empty"])), (Some(vec![]), vec![]));
        assert_eq!(collect(&tree.root(), &[]), (None, vec![]));
        assert_eq!(collect(&tree.root(), &paths(&["/none"])).0, None);
        let denied = collect(&tree.root().denying(&["/more"]), &paths(&["/more"]));
        assert_eq!((denied.0, denied.1[0].kind), (None, IssueKind::Denied));
    }
}
