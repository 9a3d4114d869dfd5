//! Rows of the shared ledger, in both directions. A number of a row is at most 2^63 - 1.

use std::collections::HashMap;

use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};

use super::error::Error;
use super::statement::{Parameter, one};
use crate::bls::PublicKey;
use crate::ledger::HighWatermark;
use crate::ledger::rules::{SignedAttestation, SignedBlock, Watermark};
use crate::ledger::shared_order::SharedRecord;
use crate::primitives::{Epoch, Root, SigningRoot, Slot};

/// What holds for all keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) chain: Root,
    pub(super) high_watermark: HighWatermark,
    /// Below it nothing is signed.
    pub(super) floor: Watermark,
}

impl Head {
    /// `suffix`: how the row is locked.
    pub(super) async fn read(client: &impl GenericClient, suffix: &str) -> Result<Self, Error> {
        let columns = "genesis_validators_root, stop_slot, stop_epoch, floor_slot, floor_epoch";
        let statement = format!("SELECT {columns} FROM bls_signer.head {suffix}");
        let row = one(client.query_typed(&statement, &[]).await?)?;
        Ok(Self {
            chain: Root(bytes(&row, 0)?.ok_or(Error::Garbage { what: "no chain" })?),
            high_watermark: HighWatermark {
                slot: number(&row, 1)?.map(Slot),
                epoch: number(&row, 2)?.map(Epoch),
            },
            floor: Watermark::floor(number(&row, 3)?.map(Slot), number(&row, 4)?.map(Epoch)),
        })
    }
}

/// Some keys' records, or all (`None`), locked where somebody is about to change them.
pub(super) async fn records(
    client: &impl GenericClient,
    keys: Option<&[PublicKey]>,
    is_locked: bool,
) -> Result<HashMap<PublicKey, SharedRecord>, Error> {
    let columns = "public_key, deleted, block_slot, block_root, source_epoch, target_epoch, attestation_root";
    // In one order everywhere, so that nobody waits for another in a circle.
    let lock = if is_locked { "ORDER BY public_key FOR UPDATE" } else { "" };
    let statement = format!("SELECT {columns} FROM bls_signer.keys");
    let rows = match keys {
        None => client.query_typed(&format!("{statement} {lock}"), &[]).await?,
        Some(keys) => {
            let keys: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
            let statement = format!("{statement} WHERE public_key = ANY($1) {lock}");
            client.query_typed(&statement, &[(&keys, Type::BYTEA_ARRAY)]).await?
        }
    };
    rows.iter().map(|row| record(row).map(|record| (record.public_key, record))).collect()
}

/// The key in a row's first column.
pub(super) fn public_key(row: &Row) -> Result<PublicKey, Error> {
    bytes(row, 0)?.map(PublicKey).ok_or(Error::Garbage { what: "no public key" })
}

fn record(row: &Row) -> Result<SharedRecord, Error> {
    let block = number(row, 2)?.map(Slot);
    let block_root = bytes(row, 3)?.map(SigningRoot);
    let (source, target) = (number(row, 4)?.map(Epoch), number(row, 5)?.map(Epoch));
    let attestation_root = bytes(row, 6)?.map(SigningRoot);
    Ok(SharedRecord {
        public_key: public_key(row)?,
        deleted: row.try_get(1)?,
        watermark: Watermark {
            block: block.map(|slot| SignedBlock { slot, signing_root: block_root }),
            attestation: source.zip(target).map(|(source, target)| SignedAttestation {
                source,
                target,
                signing_root: attestation_root,
            }),
        },
    })
}

/// Merges watermarks with what is there, each key once.
pub(super) async fn merge(
    client: &impl GenericClient,
    watermarks: &HashMap<PublicKey, Watermark>,
) -> Result<(), Error> {
    let mut columns = Columns::default();
    for (key, watermark) in watermarks {
        let block = watermark.block;
        let attestation = watermark.attestation;
        let slot = block.map(|block| saturated(block.slot.0));
        let source = attestation.map(|attestation| saturated(attestation.source.0));
        let target = attestation.map(|attestation| saturated(attestation.target.0));
        columns.keys.push(&key.0);
        columns.slots.push(slot);
        // What had to be lowered is no longer the message that was signed.
        let block = block.filter(|_| slot != Some(i64::MAX));
        columns.block_roots.push(block.and_then(|block| block.signing_root).map(|root| root.0.to_vec()));
        columns.sources.push(source);
        columns.targets.push(target);
        let attestation = attestation.filter(|_| target != Some(i64::MAX));
        let root = attestation.and_then(|attestation| attestation.signing_root);
        columns.attestation_roots.push(root.map(|root| root.0.to_vec()));
    }
    let Columns { keys, slots, block_roots, sources, targets, attestation_roots } = &columns;
    let parameters: [Parameter<'_>; 6] = [
        (keys, Type::BYTEA_ARRAY),
        (slots, Type::INT8_ARRAY),
        (block_roots, Type::BYTEA_ARRAY),
        (sources, Type::INT8_ARRAY),
        (targets, Type::INT8_ARRAY),
        (attestation_roots, Type::BYTEA_ARRAY),
    ];
    client.query_typed(include_str!("merge.sql"), &parameters).await?;
    Ok(())
}

#[derive(Default)]
struct Columns<'a> {
    keys: Vec<&'a [u8]>,
    slots: Vec<Option<i64>>,
    block_roots: Vec<Option<Vec<u8>>>,
    sources: Vec<Option<i64>>,
    targets: Vec<Option<i64>>,
    attestation_roots: Vec<Option<Vec<u8>>>,
}

/// As far as a row can have it: what lies above is refused anyway.
pub(super) fn saturated(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn number(row: &Row, column: usize) -> Result<Option<u64>, Error> {
    let number: Option<i64> = row.try_get(column)?;
    number.map(u64::try_from).transpose().map_err(|_| Error::Garbage { what: "a negative number" })
}

fn bytes<const N: usize>(row: &Row, column: usize) -> Result<Option<[u8; N]>, Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes.map(<[u8; N]>::try_from).transpose().map_err(|_| Error::Garbage { what: "bytes of a wrong length" })
}
