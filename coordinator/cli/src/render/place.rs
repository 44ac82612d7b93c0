//! Placement and capacity.

use serde::Serialize;
use vmuster_proto::model::{
    Bytes, CapacityAnswer, FilterCount, NearMiss, PLACE_SCHEMA, PlaceAnswer, PlaceRequest, Placement,
    Refusal, ResourceFigures,
};

use super::{Columns, evacuation};

/// The schema's name in JSON.
const CAPACITY_SCHEMA: &str = "vmuster.capacity.v1";

/// Placements in a table; all of them are in JSON.
const SHOWN_MAX: usize = 100;

/// The answer as JSON and YAML show it.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    claimed: bool,
    #[serde(flatten)]
    answer: &'a PlaceAnswer,
}

impl<'a> Document<'a> {
    pub(crate) fn new(answer: &'a PlaceAnswer, request: &'a PlaceRequest) -> Self {
        let claimed = request.claim && answer.granted && !answer.placements.is_empty();
        Self { schema: PLACE_SCHEMA, request_id: &request.request_id, claimed, answer }
    }
}

/// "UUID HOST CLAIM", one a line; "-" without a claim.
pub(crate) fn plain(answer: &PlaceAnswer) -> String {
    let line = |placement: &Placement| {
        let claim = if placement.claim_id.is_empty() { "-" } else { &placement.claim_id };
        format!("{} {} {claim}\n", placement.uuid, placement.host)
    };
    if answer.granted { answer.placements.iter().map(line).collect() } else { String::new() }
}

pub(crate) fn table(answer: &PlaceAnswer, request: &PlaceRequest, width: u16) -> String {
    let asked: usize = match request.evacuate_host {
        Some(_) => evacuation::asked(answer),
        None => request.groups.iter().map(|group| group.uuids.len()).sum(),
    };
    let (placed, s) = (answer.placed_count, if asked == 1 { "" } else { "s" });
    let what = match (answer.granted, request.claim) {
        (true, true) => "promised",
        (true, false) => "would be placed; nothing is promised",
        (false, _) => "could be placed, so none is",
    };
    let mut text = format!("{placed} of {asked} instance{s} {what}\n");
    if answer.granted && !answer.placements.is_empty() {
        text.push('\n');
        text.push_str(&placements(answer, width));
    }
    text.push_str(&nominated(answer, width));
    for refusal in &answer.refusals {
        text.push('\n');
        let whose = whose(refusal, answer, request);
        text.push_str(&format!("{whose}\n{}", refused(refusal, width)));
    }
    for explanation in &answer.explanations {
        let (name, summary) = (name_of(explanation.group, answer, request), &explanation.summary);
        text.push_str(&format!("\n{name}, before anything was placed: {summary}\n"));
        text.push_str(&nearest(&explanation.nearest, width));
    }
    for (group, candidates) in &answer.candidates {
        let mut table = Columns::new(&["CANDIDATE", "SCORE", "WEIGHTS"], width);
        for candidate in candidates {
            let weights: Vec<_> =
                candidate.weights.iter().map(|(name, weight)| format!("{name} {weight:.2}")).collect();
            table.row([candidate.host.clone(), format!("{:.4}", candidate.score), weights.join(", ")]);
        }
        text.push_str(&format!("\n{}\n{}", name_of(*group, answer, request), table.text()));
    }
    if !answer.skipped_filters.is_empty() {
        text.push_str(&format!(
            "\nnot looked at on the forced host: {}\n",
            answer.skipped_filters.join(", ")
        ));
    }
    text + &evacuation::rest(answer)
}

fn name_of(group: u32, answer: &PlaceAnswer, request: &PlaceRequest) -> String {
    if request.evacuate_host.is_some() {
        return evacuation::name_of(group, answer);
    }
    let name = request.groups.get(group as usize).map_or("", |group| &group.name);
    if name.is_empty() { format!("group {group}") } else { name.to_owned() }
}

fn placements(answer: &PlaceAnswer, width: u16) -> String {
    let names = evacuation::names(answer);
    let columns: &[&str] = if names.is_empty() {
        &["HOST", "CLAIM", "POOLS", "INSTANCE"]
    } else {
        &["HOST", "CLAIM", "POOLS", "INSTANCE", "NAME"]
    };
    let mut table = Columns::new(columns, width);
    for placement in answer.placements.iter().take(SHOWN_MAX) {
        let claim = if placement.claim_id.is_empty() { "-" } else { &placement.claim_id };
        let pools: Vec<_> = placement.pools.iter().filter(|pool| !pool.is_empty()).cloned().collect();
        let pools = if pools.is_empty() { "-".to_owned() } else { pools.join(",") };
        let name = names.get(placement.uuid.as_str()).map(|name| (*name).to_owned());
        let row = [placement.host.clone(), claim.to_owned(), pools, placement.uuid.clone()];
        let name = name.or_else(|| (!names.is_empty()).then(|| "-".to_owned()));
        table.row(row.into_iter().chain(name).collect::<Vec<_>>());
    }
    let more = answer.placements.len().saturating_sub(SHOWN_MAX);
    if more > 0 { format!("{}and {more} more (all with -o json)\n", table.text()) } else { table.text() }
}

/// Where they would go once others are gone, and who these are.
fn nominated(answer: &PlaceAnswer, width: u16) -> String {
    let Some(first) = answer.nominations.first() else { return String::new() };
    let mut table = Columns::new(&["NOMINATED", "INSTANCE"], width);
    for nomination in answer.nominations.iter().take(SHOWN_MAX) {
        table.row([nomination.host.clone(), nomination.uuid.clone()]);
    }
    let more = answer.nominations.len().saturating_sub(SHOWN_MAX);
    let more = if more > 0 { format!("and {more} more (all with -o json)\n") } else { String::new() };
    let mut leaving = Columns::new(&["LEAVING", "INSTANCE"], width);
    let waited_for = answer.leaving.iter();
    let waited_for = waited_for.flat_map(|of_host| of_host.uuids.iter().map(|uuid| (&of_host.host, uuid)));
    for (host, uuid) in waited_for.take(SHOWN_MAX) {
        leaving.row([host.clone(), uuid.clone()]);
    }
    let until = first.expires_at;
    format!(
        "\nonce these are gone there is room; nothing is held, and hints are good until {until}\n{}\n{}{more}",
        leaving.text(),
        table.text()
    )
}

fn whose(refusal: &Refusal, answer: &PlaceAnswer, request: &PlaceRequest) -> String {
    if request.evacuate_host.is_some() {
        return evacuation::refused(refusal, answer);
    }
    let count = refusal.uuids.len();
    let s = if count == 1 { "" } else { "s" };
    format!("{}: no host for {count} instance{s}", name_of(refusal.group, answer, request))
}

fn refused(refusal: &Refusal, width: u16) -> String {
    let mut text = String::new();
    if !refusal.filters.is_empty() {
        let mut table = Columns::new(&["FILTER", "HOSTS REJECTED"], width);
        for filter in &refusal.filters {
            table.row([filter.filter.clone(), rejected(filter)]);
        }
        text.push_str(&table.text());
    }
    text + &nearest(&refusal.nearest, width)
}

fn nearest(nearest: &[NearMiss], width: u16) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    let mut table = Columns::new(&["NEAREST", "LACKS"], width);
    for miss in nearest {
        let lacks: Vec<_> = miss.shortages.iter().map(|shortage| shortage.detail.clone()).collect();
        table.row([miss.host.clone(), lacks.join("\n")]);
    }
    format!("\n{}", table.text())
}

/// "10", or "10 (3 not known)".
fn rejected(filter: &FilterCount) -> String {
    match filter.unknown_host_count {
        0 => filter.rejected_host_count.to_string(),
        unknown => format!("{} ({unknown} not known)", filter.rejected_host_count),
    }
}

/// Capacity as JSON and YAML show it.
#[derive(Serialize)]
pub(crate) struct CapacityDocument<'a> {
    schema: &'static str,
    #[serde(flatten)]
    answer: &'a CapacityAnswer,
}

impl<'a> CapacityDocument<'a> {
    pub(crate) fn new(answer: &'a CapacityAnswer) -> Self {
        Self { schema: CAPACITY_SCHEMA, answer }
    }
}

pub(crate) fn capacity_table(answer: &CapacityAnswer, width: u16) -> String {
    let mut table = Columns::new(&["HOST", "FIT", "VCPUS LEFT", "MEMORY LEFT", "DISK LEFT"], width);
    for host in &answer.hosts {
        let default = host.storage.iter().find(|storage| storage.default);
        let disk = default.and_then(|storage| storage.figures.as_ref());
        table.row([
            host.host.clone(),
            host.count.to_string(),
            host.vcpus.map_or_else(|| "?".to_owned(), |figures| figures.headroom.to_string()),
            host.memory.as_ref().map_or_else(|| "?".to_owned(), bytes_left),
            disk.map_or_else(|| "-".to_owned(), bytes_left),
        ]);
    }
    let filters: Vec<_> =
        answer.filters.iter().map(|filter| format!("{} {}", filter.filter, rejected(filter))).collect();
    let why = if filters.is_empty() {
        String::new()
    } else {
        format!("\nhosts that take none, by filter: {}\n", filters.join(", "))
    };
    let doubts: Vec<_> = answer
        .hosts
        .iter()
        .flat_map(|host| host.doubts.iter().map(move |doubt| format!("? {}: {doubt}\n", host.host)))
        .collect();
    let doubts = if doubts.is_empty() { String::new() } else { format!("\n{}", doubts.concat()) };
    format!("{} fit\n\n{}{why}{doubts}", answer.count, table.text())
}

fn bytes_left(figures: &ResourceFigures) -> String {
    match u64::try_from(figures.headroom) {
        Ok(left) => Bytes(left).to_string(),
        Err(_) => format!("-{}", Bytes(figures.headroom.unsigned_abs())),
    }
}
