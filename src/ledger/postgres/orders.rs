//! Orders on the shared ledger: each is one transaction, and gives back what it found.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::error::Error;
use super::fence::{Fence, Stop};
use super::rows::{self, Head};
use crate::bls::PublicKey;
use crate::config::Durability;
use crate::ledger::HighWatermark;
use crate::ledger::order::{Deletion, Selection};
use crate::ledger::rules::Watermark;
use crate::ledger::shared_order::{SharedOrder, SharedRecord, SharedRecords};
use crate::ledger::watermarks::Metadata;
use crate::primitives::{Epoch, Slot};

/// Carries an order out.
///
/// # Errors
/// It may be in force all the same.
pub(super) async fn carry_out(
    order: &SharedOrder,
    connection: &mut Connection,
    durability: Durability,
    fence: &Fence,
) -> Result<SharedRecords, Error> {
    let transaction = connection.link.client.transaction().await?;
    // The judging statements lock the head as well, first as here: they see an order or come before it.
    let lock = match order {
        SharedOrder::Join(_) | SharedOrder::SetHighWatermark(_) => "FOR UPDATE",
        SharedOrder::Import { .. }
        | SharedOrder::Activate { .. }
        | SharedOrder::Delete { .. }
        | SharedOrder::Raise { .. } => "FOR SHARE",
        SharedOrder::Read { .. } => "",
    };
    let head = Head::read(&transaction, lock).await?;
    let records = in_transaction(order, &transaction, head, fence.stop()).await?;
    transaction.commit().await?;
    connection.replicates(durability).await?;
    fence.note_stop(records.head.high_watermark)?;
    Ok(records)
}

async fn in_transaction(
    order: &SharedOrder,
    transaction: &Transaction<'_>,
    head: Head,
    known_stop: Option<Stop>,
) -> Result<SharedRecords, Error> {
    let Head { chain, mut high_watermark, floor: _ } = head;
    let keys = match order {
        SharedOrder::Join(theirs) => {
            if let Some(ours) = theirs.head.chain.filter(|ours| *ours != chain) {
                return Err(Error::OtherChain { theirs: chain, ours });
            }
            // Ours may be one that was removed there since this host knew of it. If it is another, it was set here:
            // before this host joined, or while it was without the shared ledger.
            if known_stop != Some(theirs.head.high_watermark.into()) {
                let HighWatermark { slot, epoch } = theirs.head.high_watermark;
                high_watermark = HighWatermark {
                    slot: high_watermark.slot.into_iter().chain(slot).min(),
                    epoch: high_watermark.epoch.into_iter().chain(epoch).min(),
                };
                stop(transaction, high_watermark).await?;
            }
            // That a key was deleted stays this host's own: others may have taken it over before there was a shared
            // ledger, or since it was deleted there.
            let ours = theirs.keys.iter().map(|record| (record.public_key, record.watermark)).collect();
            let records = merge(transaction, &ours).await?;
            if known_stop.is_some() {
                warn_of_missing(&ours, &records);
            }
            records
        }
        SharedOrder::Import { chain: theirs, histories } => {
            if *theirs == chain {
                merge(transaction, &histories.iter().copied().collect()).await?
            } else {
                Vec::new()
            }
        }
        SharedOrder::Activate { chain: theirs, keys } => {
            if theirs.is_none_or(|theirs| theirs == chain) {
                let records = merge(transaction, &keys.iter().copied().collect()).await?;
                mark(transaction, keys.iter().map(|(key, _)| key), false).await?;
                records
            } else {
                Vec::new()
            }
        }
        SharedOrder::Delete { keys } => {
            let nothing = |deletion: &Deletion| (deletion.public_key, Watermark::default());
            let records = merge(transaction, &keys.iter().map(nothing).collect()).await?;
            let active = keys.iter().filter(|deletion| deletion.active).map(|deletion| &deletion.public_key);
            mark(transaction, active, true).await?;
            records
        }
        SharedOrder::Raise { floor, keys } => {
            let keys: Vec<_> = match keys {
                Selection::All => rows::records(transaction, None, false).await?.into_keys().collect(),
                Selection::Only(keys) => keys.iter().copied().collect(),
            };
            merge(transaction, &keys.into_iter().map(|key| (key, *floor)).collect()).await?
        }
        SharedOrder::SetHighWatermark(new) => {
            stop(transaction, *new).await?;
            high_watermark = *new;
            Vec::new()
        }
        SharedOrder::Read { keys } => {
            let records = match keys {
                Selection::All => rows::records(transaction, None, false).await?,
                Selection::Only(keys) => {
                    let keys: Vec<_> = keys.iter().copied().collect();
                    rows::records(transaction, Some(&keys), false).await?
                }
            };
            records.into_values().collect()
        }
    };
    Ok(SharedRecords { head: Metadata { chain: Some(chain), high_watermark }, keys })
}

/// Merges, and gives back what was there.
async fn merge(
    transaction: &Transaction<'_>,
    watermarks: &HashMap<PublicKey, Watermark>,
) -> Result<Vec<SharedRecord>, Error> {
    // In the order of the keys, as the judging statements lock them.
    let keys: Vec<_> = watermarks.keys().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let before = rows::records(transaction, Some(&keys), true).await?;
    rows::merge(transaction, watermarks).await?;
    let found = |key: PublicKey| {
        let new = SharedRecord { public_key: key, watermark: Watermark::default(), deleted: false };
        before.get(&key).copied().unwrap_or(new)
    };
    Ok(keys.into_iter().map(found).collect())
}

async fn mark<'a>(
    transaction: &Transaction<'_>,
    keys: impl Iterator<Item = &'a PublicKey>,
    deleted: bool,
) -> Result<(), Error> {
    let keys: Vec<&[u8]> = keys.map(|key| key.0.as_slice()).collect();
    let statement = "UPDATE bls_signer.keys SET deleted = $2 WHERE public_key = ANY($1)";
    transaction.query_typed(statement, &[(&keys, Type::BYTEA_ARRAY), (&deleted, Type::BOOL)]).await?;
    Ok(())
}

async fn stop(transaction: &Transaction<'_>, at: HighWatermark) -> Result<(), Error> {
    let slot = at.slot.map(|Slot(slot)| rows::saturated(slot));
    let epoch = at.epoch.map(|Epoch(epoch)| rows::saturated(epoch));
    let statement = "UPDATE bls_signer.head SET stop_slot = $1, stop_epoch = $2";
    transaction.query_typed(statement, &[(&slot, Type::INT8), (&epoch, Type::INT8)]).await?;
    Ok(())
}

/// After a restart a grant that the database has lost looks like a record whose grant never came: both are counted.
fn warn_of_missing(ours: &HashMap<PublicKey, Watermark>, found: &[SharedRecord]) {
    let is_behind = |record: &&SharedRecord| {
        ours.get(&record.public_key).is_some_and(|ours| record.watermark.merged(*ours) != record.watermark)
    };
    let behind = found.iter().filter(is_behind).count();
    if behind > 0 {
        tracing::warn!(
            "of {behind} keys this host has more on record than the shared ledger had: of messages that were never \
             granted there, or of commits that it has lost. It has them now"
        );
    }
}
