//! Claims.

use serde::Serialize;
use vmuster_proto::model::{Bytes, CLAIMS_SCHEMA, ClaimReport, ClaimState, Timestamp};

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
            vcpus(claim),
            memory(claim).to_string(),
            if claim.disk_bytes.is_empty() { "-".to_owned() } else { Bytes(disk).to_string() },
            age(Some(claim.created_at), now),
            left(claim, now),
            claim.uuid.clone(),
        ]);
    }
    table.text()
}

/// Floating ones, and the CPUs that nobody else gets for its sake.
fn vcpus(claim: &ClaimReport) -> String {
    let pinned: u64 = claim.cells.iter().map(|cell| u64::from(cell.pinned_cpus.len())).sum();
    match (claim.vcpus, pinned) {
        (floating, 0) => floating.to_string(),
        (0, pinned) => format!("{pinned} pinned"),
        (floating, pinned) => format!("{floating}+{pinned} pinned"),
    }
}

/// Of whatever pages.
fn memory(claim: &ClaimReport) -> Bytes {
    let huge =
        claim.cells.iter().filter_map(|cell| Some(cell.page_size_bytes?.0.saturating_mul(cell.page_count)));
    Bytes(huge.fold(claim.memory_bytes.0, u64::saturating_add))
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

#[cfg(test)]
mod tests {
    use vmuster_proto::model::{ClaimedCell, CpuSet, Purpose};

    use super::*;

    fn claim(vcpus: u64, cells: Vec<ClaimedCell>) -> ClaimReport {
        ClaimReport {
            id: "c1".to_owned(),
            uuid: "6f1d2c3b-0000-4000-8000-000000000001".to_owned(),
            host: "kvm-1".to_owned(),
            state: ClaimState::Observed,
            vcpus,
            memory_bytes: Bytes(1 << 30),
            disk_bytes: std::collections::BTreeMap::new(),
            purpose: Purpose::New,
            request_id: String::new(),
            over_committed: false,
            created_at: Timestamp::default(),
            expires_at: None,
            observed_at: None,
            first_missing_at: None,
            groups: Vec::new(),
            cells,
        }
    }

    #[test]
    fn a_pinned_instance_in_huge_pages_is_seen_to_have_them() {
        let cell = ClaimedCell {
            host_cell: 0,
            pinned_cpus: CpuSet::from_iter([2, 3]),
            shared_vcpus: 1,
            memory_bytes: Bytes(0),
            page_size_bytes: Some(Bytes(2 << 20)),
            page_count: 512,
        };
        let shown = |claim: &ClaimReport| (vcpus(claim), memory(claim));
        assert_eq!(shown(&claim(4, vec![])), ("4".to_owned(), Bytes(1 << 30)));
        assert_eq!(shown(&claim(0, vec![cell.clone()])), ("2 pinned".to_owned(), Bytes(2 << 30)));
        assert_eq!(shown(&claim(1, vec![cell])), ("1+2 pinned".to_owned(), Bytes(2 << 30)));
    }
}
