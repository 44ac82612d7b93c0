//! /proc/loadavg: "0.52 0.58 0.59 2/1234 5678"; the last is the newest process's number, which tells nothing.

use vmuster_proto::model::LoadAverage;

/// A text that is no load average.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line 1, field {field}: '{text}' is not {wanted}")]
pub struct LoadavgError {
    /// Counted from 1.
    pub field: usize,
    /// What is there.
    pub text: String,
    /// What should be.
    pub wanted: &'static str,
}

/// All fields of it.
///
/// # Errors
/// The first field that is not what it should be.
pub fn parse(text: &str) -> Result<LoadAverage, LoadavgError> {
    // A field that is not there is an empty one.
    let mut fields = (1..).zip(text.split_ascii_whitespace().chain(std::iter::repeat("")));
    let mut next = || fields.next().unwrap_or_default();
    let average = |(at, text): (usize, &str)| {
        text.parse().map(Some).map_err(|_| error(at, text, "a number with two decimals"))
    };
    let (average_1m, average_5m, average_15m) = (average(next())?, average(next())?, average(next())?);
    let (at, threads) = next();
    let counts =
        threads.split_once('/').and_then(|(runnable, all)| Some((runnable.parse().ok()?, all.parse().ok()?)));
    let (runnable, threads) = counts.ok_or_else(|| error(at, threads, "two numbers, 2/1234"))?;
    Ok(LoadAverage { average_1m, average_5m, average_15m, runnable: Some(runnable), threads: Some(threads) })
}

fn error(at: usize, text: &str, wanted: &'static str) -> LoadavgError {
    LoadavgError { field: at, text: text.to_owned(), wanted }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vmuster_proto::model::Hundredths;

    use super::*;

    #[test]
    fn reads_the_kernels_line() {
        let read = LoadAverage {
            average_1m: Some(Hundredths(52)),
            average_5m: Some(Hundredths(12_345)),
            average_15m: Some(Hundredths(0)),
            runnable: Some(2),
            threads: Some(1234),
        };
        assert_eq!(parse("0.52 123.45 0.00 2/1234 5678\n"), Ok(read));
    }

    #[test]
    fn names_the_field() {
        let field = |text| parse(text).map_err(|error| error.field).expect_err("an error");
        assert_eq!(field("0.5 0.58 0.59 2/1234 5678"), 1);
        assert_eq!(field("0.52 0.58 x 2/1234 5678"), 3);
        assert_eq!(field("0.52 0.58 0.59 2-1234 5678"), 4);
        assert_eq!(field("0.52 0.58 0.59 2/99999999999 5678"), 4);
        assert_eq!((field(""), field("0.52 0.58 0.59")), (1, 4));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "(?s)([0-9]{1,12}[./ ]|.){0,12}") {
            let _ = parse(&text);
        }
    }
}
