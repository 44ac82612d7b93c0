//! Answers about common flags.

pub(crate) mod diff;
mod divide;
mod matrix;
#[cfg(test)]
mod tests;
mod why;

use serde::Serialize;
use vmuster_proto::model::{FLAGS_SCHEMA, FeatureSet, FlagsAnswer, FlagsGroup, Freshness, Layer, Timestamp};

use super::{Columns, View, age, wrapped};
use divide::{suggestions, what_if};
use matrix::matrix;
use why::{Why, lacking, verdicts, why};

/// The answer as JSON and YAML show it.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    answer: &'a FlagsAnswer,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why<'a>>,
}

pub(crate) fn document<'a>(answer: &'a FlagsAnswer, view: View<'a>) -> Document<'a> {
    let why = match view {
        View::Why(feature) => Some(Why { feature, hosts: verdicts(answer, feature) }),
        View::Common | View::Matrix | View::Suggest | View::WhatIf => None,
    };
    Document { schema: FLAGS_SCHEMA, answer, why }
}

/// One flag a line, nothing else. Divisions are no lines.
pub(crate) fn plain(group: &FlagsGroup, view: View<'_>) -> String {
    let line = |name: &str| format!("{name}\n");
    let lines = |features: &FeatureSet| features.names().into_iter().map(line).collect();
    match view {
        View::Common | View::Suggest => lines(&group.features),
        View::Matrix => group.absent.iter().map(|absent| line(&absent.name)).collect(),
        View::Why(feature) => lacking(group, feature).into_iter().map(line).collect(),
        View::WhatIf => group.what_if.as_ref().map(|what_if| lines(&what_if.gained)).unwrap_or_default(),
    }
}

pub(crate) fn table(answer: &FlagsAnswer, view: View<'_>, now: Timestamp, width: u16) -> String {
    if let View::Why(feature) = view {
        return why(answer, feature, width);
    }
    let mut text = String::new();
    for group in &answer.groups {
        text += &heading(answer.layer, group);
        text += &wrapped(&group.features.names(), width);
        text.push('\n');
        text += &match view {
            View::Matrix => matrix(group, width) + "\n",
            View::Suggest => suggestions(answer.layer, group, width) + "\n",
            View::WhatIf => what_if(group, width) + "\n",
            View::Common | View::Why(_) => String::new(),
        };
    }
    text + &hosts(answer, now, width)
}

fn heading(layer: Layer, group: &FlagsGroup) -> String {
    let FlagsGroup { arch, vendors, features, host_count, physical_address_bits, .. } = group;
    let vendors: Vec<_> = vendors.iter().map(String::as_str).collect();
    let vendors = if vendors.is_empty() { "vendor not known".to_owned() } else { vendors.join(" + ") };
    let bits = physical_address_bits.map_or_else(|| "not known".to_owned(), |bits| bits.to_string());
    let (hosts, flags) = (counted(*host_count, "host"), counted(features.len(), "common flag"));
    let psabi = group.psabi_level.map_or(String::new(), |_| format!(", psABI {}", level(group.psabi_level)));
    let mut text = format!("{arch} ({vendors}), {hosts}, physical address bits {bits}{psabi}\n");
    let lists = [(&group.machine_types, "machine type"), (&group.usable_models, "usable CPU model")];
    let counts = lists.into_iter().filter_map(|(names, noun)| Some(counted(names.as_ref()?.len(), noun)));
    let counts: Vec<_> = counts.collect();
    if !counts.is_empty() {
        text += &format!("{} in common\n", counts.join(" and "));
    }
    for unknown in &group.unknown {
        let fact = unknown.fact.replace('_', " ");
        let more = match unknown.host_count.saturating_sub(1) {
            0 => " reports".to_owned(),
            more => format!(" and {more} more report"),
        };
        let first = unknown.hosts.first().map_or("", String::as_str);
        text += &format!("common {fact} not known: {first}{more} none\n");
    }
    text + &format!("{flags}, layer {layer}:\n")
}

/// "v3"; "-" where there is none to tell, "none" where not even the first is reached.
fn level(psabi_level: Option<u32>) -> String {
    match psabi_level {
        None => "-".to_owned(),
        Some(0) => "none".to_owned(),
        Some(level) => format!("v{level}"),
    }
}

fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    let count: u64 = count.try_into().unwrap_or(u64::MAX);
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Every host with its freshness, and what only it takes away.
fn hosts(answer: &FlagsAnswer, now: Timestamp, width: u16) -> String {
    let renamed =
        answer.hosts.iter().any(|host| !host.reported_name.is_empty() && host.reported_name != host.name);
    let mut header = vec!["HOST", "FRESHNESS", "AGE", "ONLY IT LACKS"];
    if renamed {
        header.insert(1, "REPORTS");
    }
    let mut table = Columns::new(&header, width);
    for host in &answer.hosts {
        let blocked = answer.groups.iter().find_map(|group| group.sole_blockers.get(&host.name));
        let blocked = blocked.map_or_else(|| "-".to_owned(), |features| features.names().join(" "));
        let mut row =
            vec![host.name.clone(), host.freshness.to_string(), age(host.validated_at, now), blocked];
        if renamed {
            row.insert(1, host.reported_name.clone());
        }
        table.row(row);
    }
    for host in &answer.missing {
        let mut row =
            vec![host.name.clone(), Freshness::Missing.to_string(), "-".to_owned(), "not known".to_owned()];
        if renamed {
            row.insert(1, "-".to_owned());
        }
        table.row(row);
    }
    table.text()
}
