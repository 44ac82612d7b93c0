//! Writes files, directories and links into a recorded host's directory, each where the host has it.
//!
//! Symbolic links on the way stay links with their own target, so that a collector that follows or reads them finds what
//! it finds on the host.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::host_root::HostRoot;

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// A directory that becomes a recorded host.
#[derive(Debug)]
pub(super) struct Replica<'a> {
    root: &'a HostRoot,
    directory: &'a Path,
    /// Links already looked for, with their target if they are one.
    links: HashMap<String, Option<String>>,
}

/// Something could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct WriteError {
    /// In the capture.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl<'a> Replica<'a> {
    pub(super) fn new(root: &'a HostRoot, directory: &'a Path) -> Self {
        Self { root, directory, links: HashMap::new() }
    }

    /// A file with this content. A path that loops is left out, as it cannot be read on the host either.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> Result<(), WriteError> {
        let Some(target) = self.resolved(path)? else { return Ok(()) };
        let whole = self.whole(&target);
        self.parent(&whole)?;
        // Found by two paths: the first one wrote it.
        if whole.exists() {
            return Ok(());
        }
        #[expect(clippy::disallowed_methods, reason = "a new file in a directory of our own")]
        fs::write(&whole, content).map_err(|source| WriteError { path: whole.clone(), source })
    }

    /// A file that no host has: what is linked there on the host is of no account.
    pub(super) fn own_file(&self, path: &str, content: &[u8]) -> Result<(), WriteError> {
        let whole = self.whole(path);
        #[expect(clippy::disallowed_methods, reason = "a new file in a directory of our own")]
        fs::write(&whole, content).map_err(|source| WriteError { path: whole.clone(), source })
    }

    /// A directory that no host has.
    pub(super) fn own_directory(&self, path: &str) -> Result<(), WriteError> {
        let whole = self.whole(path);
        fs::create_dir_all(&whole).map_err(|source| WriteError { path: whole.clone(), source })
    }

    /// A directory.
    pub(super) fn directory(&mut self, path: &str) -> Result<(), WriteError> {
        let Some(target) = self.resolved(path)? else { return Ok(()) };
        let whole = self.whole(&target);
        if whole.is_file() {
            return Ok(());
        }
        fs::create_dir_all(&whole).map_err(|source| WriteError { path: whole.clone(), source })
    }

    /// A name in a directory: a link as a link, anything else as what it is.
    pub(super) fn link(&mut self, path: &str) -> Result<(), WriteError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(parent) = self.resolved(parent)? else { return Ok(()) };
        self.link_of(&format!("{parent}/{name}")).map(drop)
    }

    /// The path without links, which are made on the way. None: too many.
    fn resolved(&mut self, path: &str) -> Result<Option<String>, WriteError> {
        let mut rest: Vec<String> = components(path);
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(component) = rest.pop() {
            if component == ".." {
                done.pop();
                continue;
            }
            done.push(component);
            let here = format!("/{}", done.join("/"));
            let Some(target) = self.link_of(&here)? else { continue };
            links += 1;
            if links > LINKS_MAX {
                return Ok(None);
            }
            if target.starts_with('/') {
                done.clear();
            } else {
                done.pop();
            }
            rest.extend(components(&target));
        }
        Ok(Some(format!("/{}", done.join("/"))))
    }

    /// The target if it is a link, which is then there too.
    fn link_of(&mut self, path: &str) -> Result<Option<String>, WriteError> {
        if let Some(known) = self.links.get(path) {
            return Ok(known.clone());
        }
        let target = self.root.read_link(path).ok();
        if let Some(target) = &target {
            let whole = self.whole(path);
            self.parent(&whole)?;
            match std::os::unix::fs::symlink(target, &whole) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(WriteError { path: whole, source: error });
                }
                _ => {}
            }
        }
        self.links.insert(path.to_owned(), target.clone());
        Ok(target)
    }

    fn whole(&self, path: &str) -> PathBuf {
        self.directory.join(path.trim_start_matches('/'))
    }

    fn parent(&self, whole: &Path) -> Result<(), WriteError> {
        let parent = whole.parent().unwrap_or(self.directory);
        fs::create_dir_all(parent).map_err(|source| WriteError { path: parent.to_owned(), source })
    }
}

/// Last first.
fn components(path: &str) -> Vec<String> {
    let named = path.split('/').filter(|component| !matches!(*component, "" | "."));
    named.rev().map(str::to_owned).collect()
}
