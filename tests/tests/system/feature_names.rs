//! The table of feature names says what libvirt's cpu_map, QEMU and the kernels of recorded hosts say.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use roxmltree::{Document, Node};
use vmuster_proto::features::{
    self, Feature, Lookup, Origin, Register, Spelling, lookup, lookup_any, to_qemu,
};
use vmuster_tests::{
    fixtures::{host, host_names, workspace},
    programs::run,
    tools::{are_there, command, leave_out, printed, say},
};

/// Installed with libvirt.
const X86_FEATURES: &str = "/usr/share/libvirt/cpu_map/x86_features.xml";

const QEMU: [(&str, &str); 1] = [("qemu-system-x86_64", "qemu-system-x86")];

/// An attribute like '0x80000001'; 0 if it is not there.
fn number(node: Node<'_, '_>, attribute: &str) -> u32 {
    let Some(text) = node.attribute(attribute) else { return 0 };
    u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The number of the only bit; None if there is none.
fn bit(mask: u64) -> Option<u8> {
    assert!(mask.count_ones() <= 1, "{mask:#x} has several bits");
    (mask != 0).then(|| u8::try_from(mask.trailing_zeros()).expect("below 64"))
}

/// Where libvirt says a feature is.
fn origin(feature: Node<'_, '_>) -> Origin {
    let place = |tag: &str| feature.children().find(|child| child.has_tag_name(tag));
    if let Some(msr) = place("msr") {
        let mask = u64::from(number(msr, "edx")) << 32 | u64::from(number(msr, "eax"));
        return Origin::Msr { index: number(msr, "index"), bit: bit(mask).expect("a bit") };
    }
    let cpuid = place("cpuid").expect("a feature is in CPUID or an MSR");
    let registers =
        [("eax", Register::Eax), ("ebx", Register::Ebx), ("ecx", Register::Ecx), ("edx", Register::Edx)];
    let mut places = registers
        .into_iter()
        .filter_map(|(attribute, register)| Some((register, bit(number(cpuid, attribute).into())?)));
    let (register, bit) = places.next().expect("a register");
    assert!(places.next().is_none(), "several registers: {feature:?}");
    Origin::Cpuid { leaf: number(cpuid, "eax_in"), subleaf: number(cpuid, "ecx_in"), register, bit }
}

#[test]
fn libvirts_cpu_map_says_the_same() {
    let Ok(text) = fs::read_to_string(X86_FEATURES) else {
        leave_out(&format!("there is no {X86_FEATURES}: install the package libvirt0"));
        return;
    };
    let document = Document::parse(&text).expect("XML");
    let mut wrong = Vec::new();
    let mut compared = 0;
    for node in document.root_element().children().filter(|node| node.has_tag_name("feature")) {
        let name = node.attribute("name").expect("a name");
        let Lookup::Known(feature) = lookup(name, Spelling::Libvirt) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        if feature.origin != origin(node) {
            wrong.push(format!("{name}: {:x?}, libvirt has {:x?}", feature.origin, origin(node)));
        }
        for alias in node.children().filter(|child| child.has_tag_name("alias")) {
            let spelling = match alias.attribute("source") {
                Some("qemu") => Spelling::Qemu,
                Some("linux") => Spelling::Linux,
                source => panic!("{name} has an alias of {source:?}"),
            };
            let word = alias.attribute("name").expect("a name");
            if lookup(word, spelling) != Lookup::Known(feature) {
                wrong.push(format!("{name}: {spelling:?} spells it {word}"));
            }
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 200, "only {compared} features were compared");
}

/// The properties that `-cpu help` lists as flags.
fn qemu_flags() -> BTreeSet<String> {
    let help = printed("qemu-system-x86_64 -cpu help");
    let (_, flags) = help.split_once("CPUID flags:").expect("a list of flags");
    flags.split_whitespace().map(ToOwned::to_owned).collect()
}

#[test]
fn qemu_spells_as_the_table_says() {
    if !are_there(&QEMU) {
        return;
    }
    let flags = qemu_flags();
    let mut unknown: Vec<&str> = Vec::new();
    for flag in &flags {
        let Lookup::Known(feature) = lookup(flag, Spelling::Qemu) else {
            unknown.push(flag);
            continue;
        };
        assert_eq!(feature.qemu, Some(flag.as_str()), "-cpu help lists no aliases");
        if let Some(name) = feature.libvirt {
            assert_eq!(to_qemu(name).or_as_given(), [flag.as_str()]);
        }
    }
    assert!(unknown.is_empty(), "QEMU knows, and the table does not: {unknown:?}");
    let listed = features::all().iter().filter(|row| row.qemu.is_some_and(|word| flags.contains(word)));
    assert!(listed.count() >= 250, "{} flags", flags.len());
    // Of names for which the table has no property none may be one.
    let missed = features::all().iter().filter(|row| row.qemu.is_none());
    let missed: Vec<_> =
        missed.filter_map(|row| row.libvirt).filter(|name| flags.contains(&name.replace('_', "-"))).collect();
    assert!(missed.is_empty(), "QEMU knows these under the same name: {missed:?}");
}

/// The words of the lines "flags" of an x86 host.
fn flags(cpuinfo: &str) -> BTreeSet<&str> {
    let lines = cpuinfo.lines().filter_map(|line| line.strip_prefix("flags"));
    lines.filter_map(|rest| rest.trim_start().strip_prefix(':')).flat_map(str::split_whitespace).collect()
}

/// How many words were looked up.
fn all_are_known(of: &str, words: &BTreeSet<&str>) -> usize {
    let unknown: Vec<_> =
        words.iter().filter(|word| matches!(lookup(word, Spelling::Linux), Lookup::Unknown(_))).collect();
    assert!(unknown.is_empty(), "{of}: {unknown:?}");
    for word in words {
        let feature: &Feature = lookup(word, Spelling::Linux).feature().expect("it is known");
        let meanings = lookup_any(word);
        assert!(meanings.iter().any(|meaning| std::ptr::eq(meaning.feature, feature)), "{word}");
    }
    words.len()
}

#[test]
fn every_flag_of_a_recorded_host_is_known() {
    let mut looked_up = 0;
    for name in host_names() {
        let cpuinfo = fs::read_to_string(host(&name).join("proc/cpuinfo")).expect("cpuinfo");
        looked_up += all_are_known(&name, &flags(&cpuinfo));
    }
    assert!(looked_up > 400, "{looked_up}");
}

/// Hosts that nobody here recorded; not part of the repository.
fn shared_hosts() -> Option<PathBuf> {
    let default = || workspace().join("../shared/data");
    let directory = env::var_os("VMUSTER_SHARED_DATA").map_or_else(default, PathBuf::from).join("hosts");
    if !directory.is_dir() {
        say(&format!("skipped: no hosts in {}; set VMUSTER_SHARED_DATA", directory.display()));
        return None;
    }
    Some(directory)
}

fn tar(what: &str, archive: &Path, member: Option<&str>) -> String {
    let ended = run(command(&format!("tar --gzip {what} --file")).arg(archive).args(member));
    assert_eq!(ended.code, 0, "{}: {}", archive.display(), ended.stderr);
    ended.stdout
}

/// None: the host was recorded without.
fn cpuinfo_of(archive: &Path) -> Option<String> {
    let members = tar("--list", archive, None);
    let member = members.lines().find(|member| member.ends_with("/proc/cpuinfo"))?;
    Some(tar("--extract --to-stdout", archive, Some(member)))
}

#[test]
fn every_flag_of_a_shared_host_is_known() {
    let Some(directory) = shared_hosts() else { return };
    let mut x86 = 0;
    for entry in fs::read_dir(&directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "gz") {
            let Some(cpuinfo) = cpuinfo_of(&path) else { continue };
            let looked_up = all_are_known(&path.display().to_string(), &flags(&cpuinfo));
            x86 += usize::from(looked_up > 0);
        }
    }
    assert!(x86 > 0, "{} has no x86 host", directory.display());
}
