//! Deletion of keys: out of the ring, durably forbidden to sign, and only then is their history handed out.
//!
//! ```text
//! PublicKey --ring: no request finds it any more--> Dismissed
//! Dismissed --ledger: forbidden and exported in one durable transaction--> Deleted (its history)
//! ```
//!
//! Each value is made by its step alone. If the ledger fails, the keys stay out of the ring all the same, and the
//! `deletion_journal` keeps them out after a restart: a key that somebody wanted gone must not sign on.

use super::Keystores;
use crate::bls::PublicKey;
use crate::keys::Dismissed;
use crate::ledger::{DeletionReport, DeletionStatus, OfKey, OutOfUse, Protection};
use crate::text::chain;

/// What a deletion did.
pub(crate) struct Deleted {
    /// What became of each key, in the order of the request.
    pub(crate) outcomes: Vec<DeleteOutcome>,
    /// EIP-3076 JSON of those that do not sign here; `None` where nothing is on record.
    pub(crate) history: Option<String>,
}

/// What became of a key that was to be deleted.
#[derive(Clone, Copy)]
pub(crate) enum DeleteOutcome {
    /// It is out of use for good, or was before and there is history of it, or nothing is known of it.
    Status {
        status: DeletionStatus,
        /// Raw roots were signed with it: what those said is not in its history.
        raw_root_signed: bool,
    },
    /// It is of the operator's files and stays.
    ReadOnly,
    /// The ledger failed: the key does not sign any more in this process.
    NotRecorded {
        /// The key may come back with a restart: the journal failed too.
        may_come_back: bool,
    },
    /// The ledger of several hosts does not answer: the key does not sign any more on this host, nor after a restart.
    SharedLedgerAway,
    /// The ledger said nothing of it.
    Unanswered,
}

impl Keystores {
    /// Takes keys out of the ring, forbids them durably and exports their history.
    ///
    /// To be carried out to its end: a caller that drops it half way does not learn what has become durable.
    pub(crate) async fn delete(&self, protection: &Protection, public_keys: &[PublicKey]) -> Deleted {
        let _turn = self.turn().await;
        let mut dismissed = Vec::with_capacity(public_keys.len());
        let mut are_dismissed = Vec::with_capacity(public_keys.len());
        for key in self.ring.dismiss(public_keys) {
            are_dismissed.push(key.is_ok());
            dismissed.extend(key);
        }
        let (outcomes, history) = self.forbid(protection, &dismissed).await;
        let mut outcomes = outcomes.into_iter();
        let in_order = are_dismissed.into_iter().map(|is_dismissed| {
            if is_dismissed {
                outcomes.next().unwrap_or(DeleteOutcome::Unanswered)
            } else {
                DeleteOutcome::ReadOnly
            }
        });
        Deleted { outcomes: in_order.collect(), history }
    }

    async fn forbid(
        &self,
        protection: &Protection,
        keys: &[Dismissed],
    ) -> (Vec<DeleteOutcome>, Option<String>) {
        for key in keys.iter().filter_map(Dismissed::key) {
            let Some(fd_store) = &self.fd_store else { continue };
            if let Err(error) = fd_store.remove(key) {
                tracing::error!(
                    public_key = %key.public_key(),
                    error = chain(&error),
                    "the key may come back with a restart"
                );
            }
        }
        let report = match protection {
            Protection::On(ledger) => Some(ledger.delete(keys).await),
            Protection::Off(_) => None,
        };
        for key in keys.iter().filter(|key| key.was_active()) {
            tracing::info!(public_key = %key.public_key(), "key deleted");
        }
        match report {
            Some(Ok(DeletionReport { keys: statuses, raw_root_signed, interchange })) => {
                let outcomes = keys.iter().zip(statuses).map(|(key, status)| DeleteOutcome::Status {
                    status,
                    raw_root_signed: raw_root_signed.contains(&key.public_key()),
                });
                (outcomes.collect(), Some(interchange))
            }
            None => (keys.iter().map(unrecorded).collect(), None),
            Some(Err(fault)) => {
                tracing::error!(
                    fault = chain(&fault),
                    "deleted keys could not be recorded: they do not sign any more in this process"
                );
                // All that are named: of a key that left the ring before, a sealed keystore may still be on disk.
                let named: Vec<_> = keys.iter().map(OfKey::public_key).collect();
                let may_come_back = !self.note_deletions(&named);
                let outcome = match fault.is_of_second_judge() && !may_come_back {
                    true => DeleteOutcome::SharedLedgerAway,
                    false => DeleteOutcome::NotRecorded { may_come_back },
                };
                (named.iter().map(|_| outcome).collect(), None)
            }
        }
    }

    /// Notes keys in the journal that must not come back with a restart, where the ledger could not record it. Says
    /// whether they will not.
    pub(super) fn note_deletions(&self, public_keys: &[PublicKey]) -> bool {
        if public_keys.is_empty() {
            return true;
        }
        let noted = self.deletion_journal.add(public_keys);
        if let Err(error) = &noted {
            tracing::error!(
                error = chain(error),
                "the deletion cannot be noted either: the keys may come back with a restart"
            );
        }
        noted.is_ok()
    }

    /// Takes keys out of the journal that the ledger has just let in. Says whether that will hold over a restart.
    pub(super) fn clear_deletions(&self, public_keys: &[PublicKey]) -> bool {
        let cleared = self.deletion_journal.remove(public_keys);
        if let Err(error) = &cleared {
            tracing::error!(
                error = chain(error),
                "keys that were deleted before may be taken for deleted at the next start"
            );
        }
        cleared.is_ok()
    }
}

/// What becomes of a key without slashing protection.
fn unrecorded(key: &Dismissed) -> DeleteOutcome {
    let status = if key.was_active() { DeletionStatus::Deleted } else { DeletionStatus::NotFound };
    DeleteOutcome::Status { status, raw_root_signed: false }
}
