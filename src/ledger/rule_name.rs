//! Rules of slashing protection by the names that counters and the audit log give them.

use std::fmt;

use super::refusal::Refusal;
use crate::metrics::named_variants;

named_variants! {
    /// The rule that a refusal follows from, without its numbers.
    pub(crate) enum Rule {
        DoubleBlock = "double-block",
        BlockNotAbove = "block-not-above",
        SourceAfterTarget = "source-after-target",
        SourceBelow = "source-below",
        DoubleVote = "double-vote",
        TargetNotAbove = "target-not-above",
        HighWatermark = "high-watermark",
        FarAhead = "far-ahead",
        RecordFarAhead = "record-far-ahead",
        OtherChain = "other-chain",
        Deleted = "deleted-key",
        RawRoot = "raw-root",
        AfterRawRoot = "after-raw-root",
        OneExit = "one-exit",
        SignedElsewhere = "signed-elsewhere",
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Refusal {
    /// The rule behind it.
    pub(crate) fn rule(&self) -> Rule {
        match self {
            Self::OtherBlockAtSlot { .. } => Rule::DoubleBlock,
            Self::BlockNotAbove { .. } => Rule::BlockNotAbove,
            Self::SourceAfterTarget { .. } => Rule::SourceAfterTarget,
            Self::SourceBelow { .. } => Rule::SourceBelow,
            Self::OtherVoteForTarget { .. } => Rule::DoubleVote,
            Self::TargetNotAbove { .. } => Rule::TargetNotAbove,
            Self::StoppedAtSlot { .. } | Self::StoppedAtEpoch { .. } | Self::StoppedRawRoots => {
                Rule::HighWatermark
            }
            Self::FarAhead { .. } => Rule::FarAhead,
            Self::RecordFarAhead { .. } => Rule::RecordFarAhead,
            Self::OtherChain { .. } | Self::NoChain => Rule::OtherChain,
            Self::Deleted { .. } => Rule::Deleted,
            Self::RawRootOfProtectedKey { .. } | Self::RawRootOfSharedKey { .. } => Rule::RawRoot,
            Self::RawRootSigned { .. } => Rule::AfterRawRoot,
            Self::OtherExitSigned { .. } | Self::ExitUnrecorded => Rule::OneExit,
            Self::SignedElsewhere { .. } => Rule::SignedElsewhere,
        }
    }
}
