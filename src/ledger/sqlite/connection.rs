//! Connection to the ledger's file, with the settings that [`Store`](super::Store)'s promise rests on.

use std::ffi::c_int;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::ffi;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags};

use super::files;

/// A connection with the settings that do not touch the file yet.
pub(super) fn connect(path: &Path, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let uri = files::uri(path);
    let connection = match vfs {
        None => Connection::open_with_flags(uri, flags)?,
        Some(vfs) => Connection::open_with_flags_and_vfs(uri, flags, vfs)?,
    };
    // No waiting for locks: who holds one is another daemon.
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(CONNECTION_SETTINGS)?;
    Ok(connection)
}

/// Sets the write-ahead log up, and sees to it that it is: a failed change of mode is no error to SQLite.
pub(super) fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    if answer::<String>(connection, "PRAGMA journal_mode = WAL")? != "wal" {
        return Err(failure(ffi::SQLITE_IOERR, "the write-ahead log could not be set up"));
    }
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0")
}

/// What becomes of the log when it is in the database.
#[derive(Clone, Copy)]
pub(super) enum AfterCheckpoint {
    /// It keeps its length and is written over from its beginning.
    Restart,
    Truncate,
}

/// Moves all of the log into the database, with fsync before and after. An incomplete one is an error.
pub(super) fn checkpoint(connection: &Connection, then: AfterCheckpoint) -> rusqlite::Result<()> {
    let pragma = match then {
        AfterCheckpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
        AfterCheckpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    if answer::<i64>(connection, pragma)? != 0 {
        return Err(failure(ffi::SQLITE_BUSY, "the log could not be moved into the database"));
    }
    Ok(())
}

/// The first column of a pragma's only row, once the pragma has come to its end: it may fail after its row.
fn answer<T: FromSql>(connection: &Connection, pragma: &str) -> rusqlite::Result<T> {
    let mut statement = connection.prepare(pragma)?;
    let mut rows = statement.query(())?;
    let answer = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?.get(0)?;
    match rows.next()? {
        None => Ok(answer),
        Some(_) => Err(rusqlite::Error::QueryReturnedMoreThanOneRow),
    }
}

pub(super) fn failure(code: c_int, message: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message.to_owned()))
}

/// Order matters: the locking mode has to be set before the first access in WAL mode, which then needs no shared
/// memory file and takes the lock for good.
const CONNECTION_SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA synchronous = FULL;
    PRAGMA cell_size_check = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA secure_delete = ON;
";
