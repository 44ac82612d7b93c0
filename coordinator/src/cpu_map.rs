//! Reads libvirt's cpu_map files of this machine.

use std::{
    io,
    path::{Path, PathBuf},
};

use vmuster_proto::libvirt::{
    XmlError,
    cpu_map::{CPU_MAP_MAX_BYTES, CpuMap, MapModel, parse},
};

use crate::text_file::read_text;

/// Where libvirt's packages put them.
pub const DEFAULT_CPU_MAP: &str = "/usr/share/libvirt/cpu_map";

/// Names the other files, in the order of the models.
const INDEX: &str = "index.xml";

/// libvirt 11.3 has some 160 of x86.
const FILES_MAX: usize = 2_000;

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
pub enum CpuMapError {
    /// The system refused; most often libvirt is not installed here.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another file.
    #[error("{path} is no cpu_map of libvirt's: {source}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: XmlError,
    },
    /// An index that leads elsewhere.
    #[error("{path} names '{name}', which is no file beside it")]
    Elsewhere {
        /// The index.
        path: PathBuf,
        /// What it names.
        name: String,
    },
}

/// The models in a directory of cpu_map files.
///
/// # Errors
/// One of them cannot be read or makes no sense.
pub fn read_cpu_map(directory: &Path) -> Result<CpuMap, CpuMapError> {
    let index = directory.join(INDEX);
    let read = |path: &Path| {
        let text = read_text(path, CPU_MAP_MAX_BYTES as u64)
            .map_err(|source| CpuMapError::Read { path: path.to_owned(), source })?;
        parse(&text).map_err(|source| CpuMapError::Malformed { path: path.to_owned(), source })
    };
    let listed = read(&index)?;
    let mut models: Vec<MapModel> = listed.models;
    for name in listed.includes.into_iter().take(FILES_MAX) {
        let is_beside = Path::new(&name).file_name().is_some_and(|file| file == name.as_str());
        if !is_beside {
            return Err(CpuMapError::Elsewhere { path: index, name });
        }
        models.extend(read(&directory.join(&name))?.models);
    }
    Ok(CpuMap::new(&models))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "makes what is read")]
    fn file(directory: &Path, name: &str, text: &str) {
        std::fs::write(directory.join(name), text).expect("a file");
    }

    #[test]
    fn reads_what_the_index_names() {
        let directory = tempfile::tempdir().expect("a directory");
        let read = || read_cpu_map(directory.path()).map_err(|error| error.to_string());
        assert!(read().expect_err("nothing there").starts_with("cannot read "));
        let index =
            |include: &str| format!("<cpus><arch name='x86'><include filename='{include}'/></arch></cpus>");
        file(directory.path(), "index.xml", &index("x86_486.xml"));
        file(directory.path(), "x86_486.xml", "<cpus><model name='486'><feature name='fpu'/></model></cpus>");
        assert_eq!(
            read().expect("a map").iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>(),
            ["486"]
        );
        file(directory.path(), "x86_486.xml", "<cpus>");
        assert!(read().expect_err("torn").contains("is no cpu_map"));
        file(directory.path(), "index.xml", &index("../x86_486.xml"));
        assert!(read().expect_err("elsewhere").contains("which is no file beside it"));
    }
}
