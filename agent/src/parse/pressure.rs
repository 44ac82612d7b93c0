//! /proc/pressure/cpu and its neighbours: "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", the same for "full".

use vmuster_proto::model::{PressureShare, PressureStall};

/// A text that is not pressure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {field}: {reason}")]
pub struct PressureError {
    /// Counted from 1.
    pub line: usize,
    /// The line's first word or a key in it.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Both lines; kernels before 5.13 have no "full" for the CPU.
///
/// # Errors
/// There is no "some", a line is there twice, or lacks one of its numbers.
pub fn parse(text: &str) -> Result<PressureStall, PressureError> {
    let mut stall = PressureStall::default();
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        let Some((word, rest)) = line.trim().split_once(' ') else { continue };
        let (field, share) = match word {
            "some" => ("some", &mut stall.some),
            "full" => ("full", &mut stall.full),
            // What a later kernel adds.
            _ => continue,
        };
        if share.is_some() {
            return Err(PressureError { line: line_number, field, reason: "there twice" });
        }
        let read = read_share(rest);
        *share = Some(read.map_err(|(field, reason)| PressureError { line: line_number, field, reason })?);
    }
    if stall.some.is_none() {
        return Err(PressureError { line: 1, field: "some", reason: "not there" });
    }
    Ok(stall)
}

type FieldError = (&'static str, &'static str);

fn read_share(text: &str) -> Result<PressureShare, FieldError> {
    let value = |key: &'static str| {
        let mut words = text.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).ok_or((key, "not there"))
    };
    let average = |key: &'static str| {
        value(key)?.parse().map(Some).map_err(|_| (key, "not a number with two decimals"))
    };
    Ok(PressureShare {
        average_10s: average("avg10")?,
        average_60s: average("avg60")?,
        average_300s: average("avg300")?,
        total_microseconds: Some(value("total")?.parse().map_err(|_| ("total", "not a number"))?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vmuster_proto::model::Hundredths;

    use super::*;

    #[test]
    fn reads_both_lines() {
        let read = parse(
            "some avg10=4.26 avg60=100.00 avg300=1.81 total=1515485775\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        )
        .expect("pressure");
        let some = PressureShare {
            average_10s: Some(Hundredths(426)),
            average_60s: Some(Hundredths(10_000)),
            average_300s: Some(Hundredths(181)),
            total_microseconds: Some(1_515_485_775),
        };
        assert_eq!((read.some, read.full.and_then(|full| full.total_microseconds)), (Some(some), Some(0)));
    }

    #[test]
    fn old_kernels_have_no_full_for_the_cpu() {
        let read = parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n").expect("pressure");
        assert_eq!((read.some.is_some(), read.full), (true, None));
    }

    #[test]
    fn refuses_what_it_would_have_to_guess() {
        let error =
            |text: &str| parse(text).map_err(|error| (error.line, error.field)).expect_err("an error");
        let line = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(error(""), (1, "some"));
        assert_eq!(error(&line.replace("some", "full")), (1, "some"));
        assert_eq!(error(&line.repeat(2)), (2, "some"));
        assert_eq!(error(&line.replace(" total=0", "")), (1, "total"));
        assert_eq!(error(&line.replace("avg60=0.00", "avg60=0")), (1, "avg60"));
        assert_eq!(error(&line.replace("total=0", "total=-1")), (1, "total"));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "(?s)(some |full |avg10=|avg60=|avg300=|total=|[0-9.]+|\n|.){0,20}") {
            let _ = parse(&text);
        }
    }
}
