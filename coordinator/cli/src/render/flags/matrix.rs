//! Flags that differ, against classes of like hosts.

use vmuster_proto::model::FlagsGroup;

use crate::render::{Columns, some};

/// A column for each class of like hosts, a row for each flag that differs.
pub(super) fn matrix(group: &FlagsGroup, width: u16) -> String {
    let letters: Vec<String> = (0..group.classes.len()).map(letter).collect();
    let mut classes = Columns::new(&["CLASS", "FLAGS", "HOSTS"], width);
    for (letter, class) in letters.iter().zip(&group.classes) {
        classes.row([letter.clone(), class.feature_count.to_string(), some(&class.hosts)]);
    }
    let mut text = classes.text() + "\n";
    if group.absent.is_empty() {
        return text + "Every host has the same flags.\n";
    }
    // A column of letters is three wide; the flag's own column is as wide as the longest flag.
    let flag_width = group.absent.iter().map(|absent| absent.name.len()).max().unwrap_or(0).max("FLAG".len());
    let letter_width = letters.iter().map(String::len).max().unwrap_or(1) + 1;
    let per_block = usize::from(width).saturating_sub(flag_width).max(letter_width) / letter_width;
    let indexes: Vec<usize> = (0..letters.len()).collect();
    for (number, block) in indexes.chunks(per_block).enumerate() {
        text += if number > 0 { "\n" } else { "" };
        let cell = |text: &str| format!("{text:>letter_width$}");
        let header: String = block.iter().map(|index| cell(&letters[*index])).collect();
        text += &format!("{:flag_width$}{header}\n", "FLAG");
        for absent in &group.absent {
            let lacks =
                |index: usize| absent.lacking_classes.iter().any(|lacking| *lacking as usize == index);
            let cells: String =
                block.iter().map(|index| cell(if lacks(*index) { "-" } else { "x" })).collect();
            text += &format!("{:flag_width$}{cells}\n", absent.name);
        }
    }
    text
}

/// A, B … Z, AA, AB …
fn letter(index: usize) -> String {
    let last = char::from(b'A' + u8::try_from(index % 26).unwrap_or(0));
    if index < 26 { last.to_string() } else { format!("{}{last}", letter(index / 26 - 1)) }
}
