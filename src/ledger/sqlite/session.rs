//! Session row: whether a process has the ledger open, and how many commits it has had.
//!
//! While the row in the database says "open", the log is never empty: it is written before the row gets there, and the
//! row says "closed" before the log is emptied. So an open ledger without its log has lost what was in it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::OpenError;
use super::rows::{checksum, from_integer, one_row, to_integer};

/// The row as it is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) is_open: bool,
    /// Never goes down.
    pub(super) commits: u64,
}

impl Session {
    /// What the next transaction writes.
    pub(super) fn next(self, is_open: bool) -> Self {
        Self { is_open, commits: self.commits.saturating_add(1) }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut update = connection
            .prepare_cached("UPDATE session SET is_open = ?1, commits = ?2, checksum = ?3 WHERE only = 1")?;
        let changed =
            update.execute(params![self.is_open, to_integer(self.commits), session_checksum(self)])?;
        one_row(changed)
    }
}

/// Gives the file its row.
pub(super) fn add(connection: &Connection) -> rusqlite::Result<()> {
    Session::default().write(connection)
}

pub(super) fn read(connection: &Connection, path: &Path) -> Result<Session, OpenError> {
    let damaged = |what: &str| OpenError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let (session, stored) = connection
        .query_row("SELECT is_open, commits, checksum FROM session WHERE only = 1", (), session_of)
        .optional()
        .map_err(|source| OpenError::from_sqlite(path, source))?
        .ok_or_else(|| damaged("row 1 of its table session is missing"))?;
    if stored != session_checksum(&session) {
        return Err(damaged("row 1 of its table session has a wrong checksum"));
    }
    Ok(session)
}

fn session_of(row: &Row<'_>) -> rusqlite::Result<(Session, i64)> {
    Ok((Session { is_open: row.get(0)?, commits: from_integer(row.get(1)?) }, row.get(2)?))
}

/// Over all of the row.
fn session_checksum(session: &Session) -> i64 {
    let Session { is_open, commits } = session;
    let mut hash = Sha256::new();
    hash.update([u8::from(*is_open)]);
    hash.update(commits.to_be_bytes());
    checksum(hash)
}
