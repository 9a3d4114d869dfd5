//! Faults of the ledger, which are no refusals: it could not answer.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use super::sqlite::StoreError;
use crate::deadline::TooLate;
use crate::network::NamedRoot;
use crate::primitives::Root;

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
    /// The second judge has been silent for so long that nothing is judged. The message is not on record there.
    #[error(
        "the shared ledger of slashing protection has not answered for {silent:.1?}, so nothing is signed that it \
         protects until it does; check that its database runs and can be reached"
    )]
    SecondJudgeAway {
        silent: Duration,
        #[source]
        cause: Option<Cause>,
    },
    /// The second judge was asked and did not answer. What was asked for may be on record there, and an order may still
    /// be carried out.
    #[error(
        "the shared ledger of slashing protection did not answer in time, so it is not known what it has on record; \
         the same message can be asked for again"
    )]
    SecondJudgeUnknown {
        #[source]
        cause: Option<Cause>,
    },
    /// The second judge and this ledger protect different chains. Nothing was changed here.
    #[error(
        "the shared ledger of slashing protection protects the chain with genesis validators root {}, and this ledger \
         the one with {}: give each network its own",
        NamedRoot(*.theirs), NamedRoot(*.pinned)
    )]
    SecondJudgeOfOtherChain { theirs: Root, pinned: Root },
}

impl Fault {
    /// Whether it is the second judge that does not answer.
    pub(crate) fn is_of_second_judge(&self) -> bool {
        match self {
            Self::SecondJudgeAway { .. } | Self::SecondJudgeUnknown { .. } => true,
            Self::QueueFull
            | Self::WaitedTooLong { .. }
            | Self::Broken(_)
            | Self::Stopped
            | Self::SecondJudgeOfOtherChain { .. } => false,
        }
    }

    /// Whether what was asked for may have reached the disk all the same, where the next start would find it.
    pub(crate) fn may_be_on_disk(&self) -> bool {
        match self {
            Self::Broken(_)
            | Self::Stopped
            | Self::WaitedTooLong { .. }
            | Self::SecondJudgeUnknown { .. } => true,
            Self::QueueFull | Self::SecondJudgeAway { .. } | Self::SecondJudgeOfOtherChain { .. } => false,
        }
    }
}

impl From<TooLate> for Fault {
    fn from(TooLate { waited, limit }: TooLate) -> Self {
        Self::WaitedTooLong { waited, limit }
    }
}

/// What went wrong between here and a second judge.
pub(crate) type Cause = Arc<dyn Error + Send + Sync>;
