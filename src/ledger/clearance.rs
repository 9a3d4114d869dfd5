//! What the ledger answers: a [`Verdict`], and in time the proof that the record is durable.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::book::Request;
use super::rules::Refusal;
use super::store::StoreError;
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
    commit: Commit,
}

impl Judged {
    pub(super) fn new(request: &Request, commit: Commit) -> Self {
        Self { public_key: request.public_key, signing_root: request.signing_root, commit }
    }

    /// Waits until the record is durable. Ready at once where no new record is needed.
    ///
    /// # Errors
    /// The record could not be written. The signature must be thrown away.
    pub(crate) async fn cleared(self) -> Result<Cleared, Fault> {
        self.commit.done().await?;
        Ok(Cleared { public_key: self.public_key, signing_root: self.signing_root })
    }
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

/// The commit that covers a judgement.
#[derive(Clone, Debug)]
pub(super) enum Commit {
    Durable,
    Pending(watch::Receiver<Stage>),
}

impl Commit {
    async fn done(self) -> Result<(), Fault> {
        let mut stage = match self {
            Self::Durable => return Ok(()),
            Self::Pending(stage) => stage,
        };
        match stage.wait_for(|stage| !matches!(stage, Stage::Syncing)).await.as_deref() {
            Ok(Stage::Durable) => Ok(()),
            Ok(Stage::Failed(cause)) => Err(Fault::Broken(Arc::clone(cause))),
            Ok(Stage::Syncing) | Err(_) => Err(Fault::Stopped),
        }
    }
}

/// How far a commit has come.
#[derive(Debug)]
pub(super) enum Stage {
    Syncing,
    Durable,
    Failed(Arc<StoreError>),
}

/// Why the ledger could not answer: this program's matter (500). Nothing may be signed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Too many requests wait already. This one was not recorded.
    #[error("the slashing protection ledger's queue is full")]
    QueueFull,
    /// It waited too long to be of use. It was not recorded.
    #[error("the request waited {waited:?} for the slashing protection ledger, longer than {limit:?}")]
    WaitedTooLong { waited: Duration, limit: Duration },
    /// A write failed, now or earlier. What reached the disk is unknown, so nothing is signed until a restart has
    /// read the file again.
    #[error("the slashing protection ledger is broken until the next start")]
    Broken(#[source] Arc<StoreError>),
    /// The ledger's thread has ended.
    #[error("the slashing protection ledger was closed")]
    Stopped,
    /// There is no ledger (`--slashing-protection off`), so there is nothing to administer.
    #[error("slashing protection is off")]
    Off,
}
