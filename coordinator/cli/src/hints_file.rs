//! Nominated hosts as an earlier answer printed them.
//!
//! Knows the answer's JSON. Must not know whether they still hold: the coordinator says so.

use serde::Deserialize;
use vmuster_proto::model::Nomination;

use crate::exit::Failure;

/// The whole answer, or its list alone.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum HintsFile {
    List(Vec<Nomination>),
    /// What else the answer says is of no use here.
    Answer {
        nominations: Vec<Nomination>,
    },
}

/// Hosts to look at first, in the order of their request.
pub(crate) fn parse(text: &str) -> Result<Vec<Nomination>, Failure> {
    let file = serde_json::from_str(text).map_err(|_| {
        Failure::usage(
            "--hints: no nominations: give what `vmuster place -o json` printed, or that list of it",
        )
    })?;
    match file {
        HintsFile::List(nominations) | HintsFile::Answer { nominations } => Ok(nominations),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOMINATION: &str = r#"{"uuid": "8c1f4ce1-1111-4222-8333-944444444444", "group": 0, "host": "kvm-01",
        "host_fingerprint": "f0", "request_signature": "51", "expires_at": "2026-01-01T00:00:00Z"}"#;

    #[test]
    fn an_answer_or_its_list() {
        for text in
            [format!("[{NOMINATION}]"), format!("{{\"granted\": false, \"nominations\": [{NOMINATION}]}}")]
        {
            let hints = parse(&text).expect("valid");
            assert_eq!((hints.len(), hints[0].host.as_str()), (1, "kvm-01"));
        }
        for text in ["", "{}", "[{}]", r#"{"granted": true}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
