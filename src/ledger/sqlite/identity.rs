//! Identity of a ledger's file: a number of its own, and the time of its creation.
//!
//! Both are written once and never changed. Two files with one number are copies of each other.

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::OpenError;
use super::connection::failure;
use super::rows::{checksum, from_integer, one_row, to_integer};

/// A ledger's number: 16 random bytes, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerId(pub(super) [u8; 16]);

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

/// What tells a ledger from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Identity {
    pub(in crate::ledger) id: LedgerId,
    /// Seconds since 1970 by the clock of the host that created it. None: an older version did, which kept no time.
    pub(in crate::ledger) created: Option<u64>,
}

/// Gives the file a number, in a table of its own.
pub(super) fn add(connection: &Connection) -> rusqlite::Result<()> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|_| failure(rusqlite::ffi::SQLITE_IOERR, "the system gives no random numbers"))?;
    let identity = Identity { id: LedgerId(id), created: None };
    let changed = connection.execute(
        "INSERT INTO identity (only, ledger_id, created, checksum) VALUES (1, ?1, NULL, ?2)",
        params![id, identity_checksum(&identity)],
    )?;
    one_row(changed)
}

/// Notes that the file was created now.
pub(super) fn date(connection: &Connection, now: SystemTime) -> rusqlite::Result<()> {
    let (identity, _) = connection.query_row(SELECT, (), identity_of)?;
    let created = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let dated = Identity { created: Some(created), ..identity };
    let changed = connection.execute(
        "UPDATE identity SET created = ?1, checksum = ?2 WHERE only = 1",
        params![to_integer(created), identity_checksum(&dated)],
    )?;
    one_row(changed)
}

pub(super) fn read(connection: &Connection, path: &Path) -> Result<Identity, OpenError> {
    let damaged = |what: &str| OpenError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let (identity, stored) = connection
        .query_row(SELECT, (), identity_of)
        .optional()
        .map_err(|source| OpenError::from_sqlite(path, source))?
        .ok_or_else(|| damaged("row 1 of its table identity is missing"))?;
    if stored != identity_checksum(&identity) {
        return Err(damaged("row 1 of its table identity has a wrong checksum"));
    }
    Ok(identity)
}

fn identity_of(row: &Row<'_>) -> rusqlite::Result<(Identity, i64)> {
    let created = row.get::<_, Option<i64>>(1)?.map(from_integer);
    Ok((Identity { id: LedgerId(row.get(0)?), created }, row.get(2)?))
}

/// Over all of the row.
fn identity_checksum(identity: &Identity) -> i64 {
    let Identity { id: LedgerId(id), created } = identity;
    let mut hash = Sha256::new();
    hash.update(id);
    hash.update([u8::from(created.is_some())]);
    hash.update(created.unwrap_or_default().to_be_bytes());
    checksum(hash)
}

const SELECT: &str = "SELECT ledger_id, created, checksum FROM identity WHERE only = 1";
