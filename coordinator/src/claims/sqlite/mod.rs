//! Claims in SQLite: `<state_dir>/claims.db` (0600), its log `claims.db-wal`, and `claims.witness`.
//!
//! Knows SQLite. SQLite proves that a commit is whole; that rows are what was written is proved here, because SQLite does
//! not: each row has a checksum, and a row of its own, written in every commit, has how many rows there are and the sum of
//! their checksums. See `witness` for what SQLite drops in silence. What cannot be proved is refused, and left as
//! it is.
//!
//! Why SQLite and not redb: measured on 2 cores and a virtual disk (medians of 2,000, five rounds, 300 bytes a claim):
//!
//! | | SQLite 0.43 (WAL, FULL) | redb 4.6 | bare |
//! |---|---|---|---|
//! | one claim, one commit | 132–180 µs | 282–461 µs | append and fdatasync 159–258 µs, over old bytes 102–181 µs |
//! | 10,000 claims, one commit | 19–29 ms | 25–41 ms | |
//! | open and read 100,000, all checked | 45–90 ms | 63–103 ms | |
//! | their file | 30 MiB | 34 MiB | 29 MiB |
//!
//! redb also panics on some damaged files (its issues 1333 and 1334), and has to be opened anew after an error of the disk.

mod opening;
mod rows;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use rustix::fs::{StatVfsMountFlags, statvfs};

use self::rows::Totals;
use super::{
    change::Change,
    record::{encode_claim, encode_request, fingerprint, seal},
    store::{ClaimStore, ClaimStoreError, Loaded},
    witness::Witness,
};

/// The row of [`Totals`].
const TOTALS_ROW: u64 = 0;

/// Claims in a file of their own.
#[derive(Debug)]
pub struct SqliteClaims {
    path: PathBuf,
    witness: Witness,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    known: Known,
    /// What opening read, for the first who asks.
    loaded: Option<Loaded>,
}

/// What is in the file, as far as the next commit must know.
#[derive(Debug, Default)]
struct Known {
    totals: Totals,
    /// Fingerprints by number.
    claims: HashMap<u64, u64>,
    /// Rows and fingerprints by request.
    requests: HashMap<Arc<str>, (u64, u64)>,
}

/// What a commit makes of [`Known`]; None is gone.
#[derive(Debug, Default)]
struct Staged {
    totals: Totals,
    claims: HashMap<u64, Option<u64>>,
    requests: HashMap<Arc<str>, Option<(u64, u64)>>,
}

impl SqliteClaims {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What a panic left unfinished SQLite rolled back, and nothing is known of it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimStore for SqliteClaims {
    fn load(&self) -> Result<Loaded, ClaimStoreError> {
        let mut kept = self.kept();
        match kept.loaded.take() {
            Some(loaded) => Ok(loaded),
            None => Ok(rows::read(&kept.connection, &self.path)?.1),
        }
    }

    fn commit(&self, batch: &[Change]) -> Result<(), ClaimStoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut kept = self.kept();
        let kept = &mut *kept;
        kept.loaded = None;
        let Kept { connection, known, .. } = kept;
        let mut written = write(connection, known, batch);
        if written.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DiskFull)) {
            // The log has pages many times over; the file takes each once.
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            written = write(connection, known, batch);
        }
        let staged = written.map_err(|error| commit_error(&self.path, error))?;
        known.take(staged);
        self.witness.saw(known.totals.commits);
        Ok(())
    }
}

impl Known {
    fn take(&mut self, staged: Staged) {
        self.totals = staged.totals;
        for (id, now) in staged.claims {
            match now {
                Some(fingerprint) => self.claims.insert(id, fingerprint),
                None => self.claims.remove(&id),
            };
        }
        for (id, now) in staged.requests {
            match now {
                Some(row) => self.requests.insert(id, row),
                None => self.requests.remove(&id),
            };
        }
    }
}

impl Staged {
    fn put_claim(&mut self, known: &Known, id: u64, now: Option<u64>) {
        let before = self.claims.insert(id, now).unwrap_or_else(|| known.claims.get(&id).copied());
        self.totals.claims.replace(before, now);
        self.totals.next_id = self.totals.next_id.max(id.saturating_add(1));
    }

    fn put_request(&mut self, known: &Known, id: &Arc<str>, now: Option<(u64, u64)>) -> Option<u64> {
        let before = self.requests.insert(Arc::clone(id), now);
        let before = before.unwrap_or_else(|| known.requests.get(id).copied());
        self.totals.requests.replace(before.map(|(_, print)| print), now.map(|(_, print)| print));
        before.map(|(row, _)| row)
    }
}

/// Writes a batch as one transaction, which has reached the disk when this returns.
fn write(connection: &mut Connection, known: &Known, batch: &[Change]) -> rusqlite::Result<Staged> {
    let mut staged = Staged { totals: known.totals.clone(), ..Staged::default() };
    // Rolled back when dropped.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut put_claim = transaction.prepare_cached(rows::PUT_CLAIM)?;
        let mut remove_claim = transaction.prepare_cached(rows::REMOVE_CLAIM)?;
        let mut put_request = transaction.prepare_cached(rows::PUT_REQUEST)?;
        let mut remove_request = transaction.prepare_cached(rows::REMOVE_REQUEST)?;
        for change in batch {
            match change {
                Change::Put(claim) => {
                    let bytes = encode_claim(claim);
                    put_claim.execute((claim.id.0.cast_signed(), &bytes))?;
                    staged.put_claim(known, claim.id.0, Some(fingerprint(claim.id.0, &bytes)));
                }
                Change::Remove(id) => {
                    remove_claim.execute([id.0.cast_signed()])?;
                    staged.put_claim(known, id.0, None);
                }
                Change::Remember(id, remembered) => {
                    let row = staged.totals.next_row;
                    staged.totals.next_row += 1;
                    let bytes = encode_request(row, id, remembered);
                    put_request.execute((row.cast_signed(), &bytes))?;
                    if let Some(before) = staged.put_request(known, id, Some((row, fingerprint(row, &bytes))))
                    {
                        remove_request.execute([before.cast_signed()])?;
                    }
                }
                Change::Forget(id) => {
                    if let Some(before) = staged.put_request(known, id, None) {
                        remove_request.execute([before.cast_signed()])?;
                    }
                }
            }
        }
        staged.totals.commits += 1;
        let totals = seal(TOTALS_ROW, &staged.totals);
        transaction.prepare_cached(rows::PUT_TOTALS)?.execute((TOTALS_ROW.cast_signed(), &totals))?;
    }
    transaction.commit()?;
    Ok(staged)
}

fn commit_error(path: &Path, error: rusqlite::Error) -> ClaimStoreError {
    let path = path.to_owned();
    // SQLite says only "disk I/O error" where the file system became read-only under an open file.
    let became_read_only =
        || statvfs(&path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ClaimStoreError::Full { path, source: error.into() },
        Some(ErrorCode::ReadOnly) => ClaimStoreError::ReadOnly { path, source: error.into() },
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if became_read_only() => {
            ClaimStoreError::ReadOnly { path, source: error.into() }
        }
        _ => ClaimStoreError::Other { action: "write claims to", path, source: error.into() },
    }
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
