//! Answers of the ledger: a [`Verdict`], and in time the proof that the record is durable.

use std::sync::Arc;

use super::commit_queue::{CommitQueue, SyncWhen};
use super::fault::Fault;
use super::refusal::Refusal;
use super::row::PendingWrite;
use super::second_judge::{Answer, PendingAnswer};
use super::watermarks::Request;
use crate::bls::PublicKey;
use crate::deadline::Deadline;
use crate::primitives::SigningRoot;

/// The ledger's answer to one request.
#[derive(Debug)]
pub(crate) enum Verdict<K = PublicKey> {
    /// It may be signed; the signature may be given out when the record is durable ([`Judged::cleared`]).
    Allowed(Judged<K>),
    /// It must not be signed.
    Refused(Refusal),
}

impl Verdict {
    /// The verdict with the key that the request was made for, in place of its public key.
    pub(super) fn for_key<K>(self, key: K) -> Verdict<K> {
        match self {
            Self::Allowed(Judged { key: _, signing_root, pending }) => {
                Verdict::Allowed(Judged { key, signing_root, pending })
            }
            Self::Refused(refusal) => Verdict::Refused(refusal),
        }
    }
}

/// A judgement that allows this key to sign this root, whose record may still be on its way to the disk: enough to
/// begin the signature, not enough to let it out.
#[derive(Debug)]
pub(crate) struct Judged<K = PublicKey> {
    key: K,
    signing_root: SigningRoot,
    /// None if there is nothing to record.
    pending: Option<Pending>,
}

impl Judged {
    pub(super) fn unrecorded(request: &Request) -> Self {
        Self { key: request.public_key, signing_root: request.signing_root, pending: None }
    }

    pub(super) fn recorded(
        request: &Request,
        record: PendingWrite,
        queue: Arc<CommitQueue>,
        deadline: Deadline,
        second_answer: Option<PendingAnswer>,
    ) -> Self {
        Self {
            pending: Some(Pending { record, queue, deadline, second_answer }),
            ..Self::unrecorded(request)
        }
    }
}

impl<K> Judged<K> {
    /// The key that may sign.
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// The root that it may sign.
    pub(crate) fn signing_root(&self) -> SigningRoot {
        self.signing_root
    }

    /// Has the record made, if that has not begun: call it when the signature is begun, so that both run at a time.
    pub(crate) fn begin_to_record(&self, sync_when: SyncWhen) {
        if let Some(Pending { record, queue, .. }) = &self.pending {
            queue.hasten(record, sync_when);
        }
    }

    /// Waits until the record is durable, and granted where there is a second judge. Ready at once where no new record
    /// is needed.
    ///
    /// # Errors
    /// The record could not be written, or not in time; or a second judge refuses or does not answer. The signature
    /// must be thrown away.
    pub(crate) async fn cleared(self) -> Result<Cleared, Withheld> {
        if let Some(Pending { record, queue, deadline, second_answer }) = self.pending {
            queue.durable(&record, deadline).await?;
            if let Some(second_answer) = second_answer {
                match second_answer.answer(deadline).await {
                    Answer::Granted => {}
                    Answer::Refused(refusal) => return Err(refusal.into()),
                    Answer::Failed(absence) => return Err(Fault::from(absence).into()),
                }
            }
        }
        Ok(Cleared(()))
    }
}

/// A record, whom to ask for it, and how long.
#[derive(Debug)]
struct Pending {
    record: PendingWrite,
    queue: Arc<CommitQueue>,
    deadline: Deadline,
    /// The second judge's answer, which is needed as well.
    second_answer: Option<PendingAnswer>,
}

/// Proof that the record of what was judged, where one is needed, is on disk, and that a second judge, where there is
/// one, has granted it. Only [`Judged::cleared`] makes one.
#[derive(Debug)]
pub(crate) struct Cleared(());

/// Why a signature that was begun must not be given out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Withheld {
    /// It must not be signed after all: the caller's matter.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The record is not known to be durable: a matter of this program.
    #[error(transparent)]
    Fault(#[from] Fault),
}
