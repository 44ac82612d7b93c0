//! /proc/PID/mountinfo and /proc/mounts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::parse::mountinfo::{Mount, MountError, parse, parse_mounts};

fuzz_target!(|text: &str| {
    let (mounts, errors) = parse(text);
    assert!(mounts.iter().all(|mount| mount.ids.is_some() && mount.device.is_some() && mount.root.is_some()));
    check(text, &mounts, &errors);
    let (mounts, errors) = parse_mounts(text);
    assert!(mounts.iter().all(|mount| mount.ids.is_none() && mount.super_read_only != Some(true)));
    check(text, &mounts, &errors);
});

fn check(text: &str, mounts: &[Mount], errors: &[MountError]) {
    let lines: Vec<&str> = text.lines().collect();
    let blank = lines.iter().filter(|line| line.trim().is_empty()).count();
    assert_eq!(mounts.len() + errors.len() + blank, lines.len(), "each line is a mount or an error");
    assert!(errors.is_sorted_by(|a, b| a.line < b.line));
    assert!(errors.iter().all(|error| (1..=lines.len()).contains(&error.line)));
    for mount in mounts {
        assert!(mount.mount_point.starts_with('/'));
        let names = mount.super_options.split(',').filter_map(|option| option.split_once('='));
        names.for_each(|(name, _)| assert!(mount.option(name).is_some()));
    }
}
