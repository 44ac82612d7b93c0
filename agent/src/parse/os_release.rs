//! /etc/os-release: assignments quoted as for a shell (os-release(5)).

/// The fields vmuster uses; None where the file does not set them, or sets them to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsRelease {
    /// ID.
    pub id: Option<String>,
    /// VERSION_ID.
    pub version_id: Option<String>,
    /// PRETTY_NAME.
    pub pretty_name: Option<String>,
}

/// A line that is no assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct OsReleaseError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The fields, and the lines that are none. Of two assignments the later counts, as in a shell.
#[must_use]
pub fn parse(text: &str) -> (OsRelease, Vec<OsReleaseError>) {
    let (mut read, mut errors) = (OsRelease::default(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut refuse = |reason| errors.push(OsReleaseError { line: at + 1, reason });
        let Some((key, value)) = line.split_once('=') else {
            refuse("it is no assignment");
            continue;
        };
        let field = match key {
            "ID" => &mut read.id,
            "VERSION_ID" => &mut read.version_id,
            "PRETTY_NAME" => &mut read.pretty_name,
            _ => continue,
        };
        match unquoted(value) {
            Ok(value) => *field = Some(value).filter(|value| !value.is_empty()),
            Err(reason) => refuse(reason),
        }
    }
    (read, errors)
}

/// One word of a shell. Nothing is expanded: os-release(5) forbids variables, and "$" has to be quoted.
fn unquoted(text: &str) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut chars = text.chars();
    let mut quote = None;
    while let Some(next) = chars.next() {
        match (quote, next) {
            (None, '"' | '\'') => quote = Some(next),
            (Some(open), close) if open == close => quote = None,
            (None, '\\') => value.push(chars.next().ok_or("it ends with a backslash")?),
            (Some('"'), '\\') => match chars.next().ok_or("it ends with a backslash")? {
                escaped @ ('"' | '\\' | '$' | '`') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            (None, blank) if blank.is_whitespace() => {
                let rest = chars.as_str().trim_start();
                return if rest.is_empty() || rest.starts_with('#') {
                    Ok(value)
                } else {
                    Err("its value has a blank and no quotes")
                };
            }
            (_, other) => value.push(other),
        }
    }
    if quote.is_some() { Err("a quote has no end") } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> (Option<String>, Option<String>, Option<String>) {
        let (read, errors) = parse(text);
        assert_eq!(errors, []);
        (read.id, read.version_id, read.pretty_name)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn reads_what_distributions_write() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(shown(debian), (some("debian"), some("12"), some("Debian GNU/Linux 12 (bookworm)")));
        let arch = "NAME=\"Arch Linux\"\nPRETTY_NAME='Arch Linux'\nID=arch\nBUILD_ID=rolling\n";
        assert_eq!(shown(arch), (some("arch"), None, some("Arch Linux")));
        assert_eq!(shown("# none\n\nVERSION_ID=\"\"\nID=\"ol\"\n"), (some("ol"), None, None));
        assert_eq!(shown("ID=a\nID=b\n").0, some("b"));
    }

    #[test]
    fn unquotes_as_a_shell() {
        let value = |text: &str| unquoted(text).expect("a value");
        assert_eq!(value(r#""a \"b\" \\ \$c \`d\` \e""#), r#"a "b" \ $c `d` \e"#);
        assert_eq!(value(r"'a \b'"), r"a \b");
        assert_eq!(value(r#"a\ b"c d"'e'"#), "a bc de");
        assert_eq!(value("a # why"), "a");
    }

    #[test]
    fn a_bad_line_costs_itself() {
        let (read, errors) = parse("ID=debian\nVERSION_ID=\"12\nPRETTY_NAME=Debian 12\nwhat\nID_LIKE=a b\n");
        assert_eq!((read.id, read.version_id, read.pretty_name), (some("debian"), None, None));
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3, 4]);
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "(?s)((ID|PRETTY_NAME)=|[\"'\\\\ \n]|.){0,20}") {
            let _ = parse(&text);
        }
    }
}
