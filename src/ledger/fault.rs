//! Faults of the ledger, which are no refusals: it could not answer.

use std::sync::Arc;
use std::time::Duration;

use super::sqlite::StoreError;

/// Why the ledger could not answer: a matter of this program. Nothing may be signed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Too many requests wait already. This one was not recorded.
    #[error("the slashing protection ledger's queue is full")]
    QueueFull,
    /// It waited too long to be of use. If it had not been judged by then, because a commit before it hung, it is not
    /// recorded; otherwise the record may still come, and the same message can be signed later.
    #[error(
        "the request waited {waited:?} for the slashing protection ledger, longer than {limit:?}: its disk hangs or \
         is overloaded"
    )]
    WaitedTooLong { waited: Duration, limit: Duration },
    /// A write failed, now or earlier. What reached the disk is unknown, so nothing is signed until a restart has
    /// read the file again.
    #[error("the slashing protection ledger is broken until the next start")]
    Broken(#[source] Arc<StoreError>),
    /// The ledger's thread has ended.
    #[error("the slashing protection ledger was closed")]
    Stopped,
}

impl Fault {
    /// Whether what was asked for may have reached the disk all the same, where the next start would find it.
    pub(crate) fn may_be_on_disk(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Stopped | Self::WaitedTooLong { .. } => true,
            Self::QueueFull => false,
        }
    }
}
