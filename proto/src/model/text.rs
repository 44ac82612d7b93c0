//! Text that came from somewhere else and is shown to people.

/// What a control character is shown as. One byte, so that cleaning never makes a text longer.
const UNPRINTABLE: char = '?';

/// What stands for the rest of a text that was cut.
const ELLIPSIS: char = '\u{2026}';

/// Whether it would steer a terminal or change how the text around it looks: control characters, and Unicode's format
/// characters and line separators, which reverse, join or hide letters.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    let is_format = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}');
    c.is_control() || is_format
}

/// The text without what is unprintable (a peer could otherwise write to the reader's terminal, or add lines to a list)
/// and cut to at most `max_bytes`, an ellipsis included.
#[must_use]
pub fn printable(text: &str, max_bytes: usize) -> String {
    let clean = |c: char| if is_unprintable(c) { UNPRINTABLE } else { c };
    if text.len() <= max_bytes {
        return text.chars().map(clean).collect();
    }
    let room = max_bytes.saturating_sub(ELLIPSIS.len_utf8());
    let kept = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= room);
    kept.map(|(_, c)| clean(c)).chain([ELLIPSIS]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_words_and_drops_what_steers_a_terminal() {
        assert_eq!(printable("Intel(R) Xeon\u{ae} \u{e4}", 100), "Intel(R) Xeon\u{ae} \u{e4}");
        assert_eq!(printable("\x1b[2Jowned\nwarning: x", 100), "?[2Jowned?warning: x");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{200b}\u{feff}\u{2028}", 100), "a?b?c???");
        assert_eq!(printable("\u{e4}\u{e4}\u{e4}\u{e4}", 7), "\u{e4}\u{e4}\u{2026}");
    }

    proptest! {
        #[test]
        fn never_grows_and_is_not_changed_twice(text: String, max_bytes in 3..60_usize) {
            let once = printable(&text, max_bytes);
            prop_assert!(once.len() <= max_bytes && once.len() <= text.len().max(3));
            prop_assert!(!once.contains(is_unprintable));
            prop_assert_eq!(printable(&once, max_bytes), once);
        }
    }
}
