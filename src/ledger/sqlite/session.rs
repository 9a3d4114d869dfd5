//! Session row: whether a process has the ledger open, how many commits it has had, and where keys begin.
//!
//! While the row in the database says "open", the log is never empty: it is written before the row gets there, and the
//! row says "closed" before the log is emptied. So an open ledger without its log has lost what was in it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::OpenError;
use super::rows::{checksum, from_integer, one_row, to_integer};
use crate::ledger::rules::{SignedAttestation, SignedBlock, Watermark};
use crate::primitives::{Epoch, Slot};

/// The row as it is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) is_open: bool,
    /// Never goes down.
    pub(super) commits: u64,
    /// Whether it ever had an anchor: if so, one that is missing was lost, or the ledger is a copy.
    pub(super) anchored: bool,
    /// What a key begins with that has no row of its own: its row may have been lost. It has no roots.
    pub(super) floor: Watermark,
}

impl Session {
    /// What the next transaction writes.
    pub(super) fn next(self, is_open: bool) -> Self {
        Self { is_open, commits: self.commits.saturating_add(1), ..self }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut update = connection.prepare_cached(
            "UPDATE session SET is_open = ?1, commits = ?2, anchored = ?3, floor_slot = ?4, floor_source = ?5, \
             floor_target = ?6, checksum = ?7 WHERE only = 1",
        )?;
        let Watermark { block, attestation } = self.floor;
        let changed = update.execute(params![
            self.is_open,
            to_integer(self.commits),
            self.anchored,
            block.map(|block| to_integer(block.slot.0)),
            attestation.map(|attestation| to_integer(attestation.source.0)),
            attestation.map(|attestation| to_integer(attestation.target.0)),
            session_checksum(self),
        ])?;
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
        .query_row(
            "SELECT is_open, commits, anchored, floor_slot, floor_source, floor_target, checksum FROM session \
             WHERE only = 1",
            (),
            session_of,
        )
        .optional()
        .map_err(|source| OpenError::from_sqlite(path, source))?
        .ok_or_else(|| damaged("row 1 of its table session is missing"))?;
    if stored != session_checksum(&session) {
        return Err(damaged("row 1 of its table session has a wrong checksum"));
    }
    Ok(session)
}

fn session_of(row: &Row<'_>) -> rusqlite::Result<(Session, i64)> {
    let number = |column: usize| row.get::<_, Option<i64>>(column).map(|number| number.map(from_integer));
    let (source, target) = (number(4)?, number(5)?);
    let session = Session {
        is_open: row.get(0)?,
        commits: from_integer(row.get(1)?),
        anchored: row.get(2)?,
        floor: Watermark {
            block: number(3)?.map(|slot| SignedBlock { slot: Slot(slot), signing_root: None }),
            attestation: source.zip(target).map(|(source, target)| SignedAttestation {
                source: Epoch(source),
                target: Epoch(target),
                signing_root: None,
            }),
        },
    };
    Ok((session, row.get(6)?))
}

/// Over all of the row.
fn session_checksum(session: &Session) -> i64 {
    let Session { is_open, commits, anchored, floor: Watermark { block, attestation } } = session;
    let mut hash = Sha256::new();
    hash.update([u8::from(*is_open), u8::from(*anchored)]);
    hash.update(commits.to_be_bytes());
    hash.update([u8::from(block.is_some()), u8::from(attestation.is_some())]);
    let (source, target) =
        attestation.map_or((0, 0), |attestation| (attestation.source.0, attestation.target.0));
    for number in [block.map_or(0, |block| block.slot.0), source, target] {
        hash.update(number.to_be_bytes());
    }
    checksum(hash)
}
