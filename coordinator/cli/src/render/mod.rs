//! How answers look. Pure: answer, time and width in; text out.

pub(crate) mod baseline;
#[cfg(test)]
mod baseline_tests;
pub(crate) mod claims;
mod devices;
mod evacuation;
pub(crate) mod flags;
mod guests;
mod host_list;
#[cfg(test)]
mod host_list_tests;
pub(crate) mod hosts;
pub(crate) mod libvirt_xml;
pub(crate) mod migrate;
#[cfg(test)]
mod migrate_tests;
pub(crate) mod place;
mod settings;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;

use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets::NOTHING};
use serde::Serialize;
use vmuster_proto::model::{Timestamp, printable};

use crate::exit::Failure;

/// Where nobody says how wide the terminal is.
const DEFAULT_WIDTH: u16 = 80;

/// Below this, columns of words are unreadable anyway.
const MIN_WIDTH: u16 = 40;

/// Prose in less than this reads worse than a line that is too long.
const MIN_LAST_COLUMN: u16 = 16;

/// Hosts named in a cell: about two lines.
const NAMED_MAX: usize = 8;

/// Which part of an answer about flags to show.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View<'a> {
    /// What is common.
    Common,
    /// Who has and lacks one flag.
    Why(&'a str),
    /// What differs between classes of hosts.
    Matrix,
    /// How the hosts could be divided.
    Suggest,
    /// What the others would gain without some.
    WhatIf,
}

/// The terminal's width, else COLUMNS, else 80.
pub(crate) fn width() -> u16 {
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    Table::new().width().or_else(columns).unwrap_or(DEFAULT_WIDTH).max(MIN_WIDTH)
}

/// Pretty JSON with a last newline.
pub(crate) fn json(document: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(document).map_err(Failure::cannot_answer)?;
    Ok(text + "\n")
}

/// YAML with a last newline.
pub(crate) fn yaml(document: &impl Serialize) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(document).map_err(Failure::cannot_answer)?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// Columns without lines, as kubectl and incus show them. Only the last one wraps: a name broken over two lines can be
/// neither read nor copied, so a table of many columns runs over the width rather than break one.
struct Columns {
    table: Table,
    count: usize,
    width: u16,
}

impl Columns {
    fn new(header: &[&str], width: u16) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(header.to_vec());
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { table, count: header.len(), width }
    }

    fn row(&mut self, cells: impl Into<Row>) {
        self.table.add_row(cells);
    }

    /// Characters that are left for one more column.
    fn room(&self) -> usize {
        let used: u16 = self.table.column_max_content_widths().iter().map(|width| width + 2).sum();
        usize::from(self.width.saturating_sub(used))
    }

    fn text(mut self) -> String {
        let widths = self.table.column_max_content_widths();
        let first: u16 = widths.iter().take(self.count.saturating_sub(1)).map(|width| width + 2).sum();
        let last = self.width.saturating_sub(first);
        if last >= MIN_LAST_COLUMN {
            self.table.set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width);
            let fixed = std::iter::repeat_n(ColumnConstraint::ContentWidth, self.count.saturating_sub(1));
            self.table.set_constraints(fixed);
        }
        // A snapshot's names came through no peer that cleaned them.
        self.table.lines().map(|line| printable(line.trim_end(), usize::MAX) + "\n").collect()
    }
}

/// Words in lines of at most `width`, indented by two.
fn wrapped(words: &[&str], width: u16) -> String {
    let mut text = String::new();
    let mut used = 0;
    for word in words {
        if used > 0 && used + 1 + word.len() > usize::from(width) {
            text.push('\n');
            used = 0;
        }
        text.push_str(if used == 0 { "  " } else { " " });
        used += word.len() + if used == 0 { 2 } else { 1 };
        text.push_str(word);
    }
    text + "\n"
}

/// Names for a table: the first ones, and how many more there are. All of them are in JSON.
fn some(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(" ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// How long ago, in its largest unit ("3h"), as kubectl shows ages.
fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    let Some(then) = then else { return "-".to_owned() };
    let Some(elapsed) = now.since(then) else { return "0s".to_owned() };
    short(elapsed)
}

fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn number(value: Option<u32>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
