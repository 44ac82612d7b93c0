//! Opening the file: a new one, one that is whole, or a refusal that leaves it as it is.

use std::{
    fs::{OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Mutex,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    Kept, SqliteClaims, TOTALS_ROW,
    rows::{self, Totals, read_error},
};
use crate::claims::{
    record::seal,
    store::ClaimStoreError,
    witness::{Testimony, Witness},
};

const FILE_NAME: &str = "claims.db";
const LOG_NAME: &str = "claims.db-wal";
const WITNESS_NAME: &str = "claims.witness";

const FILE_MODE: u32 = 0o600;

/// Says of any SQLite file that it is ours: "vMUC".
const APPLICATION_ID: i64 = 0x764d_5543;

/// What this vmuster writes and reads. A file of another is refused: it may keep what this one does not know.
const SCHEMA: i64 = 1;

/// A log that grew in a large commit is cut to this when it is next begun anew.
const LOG_KEPT_BYTES: i64 = 8 << 20;

impl SqliteClaims {
    /// Opens the claims of a state directory, which must be there; makes the file if there never was one.
    ///
    /// # Errors
    /// In use by another coordinator, the system refused, or what is there is not what was written: then it is left as it
    /// is.
    pub fn open(directory: &Path) -> Result<Self, ClaimStoreError> {
        let path = directory.join(FILE_NAME);
        let (witness, testimony) = Witness::open(directory.join(WITNESS_NAME))?;
        let damaged =
            |problem: &str| ClaimStoreError::Damaged { path: path.clone(), problem: problem.to_owned() };
        let promised = if let Testimony::Commits(commits) = testimony { commits } else { 0 };
        let mut is_new = testimony == Testimony::Commits(0);
        match size_of(&path)? {
            // SQLite takes an empty file for a new one, and then removes its log.
            None | Some(0) if promised > 0 => {
                return Err(ClaimStoreError::LostCommits { path, found: 0, promised });
            }
            None if testimony == Testimony::Damaged || size_of(&directory.join(LOG_NAME))?.is_some() => {
                return Err(damaged("it is gone, and what was beside it is there"));
            }
            Some(0) if testimony != Testimony::Commits(0) => return Err(damaged("it is empty")),
            None => {
                tracing::info!(path = %path.display(), "no claims were ever kept here: starting with none");
                witness.found(0)?;
                let mut options = OpenOptions::new();
                let made = options.create_new(true).write(true).mode(FILE_MODE).open(&path);
                made.map_err(ClaimStoreError::io("create", &path))?;
                is_new = true;
            }
            Some(_) => {
                let private = std::fs::set_permissions(&path, Permissions::from_mode(FILE_MODE));
                private.map_err(ClaimStoreError::io("make private", &path))?;
            }
        }
        let mut connection = connect(&path).map_err(|error| read_error(&path, error))?;
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let schema = number("user_version").map_err(|error| read_error(&path, error))?;
        let application = number("application_id").map_err(|error| read_error(&path, error))?;
        match schema {
            // New, or a coordinator was killed while it made one.
            0 if is_new => make(&mut connection).map_err(|error| read_error(&path, error))?,
            SCHEMA if application == APPLICATION_ID => {}
            found if application == APPLICATION_ID => {
                return Err(ClaimStoreError::OtherVersion { path, found, known: SCHEMA });
            }
            _ => return Err(damaged("it is no file of vmuster's")),
        }
        let (known, loaded) = rows::read(&connection, &path)?;
        let found = known.totals.commits;
        if found < promised {
            return Err(ClaimStoreError::LostCommits { path, found, promised });
        }
        witness.found(found)?;
        // From here on it is whole: a coordinator that stops leaves one file.
        let tidy = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        tidy.map_err(|error| read_error(&path, error))?;
        Ok(Self { path, witness, kept: Mutex::new(Kept { connection, known, loaded: Some(loaded) }) })
    }
}

fn size_of(path: &Path) -> Result<Option<u64>, ClaimStoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ClaimStoreError::io("look at", path)(error)),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Until the file is known to be whole: closing would write the log into it and remove it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Before the first look at the file, so that no shared memory is made: nobody shares.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT_BYTES, |_| Ok(()))?;
    Ok(connection)
}

fn make(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(rows::TABLES)?;
    let totals = seal(TOTALS_ROW, &Totals::default());
    transaction.execute(rows::PUT_TOTALS, (TOTALS_ROW.cast_signed(), totals))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()
}
