//! Answers of the ledger: a [`Verdict`], and in time the proof that the record is durable.

use std::sync::Arc;

use super::commit_queue::{CommitQueue, Deadline, SyncWhen};
use super::fault::Fault;
use super::refusal::Refusal;
use super::row::PendingWrite;
use super::watermarks::Request;
use crate::bls::PublicKey;
use crate::primitives::SigningRoot;

/// The ledger's answer to one request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It may be signed; the signature may be given out when the record is durable ([`Judged::cleared`]).
    Allowed(Judged),
    /// It must not be signed.
    Refused(Refusal),
}

/// A judgement that allows a message whose record may still be on its way to the disk: enough to begin the
/// signature, not enough to let it out.
#[derive(Debug)]
pub(crate) struct Judged {
    public_key: PublicKey,
    signing_root: SigningRoot,
    /// None if there is nothing to record.
    pending: Option<Pending>,
}

impl Judged {
    pub(super) fn unrecorded(request: &Request) -> Self {
        Self { public_key: request.public_key, signing_root: request.signing_root, pending: None }
    }

    pub(super) fn recorded(
        request: &Request,
        record: PendingWrite,
        queue: Arc<CommitQueue>,
        deadline: Deadline,
    ) -> Self {
        Self { pending: Some(Pending { record, queue, deadline }), ..Self::unrecorded(request) }
    }

    /// Has the record made, if that has not begun: call it when the signature is begun, so that both run at a time.
    pub(crate) fn begin_to_record(&self, sync_when: SyncWhen) {
        if let Some(Pending { record, queue, .. }) = &self.pending {
            queue.hasten(record, sync_when);
        }
    }

    /// Waits until the record is durable. Ready at once where no new record is needed.
    ///
    /// # Errors
    /// The record could not be written, or not in time. The signature must be thrown away.
    pub(crate) async fn cleared(self) -> Result<Cleared, Fault> {
        if let Some(Pending { record, queue, deadline }) = &self.pending {
            queue.durable(record, *deadline).await?;
        }
        Ok(Cleared { public_key: self.public_key, signing_root: self.signing_root })
    }
}

/// A record, whom to ask for it, and how long.
#[derive(Debug)]
struct Pending {
    record: PendingWrite,
    queue: Arc<CommitQueue>,
    deadline: Deadline,
}

/// Proof that a message may be signed and that the record of it, where one is needed, is on disk.
///
/// Only [`Judged::cleared`] makes one. A signature is released against it and nothing else.
#[derive(Debug)]
pub(crate) struct Cleared {
    public_key: PublicKey,
    signing_root: SigningRoot,
}

impl Cleared {
    pub(crate) fn public_key(&self) -> PublicKey {
        self.public_key
    }

    pub(crate) fn signing_root(&self) -> SigningRoot {
        self.signing_root
    }
}
