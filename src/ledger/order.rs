//! Data of the orders: what administration asks of the ledger, and what it answers.

use std::collections::HashSet;

use super::attention::KeyNames;
use super::far_future::Horizon;
use super::of_key::OfKey;
use super::refusal::Refusal;
use super::row::KeyState;
use super::rules::Watermark;
use super::sqlite::SealedKeystore;
use super::watermarks::HighWatermark;
use crate::bls::PublicKey;
use crate::duty::Claim;
use crate::network::NamedRoot;
use crate::primitives::{Epoch, Root, Slot};

/// The keys that an order is about.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    All,
    Only(HashSet<PublicKey>),
}

impl Selection {
    pub(super) fn contains(&self, public_key: &PublicKey) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.contains(public_key),
        }
    }
}

/// A key that is to be signed with here from now on.
#[derive(Clone, Debug)]
pub(crate) struct Activation<K> {
    pub(super) public_key: PublicKey,
    /// `None`: it signs here already.
    pub(super) key: Option<K>,
    pub(super) keystore: Option<SealedKeystore>,
}

impl<K: OfKey> Activation<K> {
    /// A new key, and what to keep of it over a restart, if there is a seal secret.
    pub(crate) fn of(key: K, keystore: Option<SealedKeystore>) -> Self {
        Self { public_key: key.public_key(), key: Some(key), keystore }
    }

    /// A key that signs here already: its record is brought up to the request, and no second key is kept.
    pub(crate) fn again(public_key: PublicKey) -> Self {
        Self { public_key, key: None, keystore: None }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.public_key
    }

    pub(crate) fn is_new(&self) -> bool {
        self.key.is_some()
    }
}

/// A key that is durably on record as active, with the history that it brought. Made by the ledger alone; only of such
/// a key can something be made that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activated<K>(pub(super) K);

impl<K> Activated<K> {
    pub(crate) fn into_key(self) -> K {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn unrecorded(key: K) -> Self {
        Self(key)
    }
}

/// What became of an activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActivationOutcome<K> {
    /// It may sign; key and history are durable.
    Active {
        /// `None` for a key that signs here already.
        key: Option<Activated<K>>,
        past: Past,
    },
    /// Its history cannot be merged, so nothing of it was taken.
    Unmergeable { reason: String },
}

/// What was on record of a key before it was activated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// It had been deleted here. Its earlier watermarks are still in force.
    pub(crate) deleted: bool,
    /// Raw roots were signed with it here: its blocks and attestations are refused until its watermarks are lifted
    /// to the present, whatever history it brings.
    pub(crate) raw_root_signed: bool,
}

/// A history that cannot be merged: the reason.
#[derive(Debug)]
pub(super) struct Unmergeable(pub(super) String);

/// A key that no request finds any more, which is what it takes to delete it.
pub(crate) trait OutOfUse: OfKey {
    /// Whether it could sign here until then.
    fn was_active(&self) -> bool;
}

/// A key that is not to be signed with here any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deletion {
    pub(super) public_key: PublicKey,
    /// Whether it could sign here until now.
    pub(super) active: bool,
}

/// What became of a deletion; the Keymanager API's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeletionStatus {
    /// It was active and is disabled for good.
    Deleted,
    /// It was not active; there is history of it.
    NotActive,
    /// Nothing is known of it.
    NotFound,
}

/// The answer to deletions.
#[derive(Clone, Debug)]
pub(crate) struct DeletionReport {
    /// In the order of the request.
    pub(crate) keys: Vec<DeletionStatus>,
    /// Those of them with which raw roots were signed: what those said is not in their histories.
    pub(crate) raw_root_signed: HashSet<PublicKey>,
    /// EIP-3076 JSON of those that were deleted or not active.
    pub(crate) interchange: String,
}

/// History that was written out.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    /// EIP-3076 JSON.
    pub(crate) interchange: String,
    /// The selected keys with which raw roots were signed: what those said is in no history, and the format cannot say
    /// so.
    pub(crate) raw_roots: KeyNames,
}

/// What lifting watermarks did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raised {
    /// So many keys' watermarks went up, or may sign blocks and attestations again.
    pub(crate) raised: usize,
    /// With these raw roots were signed, and blocks and attestations stay refused: the watermarks were not lifted to
    /// the present, both of them.
    pub(crate) still_refused: KeyNames,
    /// The present slot and epoch, where they are known.
    pub(crate) present: Option<(Slot, Epoch)>,
}

/// What an import of history did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// So many keys' histories are merged.
    pub(crate) merged: usize,
    /// These could not be read, each with the reason.
    pub(crate) failed: Vec<(PublicKey, String)>,
}

/// Why a history cannot be taken at all: the caller's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImportRefusal {
    #[error(
        "the slashing protection data is of the chain with genesis validators root {}, but this signer protects \
         the chain with {}, so nothing was imported: set its option `network` to the validators' network (without \
         it, that is mainnet), and use one state directory for each",
        NamedRoot(*.theirs), NamedRoot(*.pinned)
    )]
    OtherChain { theirs: Root, pinned: Root },
}

/// Why new seals are not taken: the caller's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResealRefusal {
    #[error(
        "the kept keystores changed meanwhile ({kept} kept, {given} given); nothing was resealed, try again"
    )]
    Changed { kept: usize, given: usize },
}

/// The ledger's state, for a human or a health route.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// The pinned chain, once known.
    pub(crate) genesis_validators_root: Option<Root>,
    pub(crate) high_watermark: HighWatermark,
    pub(crate) keys: Vec<KeyStatus>,
}

/// What is on record of one key, and what would come of messages of its.
#[derive(Clone, Debug)]
pub(crate) struct Foresight {
    /// Whether the ledger has a row of it.
    pub(crate) is_known: bool,
    pub(crate) status: KeyStatus,
    pub(crate) high_watermark: HighWatermark,
    /// Whether a second judge, who was not asked, could refuse more.
    pub(crate) second_judge_not_asked: bool,
    /// For a message of each claim that is not the one on record; `None`: it would pass.
    pub(crate) refusals: Vec<(Claim, Option<Refusal>)>,
}

/// One key's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyStatus {
    pub(crate) public_key: PublicKey,
    pub(crate) watermark: Watermark,
    pub(crate) deleted: bool,
    /// A raw root was signed with it, so its blocks and attestations are refused.
    pub(crate) raw_root_signed: bool,
    /// So many years its record lies ahead of the clock, if that is more than can be plausible.
    pub(crate) years_ahead: Option<u64>,
}

impl KeyStatus {
    pub(super) fn of(entry: &KeyState, horizon: Option<Horizon>) -> Self {
        let KeyState { public_key, watermark, deleted, raw_root_signed, exit: _ } = *entry;
        let years_ahead = horizon.and_then(|horizon| horizon.record_ahead(&watermark));
        Self { public_key, watermark, deleted, raw_root_signed, years_ahead }
    }
}

/// Some of the kept keystores.
#[derive(Clone, Debug)]
pub(crate) struct KeystorePage {
    pub(super) keystores: Vec<SealedKeystore>,
    pub(super) next: Option<usize>,
}

impl KeystorePage {
    /// Where the next page starts; none after the last.
    pub(crate) fn next(&self) -> Option<usize> {
        self.next
    }

    pub(crate) fn into_keystores(self) -> Vec<SealedKeystore> {
        self.keystores
    }

    /// The keystores of keys that are on record as active, and beside them the copies of keystores from elsewhere.
    pub(crate) fn into_active_and_copies(self) -> (Vec<ActiveKeystore>, Vec<SealedKeystore>) {
        let (copies, active): (Vec<_>, Vec<_>) =
            self.keystores.into_iter().partition(|keystore| keystore.copy_of.is_some());
        (active.into_iter().map(ActiveKeystore).collect(), copies)
    }
}

/// The kept keystore of a key that is on record as active: a deletion removes it in the same transaction.
#[derive(Clone, Debug)]
pub(crate) struct ActiveKeystore(SealedKeystore);

impl ActiveKeystore {
    /// The key in it, which `open` takes out.
    pub(crate) fn open<K, E>(
        &self,
        open: impl FnOnce(&SealedKeystore) -> Result<K, E>,
    ) -> Result<Activated<K>, E> {
        open(&self.0).map(Activated)
    }
}
