//! The tables, and reading all of them with proof.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use prost::Message;
use rusqlite::{Connection, ErrorCode};

use super::{Known, TOTALS_ROW};
use crate::claims::{
    claim::ClaimId,
    export,
    record::{decode_claim, decode_request, fingerprint, unseal},
    store::{ClaimStoreError, Loaded},
};

/// Sequential keys: with random ones a large commit takes ten times as long.
pub(super) const TABLES: &str = "CREATE TABLE totals (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
     CREATE TABLE claims (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
     CREATE TABLE requests (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;";

pub(super) const PUT_TOTALS: &str = "INSERT OR REPLACE INTO totals (id, body) VALUES (?1, ?2)";
pub(super) const PUT_CLAIM: &str = "INSERT OR REPLACE INTO claims (id, body) VALUES (?1, ?2)";
pub(super) const REMOVE_CLAIM: &str = "DELETE FROM claims WHERE id = ?1";
pub(super) const PUT_REQUEST: &str = "INSERT OR REPLACE INTO requests (id, body) VALUES (?1, ?2)";
pub(super) const REMOVE_REQUEST: &str = "DELETE FROM requests WHERE id = ?1";

const READ_TOTALS: &str = "SELECT id, body FROM totals ORDER BY id";
const READ_CLAIMS: &str = "SELECT id, body FROM claims ORDER BY id";
const READ_REQUESTS: &str = "SELECT id, body FROM requests ORDER BY id";

/// How many rows a table has, and the sum of their fingerprints.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct TableTotals {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(fixed64, tag = "2")]
    sum: u64,
}

impl TableTotals {
    pub(super) fn replace(&mut self, before: Option<u64>, now: Option<u64>) {
        self.count = self.count + u64::from(now.is_some()) - u64::from(before.is_some());
        self.sum = self.sum.wrapping_sub(before.unwrap_or(0)).wrapping_add(now.unwrap_or(0));
    }
}

/// What must be in the other rows.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Totals {
    #[prost(uint64, tag = "1")]
    pub(super) next_id: u64,
    /// The row the next request gets.
    #[prost(uint64, tag = "2")]
    pub(super) next_row: u64,
    #[prost(uint64, tag = "3")]
    pub(super) commits: u64,
    #[prost(message, required, tag = "4")]
    pub(super) claims: TableTotals,
    #[prost(message, required, tag = "5")]
    pub(super) requests: TableTotals,
}

/// An error of reading. What SQLite finds wrong with a file that it can read is damage, whatever it calls it.
pub(super) fn read_error(path: &Path, error: rusqlite::Error) -> ClaimStoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ClaimStoreError::InUse(path),
        Some(ErrorCode::DiskFull) => ClaimStoreError::Full { path, source: error.into() },
        Some(ErrorCode::ReadOnly) => ClaimStoreError::ReadOnly { path, source: error.into() },
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            ClaimStoreError::Other { action: "read claims from", path, source: error.into() }
        }
        _ => ClaimStoreError::Damaged { path, problem: error.to_string() },
    }
}

fn each_row(
    connection: &Connection,
    path: &Path,
    question: &str,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<(), ClaimStoreError> {
    let failed = |error| read_error(path, error);
    let damaged = |problem| ClaimStoreError::Damaged { path: path.to_owned(), problem };
    let mut statement = connection.prepare(question).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let id: i64 = row.get(0).map_err(failed)?;
        let body = row.get_ref(1).map_err(failed)?;
        let body = body.as_blob().map_err(|error| damaged(error.to_string()))?;
        take(id.cast_unsigned(), body).map_err(damaged)?;
    }
    Ok(())
}

/// All that is kept, if it is exactly what was committed.
pub(super) fn read(connection: &Connection, path: &Path) -> Result<(Known, Loaded), ClaimStoreError> {
    let damaged = |problem: String| ClaimStoreError::Damaged { path: path.to_owned(), problem };
    // Finds what reading rows does not: free pages that are none, into which the next commit would write.
    let checked = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let checked = checked.map_err(|error| read_error(path, error))?;
    if checked != "ok" {
        return Err(damaged(checked));
    }
    let mut known = Known::default();
    let mut loaded = Loaded::default();
    let mut totals = None;
    each_row(connection, path, READ_TOTALS, |id, body| {
        let read = unseal(id, body).map_err(|error| format!("its totals: {error}"))?;
        let is_only = id == TOTALS_ROW && totals.replace(read).is_none();
        if is_only { Ok(()) } else { Err("it has totals twice".to_owned()) }
    })?;
    known.totals = totals.ok_or_else(|| damaged("it has no totals".to_owned()))?;
    let mut found = Totals::default();
    each_row(connection, path, READ_CLAIMS, |id, body| {
        let claim =
            decode_claim(ClaimId(id), body).map_err(|error| format!("claim {}: {error}", ClaimId(id)))?;
        found.claims.replace(known.claims.insert(id, fingerprint(id, body)), Some(fingerprint(id, body)));
        loaded.claims.push(claim);
        Ok(())
    })?;
    let mut names = BTreeSet::new();
    each_row(connection, path, READ_REQUESTS, |row, body| {
        let (id, remembered) =
            decode_request(row, body).map_err(|error| format!("request {row}: {error}"))?;
        let id: Arc<str> = id.into();
        let print = fingerprint(row, body);
        found.requests.replace(None, Some(print));
        known.requests.insert(Arc::clone(&id), (row, print));
        loaded.requests.push((id.as_ref().to_owned(), remembered));
        if names.insert(id) { Ok(()) } else { Err(format!("request {row} is there twice")) }
    })?;
    let is_whole = found.claims == known.totals.claims && found.requests == known.totals.requests;
    let is_ahead = loaded.claims.last().is_some_and(|claim| claim.id.0 >= known.totals.next_id);
    if !is_whole || is_ahead {
        return Err(damaged("it has other rows than were written".to_owned()));
    }
    export::check(&loaded.claims).map_err(|error| damaged(error.to_string()))?;
    loaded.next_id = known.totals.next_id;
    Ok((known, loaded))
}
