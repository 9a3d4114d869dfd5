//! Pieces of work for a core, and what becomes of them.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::keys::{HeldSignature, Key};
use crate::ledger::Judged;
use crate::primitives::SigningRoot;

/// One piece of work. Nothing comes of it if nobody waits for it any more.
pub(super) enum Work {
    Signatures(Presigning),
    Other(OtherWork),
}

/// Work that is no signature.
pub(super) type OtherWork = Box<dyn FnOnce(Backlog) -> Option<Deliver> + Send>;

/// Signatures of one root that one caller waits for.
pub(super) struct Presigning {
    pub(super) judged: Vec<Judged<Arc<Key>>>,
    pub(super) answer: oneshot::Sender<Vec<HeldSignature>>,
}

/// What waits for a core while some work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    Empty,
    MoreWork,
}

/// Gives a result to whoever waits for it.
pub(super) type Deliver = Box<dyn FnOnce()>;

impl Work {
    /// Of how many keys it is; what is no signature counts as one.
    pub(super) fn keys(&self) -> usize {
        match self {
            Self::Signatures(signatures) => signatures.judged.len(),
            Self::Other(_) => 1,
        }
    }

    /// Whether it is signatures of this root.
    pub(super) fn is_of(&self, root: SigningRoot) -> bool {
        match self {
            Self::Signatures(signatures) => signatures.signing_root() == Some(root),
            Self::Other(_) => false,
        }
    }
}

impl Presigning {
    pub(super) fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    /// `None` where there is nothing to sign.
    pub(super) fn signing_root(&self) -> Option<SigningRoot> {
        self.judged.first().map(Judged::signing_root)
    }
}
