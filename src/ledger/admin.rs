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
use super::clearance::Fault;
use super::commit_queue::Task;
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

/// A key that is to be signed with here from now on.
#[derive(Clone, Debug)]
pub(crate) struct Activation {
    pub(crate) public_key: PublicKey,
    /// What to keep of it over a restart, if there is a seal secret.
    pub(crate) keystore: Option<SealedKeystore>,
}

/// What became of an activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActivationOutcome {
    /// It may sign; key and history are durable.
    Active {
        /// It had been deleted here. Its earlier watermarks are still in force.
        deleted_before: bool,
        /// Raw roots were signed with it here: its blocks and attestations are refused until its watermarks are lifted
        /// to the present, whatever history it brings.
        raw_root_signed: bool,
    },
    /// Its history cannot be merged, so nothing of it was taken.
    Unmergeable { reason: String },
}

/// A key that is not to be signed with here any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deletion {
    pub(crate) public_key: PublicKey,
    /// Whether the caller can sign with it now.
    pub(crate) active: bool,
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
    pub(crate) keystores: Vec<SealedKeystore>,
    /// Where the next page starts; none after the last.
    pub(crate) next: Option<usize>,
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
    pub(crate) fn activate(
        &self,
        activations: Vec<Activation>,
        history: Option<Interchange>,
    ) -> impl Future<Output = Result<Result<Vec<ActivationOutcome>, ImportRefusal>, Fault>> + Send + use<>
    {
        self.order(move |transaction| Ok(transaction.activate(activations, history)))
    }

    /// Disables keys, forgets their kept keystores and exports their histories, all in one transaction.
    ///
    /// Once this is answered, and after every restart, their blocks and attestations are refused until
    /// [`Ledger::activate`].
    pub(crate) fn delete(
        &self,
        deletions: Vec<Deletion>,
    ) -> impl Future<Output = Result<DeletionReport, Fault>> + Send + use<> {
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
            let horizon = clock.map(|clock| clock.horizon(SystemTime::now()));
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

/// An order as the writer carries it out: it changes memory and says what else to write. The writer saves, and then
/// calls what the order gave back.
pub(super) type AdminTask =
    Box<dyn FnOnce(&mut AdminTransaction<'_>) -> Result<Completion, StoreError> + Send>;
pub(super) type Completion = Box<dyn FnOnce(Result<(), Fault>) + Send>;
