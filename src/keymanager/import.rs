//! Import of keys: opened, durably activated with their history, and only then inserted into the ring.
//!
//! ```text
//! EncryptedKey --keys: password, checksum, derived public key--> OpenedKey
//! OpenedKey --ledger: history and sealed keystore in one durable transaction--> Activated<OpenedKey>
//! Activated<OpenedKey> --> Key --> ring
//! ```
//!
//! Each value is made by its step alone, so a key that signs before its history is durable does not compile.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;

use tokio::task::{JoinError, spawn_blocking};

use super::{Keystores, Persistence};
use crate::bls::PublicKey;
use crate::keys::{EncryptedKey, ImportError, Key, OpenedKey, SealError};
use crate::ledger::{Activation, ActivationOutcome, Health, ImportRefusal, Interchange, Past, Protection};
use crate::text::chain;

/// What an import did.
pub(crate) enum Import {
    /// What became of each keystore, in their order.
    Done(Vec<ImportOutcome>),
    /// The history is of another chain, so nothing was imported.
    OtherChain(ImportRefusal),
}

/// What became of a keystore that was to be imported.
#[derive(Clone)]
pub(crate) enum ImportOutcome {
    /// Its key can sign now.
    Imported {
        past: Past,
        persistence: Persistence,
        /// An earlier deletion still stands in the journal, and may be taken for a new one at the next start.
        may_be_deleted: bool,
    },
    /// Its key can sign already, and its record was brought up to the request.
    Duplicate { past: Past, may_be_deleted: bool },
    /// It did not open.
    NotOpened { reason: String },
    /// The history of its key cannot be merged, so the key does not enter.
    Unmergeable { reason: String },
    /// There is a history of keys, and no slashing protection that could keep it.
    Unprotected,
    /// The ledger failed, so its key does not enter.
    NotActivated {
        /// The key may enter with a restart all the same: part of it may be on the disk.
        may_enter: bool,
    },
    /// The ledger failed, so the history of its key, which can sign already, may not be merged.
    NotMerged,
    /// The ledger of several hosts does not answer, so its key does not enter and no history is merged.
    SharedLedgerAway,
    /// The ledger said nothing of its key.
    Unanswered,
}

/// Why nothing was imported: a fault of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportFault {
    #[error("the keystores could not be opened")]
    Open(#[source] JoinError),
    #[error("the keys cannot be sealed")]
    Seal(#[from] SealError),
}

impl Keystores {
    /// Imports keys with their history. What is wrong with one keystore touches none beside it. Keystores that are not
    /// being opened yet when they are not wanted any more are left alone; what was opened by then is imported.
    ///
    /// To be carried out to its end: a caller that drops it half way does not learn what has become durable.
    pub(crate) async fn import(
        &self,
        protection: &Protection,
        keystores: Vec<EncryptedKey>,
        history: Option<Interchange>,
        are_wanted: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Import, ImportFault> {
        let importer = self.importer.clone();
        // Away from the threads that sign.
        let opening = spawn_blocking(move || importer.open_all(&keystores, &are_wanted));
        let opened = opening.await.map_err(ImportFault::Open)?;
        let unwanted = opened.iter().filter(|outcome| matches!(outcome, Err(ImportError::Unwanted))).count();
        if unwanted > 0 {
            let keystores = opened.len();
            tracing::warn!(
                unwanted,
                "the client of an import left: {unwanted} of {keystores} keystores were not opened"
            );
        }

        let _turn = self.turn().await;
        let mut seen = HashMap::new();
        let mut activations = Vec::new();
        let mut entries = Vec::with_capacity(opened.len());
        for opened in opened {
            entries.push(match opened {
                Err(error) => Entry::NotOpened(error),
                Ok(key) => match seen.entry(key.public_key()) {
                    MapEntry::Occupied(first) => Entry::Again(*first.get()),
                    MapEntry::Vacant(first) => {
                        let at = *first.insert(activations.len());
                        activations.push(self.activation(key)?);
                        Entry::Key(at)
                    }
                },
            });
        }
        let outcomes = match self.activate(protection, activations, history).await {
            Ok(outcomes) => outcomes,
            Err(refusal) => return Ok(Import::OtherChain(refusal)),
        };
        let outcome = |at: usize| outcomes.get(at).cloned().unwrap_or(ImportOutcome::Unanswered);
        let entries = entries.into_iter().map(|entry| match entry {
            Entry::NotOpened(error) => ImportOutcome::NotOpened { reason: error.to_string() },
            Entry::Key(at) => outcome(at),
            Entry::Again(at) => outcome(at).again(),
        });
        Ok(Import::Done(entries.collect()))
    }

    /// What the ledger is asked for a key. One that can sign already is kept as it is.
    fn activation(&self, key: OpenedKey) -> Result<Activation<OpenedKey>, SealError> {
        if self.ring.key(&key.public_key()).is_some() {
            return Ok(Activation::again(key.public_key()));
        }
        let sealed = self.sealed(&key, None)?;
        Ok(Activation::of(key, sealed))
    }

    /// Makes keys and their history durable, then lets them sign. The outcomes are in the order of the activations.
    async fn activate(
        &self,
        protection: &Protection,
        activations: Vec<Activation<OpenedKey>>,
        history: Option<Interchange>,
    ) -> Result<Vec<ImportOutcome>, ImportRefusal> {
        let keys: Vec<Candidate> = activations
            .iter()
            .map(|activation| Candidate { public_key: activation.public_key(), is_new: activation.is_new() })
            .collect();
        let ledger = match protection {
            Protection::On(ledger) => ledger,
            Protection::Off(_) if history.is_some() => {
                return Ok(keys.iter().map(|_| ImportOutcome::Unprotected).collect());
            }
            // Nothing is replayed from the journal of deletions: it waits for a ledger.
            Protection::Off(unprotected) => return Ok(self.insert(unprotected.activate(activations), false)),
        };
        let was_broken = matches!(ledger.health(), Health::Broken(_));
        match ledger.activate(activations, history).await {
            Ok(Ok(activated)) => {
                let active = keys.iter().zip(&activated).filter_map(|(key, outcome)| match outcome {
                    ActivationOutcome::Active { .. } => Some(key.public_key),
                    ActivationOutcome::Unmergeable { .. } => None,
                });
                let may_be_deleted = !self.clear_deletions(&active.collect::<Vec<_>>());
                Ok(self.insert(activated, may_be_deleted))
            }
            Ok(Err(refusal)) => Err(refusal),
            Err(fault) => {
                tracing::error!(fault = chain(&fault), "keys could not be imported");
                // A ledger that was broken before it was asked has written nothing.
                let may_be_on_disk = !was_broken && fault.may_be_on_disk();
                Ok(self.shut_out(&keys, may_be_on_disk, fault.is_of_second_judge()))
            }
        }
    }

    /// Lets activated keys sign.
    fn insert(
        &self,
        activated: Vec<ActivationOutcome<OpenedKey>>,
        may_be_deleted: bool,
    ) -> Vec<ImportOutcome> {
        let persistence = self.persistence();
        let mut entering = Vec::new();
        let mut outcomes = Vec::with_capacity(activated.len());
        for outcome in activated {
            outcomes.push(match outcome {
                ActivationOutcome::Active { key: Some(key), past } => {
                    entering.push(Key::imported(key));
                    ImportOutcome::Imported { past, persistence, may_be_deleted }
                }
                ActivationOutcome::Active { key: None, past } => {
                    ImportOutcome::Duplicate { past, may_be_deleted }
                }
                ActivationOutcome::Unmergeable { reason } => ImportOutcome::Unmergeable { reason },
            });
        }
        for key in &entering {
            let public_key = key.public_key();
            tracing::info!(%public_key, "key imported");
            let Some(fd_store) = &self.fd_store else { continue };
            if let Err(error) = fd_store.insert(key) {
                tracing::warn!(%public_key, error = chain(&error), "the key will not survive a restart of the process");
            }
        }
        self.ring.insert(entering);
        outcomes
    }

    /// The ledger failed, so the new keys do not enter; nor may they after a restart, which would otherwise find
    /// whatever of them has reached the disk: by then they may sign elsewhere.
    fn shut_out(
        &self,
        keys: &[Candidate],
        may_be_on_disk: bool,
        is_shared_ledger_away: bool,
    ) -> Vec<ImportOutcome> {
        let new: Vec<_> = keys.iter().filter(|key| key.is_new).map(|key| key.public_key).collect();
        let may_enter = may_be_on_disk && !self.note_deletions(&new);
        let outcome = |key: &Candidate| match (key.is_new, is_shared_ledger_away && !may_enter) {
            (_, true) => ImportOutcome::SharedLedgerAway,
            (true, false) => ImportOutcome::NotActivated { may_enter },
            (false, false) => ImportOutcome::NotMerged,
        };
        keys.iter().map(outcome).collect()
    }
}

impl ImportOutcome {
    /// What became of a keystore whose key another one of the same request has brought. A key that could not enter is
    /// not here because it was named twice.
    fn again(self) -> Self {
        match self {
            Self::Imported { .. } | Self::Duplicate { .. } => {
                Self::Duplicate { past: Past::default(), may_be_deleted: false }
            }
            failed @ (Self::NotOpened { .. }
            | Self::Unmergeable { .. }
            | Self::Unprotected
            | Self::NotActivated { .. }
            | Self::NotMerged
            | Self::SharedLedgerAway
            | Self::Unanswered) => failed,
        }
    }
}

/// A keystore of the request.
enum Entry {
    NotOpened(ImportError),
    /// The place of its key's activation.
    Key(usize),
    /// The key came before in the same request; the place of its activation.
    Again(usize),
}

/// A key that the ledger is asked to activate.
struct Candidate {
    public_key: PublicKey,
    is_new: bool,
}
