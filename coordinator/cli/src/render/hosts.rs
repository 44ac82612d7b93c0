//! Answers about hosts.

use serde::Serialize;
use vmuster_proto::model::{HostStanding, HostSummary, Inventory, Issue, NumaNode, Timestamp, Usage};

pub(crate) use super::host_list::list_table;
use super::{Columns, age, devices, guests, number, settings, wrapped};
use crate::client::HostReport;

/// `hosts list` as JSON and YAML.
#[derive(Serialize)]
pub(crate) struct ListDocument<'a> {
    schema: &'static str,
    hosts: &'a [HostSummary],
    /// Of the coordinator itself.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    issues: &'a [Issue],
}

impl<'a> ListDocument<'a> {
    pub(crate) fn new(hosts: &'a [HostSummary], issues: &'a [Issue]) -> Self {
        Self { schema: "vmuster.hosts.v1", hosts, issues }
    }
}

/// `hosts refresh` as JSON and YAML.
#[derive(Serialize)]
pub(crate) struct RefreshDocument<'a> {
    schema: &'static str,
    hosts: Vec<RefreshedHost<'a>>,
}

#[derive(Serialize)]
struct RefreshedHost<'a> {
    #[serde(flatten)]
    standing: &'a HostStanding,
    outcome: &'a str,
}

impl<'a> RefreshDocument<'a> {
    pub(crate) fn new(hosts: &'a [(HostStanding, &'static str)]) -> Self {
        let hosts = hosts.iter().map(|(standing, outcome)| RefreshedHost { standing, outcome }).collect();
        Self { schema: "vmuster.refresh.v1", hosts }
    }
}

/// `hosts remove` as JSON and YAML.
#[derive(Serialize)]
pub(crate) struct RemovedDocument<'a> {
    schema: &'static str,
    name: &'a str,
}

impl<'a> RemovedDocument<'a> {
    pub(crate) fn new(name: &'a str) -> Self {
        Self { schema: "vmuster.host_removed.v1", name }
    }
}

pub(crate) fn refresh_table(hosts: &[(HostStanding, &'static str)], width: u16) -> String {
    let mut list = Columns::new(&["HOST", "OUTCOME", "FRESHNESS", "DETAIL"], width);
    for (host, outcome) in hosts {
        let detail = host.problem.as_ref().map(|problem| problem.detail.clone()).unwrap_or_default();
        list.row([host.name.clone(), outcome.replace('_', " "), host.freshness.to_string(), detail]);
    }
    list.text()
}

pub(crate) fn show_table(report: &HostReport, now: Timestamp, width: u16) -> String {
    let HostReport { standing, inventory, usage, issues, registration } = report;
    let mut facts = Facts::default();
    facts.text("Host", Some(&standing.name));
    facts.text("Reports", Some(&standing.reported_name).filter(|name| **name != standing.name));
    facts.text("Address", Some(&standing.address).filter(|address| !address.is_empty()));
    let validated = standing.validated_at.map(|then| format!(", validated {} ago", age(Some(then), now)));
    facts.value("Freshness", Some(format!("{}{}", standing.freshness, validated.unwrap_or_default())));
    facts.value("Collected", inventory.collected_at);
    if let Some(registration) = registration {
        settings::describe(registration, &mut facts);
    }
    describe(inventory, &mut facts);
    guests::describe(inventory, usage.as_ref(), &mut facts);
    if let Some(memory) = usage.as_ref().and_then(|usage| usage.memory.as_ref()) {
        facts.value("Memory available", memory.available_bytes);
        facts.value("Memory free", memory.free_bytes);
    }
    if let Some(load) = usage.as_ref().and_then(|usage| usage.load) {
        let averages = [load.average_1m, load.average_5m, load.average_15m].into_iter().flatten();
        let averages: Vec<_> = averages.map(|average| average.to_string()).collect();
        facts.value("Load", Some(averages.join(" ")));
    }
    let mut text = facts.text;
    if let Some(numa) = &inventory.numa {
        text.push('\n');
        text += &nodes(&numa.nodes, usage.as_ref(), width);
    }
    text += &guests::tables(usage.as_ref(), width);
    text += &devices::tables(inventory, usage.as_ref(), width);
    if let Some(flags) = inventory.cpu.as_ref().and_then(|cpu| cpu.host_flags.as_ref()) {
        text += &format!("\n{} flags on every online CPU, layer host:\n", flags.len());
        text += &wrapped(&flags.names(), width);
    }
    if !issues.is_empty() {
        text.push('\n');
        let mut list = Columns::new(&["ABSENT OR DOUBTFUL", "SOURCE", "WHY"], width);
        for issue in issues {
            let kind = format!("{:?}", issue.kind).to_lowercase();
            list.row([issue.section.clone(), issue.source.clone(), format!("{kind}: {}", issue.detail)]);
        }
        text += &list.text();
    }
    text
}

/// Lines of a name and a value.
#[derive(Default)]
pub(super) struct Facts {
    text: String,
}

impl Facts {
    pub(super) fn value(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.text += &format!("{:20}{}\n", format!("{name}:"), value.to_string());
        }
    }

    pub(super) fn text(&mut self, name: &str, value: Option<&String>) {
        self.value(name, value);
    }
}

fn describe(inventory: &Inventory, facts: &mut Facts) {
    if let Some(system) = &inventory.system {
        facts.text("Architecture", system.arch.as_ref());
        facts.text("Kernel", system.kernel_release.as_ref());
        facts.text("System", system.os_name.as_ref());
        facts.text("Virtualization", system.virtualization.as_ref());
        facts.text("Vendor", system.vendor.as_ref());
        facts.text("Product", system.product.as_ref());
        facts.value("Booted", system.booted_at);
    }
    if let Some(cpu) = &inventory.cpu {
        facts.text("CPU vendor", cpu.vendor.as_ref());
        facts.text("CPU model", cpu.model_name.as_ref());
        let signature = [cpu.family, cpu.model, cpu.stepping].map(number).join("/");
        facts.value("Family/model/step", Some(signature));
        facts.text("Microcode", cpu.microcode.as_ref());
        facts.value("Physical bits", cpu.physical_address_bits);
        facts.value("Sockets", cpu.socket_count);
        facts.value("Cores", cpu.core_count);
        facts.value("Threads", cpu.thread_count);
        facts.value("CPUs online", cpu.online.as_ref());
        facts.value("CPUs offline", cpu.offline.as_ref().filter(|cpus| !cpus.is_empty()));
        facts.value("CPUs isolated", cpu.isolated.as_ref().filter(|cpus| !cpus.is_empty()));
        for cores in &cpu.core_types {
            facts.value(&format!("CPUs {}", cores.kind), Some(&cores.cpus));
        }
        for cache in devices::caches(cpu) {
            facts.value("Cache", Some(cache));
        }
    }
    if let Some(memory) = &inventory.memory {
        facts.value("Memory", memory.total_bytes);
        for pool in &memory.hugepages {
            facts.value("Huge pages", pool.total.map(|total| format!("{total} of {}", pool.size_bytes)));
        }
    }
}

fn nodes(nodes: &[NumaNode], usage: Option<&Usage>, width: u16) -> String {
    let mut list = Columns::new(&["NODE", "CPUS", "MEMORY", "FREE", "HUGE PAGES", "DISTANCES"], width);
    let dash = || "-".to_owned();
    for node in nodes {
        let used = usage.and_then(|usage| usage.numa.as_ref());
        let used = used.and_then(|numa| numa.nodes.iter().find(|used| used.id == node.id));
        let pools = node.hugepages.iter().filter(|pool| pool.total.is_some_and(|total| total > 0));
        let pools: Vec<_> =
            pools.map(|pool| format!("{}x{}", pool.total.unwrap_or_default(), pool.size_bytes)).collect();
        let distances: Vec<_> = node.distances.values().map(ToString::to_string).collect();
        list.row([
            node.id.to_string(),
            node.cpus
                .as_ref()
                .map_or_else(dash, |cpus| if cpus.is_empty() { "none".to_owned() } else { cpus.to_string() }),
            node.memory_total_bytes.map_or_else(dash, |bytes| bytes.to_string()),
            used.and_then(|used| used.memory_free_bytes).map_or_else(dash, |bytes| bytes.to_string()),
            if pools.is_empty() { dash() } else { pools.join(" ") },
            distances.join(" "),
        ]);
    }
    list.text()
}
