//! Types → libvirt's XML: what is handed to libvirt, and what a capture holds of guests and pools, whose own definitions
//! have secrets in them.

use std::fmt::Write as _;

use crate::model::{CpuDefinition, Domain, DomainDisk, DomainHugepages, DomainNuma, StoragePool};

/// XML that is written piece by piece.
#[derive(Default)]
struct Writer(String);

/// Attributes that may be absent.
type Attributes<'a> = &'a [(&'a str, Option<&'a str>)];

impl Writer {
    fn open(&mut self, name: &str, attributes: Attributes<'_>) {
        self.0 += "<";
        self.0 += name;
        for (key, value) in attributes {
            if let Some(value) = value {
                // Writing to a string does not fail.
                let _ = write!(self.0, " {key}='{}'", escaped(value));
            }
        }
        self.0 += ">";
    }

    fn close(&mut self, name: &str) {
        let _ = write!(self.0, "</{name}>");
    }

    fn empty(&mut self, name: &str, attributes: Attributes<'_>) {
        self.open(name, attributes);
        self.0.pop();
        self.0 += "/>";
    }

    fn text(&mut self, name: &str, attributes: Attributes<'_>, text: Option<&str>) {
        if let Some(text) = text {
            self.open(name, attributes);
            self.0 += &escaped(text);
            self.close(name);
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\'' => escaped += "&apos;",
            '"' => escaped += "&quot;",
            // As they are, a parser would take them for spaces.
            '\t' => escaped += "&#9;",
            '\n' => escaped += "&#10;",
            '\r' => escaped += "&#13;",
            // XML has no place for them, not even escaped.
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A `<cpu>` element, on one line.
#[must_use]
pub fn cpu(definition: &CpuDefinition) -> String {
    let mut out = Writer::default();
    write_cpu(&mut out, definition, None);
    out.0
}

fn write_cpu(out: &mut Writer, definition: &CpuDefinition, numa: Option<&DomainNuma>) {
    let CpuDefinition { arch, mode, r#match, check, migratable, model, fallback, vendor, .. } = definition;
    let migratable = migratable.map(|on| if on { "on" } else { "off" });
    out.open(
        "cpu",
        &[
            ("mode", mode.as_deref()),
            ("match", r#match.as_deref()),
            ("check", check.as_deref()),
            ("migratable", migratable),
        ],
    );
    out.text("arch", &[], arch.as_deref());
    // host-model has none, and may say whether another would do.
    if model.is_some() || fallback.is_some() {
        out.text("model", &[("fallback", fallback.as_deref())], Some(model.as_deref().unwrap_or_default()));
    }
    out.text("vendor", &[], vendor.as_deref());
    if definition.physical_address_bits.is_some() || definition.physical_address_mode.is_some() {
        let bits = definition.physical_address_bits.map(|bits| bits.to_string());
        let mode = definition.physical_address_mode.as_deref();
        out.empty("maxphysaddr", &[("mode", mode), ("bits", bits.as_deref())]);
    }
    for feature in &definition.features {
        out.empty("feature", &[("policy", feature.policy.as_deref()), ("name", Some(&feature.name))]);
    }
    if let Some(numa) = numa.filter(|numa| !numa.cells.is_empty()) {
        out.open("numa", &[]);
        for cell in &numa.cells {
            let (id, cpus) = (cell.id.to_string(), cell.vcpus.as_ref().map(ToString::to_string));
            let memory = cell.memory_bytes.map(|bytes| bytes.0.to_string());
            let unit = memory.as_ref().map(|_| "b");
            out.empty(
                "cell",
                &[
                    ("id", Some(&id)),
                    ("cpus", cpus.as_deref()),
                    ("memory", memory.as_deref()),
                    ("unit", unit),
                ],
            );
        }
        out.close("numa");
    }
    out.close("cpu");
}

/// A `<domain>` that says what was read of one, and nothing else.
#[must_use]
pub fn domain(domain: &Domain) -> String {
    let mut out = Writer::default();
    let is_active = !matches!(domain.state.as_deref(), None | Some("shut_off" | "crashed"));
    // Its number changes with each start; that it has one says that it runs.
    out.open("domain", &[("type", domain.virt_type.as_deref()), ("id", is_active.then_some("1"))]);
    out.text("name", &[], Some(&domain.name));
    out.text("uuid", &[], Some(&domain.uuid));
    let bytes = |bytes: crate::model::Bytes| bytes.0.to_string();
    out.text("memory", &[("unit", Some("b"))], domain.memory_max_bytes.map(bytes).as_deref());
    out.text("currentMemory", &[("unit", Some("b"))], domain.memory_bytes.map(bytes).as_deref());
    let current = domain.vcpus.map(|vcpus| vcpus.to_string());
    let cpus = domain.cpus.as_ref().map(ToString::to_string);
    let most = domain.vcpus_max.map(|vcpus| vcpus.to_string());
    out.text("vcpu", &[("cpuset", cpus.as_deref()), ("current", current.as_deref())], most.as_deref());
    write_memory_backing(&mut out, domain);
    write_tuning(&mut out, domain);
    out.open("os", &[]);
    let os = [("arch", domain.arch.as_deref()), ("machine", domain.machine_type.as_deref())];
    out.text("type", &os, Some("hvm"));
    out.close("os");
    let has_cells = domain.numa.as_ref().is_some_and(|numa| !numa.cells.is_empty());
    if domain.cpu.is_some() || has_cells {
        let definition = domain.cpu.clone().unwrap_or_default();
        write_cpu(&mut out, &definition, domain.numa.as_ref());
    }
    out.open("devices", &[]);
    for disk in &domain.disks {
        write_disk(&mut out, disk);
    }
    for address in &domain.host_devices {
        write_host_device(&mut out, address);
    }
    write_host_bound(&mut out, &domain.host_bound);
    out.close("devices");
    let secured = domain.host_bound.iter().filter_map(|thing| thing.strip_prefix("launchSecurity "));
    for kind in secured {
        out.empty("launchSecurity", &[("type", Some(kind))]);
    }
    out.close("domain");
    out.0 + "\n"
}

fn write_memory_backing(out: &mut Writer, domain: &Domain) {
    if domain.hugepages.is_empty() {
        return;
    }
    out.open("memoryBacking", &[]);
    out.open("hugepages", &[]);
    // One entry alone that says nothing is the element itself.
    let says_nothing = domain.hugepages == [DomainHugepages::default()];
    for page in domain.hugepages.iter().filter(|_| !says_nothing) {
        let size = page.size_bytes.map(|bytes| bytes.0.to_string());
        let unit = size.as_ref().map(|_| "b");
        let nodes = page.guest_nodes.as_ref().map(ToString::to_string);
        out.empty("page", &[("size", size.as_deref()), ("unit", unit), ("nodeset", nodes.as_deref())]);
    }
    out.close("hugepages");
    out.close("memoryBacking");
}

fn write_tuning(out: &mut Writer, domain: &Domain) {
    if !domain.vcpu_pins.is_empty() || domain.emulator_cpus.is_some() {
        out.open("cputune", &[]);
        for (vcpu, cpus) in &domain.vcpu_pins {
            let (vcpu, cpus) = (vcpu.to_string(), cpus.to_string());
            out.empty("vcpupin", &[("vcpu", Some(&vcpu)), ("cpuset", Some(&cpus))]);
        }
        if let Some(cpus) = &domain.emulator_cpus {
            out.empty("emulatorpin", &[("cpuset", Some(&cpus.to_string()))]);
        }
        out.close("cputune");
    }
    let Some(numa) = &domain.numa else { return };
    out.open("numatune", &[]);
    if numa.mode.is_some() || numa.host_nodes.is_some() {
        let nodes = numa.host_nodes.as_ref().map(ToString::to_string);
        out.empty("memory", &[("mode", numa.mode.as_deref()), ("nodeset", nodes.as_deref())]);
    }
    for cell in numa.cells.iter().filter(|cell| cell.mode.is_some() || cell.host_nodes.is_some()) {
        let (id, nodes) = (cell.id.to_string(), cell.host_nodes.as_ref().map(ToString::to_string));
        let mode = cell.mode.as_deref();
        out.empty("memnode", &[("cellid", Some(&id)), ("mode", mode), ("nodeset", nodes.as_deref())]);
    }
    out.close("numatune");
}

fn write_disk(out: &mut Writer, disk: &DomainDisk) {
    let kind = disk.r#type.as_deref();
    out.open("disk", &[("type", kind), ("device", disk.device.as_deref())]);
    if disk.format.is_some() {
        out.empty("driver", &[("type", disk.format.as_deref())]);
    }
    let source = disk.source.as_deref();
    match (kind.unwrap_or("file"), source) {
        ("volume", _) if disk.pool.is_some() || disk.volume.is_some() => {
            out.empty("source", &[("pool", disk.pool.as_deref()), ("volume", disk.volume.as_deref())]);
        }
        (_, None) => {}
        ("network", Some(source)) => {
            let (protocol, name) = source.split_once(':').unwrap_or((source, ""));
            out.empty("source", &[("protocol", Some(protocol)), ("name", Some(name))]);
        }
        ("block", _) => out.empty("source", &[("dev", source)]),
        ("dir", _) => out.empty("source", &[("dir", source)]),
        _ => out.empty("source", &[("file", source)]),
    }
    out.empty("target", &[("dev", Some(&disk.target))]);
    if disk.read_only == Some(true) {
        out.empty("readonly", &[]);
    }
    if disk.shareable == Some(true) {
        out.empty("shareable", &[]);
    }
    out.close("disk");
}

fn write_host_device(out: &mut Writer, address: &str) {
    let parts: Vec<String> = address.split([':', '.']).map(|part| format!("0x{part}")).collect();
    let [domain, bus, slot, function] = parts.as_slice() else { return };
    out.open("hostdev", &[("mode", Some("subsystem")), ("type", Some("pci"))]);
    out.open("source", &[]);
    let address = [("domain", domain), ("bus", bus), ("slot", slot), ("function", function)]
        .map(|(k, v)| (k, Some(v.as_str())));
    out.empty("address", &address);
    out.close("source");
    out.close("hostdev");
}

/// What `host_bound` reads the same words from; disks say of themselves what they are on.
fn write_host_bound(out: &mut Writer, things: &[String]) {
    for (kind, sort) in things.iter().filter_map(|thing| thing.split_once(' ')) {
        let with_child = |out: &mut Writer, name: &str, attributes: Attributes<'_>| {
            out.open(kind, &[]);
            out.empty(name, attributes);
            out.close(kind);
        };
        match (kind, sort) {
            ("hostdev", "capabilities") => out.empty(kind, &[("mode", Some(sort))]),
            ("hostdev", _) => out.empty(kind, &[("mode", Some("subsystem")), ("type", Some(sort))]),
            ("shmem", _) => {
                let (model, role) =
                    sort.split_once(' ').map_or((sort, None), |(model, role)| (model, Some(role)));
                out.open(kind, &[("role", role)]);
                out.empty("model", &[("type", Some(model))]);
                out.close(kind);
            }
            ("filesystem", _) => with_child(out, "driver", &[("type", Some(sort))]),
            ("tpm", _) => with_child(out, "backend", &[("type", Some(sort))]),
            ("memory", _) => out.empty(kind, &[("model", Some(sort))]),
            ("smartcard", _) => out.empty(kind, &[("mode", Some(sort))]),
            ("interface" | "input" | "serial" | "parallel" | "console" | "channel", _) => {
                out.empty(kind, &[("type", Some(sort))]);
            }
            _ => {}
        }
    }
}

/// A `<pool>` that says what was read of one; `identity` and `state` have places of their own in a capture.
#[must_use]
pub fn pool(pool: &StoragePool) -> String {
    let mut out = Writer::default();
    out.open("pool", &[("type", pool.r#type.as_deref())]);
    out.text("name", &[], Some(&pool.name));
    out.text("uuid", &[], pool.uuid.as_deref());
    for (name, bytes) in [
        ("capacity", pool.capacity_bytes),
        ("allocation", pool.allocation_bytes),
        ("available", pool.available_bytes),
    ] {
        out.text(name, &[("unit", Some("bytes"))], bytes.map(|bytes| bytes.0.to_string()).as_deref());
    }
    out.open("target", &[]);
    out.text("path", &[], pool.target_path.as_deref());
    out.close("target");
    out.close("pool");
    out.0 + "\n"
}
