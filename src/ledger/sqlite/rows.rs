//! Rows and values of the tables: one row for what holds for all keys, and one a key.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::OpenError;
use crate::bls::PublicKey;
use crate::ledger::row::KeyState;
use crate::ledger::rules::{SignedAttestation, SignedBlock, Watermark};
use crate::ledger::watermarks::{HighWatermark, Metadata};
use crate::primitives::{Epoch, Root, SigningRoot, Slot};

pub(super) fn read_head(connection: &Connection, path: &Path) -> Result<Metadata, OpenError> {
    let damaged = |what: &str| OpenError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let (head, stored) = connection
        .query_row(
            "SELECT genesis_validators_root, stop_slot, stop_epoch, checksum FROM head WHERE only = 1",
            (),
            |row| Ok((head_of(row)?, row.get::<_, i64>(3)?)),
        )
        .optional()
        .map_err(|source| OpenError::from_sqlite(path, source))?
        .ok_or_else(|| damaged("row 1 of its table head is missing"))?;
    if stored != head_checksum(&head) {
        return Err(damaged("row 1 of its table head has a wrong checksum"));
    }
    Ok(head)
}

pub(super) fn write_head(connection: &Connection, head: &Metadata) -> rusqlite::Result<()> {
    let Metadata { chain, high_watermark: HighWatermark { slot, epoch } } = head;
    let changed = connection.execute(
        "UPDATE head SET genesis_validators_root = ?1, stop_slot = ?2, stop_epoch = ?3, checksum = ?4 WHERE only = 1",
        params![
            chain.map(|root| root.0),
            slot.map(|slot| to_integer(slot.0)),
            epoch.map(|epoch| to_integer(epoch.0)),
            head_checksum(head),
        ],
    )?;
    one_row(changed)
}

/// Completes the head of a file from before it had a checksum.
pub(super) fn add_head_checksum(connection: &Connection) -> rusqlite::Result<()> {
    let head = connection.query_row(
        "SELECT genesis_validators_root, stop_slot, stop_epoch FROM head WHERE only = 1",
        (),
        head_of,
    )?;
    write_head(connection, &head)
}

/// All keys, in the order of their positions.
pub(super) fn read_entries(connection: &Connection, path: &Path) -> Result<Vec<KeyState>, OpenError> {
    let sqlite = |source| OpenError::from_sqlite(path, source);
    let mut statement = connection
        .prepare(
            "SELECT id, public_key, deleted, block_slot, block_root, source_epoch, target_epoch, attestation_root, \
             raw_root_signed, exit_root, checksum FROM keys ORDER BY id",
        )
        .map_err(sqlite)?;
    let rows = statement
        .query_map((), |row| Ok((row.get::<_, i64>(0)?, read_entry(row)?, row.get::<_, i64>(10)?)))
        .map_err(sqlite)?;
    let mut entries = Vec::new();
    for row in rows {
        let (id, entry, stored) = row.map_err(sqlite)?;
        if id != row_id(entries.len()) {
            let what = format!("row {} of its table keys is missing", row_id(entries.len()));
            return Err(OpenError::Damaged { path: path.to_owned(), what });
        }
        if stored != entry_checksum(&entry) {
            let what = format!("row {id} of its table keys has a wrong checksum");
            return Err(OpenError::Damaged { path: path.to_owned(), what });
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Writes entries, each at its position.
pub(super) fn write_entries<'a>(
    connection: &Connection,
    entries: impl Iterator<Item = (usize, &'a KeyState)>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO keys (id, public_key, deleted, block_slot, block_root, source_epoch, target_epoch, \
         attestation_root, raw_root_signed, exit_root, checksum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         ON CONFLICT (id) DO UPDATE SET deleted = ?3, block_slot = ?4, block_root = ?5, source_epoch = ?6, \
         target_epoch = ?7, attestation_root = ?8, raw_root_signed = ?9, exit_root = ?10, checksum = ?11",
    )?;
    for (position, entry) in entries {
        let Watermark { block, attestation } = entry.watermark;
        let changed = statement.execute(params![
            row_id(position),
            entry.public_key.0,
            entry.deleted,
            block.map(|block| to_integer(block.slot.0)),
            block.and_then(|block| block.signing_root).map(|root| root.0),
            attestation.map(|attestation| to_integer(attestation.source.0)),
            attestation.map(|attestation| to_integer(attestation.target.0)),
            attestation.and_then(|attestation| attestation.signing_root).map(|root| root.0),
            entry.raw_root_signed,
            entry.exit.map(|root| root.0),
            entry_checksum(entry),
        ])?;
        one_row(changed)?;
    }
    Ok(())
}

fn head_of(row: &Row<'_>) -> rusqlite::Result<Metadata> {
    Ok(Metadata {
        chain: row.get::<_, Option<[u8; 32]>>(0)?.map(Root),
        high_watermark: HighWatermark {
            slot: row.get::<_, Option<i64>>(1)?.map(from_integer).map(Slot),
            epoch: row.get::<_, Option<i64>>(2)?.map(from_integer).map(Epoch),
        },
    })
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<KeyState> {
    let block_slot = row.get::<_, Option<i64>>(3)?;
    let block_root = row.get::<_, Option<[u8; 32]>>(4)?.map(SigningRoot);
    let source = row.get::<_, Option<i64>>(5)?;
    let target = row.get::<_, Option<i64>>(6)?;
    let attestation_root = row.get::<_, Option<[u8; 32]>>(7)?.map(SigningRoot);
    Ok(KeyState {
        public_key: PublicKey(row.get(1)?),
        deleted: row.get(2)?,
        raw_root_signed: row.get(8)?,
        exit: row.get::<_, Option<[u8; 32]>>(9)?.map(SigningRoot),
        watermark: Watermark {
            block: block_slot
                .map(|slot| SignedBlock { slot: Slot(from_integer(slot)), signing_root: block_root }),
            attestation: source.zip(target).map(|(source, target)| SignedAttestation {
                source: Epoch(from_integer(source)),
                target: Epoch(from_integer(target)),
                signing_root: attestation_root,
            }),
        },
    })
}

/// Over all of the head. What is absent counts as well, so that it is told from zero.
fn head_checksum(head: &Metadata) -> i64 {
    let Metadata { chain, high_watermark: HighWatermark { slot, epoch } } = head;
    let mut hash = Sha256::new();
    hash.update([u8::from(chain.is_some()), u8::from(slot.is_some()), u8::from(epoch.is_some())]);
    hash.update(chain.map_or([0; 32], |root| root.0));
    hash.update(slot.map_or(0, |slot| slot.0).to_be_bytes());
    hash.update(epoch.map_or(0, |epoch| epoch.0).to_be_bytes());
    checksum(hash)
}

/// Over all of the entry. Without an exit it is what it was before there were any.
fn entry_checksum(entry: &KeyState) -> i64 {
    let mut hash = Sha256::new();
    hash.update(entry.public_key.0);
    hash.update([u8::from(entry.deleted) | u8::from(entry.raw_root_signed) << 1]);
    let mut part = |number: Option<u64>, root: Option<SigningRoot>| {
        hash.update([u8::from(number.is_some()), u8::from(root.is_some())]);
        hash.update(number.unwrap_or_default().to_be_bytes());
        hash.update(root.map_or([0; 32], |root| root.0));
    };
    let Watermark { block, attestation } = entry.watermark;
    part(block.map(|block| block.slot.0), block.and_then(|block| block.signing_root));
    part(attestation.map(|attestation| attestation.source.0), None);
    part(
        attestation.map(|attestation| attestation.target.0),
        attestation.and_then(|attestation| attestation.signing_root),
    );
    if entry.exit.is_some() {
        part(None, entry.exit);
    }
    checksum(hash)
}

/// The first eight bytes of SHA-256 over a row's values: SQLite itself would not notice a flipped bit in one.
pub(super) fn checksum(values: Sha256) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(values.finalize());
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A write that does not hit exactly its row has recorded nothing.
pub(super) fn one_row(changed: usize) -> rusqlite::Result<()> {
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}

pub(super) fn from_row_id(id: i64) -> usize {
    usize::try_from(id.saturating_sub(1)).unwrap_or_default()
}

pub(super) fn row_id(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX).saturating_add(1)
}

pub(super) fn to_integer(number: u64) -> i64 {
    i64::from_be_bytes(number.to_be_bytes())
}

pub(super) fn from_integer(number: i64) -> u64 {
    u64::from_be_bytes(number.to_be_bytes())
}
