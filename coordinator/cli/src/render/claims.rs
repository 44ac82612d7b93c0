//! Claims.

use serde::Serialize;
use vmuster_proto::model::{CLAIMS_SCHEMA, ClaimReport, ClaimState, Timestamp};

use super::{Columns, age, short};

/// Claims as JSON and YAML show them.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    claims: &'a [ClaimReport],
}

impl<'a> Document<'a> {
    pub(crate) fn new(claims: &'a [ClaimReport]) -> Self {
        Self { schema: CLAIMS_SCHEMA, claims }
    }
}

pub(crate) fn table(claims: &[ClaimReport], now: Timestamp, width: u16) -> String {
    if claims.is_empty() {
        return "no claims\n".to_owned();
    }
    let mut table =
        Columns::new(&["ID", "STATE", "HOST", "VCPUS", "MEMORY", "DISK", "AGE", "LEFT", "INSTANCE"], width);
    for claim in claims {
        let disk: u64 = claim.disk_bytes.values().fold(0, |sum, size| sum.saturating_add(size.0));
        table.row([
            claim.id.clone(),
            claim.state.to_string(),
            claim.host.clone(),
            claim.vcpus.to_string(),
            claim.memory_bytes.to_string(),
            if claim.disk_bytes.is_empty() {
                "-".to_owned()
            } else {
                vmuster_proto::model::Bytes(disk).to_string()
            },
            age(Some(claim.created_at), now),
            left(claim, now),
            claim.uuid.clone(),
        ]);
    }
    table.text()
}

/// Until it expires; one that has expired counts until its host says that it has no such guest.
fn left(claim: &ClaimReport, now: Timestamp) -> String {
    match (claim.state, claim.expires_at) {
        (ClaimState::Held, Some(expires_at)) => {
            expires_at.since(now).map_or_else(|| "expired".to_owned(), short)
        }
        _ => "-".to_owned(),
    }
}
