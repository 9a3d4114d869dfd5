//! Keystores in the ledger's file, so that a key and its protection history come and go in one transaction.
//!
//! The ledger does not read them: they are EIP-2335 text under a secret that it never sees.

use rusqlite::{Connection, Row, params};

use super::rows::{from_row_id, row_id};
use crate::bls::PublicKey;

/// A keystore to keep, or one that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedKeystore {
    pub(crate) public_key: PublicKey,
    /// EIP-2335 JSON, encrypted under the seal secret.
    pub(crate) json: String,
    /// The EIP-2334 path that the original keystore named, if it did.
    pub(crate) derivation_path: Option<String>,
    /// SHA-256 of the keystore file that this is a faster copy of. None: the key was imported, and this is all there
    /// is.
    pub(crate) copy_of: Option<[u8; 32]>,
    /// The source that a fetcher had the key from; then `copy_of` is what the source gave.
    pub(crate) source: Option<KeptSource>,
}

/// The source of a kept keystore whose key was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptSource {
    pub(crate) name: String,
    /// The source has to say again, after a start, that the key is its own.
    pub(crate) until_next_fetch: bool,
}

/// One change to the kept keystores; `usize` is the key's position in the book.
#[derive(Debug)]
pub(in crate::ledger) enum SealedChange {
    Put(usize, SealedKeystore),
    Remove(usize),
    /// More is removed after this, and the log is emptied then.
    RemovePart(usize),
    RemoveAll,
}

impl SealedChange {
    /// Whether it is the last that takes away what was kept.
    pub(in crate::ledger) fn removes(&self) -> bool {
        match self {
            Self::Remove(_) | Self::RemoveAll => true,
            Self::Put(..) | Self::RemovePart(_) => false,
        }
    }
}

pub(super) fn apply(connection: &Connection, changes: &[SealedChange]) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            SealedChange::Put(
                position,
                SealedKeystore { public_key: _, json, derivation_path, copy_of, source },
            ) => {
                let name = source.as_ref().map(|source| &source.name);
                let until_next_fetch = source.as_ref().is_some_and(|source| source.until_next_fetch);
                connection
                    .prepare_cached(
                        // A copy of a file never takes the place of an imported key, which has no other.
                        "INSERT INTO sealed_keystores \
                         (key, keystore, derivation_path, copy_of, source, until_next_fetch) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                         ON CONFLICT (key) DO UPDATE SET keystore = excluded.keystore, \
                         derivation_path = excluded.derivation_path, copy_of = excluded.copy_of, \
                         source = excluded.source, until_next_fetch = excluded.until_next_fetch \
                         WHERE excluded.copy_of IS NULL OR sealed_keystores.copy_of IS NOT NULL",
                    )?
                    .execute(params![
                        row_id(*position),
                        json,
                        derivation_path,
                        copy_of,
                        name,
                        until_next_fetch
                    ])?;
            }
            SealedChange::Remove(position) | SealedChange::RemovePart(position) => {
                connection
                    .prepare_cached("DELETE FROM sealed_keystores WHERE key = ?1")?
                    .execute([row_id(*position)])?;
            }
            SealedChange::RemoveAll => {
                connection.execute("DELETE FROM sealed_keystores", ())?;
            }
        }
    }
    Ok(())
}

/// At most `limit` keystores at positions from `start` on, in order, each with its position.
pub(super) fn read(
    connection: &Connection,
    start: usize,
    limit: usize,
) -> rusqlite::Result<Vec<(usize, SealedKeystore)>> {
    let keystore = |row: &Row<'_>| {
        let until_next_fetch = row.get(6)?;
        let source = row.get::<_, Option<String>>(5)?.map(|name| KeptSource { name, until_next_fetch });
        Ok((
            from_row_id(row.get(0)?),
            SealedKeystore {
                public_key: PublicKey(row.get(1)?),
                json: row.get(2)?,
                derivation_path: row.get(3)?,
                copy_of: row.get(4)?,
                source,
            },
        ))
    };
    connection
        .prepare_cached(
            "SELECT keys.id, public_key, keystore, derivation_path, copy_of, source, until_next_fetch \
             FROM sealed_keystores JOIN keys ON keys.id = sealed_keystores.key \
             WHERE sealed_keystores.key >= ?1 ORDER BY sealed_keystores.key LIMIT ?2",
        )?
        .query_map(params![row_id(start), i64::try_from(limit).unwrap_or(i64::MAX)], keystore)?
        .collect()
}

/// Whether a keystore is kept for the key at this position.
pub(super) fn contains(connection: &Connection, position: usize) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sealed_keystores WHERE key = ?1)")?
        .query_row([row_id(position)], |row| row.get(0))
}
