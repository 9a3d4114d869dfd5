//! Orders as a second judge carries them out, and what it then has on record.

use super::interchange::Interchange;
use super::order::{Deletion, Selection};
use super::row::KeyState;
use super::rules::Watermark;
use super::watermarks::{HighWatermark, Metadata};
use crate::bls::PublicKey;
use crate::primitives::Root;

/// An order as a second judge carries it out.
#[derive(Clone, Debug)]
pub(crate) enum SharedOrder {
    /// Take over what this ledger has on record, and the lower of two stops where it joins for the first time: the
    /// first order after an opening, so that both know the same. Nothing else is answered before it. That a key is
    /// deleted here is not taken over: another host may have been given the key since.
    Join(SharedRecords),
    /// Merge histories of one chain, each watermark with what is there ([`Watermark::merged`]). Histories of another
    /// chain than the one that is protected there are not merged.
    Import { chain: Root, histories: Vec<(PublicKey, Watermark)> },
    /// Let keys be signed with, each with the history that it brings; likewise, all or none.
    Activate { chain: Option<Root>, keys: Vec<(PublicKey, Watermark)> },
    /// Forbid everybody to sign with those that were active here, and say what is on record of all.
    Delete { keys: Vec<Deletion> },
    /// Lift watermarks to a floor.
    Raise { floor: Watermark, keys: Selection },
    /// Set or remove the point at and beyond which nobody signs anything.
    SetHighWatermark(HighWatermark),
    /// Say what is on record.
    Read { keys: Selection },
}

impl SharedOrder {
    /// The histories of the selected keys, as far as they can be read.
    pub(super) fn import(interchange: &Interchange, keys: &Selection) -> Self {
        let readable = |(public_key, history): (&PublicKey, &Result<Watermark, String>)| {
            let watermark = history.as_ref().ok().filter(|_| keys.contains(public_key))?;
            Some((*public_key, *watermark))
        };
        let histories = interchange.histories.iter().filter_map(readable).collect();
        Self::Import { chain: interchange.genesis_validators_root, histories }
    }

    /// These keys, but for those whose history cannot be read.
    pub(super) fn activate(keys: impl Iterator<Item = PublicKey>, history: Option<&Interchange>) -> Self {
        let of = |key: &PublicKey| history.and_then(|interchange| interchange.histories.get(key));
        let with_history = |key| match of(&key) {
            Some(Ok(watermark)) => Some((key, *watermark)),
            Some(Err(_)) => None,
            None => Some((key, Watermark::default())),
        };
        Self::Activate {
            chain: history.map(|interchange| interchange.genesis_validators_root),
            keys: keys.filter_map(with_history).collect(),
        }
    }
}

/// What is on record of the keys that an order is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedRecords {
    /// As the order left it.
    pub(crate) head: Metadata,
    pub(crate) keys: Vec<SharedRecord>,
}

impl SharedRecords {
    /// All that a ledger has on record.
    pub(super) fn all(head: Metadata, entries: &[KeyState]) -> Self {
        let shared = |KeyState { public_key, watermark, deleted, raw_root_signed: _, exit: _ }: &KeyState| {
            SharedRecord { public_key: *public_key, watermark: *watermark, deleted: *deleted }
        };
        Self { head, keys: entries.iter().map(shared).collect() }
    }
}

/// One key's record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedRecord {
    pub(crate) public_key: PublicKey,
    /// As the order found it. From then on nothing is granted that the order forbids.
    pub(crate) watermark: Watermark,
    /// Likewise.
    pub(crate) deleted: bool,
}
