//! A memory node's row of the distance table (/sys/devices/system/node/nodeN/distance).

/// A row that is not one: a field is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line 1, field {field}: '{text}' is not a distance")]
pub struct DistanceError {
    /// Counted from 1.
    pub field: usize,
    /// What is there.
    pub text: String,
}

/// The distances of one row. The kernel prints one for each online node, ascending: with gaps in node ids the column
/// is not the id.
///
/// # Errors
/// The first field that is no number.
pub fn parse(text: &str) -> Result<Vec<u32>, DistanceError> {
    let fields = text.split_ascii_whitespace().enumerate();
    fields
        .map(|(at, text)| text.parse().map_err(|_| DistanceError { field: at + 1, text: text.to_owned() }))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_rows() {
        assert_eq!(parse("10 21 11 21\n"), Ok(vec![10, 21, 11, 21]));
        assert_eq!(parse("\n"), Ok(vec![]));
        assert_eq!(parse("10 x"), Err(DistanceError { field: 2, text: "x".to_owned() }));
        assert!(parse("-1").is_err());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in ".*") {
            let _ = parse(&text);
        }
    }
}
