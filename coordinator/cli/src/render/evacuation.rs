//! What a placement says more of instances that leave a host: their names, where some are already, what to look at.

use std::collections::BTreeMap;

use vmuster_proto::model::{EvacuatedInstance, PlaceAnswer, Refusal};

/// In a line and in a table; all of them are in JSON.
const NAMED_MAX: usize = 3;
const SHOWN_MAX: usize = 100;

/// Instances that were to find a host.
pub(super) fn asked(answer: &PlaceAnswer) -> usize {
    answer.evacuated.iter().filter(|one| one.elsewhere.is_empty()).count()
}

/// By UUID, of those that have one.
pub(super) fn names(answer: &PlaceAnswer) -> BTreeMap<&str, &str> {
    let named = answer.evacuated.iter().filter(|one| !one.name.is_empty());
    named.map(|one| (one.uuid.as_str(), one.name.as_str())).collect()
}

fn called(instance: &EvacuatedInstance) -> &str {
    if instance.name.is_empty() { &instance.uuid } else { &instance.name }
}

/// "web-1, web-2, web-3 and 4 more".
fn listed<'a>(mut names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown: Vec<_> = names.by_ref().take(NAMED_MAX).collect();
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// Of the instances of a group.
pub(super) fn name_of(group: u32, answer: &PlaceAnswer) -> String {
    let of_group = answer.evacuated.iter().filter(|one| one.group == group && one.elsewhere.is_empty());
    listed(of_group.map(called).collect::<Vec<_>>().into_iter())
}

/// Who found no host; and why, where that is not a matter of hosts.
pub(super) fn refused(refusal: &Refusal, answer: &PlaceAnswer) -> String {
    let by_uuid: BTreeMap<&str, &str> =
        answer.evacuated.iter().map(|one| (one.uuid.as_str(), called(one))).collect();
    let names = refusal.uuids.iter().map(|uuid| by_uuid.get(uuid.as_str()).copied().unwrap_or(uuid));
    let names = listed(names);
    match (refusal.filters.is_empty(), names.is_empty()) {
        (false, _) => format!("no host for {names}"),
        (true, false) => format!("not placed: {names}: {}", refusal.summary),
        (true, true) => format!("not placed: {}", refusal.summary),
    }
}

/// After all else: who is elsewhere, and what was not looked at.
pub(super) fn rest(answer: &PlaceAnswer) -> String {
    let elsewhere = answer.evacuated.iter().filter(|one| !one.elsewhere.is_empty());
    let elsewhere = elsewhere
        .map(|one| format!("not placed again: {} is on {}, or promised there\n", called(one), one.elsewhere));
    let doubts = answer
        .evacuated
        .iter()
        .flat_map(|one| one.doubts.iter().map(move |doubt| format!("? {}: {doubt}\n", called(one))));
    let section = |lines: Vec<String>| match lines.len() {
        0 => String::new(),
        count if count > SHOWN_MAX => {
            let more = count - SHOWN_MAX;
            format!("\n{}and {more} more (all with -o json)\n", lines[..SHOWN_MAX].concat())
        }
        _ => format!("\n{}", lines.concat()),
    };
    section(elsewhere.collect()) + &section(doubts.collect())
}
