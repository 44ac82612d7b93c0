//! The live agent says of CPUs, caches and memory nodes what lscpu(1) and numactl(8) say.
//!
//! Known differences are where they are allowed for. Each test compares what the tool's version tells.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vmuster_proto::model::{Cpu, CpuSet, Inventory, Numa};
use vmuster_tests::{
    programs::run,
    tools::{Comparison, are_there, command, live_snapshot, printed, printed_json},
};

const LSCPU: [(&str, &str); 1] = [("lscpu", "util-linux")];

/// Memory encryption takes some physical address bits away for key numbers; CPUID does not know.
const KEY_BITS_MAX: u32 = 15;

/// What lscpu and we call a hypervisor; others have names of their own.
const HYPERVISORS: [(&str, &str); 4] =
    [("KVM", "kvm"), ("Xen", "xen"), ("Microsoft", "microsoft"), ("VMware", "vmware")];

/// lscpu's fields, "CPU family" → "6". Newer versions put some below others.
fn fields(value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Array(entries) => entries.iter().for_each(|entry| fields(entry, found)),
        Value::Object(entry) => {
            if let (Some(field), Some(data)) = (entry.get("field"), entry.get("data").and_then(Value::as_str))
            {
                let field = field.as_str().expect("a name").trim_end_matches(':');
                found.insert(field.to_owned(), data.to_owned());
            }
            entry.values().for_each(|value| fields(value, found));
        }
        _ => {}
    }
}

fn set(text: &str) -> CpuSet {
    text.parse().unwrap_or_else(|error| panic!("'{text}': {error}"))
}

/// lscpu writes "Mitigation; a; b off" for the kernel's "Mitigation: a; b: off".
fn without_colons(text: &str) -> String {
    text.replace([':', ';'], "")
}

#[test]
fn lscpu_says_the_same() {
    if !are_there(&LSCPU) {
        return;
    }
    let inventory = live_snapshot().inventory;
    let mut theirs = BTreeMap::new();
    fields(&printed_json("lscpu -J"), &mut theirs);
    let mut comparison = Comparison::default();
    let cpu = inventory.cpu.as_ref().expect("a cpu section");
    compare_counts(&mut comparison, cpu, &theirs);
    compare_machine(&mut comparison, &inventory, &theirs);
    // Of other architectures lscpu prints names of its own for what the kernel gives as numbers.
    if inventory.arch() == Some("x86_64") {
        compare_identity(&mut comparison, cpu, &theirs);
    }
    comparison.finish(10);
}

fn compare_counts(comparison: &mut Comparison, cpu: &Cpu, theirs: &BTreeMap<String, String>) {
    let number = |field: &str| theirs.get(field).and_then(|text| text.parse::<u32>().ok());
    let mut count = |field: &str, ours: Option<u32>| {
        if let Some(number) = number(field) {
            comparison.same(field, &ours, &Some(number));
        }
    };
    count("CPU(s)", cpu.present.as_ref().map(CpuSet::len));
    count("Thread(s) per core", cpu.threads_per_core);
    count("Socket(s)", cpu.socket_count);
    let per_socket = cpu.core_count.zip(cpu.socket_count).map(|(cores, sockets)| cores / sockets);
    count("Core(s) per socket", per_socket);
    for (field, ours) in [("On-line CPU(s) list", &cpu.online), ("Off-line CPU(s) list", &cpu.offline)] {
        if let Some(list) = theirs.get(field) {
            comparison.same(field, ours, &Some(set(list)));
        }
    }
    if let Some(flags) = theirs.get("Flags") {
        // lscpu shows those of one CPU.
        let ours = cpu.host_flags.as_ref().expect("flags").names().into_iter();
        let ours: BTreeSet<&str> = ours.chain(cpu.host_flags_not_on_all.keys().map(String::as_str)).collect();
        let theirs: BTreeSet<&str> = flags.split_whitespace().collect();
        if cpu.host_flags_not_on_all.is_empty() {
            comparison.same("Flags", &ours, &theirs);
        } else {
            comparison.holds("Flags", ours.is_superset(&theirs), &(&ours, &theirs));
        }
    }
    let told: BTreeMap<String, String> = theirs
        .iter()
        .filter_map(|(field, text)| Some((field.strip_prefix("Vulnerability ")?, text)))
        .map(|(name, text)| (name.to_lowercase().replace(' ', "_"), without_colons(text)))
        .collect();
    let ours = cpu.vulnerabilities.iter().map(|(name, text)| (name.to_lowercase(), without_colons(text)));
    comparison.same("Vulnerability", &ours.collect::<BTreeMap<_, _>>(), &told);
}

fn compare_identity(comparison: &mut Comparison, cpu: &Cpu, theirs: &BTreeMap<String, String>) {
    let text = |number: Option<u32>| number.map(|number| number.to_string());
    for (field, ours) in [
        ("Vendor ID", cpu.vendor.clone()),
        ("Model name", cpu.model_name.clone()),
        ("CPU family", text(cpu.family)),
        ("Model", text(cpu.model)),
        ("Stepping", text(cpu.stepping)),
        ("Microcode version", cpu.microcode.clone()),
    ] {
        if let Some(theirs) = theirs.get(field).filter(|theirs| *theirs != "-") {
            comparison.same(field, &ours.as_ref(), &Some(theirs));
        }
    }
    if let Some(sizes) = theirs.get("Address sizes") {
        let numbers: Vec<u32> = sizes.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        let [physical, r#virtual] = numbers[..] else { panic!("'{sizes}'") };
        let ours = (cpu.physical_address_bits.expect("a width"), cpu.virtual_address_bits);
        let is_so = (physical..=physical + KEY_BITS_MAX).contains(&ours.0) && ours.1 == Some(r#virtual);
        comparison.holds("Address sizes", is_so, &(ours, sizes));
    }
    if let Some(kind) = theirs.get("Virtualization") {
        let flag = if kind == "AMD-V" { "svm" } else { "vmx" };
        let has = cpu.host_flags.as_ref().is_some_and(|flags| flags.contains(flag));
        comparison.holds("Virtualization", has, kind);
    }
    let rates = |rate: fn(&vmuster_proto::model::CpuFrequency) -> Option<u64>| -> BTreeSet<String> {
        let rates = cpu.frequencies.iter().filter_map(rate);
        rates.map(|khz| format!("{}.{:03}0", khz / 1000, khz % 1000)).collect()
    };
    for (field, ours) in
        [("CPU max MHz", rates(|it| it.maximum_khz)), ("CPU min MHz", rates(|it| it.minimum_khz))]
    {
        if let Some(theirs) = theirs.get(field) {
            comparison.holds(field, ours.contains(theirs), &(&ours, theirs));
        }
    }
}

fn compare_machine(comparison: &mut Comparison, inventory: &Inventory, theirs: &BTreeMap<String, String>) {
    let system = inventory.system.as_ref().expect("a system section");
    comparison.same("Architecture", &system.arch.as_ref(), &theirs.get("Architecture"));
    let ours = system.virtualization.as_deref();
    if let Some(vendor) = theirs.get("Hypervisor vendor") {
        let known = HYPERVISORS.iter().find(|(theirs, _)| theirs == vendor).map(|(_, ours)| *ours);
        let is_so = ours.is_some_and(|ours| ours != "none" && known.is_none_or(|known| known == ours));
        comparison.holds("Hypervisor vendor", is_so, &(ours, vendor));
    }
    let nodes: BTreeMap<String, Option<CpuSet>> = inventory
        .numa
        .iter()
        .flat_map(|numa| &numa.nodes)
        .map(|node| (format!("NUMA node{} CPU(s)", node.id), node.cpus.clone()))
        .collect();
    if let Some(count) = theirs.get("NUMA node(s)") {
        comparison.same("NUMA node(s)", &nodes.len().to_string(), count);
        for (field, cpus) in nodes {
            let list = theirs.get(&field).map(String::as_str).unwrap_or_default();
            comparison.same(&field, &cpus, &Some(set(list)));
        }
    }
}

#[test]
fn lscpu_places_each_cpu_where_we_do() {
    if !are_there(&LSCPU) {
        return;
    }
    let cpu = live_snapshot().inventory.cpu.expect("a cpu section");
    // -y: the kernel's numbers, not lscpu's own.
    let theirs = printed_json("lscpu -J -y -e=CPU,NODE,SOCKET,CORE,ONLINE");
    let mut comparison = Comparison::default();
    // Older versions write numbers as texts.
    let number = |value: &Value| match value {
        Value::String(text) => text.parse::<u32>().ok(),
        value => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let mut listed = (CpuSet::new(), CpuSet::new());
    for row in theirs["cpus"].as_array().expect("rows") {
        let id = number(&row["cpu"]).expect("a CPU");
        let is_online = row["online"] == true || row["online"] == "yes";
        if !is_online {
            listed.1.insert(id);
            continue;
        }
        listed.0.insert(id);
        let ours = cpu.topology.iter().find(|place| place.cpu == id);
        let ours = ours.map(|place| (place.node, place.socket, place.core));
        let place = (number(&row["node"]), number(&row["socket"]), number(&row["core"]));
        comparison.same(&format!("CPU {id}"), &ours, &Some(place));
    }
    comparison.same("online", &cpu.online, &Some(listed.0));
    comparison.same("offline", &cpu.offline, &Some(listed.1));
    comparison.finish(3);
}

#[test]
fn lscpu_counts_the_same_caches() {
    if !are_there(&LSCPU) {
        return;
    }
    let cpu = live_snapshot().inventory.cpu.expect("a cpu section");
    let theirs = printed_json("lscpu -J -B -C");
    let mut comparison = Comparison::default();
    let number = |value: &Value| match value {
        Value::String(text) => text.parse::<u64>().ok(),
        value => value.as_u64(),
    };
    let mut kinds = BTreeSet::new();
    for row in theirs["caches"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let level = number(&row["level"]).and_then(|level| u32::try_from(level).ok());
        let kind = row["type"].as_str().expect("a type").to_lowercase();
        let ours = cpu.caches.iter().filter(|it| it.level == level && it.r#type.as_deref() == Some(&kind));
        // lscpu adds up those of all sizes, and gives one of the sizes.
        let sizes: Vec<(u64, u64)> = ours
            .map(|it| (it.size_bytes.expect("a size").0, u64::try_from(it.shared_by.len()).expect("a count")))
            .collect();
        let all = sizes.iter().map(|(size, count)| size * count).sum();
        comparison.same(&format!("{} all-size", row["name"]), &Some(all), &number(&row["all-size"]));
        let one = number(&row["one-size"]).expect("a size");
        let is_so = sizes.iter().any(|(size, _)| *size == one);
        comparison.holds(&format!("{} one-size", row["name"]), is_so, &(&sizes, one));
        kinds.insert((level, Some(kind)));
    }
    let ours: BTreeSet<_> = cpu.caches.iter().map(|cache| (cache.level, cache.r#type.clone())).collect();
    comparison.same("caches", &ours, &kinds);
    comparison.finish(1);
}

#[test]
fn numactl_says_the_same() {
    if !are_there(&[("numactl", "numactl")]) {
        return;
    }
    let tried = run(&mut command("numactl -H"));
    // No package cures that: a kernel without NUMA, or a container that may not ask (get_mempolicy).
    if tried.code != 0 && (tried.stdout + &tried.stderr).contains("No NUMA") {
        vmuster_tests::tools::say(&format!("left out: numactl cannot ask here: {}", tried.code));
        return;
    }
    let numa = live_snapshot().inventory.numa.expect("a numa section");
    let mut comparison = Comparison::default();
    compare_numactl(&mut comparison, &numa, &printed("numactl -H"));
    comparison.finish(4);
}

fn compare_numactl(comparison: &mut Comparison, numa: &Numa, text: &str) {
    let mut ids = Vec::new();
    let mut columns: Vec<u32> = Vec::new();
    let numbers =
        |text: &str| -> Vec<u32> { text.split_whitespace().filter_map(|word| word.parse().ok()).collect() };
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else {
            columns = line.strip_prefix("node ").map(numbers).unwrap_or(columns);
            continue;
        };
        let words: Vec<&str> = name.split_whitespace().collect();
        let node = |id: &str| numa.nodes.iter().find(|node| Some(node.id) == id.parse().ok());
        match words[..] {
            ["available"] => {
                let count = rest.split_whitespace().next().and_then(|count| count.parse().ok());
                comparison.same("available", &Some(numa.nodes.len()), &count);
            }
            ["node", id, "cpus"] => {
                ids.push(id.to_owned());
                let cpus = rest.trim().split(' ').collect::<Vec<_>>().join(",");
                comparison.same(name, &node(id).and_then(|it| it.cpus.clone()), &Some(set(&cpus)));
            }
            ["node", id, "size"] => {
                let ours = node(id).and_then(|it| it.memory_total_bytes).map(|bytes| bytes.0 >> 20);
                let theirs = rest.trim().trim_end_matches(" MB").parse().ok();
                comparison.same(name, &ours, &theirs);
            }
            [id] if id.parse::<u32>().is_ok() => {
                let row: BTreeMap<u32, u32> = columns.iter().copied().zip(numbers(rest)).collect();
                comparison.same("distances", &node(id).map(|it| it.distances.clone()), &Some(row));
            }
            // "free" drifts.
            _ => {}
        }
    }
    let ours: Vec<String> = numa.nodes.iter().map(|node| node.id.to_string()).collect();
    comparison.same("nodes", &ours, &ids);
}
