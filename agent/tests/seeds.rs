//! The fuzz targets' seeds: each parser has some, and reads them, so that fuzzing starts behind its first checks.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use vmuster_agent::hypervisor::protocol::{Answer, Question};
use vmuster_agent::parse::{
    cpuid_dump, cpuinfo, distance, libvirt_arch, loadavg, meminfo, mountinfo, os_release, pci_ids, pci_path,
    pressure, statvfs_json, sysinfo, uevent,
};
use vmuster_proto::{
    libvirt,
    model::{CpuSet, Snapshot},
};

/// Mutations of small inputs are tried faster, and the repository stays small.
const SEED_BYTES_MAX: usize = 4096;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[expect(clippy::disallowed_methods, clippy::expect_used, reason = "reads this repository's own files")]
fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("a file")
}

/// Names without their suffix, and paths, of what is in a directory.
#[expect(clippy::disallowed_methods, clippy::expect_used, reason = "reads this repository's own files")]
fn listed(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    let mut listed: Vec<_> = entries.filter_map(|path| Some((name(&path)?, path))).collect();
    listed.sort();
    listed
}

/// Whether the target's parser reads a seed, without an error and to the end.
fn is_read(target: &str, name: &str, bytes: &[u8]) -> Result<bool, String> {
    let text = String::from_utf8_lossy(bytes);
    let error = |error: &dyn std::error::Error| error.to_string();
    Ok(match target {
        "cpu_set" if name.contains("mask") || name.contains("siblings") => {
            !CpuSet::from_mask(&text).map_err(|e| error(&e))?.is_empty()
        }
        "cpu_set" => text.parse::<CpuSet>().map_err(|e| error(&e))?.is_empty() == text.trim().is_empty(),
        "cpuid_dump" => !cpuid_dump::parse(&text).map_err(|e| error(&e))?.is_empty(),
        "cpuinfo" => {
            let info = cpuinfo::parse(bytes).map_err(|e| error(&e))?;
            info.arch.is_some() && info.bad_fields.is_empty() != (name == "bad-fields")
        }
        "distance" => distance::parse(&text).map_err(|e| error(&e))?.is_empty() == text.trim().is_empty(),
        "libvirt_capabilities" => {
            let read = libvirt::capabilities::parse(&text).map_err(|e| error(&e))?;
            read.emulator.is_some() && !read.machine_types.is_empty()
        }
        "libvirt_cpu" => {
            let read = libvirt::cpu::of_caller(&text).map_err(|e| error(&e))?;
            libvirt::cpu::answer(&text).map_err(|e| error(&e))? == read
        }
        "libvirt_cpu_map" => {
            let read = libvirt::cpu_map::parse(&text).map_err(|e| error(&e))?;
            read.includes.is_empty() != read.models.is_empty()
        }
        "libvirt_domain" => libvirt::domain::parse(&text).map_err(|e| error(&e))?.memory_max_bytes.is_some(),
        "libvirt_domain_capabilities" => {
            libvirt::domain_capabilities::parse(&text).map_err(|e| error(&e))?.models.is_some()
        }
        "libvirt_pool" => {
            let read = libvirt::pool::parse(&text).map_err(|e| error(&e))?;
            read.identity.is_some() != (name == "dir")
        }
        "reader_messages" if name.starts_with("question") => {
            Question::from_bytes(bytes).map_err(|e| error(&e)).map(|_| true)?
        }
        "reader_messages" => Answer::from_bytes(bytes).map_err(|e| error(&e)).map(|_| true)?,
        "libvirt_arch" => libvirt_arch::parse(&text).is_some(),
        "loadavg" => loadavg::parse(&text).map_err(|e| error(&e))?.threads.is_some(),
        "meminfo" => meminfo::parse(&text).map_err(|e| error(&e))?.total.is_some(),
        "mountinfo" => {
            let parse = if name.ends_with("-mounts") { mountinfo::parse_mounts } else { mountinfo::parse };
            let (mounts, errors) = parse(&text);
            !mounts.is_empty() && errors.is_empty()
        }
        "os_release" => {
            let (read, errors) = os_release::parse(&text);
            read.id.is_some() && errors.is_empty()
        }
        "pci_ids" => {
            let wanted = pci_ids::Wanted { devices: [(0x8086, 0x1533)].into(), classes: [(2, 0x80)].into() };
            let names = pci_ids::find(bytes, &wanted);
            names.devices.len() == 1 && names.subclasses.len() == 1
        }
        "pci_path" => pci_path::upward(&text).next().is_none() == (name == "virtual"),
        "pressure" => pressure::parse(&text).map_err(|e| error(&e))?.some.is_some(),
        "snapshot" => !serde_json::from_slice::<Snapshot>(bytes).map_err(|e| error(&e))?.name.is_empty(),
        "statvfs_json" => {
            statvfs_json::parse(bytes).map_err(|e| error(&e))?.into_values().all(|answer| answer.is_ok())
        }
        "sysinfo" => sysinfo::parse(&text).manufacturer.is_some(),
        "uevent" => text.lines().all(|line| {
            line.split_once('=').is_some_and(|(key, _)| uevent::Uevent::new(&text).get(key).is_some())
        }),
        _ => return Err("this test does not know the target".to_owned()),
    })
}

#[test]
fn seeds_are_valid_and_small() {
    for (target, directory) in listed(&fuzz().join("seeds")) {
        let seeds = listed(&directory);
        assert!(!seeds.is_empty(), "{target}");
        for (name, path) in seeds {
            let bytes = read(&path);
            assert!(bytes.len() < SEED_BYTES_MAX, "{}: {} bytes", path.display(), bytes.len());
            assert_eq!(is_read(&target, &name, &bytes), Ok(true), "{}", path.display());
        }
    }
}

fn public_modules(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
}

#[test]
fn each_parser_has_a_target_and_seeds() {
    let names = |directory: &str| -> BTreeSet<String> {
        listed(&fuzz().join(directory)).into_iter().map(|(name, _)| name).collect()
    };
    let targets = names("targets");
    assert_eq!(targets, names("seeds"));
    let text = |path: &str| String::from_utf8(read(&fuzz().join(path))).expect("UTF-8");
    let manifest = text("Cargo.toml");
    let built: BTreeSet<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")).collect();
    assert_eq!(targets.iter().map(|name| format!("{name}.rs\"")).collect::<Vec<_>>(), Vec::from_iter(built));
    let modules = text("../src/parse/mod.rs");
    let of_libvirt = text("../../proto/src/libvirt/mod.rs");
    let mut parsers: Vec<String> = public_modules(&modules).map(str::to_owned).collect();
    // But for what all of them go through.
    let documents = public_modules(&of_libvirt).filter(|module| !["render", "xml"].contains(module));
    parsers.extend(documents.map(|document| format!("libvirt_{document}")));
    let without: Vec<_> = parsers.iter().filter(|parser| !targets.contains(*parser)).collect();
    assert!(without.is_empty(), "no target for {without:?}: see docs/fuzzing.md");
}
