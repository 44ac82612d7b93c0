//! Text that came from somewhere else and is shown to people.

/// The text without control characters (a peer could otherwise write to the reader's terminal, or add lines to a list)
/// and cut to at most `max_bytes` and an ellipsis.
#[must_use]
pub fn printable(text: &str, max_bytes: usize) -> String {
    let shown = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= max_bytes);
    let mut clean: String =
        shown.map(|(_, c)| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if text.len() > max_bytes {
        clean.push('\u{2026}');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_words_and_drops_what_steers_a_terminal() {
        assert_eq!(printable("Intel(R) Xeon\u{ae} \u{e4}", 100), "Intel(R) Xeon\u{ae} \u{e4}");
        assert_eq!(printable("\x1b[2Jowned\nwarning: x", 100), "\u{fffd}[2Jowned\u{fffd}warning: x");
        assert_eq!(printable("\u{e4}\u{e4}\u{e4}", 5), "\u{e4}\u{e4}\u{2026}");
        assert_eq!(printable("", 0), "");
    }
}
