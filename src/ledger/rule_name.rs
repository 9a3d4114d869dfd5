//! Rules of slashing protection by the names that counters and the audit log give them.

use std::fmt;

use super::refusal::Refusal;
use crate::metrics::Variants;

/// Defines [`Rule`] from rows of: variant, name.
macro_rules! rules {
    ($($variant:ident, $name:literal;)*) => {
        /// The rule that a refusal follows from, without its numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Rule {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
        }

        impl Rule {
            /// The name, which stays: dashboards and alerts ask for it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl Variants for Rule {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

rules! {
    DoubleBlock, "double-block";
    BlockNotAbove, "block-not-above";
    SourceAfterTarget, "source-after-target";
    SourceBelow, "source-below";
    DoubleVote, "double-vote";
    TargetNotAbove, "target-not-above";
    HighWatermark, "high-watermark";
    FarAhead, "far-ahead";
    RecordFarAhead, "record-far-ahead";
    OtherChain, "other-chain";
    Deleted, "deleted-key";
    RawRoot, "raw-root";
    AfterRawRoot, "after-raw-root";
    SignedElsewhere, "signed-elsewhere";
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
            Self::SignedElsewhere { .. } => Rule::SignedElsewhere,
        }
    }
}
