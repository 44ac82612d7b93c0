//! Wire to model and back.
//!
//! Encoding never fails. Decoding is total: whatever a peer sends becomes a model value or a [`DecodeError`] that names
//! the field. Fields and enum values that only a newer peer knows are ignored or become `Unrecognized`.

mod allocation;
mod answer;
mod baseline;
mod cpu;
mod devices;
mod domains;
mod guest;
mod inventory;
mod issue;
mod migration;
mod placement;
mod standing;
mod usage;
mod verdict;

pub use allocation::setting;
pub use answer::{flags_answer_to_pb, layer};
pub use baseline::baseline_answer_to_pb;
pub use guest::cpu_comparison;
pub use issue::{issues, issues_to_pb};
pub use placement::{claims, instance_uuid, place_request};

use std::collections::BTreeMap;

use crate::model::{CpuSet, FeatureSet, Hundredths, Timestamp, is_unprintable, printable};

/// The longest text in any field; the longest real one, a model name, has 48 bytes (details of issues some hundred).
pub const TEXT_MAX_BYTES: usize = 4096;

/// The most entries of any list; the longest real one, the topology of 8,192 CPUs, is far below.
pub const LIST_MAX: usize = 65_536;

/// A message from a peer that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {problem}")]
pub struct DecodeError {
    /// Path of the field in its message ("cpu.topology\[3\].cpu").
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl DecodeError {
    fn new(field: &str, problem: impl std::fmt::Display) -> Self {
        Self { field: field.to_owned(), problem: problem.to_string() }
    }

    fn within(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }

    fn at(self, list: &str, index: usize) -> Self {
        self.within(&format!("{list}[{index}]"))
    }
}

fn text(field: &str, value: String) -> Result<String, DecodeError> {
    if value.len() > TEXT_MAX_BYTES {
        return Err(DecodeError::new(
            field,
            format!("{} bytes of text, limit {TEXT_MAX_BYTES}", value.len()),
        ));
    }
    // Firmware strings hold odd bytes: no reason to refuse a host, and none to let them steer a terminal.
    // Nearly all are ASCII, which is told quickly: ten thousand hosts have a million texts.
    if value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Ok(value);
    }
    Ok(if value.contains(is_unprintable) { printable(&value, TEXT_MAX_BYTES) } else { value })
}

fn optional_text(field: &str, value: Option<String>) -> Result<Option<String>, DecodeError> {
    value.map(|value| text(field, value)).transpose()
}

fn cpus(field: &str, list: Option<&str>) -> Result<Option<CpuSet>, DecodeError> {
    list.map(|list| list.parse().map_err(|e| DecodeError::new(field, e))).transpose()
}

fn cpu_set(field: &str, list: &str) -> Result<CpuSet, DecodeError> {
    list.parse().map_err(|e| DecodeError::new(field, e))
}

fn hundredths(field: &str, number: Option<f64>) -> Result<Option<Hundredths>, DecodeError> {
    let refused = |number| DecodeError::new(field, format!("{number} is not a number from 0 to 42949672.95"));
    number.map(|number| Hundredths::from_f64(number).ok_or_else(|| refused(number))).transpose()
}

/// A message of its own, or none.
fn section<T, U: TryFrom<T, Error = DecodeError>>(
    field: &str,
    message: Option<T>,
) -> Result<Option<U>, DecodeError> {
    message.map(|message| U::try_from(message).map_err(|e| e.within(field))).transpose()
}

fn features(field: &str, names: Option<crate::pb::FeatureNames>) -> Result<Option<FeatureSet>, DecodeError> {
    let Some(names) = names else { return Ok(None) };
    feature_set(field, &names.names).map(Some)
}

fn feature_set(field: &str, names: &[String]) -> Result<FeatureSet, DecodeError> {
    if names.len() > LIST_MAX {
        return Err(DecodeError::new(field, format!("{} entries, limit {LIST_MAX}", names.len())));
    }
    FeatureSet::from_names(names.iter().map(String::as_str)).map_err(|e| DecodeError::new(field, e))
}

fn owned_names(set: &FeatureSet) -> Vec<String> {
    set.names().into_iter().map(str::to_owned).collect()
}

fn names(set: &FeatureSet) -> crate::pb::FeatureNames {
    crate::pb::FeatureNames { names: owned_names(set) }
}

fn list<T, U>(
    field: &str,
    items: Vec<T>,
    decode: impl Fn(T) -> Result<U, DecodeError>,
) -> Result<Vec<U>, DecodeError> {
    if items.len() > LIST_MAX {
        return Err(DecodeError::new(field, format!("{} entries, limit {LIST_MAX}", items.len())));
    }
    items.into_iter().enumerate().map(|(i, item)| decode(item).map_err(|e| e.at(field, i))).collect()
}

/// A map whose keys need no check beyond that texts are texts.
fn keyed<K: Key, T, U>(
    field: &str,
    map: BTreeMap<K, T>,
    decode: impl Fn(T) -> Result<U, DecodeError>,
) -> Result<BTreeMap<K, U>, DecodeError> {
    if map.len() > LIST_MAX {
        return Err(DecodeError::new(field, format!("{} entries, limit {LIST_MAX}", map.len())));
    }
    let entry = |(key, value): (K, T)| {
        let key = key.checked(field)?;
        let value = decode(value).map_err(|e| e.within(&format!("{field}[{key}]")))?;
        Ok((key, value))
    };
    map.into_iter().map(entry).collect()
}

/// What keys a map on the wire.
trait Key: Ord + std::fmt::Display + Sized {
    fn checked(self, field: &str) -> Result<Self, DecodeError>;
}

impl Key for u32 {
    fn checked(self, _: &str) -> Result<Self, DecodeError> {
        Ok(self)
    }
}

impl Key for String {
    fn checked(self, field: &str) -> Result<Self, DecodeError> {
        text(field, self)
    }
}

/// Labels and the like, in key order.
fn text_map(
    field: &str,
    map: impl IntoIterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>, DecodeError> {
    map.into_iter().map(|(key, value)| Ok((text(field, key)?, text(field, value)?))).collect()
}

fn time(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, DecodeError> {
    let Some(time) = time else { return Ok(None) };
    let nanos = u64::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let millis = u64::try_from(time.seconds).ok().zip(nanos).and_then(|(seconds, nanos)| {
        Timestamp::from_unix_millis(seconds.checked_mul(1000)?.checked_add(nanos / 1_000_000)?).ok()
    });
    millis.map(Some).ok_or_else(|| DecodeError::new(field, "not a time from 1970 to 9999"))
}

/// A time for the wire.
#[must_use]
pub fn time_to_pb(time: Timestamp) -> prost_types::Timestamp {
    let millis = time.unix_millis();
    // Timestamp's range keeps both far inside.
    prost_types::Timestamp {
        seconds: i64::try_from(millis / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(millis % 1000 * 1_000_000).unwrap_or(0),
    }
}

/// A duration from the wire, for `max_age`.
///
/// # Errors
/// Negative, or nanoseconds out of range.
pub fn duration(
    field: &str,
    value: Option<prost_types::Duration>,
) -> Result<Option<std::time::Duration>, DecodeError> {
    let Some(value) = value else { return Ok(None) };
    let seconds = u64::try_from(value.seconds).ok();
    let nanos = u32::try_from(value.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match seconds.zip(nanos) {
        Some((seconds, nanos)) => Ok(Some(std::time::Duration::new(seconds, nanos))),
        None => Err(DecodeError::new(field, "must not be negative")),
    }
}

/// A duration for the wire.
#[must_use]
pub fn duration_to_pb(duration: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
