//! What a group would be in parts, or without some of its hosts.

use vmuster_proto::model::{FlagsGroup, Layer};

use super::{counted, level};
use crate::render::{Columns, some, wrapped};

/// A table for each number of parts.
pub(super) fn suggestions(layer: Layer, group: &FlagsGroup, width: u16) -> String {
    if let Some(why) = &group.suggestions_refused {
        return format!("No suggestion:\n{}", wrapped(&why.split(' ').collect::<Vec<_>>(), width));
    }
    if group.suggestions.is_empty() {
        return "Every host has the same flags: to divide them gains nothing.\n".to_owned();
    }
    let tables = group.suggestions.iter().map(|division| {
        let mut header = vec!["HOSTS", "FLAGS", "GAIN", "WHICH"];
        if layer == Layer::Guest {
            header.insert(3, "PSABI");
        }
        let mut table = Columns::new(&header, width);
        for part in &division.parts {
            let gain = format!("+{}", part.gained.len());
            let mut row =
                vec![part.hosts.len().to_string(), part.feature_count.to_string(), gain, some(&part.hosts)];
            if layer == Layer::Guest {
                row.insert(3, level(part.psabi_level));
            }
            table.row(row);
        }
        format!("in {} parts:\n{}", division.parts.len(), table.text())
    });
    tables.collect::<Vec<_>>().join("\n")
}

pub(super) fn what_if(group: &FlagsGroup, width: u16) -> String {
    let Some(what_if) = &group.what_if else {
        return "None of the named hosts is in this group.\n".to_owned();
    };
    let without = some(&what_if.without);
    if what_if.host_count == 0 {
        return format!("Without {without} no host is left in this group.\n");
    }
    let gained = what_if.gained.names();
    let mut text = format!(
        "without {without}: {}, {} gained",
        counted(group.features.len() + gained.len(), "common flag"),
        gained.len()
    );
    text += &if gained.is_empty() { "\n".to_owned() } else { format!(":\n{}", wrapped(&gained, width)) };
    if what_if.psabi_level > group.psabi_level {
        text +=
            &format!("psABI level {} instead of {}\n", level(what_if.psabi_level), level(group.psabi_level));
    }
    if let Some(bits) =
        what_if.physical_address_bits.filter(|bits| Some(*bits) != group.physical_address_bits)
    {
        let before =
            group.physical_address_bits.map_or_else(|| "not known".to_owned(), |bits| bits.to_string());
        text += &format!("physical address bits {bits} instead of {before}\n");
    }
    text
}
