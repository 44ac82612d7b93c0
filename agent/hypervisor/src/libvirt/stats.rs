//! Values of virConnectGetAllDomainStats → figures. Pure.

use std::collections::{BTreeMap, BTreeSet};

use vmuster_agent::hypervisor::figures::{DiskFigures, DomainFigures};
use vmuster_proto::model::Bytes;

use super::raw::Value;

/// What the values say of one domain, its disks by target.
pub(crate) fn figures(values: &[(String, Value)]) -> DomainFigures {
    let values: BTreeMap<&str, &Value> = values.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let number = |name: &str| match values.get(name) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    let count = |name: &str| number(name).and_then(|number| u32::try_from(number).ok());
    // Balloon figures are in KiB.
    let memory = |name: &str| number(name).and_then(Bytes::from_kib);
    let state = number("state.state");
    let is_active = !matches!(state, None | Some(SHUT_OFF | CRASHED));
    let mut disks = BTreeMap::new();
    for place in 0..number("block.count").unwrap_or(0).min(DISKS_MAX) {
        let of_disk = |name: &str| number(&format!("block.{place}.{name}"));
        let Some(Value::Text(target)) = values.get(format!("block.{place}.name").as_str()) else { continue };
        // Layers below a disk's own are listed as if they were disks of the same name.
        if disks.contains_key(target) {
            continue;
        }
        let (allocation, physical) = (of_disk("allocation"), of_disk("physical"));
        let figures = DiskFigures {
            virtual_bytes: of_disk("capacity").map(Bytes),
            allocation_bytes: allocation_of(allocation, physical, is_active).map(Bytes),
        };
        disks.insert(target.clone(), figures);
    }
    DomainFigures {
        state: state.and_then(state_name).map(str::to_owned),
        persistent: None,
        vcpus: count("vcpu.current"),
        vcpus_max: count("vcpu.maximum"),
        memory_bytes: memory("balloon.current"),
        memory_max_bytes: memory("balloon.maximum"),
        disks,
    }
}

/// Where each disk is: another place is another definition.
pub(crate) fn places(values: &[(String, Value)]) -> BTreeSet<String> {
    let texts = values.iter().filter_map(|(name, value)| match value {
        Value::Text(text) if name.starts_with("block.") => Some(format!("{name}={text}")),
        _ => None,
    });
    texts.collect()
}

/// A guest has at most some hundred.
const DISKS_MAX: u64 = 4096;

/// VIR_DOMAIN_SHUTOFF.
const SHUT_OFF: u64 = 5;
/// VIR_DOMAIN_CRASHED.
const CRASHED: u64 = 6;

/// virDomainState; None for VIR_DOMAIN_NOSTATE and what is newer.
fn state_name(state: u64) -> Option<&'static str> {
    Some(match state {
        1 => "running",
        2 => "blocked",
        3 => "paused",
        4 => "shutting_down",
        SHUT_OFF => "shut_off",
        CRASHED => "crashed",
        7 => "suspended",
        _ => return None,
    })
}

/// What a disk takes. The two figures mean different things: of a running guest the end of the last write and what the
/// file has, of a stopped one what the file has and how long it is.
fn allocation_of(allocation: Option<u64>, physical: Option<u64>, is_active: bool) -> Option<u64> {
    match (allocation, physical) {
        (Some(allocation), Some(physical)) if is_active => Some(allocation.max(physical)),
        (Some(allocation), Some(physical)) => Some(allocation.min(physical)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str, value: u64) -> (String, Value) {
        (name.to_owned(), Value::Number(value))
    }

    fn text(name: &str, value: &str) -> (String, Value) {
        (name.to_owned(), Value::Text(value.to_owned()))
    }

    fn guest(state: u64) -> Vec<(String, Value)> {
        vec![
            number("state.state", state),
            number("balloon.current", 131_072),
            number("balloon.maximum", 262_144),
            number("vcpu.current", 1),
            number("vcpu.maximum", 2),
            number("block.count", 3),
            text("block.0.name", "vda"),
            number("block.0.allocation", 0),
            number("block.0.capacity", 5_368_709_120),
            number("block.0.physical", 200_704),
            text("block.1.name", "vda"),
            number("block.1.capacity", 7),
            text("block.2.name", "sda"),
        ]
    }

    #[test]
    fn of_a_running_guest() {
        let figures = figures(&guest(1));
        assert_eq!(figures.state.as_deref(), Some("running"));
        assert_eq!((figures.vcpus, figures.vcpus_max), (Some(1), Some(2)));
        assert_eq!(
            figures.memory_bytes.zip(figures.memory_max_bytes),
            Some((Bytes(128 << 20), Bytes(256 << 20)))
        );
        let vda =
            DiskFigures { virtual_bytes: Some(Bytes(5_368_709_120)), allocation_bytes: Some(Bytes(200_704)) };
        let disks = BTreeMap::from([("vda".to_owned(), vda), ("sda".to_owned(), DiskFigures::default())]);
        assert_eq!(figures.disks, disks, "the layer below vda is no disk");
    }

    #[test]
    fn what_a_stopped_guests_file_has_is_the_smaller_figure() {
        let mut values = guest(5);
        values.push(number("block.2.allocation", 4096));
        values.push(number("block.2.physical", 1 << 30));
        assert_eq!(figures(&values).disks["sda"].allocation_bytes, Some(Bytes(4096)));
    }

    #[test]
    fn of_a_busy_guest_less_is_known() {
        let figures = figures(&[number("state.state", 3), number("balloon.maximum", u64::MAX)]);
        let paused = DomainFigures { state: Some("paused".to_owned()), ..DomainFigures::default() };
        assert_eq!(figures, paused);
        assert_eq!(super::figures(&[]), DomainFigures::default());
    }
}
