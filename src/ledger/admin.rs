//! Administration: keys come and go with their history, watermarks are lifted, history is written out.
//!
//! An order has the watermarks alone and is one transaction, so that it stands at one point in the order of events: whatever
//! was judged before it is on record with it, whatever comes after meets its outcome. An order that is answered is
//! durable. What each does is in `transaction`.

use std::collections::HashSet;
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::Ledger;
use super::attention::KeyNames;
use super::commit_queue::Task;
use super::far_future::Horizon;
use super::fault::Fault;
use super::interchange::Interchange;
use super::judge::LocalJudge;
use super::rules::Watermark;
use super::sqlite::{SealedChange, SealedKeystore, StoreError};
use super::transaction::AdminTransaction;
use super::watermarks::HighWatermark;
use crate::bls::PublicKey;
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

/// A value that is about one key and says which.
pub(crate) trait OfKey {
    fn public_key(&self) -> PublicKey;
}

/// A key that is to be signed with here from now on.
#[derive(Clone, Debug)]
pub(crate) struct Activation<K> {
    public_key: PublicKey,
    /// `None`: it signs here already.
    key: Option<K>,
    keystore: Option<SealedKeystore>,
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

/// A key that is durably on record as active, with the history that it brought. Made by the ledger alone; only of such a
/// key can something be made that signs.
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
pub(super) struct Deletion {
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
    /// The selected keys with which raw roots were signed: what those said is in no history, and the format cannot say so.
    pub(crate) raw_roots: KeyNames,
}

/// What lifting watermarks did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raised {
    /// So many keys' watermarks went up, or may sign blocks and attestations again.
    pub(crate) raised: usize,
    /// With these raw roots were signed, and blocks and attestations stay refused: the watermarks were not lifted to the
    /// present, both of them.
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

impl Ledger {
    /// Merges histories of the selected keys. It activates nobody.
    pub(crate) fn import(
        &self,
        interchange: Interchange,
        keys: Selection,
    ) -> impl Future<Output = Result<Result<Imported, ImportRefusal>, Fault>> + Send + use<> {
        self.order(move |transaction| Ok(transaction.import(interchange, &keys)))
    }

    /// Lets keys sign here, each with its history and its kept keystore, all in one transaction.
    ///
    /// Of `history` only what concerns the activations is merged. The answers are in the order of the activations.
    pub(crate) fn activate<K: Send>(
        &self,
        activations: Vec<Activation<K>>,
        history: Option<Interchange>,
    ) -> impl Future<Output = Result<Result<Vec<ActivationOutcome<K>>, ImportRefusal>, Fault>> + Send + use<K>
    {
        let mut keys = Vec::with_capacity(activations.len());
        let mut records = Vec::with_capacity(activations.len());
        for Activation { public_key, key, keystore } in activations {
            keys.push(key);
            records.push((public_key, keystore));
        }
        // Without slashing protection nothing is on record of any key, and no history can be kept.
        let is_unprotected = self.judge.is_none() && history.is_none();
        let recorded = self.order(move |transaction| Ok(transaction.activate(records, history)));
        async move {
            if is_unprotected {
                let active = keys.into_iter().map(|key| active(key, Past::default()));
                return Ok(Ok(active.collect()));
            }
            let recorded = match recorded.await? {
                Ok(recorded) => recorded,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let outcomes = keys.into_iter().zip(recorded).map(|(key, recorded)| match recorded {
                Ok(past) => active(key, past),
                Err(Unmergeable(reason)) => ActivationOutcome::Unmergeable { reason },
            });
            Ok(Ok(outcomes.collect()))
        }
    }

    /// Disables keys, forgets their kept keystores and exports their histories, all in one transaction.
    ///
    /// Once this is answered, and after every restart, their blocks and attestations are refused until
    /// [`Ledger::activate`].
    pub(crate) fn delete<D: OutOfUse>(
        &self,
        keys: &[D],
    ) -> impl Future<Output = Result<DeletionReport, Fault>> + Send + use<D> {
        let deletion = |key: &D| Deletion { public_key: key.public_key(), active: key.was_active() };
        let deletions: Vec<_> = keys.iter().map(deletion).collect();
        self.order(move |transaction| transaction.delete(&deletions))
    }

    /// The selected keys' histories as EIP-3076 JSON.
    pub(crate) fn export(
        &self,
        keys: Selection,
    ) -> impl Future<Output = Result<Exported, Fault>> + Send + use<> {
        self.order(move |transaction| Ok(transaction.export(|public_key| keys.contains(public_key))))
    }

    /// Lifts watermarks to a slot and an epoch (source and target): from then on only what lies above passes. Nothing
    /// is ever lowered. With [`Selection::Only`], keys unknown so far are entered.
    ///
    /// Keys with which raw roots were signed sign blocks and attestations again if both are lifted to the present, as far
    /// as that is known, or beyond: an honest client has had nothing signed for a later slot or epoch.
    pub(crate) fn raise(
        &self,
        slot: Option<Slot>,
        epoch: Option<Epoch>,
        keys: Selection,
    ) -> impl Future<Output = Result<Raised, Fault>> + Send + use<> {
        let clock = self.judge.as_ref().and_then(LocalJudge::clock);
        self.order(move |transaction| {
            // Not before the order has the watermarks: all raw roots so far were signed before that.
            let present = clock.map(|clock| clock.present(SystemTime::now()));
            Ok(transaction.raise(slot, epoch, present, &keys))
        })
    }

    /// Sets or removes the point at and beyond which nothing is signed.
    pub(crate) fn set_high_watermark(
        &self,
        high_watermark: HighWatermark,
    ) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        self.order(move |transaction| {
            transaction.watermarks.set_high_watermark(high_watermark);
            Ok(())
        })
    }

    /// The state of the ledger and of the selected keys.
    pub(crate) fn status(
        &self,
        keys: Selection,
    ) -> impl Future<Output = Result<Status, Fault>> + Send + use<> {
        let clock = self.judge.as_ref().and_then(LocalJudge::clock);
        self.order(move |transaction| {
            let horizon = clock.map(|clock| Horizon::at(clock, SystemTime::now()));
            Ok(transaction.status(horizon, &keys))
        })
    }

    /// Up to `limit` of the kept keystores, page by page: `start` is 0, then each page's `next`.
    pub(crate) fn keystores(
        &self,
        start: usize,
        limit: usize,
    ) -> impl Future<Output = Result<KeystorePage, Fault>> + Send + use<> {
        self.order(move |transaction| transaction.keystores(start, limit))
    }

    /// Keeps copies of keystores from elsewhere, for a faster start. It activates nobody.
    pub(crate) fn keep(
        &self,
        keystores: Vec<SealedKeystore>,
    ) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        self.order(move |transaction| {
            keystores.into_iter().for_each(|keystore| transaction.keep(keystore));
            Ok(())
        })
    }

    /// Forgets kept keystores. Their keys' histories stay.
    pub(crate) fn forget(
        &self,
        public_keys: Vec<PublicKey>,
    ) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        self.order(move |transaction| {
            let positions = public_keys.iter().filter_map(|key| transaction.watermarks.position(key));
            transaction.sealed.extend(positions.map(SealedChange::Remove));
            Ok(())
        })
    }

    /// Replaces all kept keystores by the same keys' under a new secret. Copies that are not given are forgotten.
    pub(crate) fn reseal(
        &self,
        keystores: Vec<SealedKeystore>,
    ) -> impl Future<Output = Result<Result<(), ResealRefusal>, Fault>> + Send + use<> {
        self.order(move |transaction| transaction.reseal(keystores))
    }

    /// Hands an order over when it is called, not when the answer is awaited.
    pub(super) fn order<T, O>(&self, order: O) -> impl Future<Output = Result<T, Fault>> + Send + use<T, O>
    where
        T: Send + 'static,
        O: FnOnce(&mut AdminTransaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let task = |answer: oneshot::Sender<_>| {
            Task::AdminTask(Box::new(move |transaction| {
                let outcome = order(transaction)?;
                // Nobody waits for an answer that cannot be sent.
                Ok(Box::new(move |saved: Result<(), Fault>| drop(answer.send(saved.map(|()| outcome)))))
            }))
        };
        let reply = self.judge.as_ref().ok_or(Fault::Off).and_then(|judge| judge.send(task));
        async move { reply?.wait().await }
    }
}

fn active<K>(key: Option<K>, past: Past) -> ActivationOutcome<K> {
    ActivationOutcome::Active { key: key.map(Activated), past }
}

/// An order as the writer carries it out: it changes memory and says what else to write. The writer saves, and then
/// calls what the order gave back.
pub(super) type AdminTask =
    Box<dyn FnOnce(&mut AdminTransaction<'_>) -> Result<Completion, StoreError> + Send>;
pub(super) type Completion = Box<dyn FnOnce(Result<(), Fault>) + Send>;
